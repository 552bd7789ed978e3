"""The candidate attributes of a cohort: of its patch index, its slides' table, and its statistics."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.data.splitting import TRAIN
from models.metrics.audit.bins import quantile_bins, quantile_edges
from models.metrics.audit.levels import slide_levels
from pipeline.artifacts import SLIDES, STATISTICS, Paths
from pipeline.cohort.quality import PREFIX, quality_columns
from pipeline.files import file_fingerprint, read_table
from pipeline.results.audit.attributes import Attribute, Kind, LeftOut, of_category, of_number

N_STRATA = 20
"""Of the tissue fraction, of equally many training patches: attributes are compared within them."""
TISSUE = "tissue_fraction"
_ACQUISITION = ("mpp", "width", "height", "dtype", "kind")
"""Columns of slides.csv that tell how a slide was made, beside those that the cohort adds."""
_OF_LABEL = ("label", "tumor_fraction", "prediction", "probability", "logit", "attribute", "group")
"""Never an attribute: they are the label, or made of it."""
_ARTIFACTS = ("saturated_fraction", "pen_fraction")
"""Qualities that no tissue has by itself: marks of a patch's making, not of its look."""
_TITLES = {
    "focus": "focus",
    "brightness": "brightness",
    "saturated_fraction": "saturated pixels",
    "pen_fraction": "ink",
    "fold_fraction": "folds",
}
_MOST_CHANNELS = 4
"""Whose hand-made statistics are looked at."""


def present_statistics(paths: Paths) -> pd.DataFrame | None:
    """Hand-made statistics of the present patches, where `evenpatch statistics` has made them."""
    if not paths.statistics.is_file():
        return None
    table = read_table(paths.statistics, STATISTICS, "statistics")
    return table if table.attrs.get(paths.index.name) == file_fingerprint([paths.index]) else None


def tissue_strata(patches: pd.DataFrame) -> NDArray[np.int64]:
    """Number of every patch's stratum of tissue, from 0 on."""
    value_N = patches[TISSUE].to_numpy(np.float64)
    return quantile_bins(value_N, quantile_edges(value_N[_training(patches)], N_STRATA)).clip(0)


def attributes_of(
    patches: pd.DataFrame, slides: pd.DataFrame, statistics: pd.DataFrame | None
) -> tuple[Attribute | LeftOut, ...]:
    """Every candidate, the tissue fraction first; what is none, with the reason.

    Args:
        patches: the patch index with the patients' split.
        slides: artifacts.SLIDES with the cohort's own columns.
        statistics: of data/<cohort>/statistics, of these patches; may hold some of them only.
    """
    known_N = _training(patches)
    tissue_N = patches[TISSUE].to_numpy(np.float64)
    found = [of_number(TISSUE, "tissue fraction", Kind.TISSUE, tissue_N, known_N)]
    found += _of_slides(patches, slides, known_N)
    found += [
        of_number(f"place.{name}", title, Kind.PLACE, value_N, known_N)
        for name, (title, value_N) in _places(patches, slides).items()
    ]
    found += _of_measures(patches, _measures(patches, statistics), known_N)
    return tuple(found)


def _training(patches: pd.DataFrame) -> NDArray[np.bool_]:
    return (patches["split"] == TRAIN).to_numpy(bool)


def _of_slides(
    patches: pd.DataFrame, slides: pd.DataFrame, known_N: NDArray[np.bool_]
) -> Iterator[Attribute | LeftOut]:
    """Columns of slides.csv: those that evenpatch knows of the making, and those that the cohort adds."""
    numbers = pd.Series(range(len(slides)), index=slides["slide_id"].astype(str))
    row_N = patches["slide_id"].astype(str).map(numbers).to_numpy(np.int64)
    patient_N = np.unique(patches["patient_id"].astype(str), return_inverse=True)[1]
    own = [str(name) for name in slides.columns if name not in SLIDES]
    for column in (*_ACQUISITION, *own):
        title = f"column “{column}”"
        if column in _OF_LABEL:
            yield LeftOut(title, "it tells the label, or is made of it")
            continue
        cells = slides[column]
        value_J = cells.astype(str).where(cells.notna(), "").to_numpy(str)
        yield of_category(f"slides.{column}", title, value_J[row_N], patient_N, known_N)


def _places(patches: pd.DataFrame, slides: pd.DataFrame) -> Mapping[str, tuple[str, NDArray[np.float64]]]:
    """Where the middle of a patch lies, as shares of the slide's size."""
    sizes = slides.assign(slide_id=slides["slide_id"].astype(str)).set_index("slide_id")
    names = patches["slide_id"].astype(str)
    x_N, y_N = (
        (patches[axis] + patches["extent"] / 2).to_numpy(np.float64)
        / pd.to_numeric(names.map(sizes[side]), errors="coerce").to_numpy(np.float64)
        for axis, side in (("x", "width"), ("y", "height"))
    )
    return {
        "x": ("place from left to right", x_N),
        "y": ("place from top to bottom", y_N),
        "center": ("distance from the slide’s center", np.hypot(x_N - 0.5, y_N - 0.5)),
    }


def _measures(
    patches: pd.DataFrame, statistics: pd.DataFrame | None
) -> Mapping[str, tuple[str, NDArray[np.float64]]]:
    """Numbers that were measured of every patch's pixels, by name, with a title."""
    columns = [name.removeprefix(PREFIX) for name in quality_columns(patches)]
    found = {name: (_title(name), patches[f"{PREFIX}{name}"].to_numpy(np.float64)) for name in columns}
    means = [name for name in columns if name.startswith("mean_")]
    if len(means) > 1:
        total_N = np.sum([found[name][1] for name in means], axis=0)
        for name in means:
            channel = name.removeprefix("mean_")
            share_N = np.divide(found[name][1], total_N, out=np.full(len(total_N), np.nan), where=total_N > 0)
            found[f"tint_{channel}"] = (f"tint: {channel}’s share of all light", share_N)
    return found | _statistics(patches, statistics)


def _title(name: str) -> str:
    kind, _, channel = name.partition("_")
    words = {"mean": f"intensity of {channel}", "spread": f"contrast of {channel}"}
    return _TITLES.get(name) or words.get(kind, name.replace("_", " "))


def _statistics(
    patches: pd.DataFrame, statistics: pd.DataFrame | None
) -> dict[str, tuple[str, NDArray[np.float64]]]:
    """Of some thirty a channel those that no quality tells: color, how channels go together, edges."""
    if statistics is None:
        return {}
    joined = statistics.set_index("patch_id").reindex(patches["patch_id"])
    channels = list(dict.fromkeys(str(name).split(".")[0] for name in joined))
    single = [name for name in channels if f"{name}.mean" in joined and "+" not in name][:_MOST_CHANNELS]
    wanted = {"saturation.mean": "saturation of color"} if "saturation.mean" in joined else {}
    single = [name for name in single if name != "saturation"]
    for place, one in enumerate(single):
        edges = next((str(name) for name in joined if str(name).startswith(f"{one}.gradient_")), None)
        wanted |= {edges: f"edges of {one}"} if edges else {}
        pairs = {f"{one}+{other}.correlation": other for other in single[place + 1 :]}
        wanted |= {
            name: f"correlation of {one} and {other}" for name, other in pairs.items() if name in joined
        }
    return {name: (title, joined[name].to_numpy(np.float64)) for name, title in wanted.items()}


def _of_measures(
    patches: pd.DataFrame,
    measures: Mapping[str, tuple[str, NDArray[np.float64]]],
    known_N: NDArray[np.bool_],
) -> Iterator[Attribute | LeftOut]:
    """Every measure twice: as the slide has it at equal tissue and label, and as the patch has it."""
    stratum_N, label_N = tissue_strata(patches), patches["label"].to_numpy(np.int64)
    slide_N = np.unique(patches["slide_id"].astype(str), return_inverse=True)[1]
    for name, (title, value_N) in measures.items():
        of_patch = Kind.SLIDE if name in _ARTIFACTS else Kind.LOOK
        finite_N = value_N[known_N & np.isfinite(value_N)]
        if finite_N.size and finite_N.min() == finite_N.max():
            yield LeftOut(title, "all training patches have one value")
            continue
        level_N = slide_levels(value_N, label_N, stratum_N, slide_N, known_N)
        yield of_number(f"slide.{name}", f"{title}, of the slide", Kind.SLIDE, level_N, known_N)
        yield of_number(f"patch.{name}", f"{title}, of the patch", of_patch, value_N, known_N)
