"""Where every hand-over between stages lies, and which columns its tables have.

Stages know this file and nothing of each other. `patch_id` is the one join key.
"""

import re
from pathlib import Path
from typing import Final

from patching.errors import ConfigError

SLIDES = (
    "slide_id",
    "patient_id",
    "image",
    "channels",
    "annotation",
    "label",
    "mpp",
    "split",
    "fingerprint",
    "annotation_fingerprint",
    "width",
    "height",
    "dtype",
    "kind",
)
EXCLUDED = ("slide_id", "stage", "error", "reason")
INDEX = (
    "patch_id",
    "slide_id",
    "patient_id",
    "store_row",
    "x",
    "y",
    "extent",
    "tissue_fraction",
    "tissue_area_um2",
    "covered_fraction",
    "tumor_fraction",
    "label",
)
CARDS = ("model_card.md", "data_card.md")
"""Documents beside the report, of its model and of its cohort."""
STATISTICS = ("patch_id",)
"""The other columns are named after the cohort's channels (docs/shortcuts.md)."""
SPLITS = ("patient_id", "split")
ATTRIBUTES = ("patch_id", "threshold", "attribute", "group")
PREDICTIONS = (
    "patch_id",
    "split",
    "label",
    "attribute",
    "group",
    "logit",
    "probability",
    "prediction",
)
GALLERY = (
    "patch_id",
    "role",
    "of",
    "matched",
    "slide_id",
    "patient_id",
    "group",
    "label",
    "prediction",
    "probability",
    "logit",
    "tissue_fraction",
    "tumor_fraction",
    "x",
    "y",
    "extent",
    "slide_state",
    "fine_mpp",
    "fine_pixels",
    "for_tumor",
    "for_tumor_place",
    "against_tumor",
    "against_tumor_place",
    "covered_probability",
    "gradcam_place",
    "seen",
    "fine",
    "tissue",
    "occlusion",
    "gradcam",
)
"""Of a patch that the report shows; the last five are names of pictures, empty where there is none
(docs/report.md)."""

_SEED = re.compile(r"s[0-9]+")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
_WORDS_OF_YAML = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")


class Paths:
    """Every file and folder of one cohort, relative to the repository's root."""

    def __init__(self, root: Path, cohort: str) -> None:
        self.root: Final = root
        self.cohort: Final = cohort
        self.data: Final = root / "data" / cohort
        self.outputs: Final = root / "outputs" / cohort
        self.raw: Final = self.data / "raw"
        """A generated cohort: slides.csv with its images and annotations."""
        self.ingested: Final = self.data / "cohort"
        """Folder of the ingest stage: slides.csv (SLIDES and kept columns), excluded.csv, summary.json."""
        self.slides: Final = self.ingested / "slides.csv"
        self.ingest_excluded: Final = self.ingested / "excluded.csv"
        self.patches: Final = self.data / "patches"
        """Folder of the tile stage: <slide_id>.zarr, index.parquet (INDEX), excluded.csv, summary.json."""
        self.index: Final = self.patches / "index.parquet"
        self.tile_excluded: Final = self.patches / "excluded.csv"
        self.overlays: Final = self.data / "overlays"
        """<slide_id>.jpg: thumbnail, tissue, grid, annotation; cohort.html and sheets/ over all of them."""
        self.tile_receipts: Final = self.data / ".tile"
        """What each patch store was made from, beside the outputs: a resumed run reads it."""
        self.statistics: Final = self.data / "statistics" / "statistics.parquet"
        """Hand-made statistics of patches (STATISTICS and one column each), in the index's order; the index's
        fingerprint is in the metadata."""
        self.splits: Final = self.data / "splits.csv"
        self.attributes: Final = self.data / "attributes"
        """Folder of the attribute stage: tables/ (`attribute_table`), groups.json, histogram.csv."""
        self.groups: Final = self.attributes / "groups.json"
        self.histogram: Final = self.attributes / "histogram.csv"
        self.shortcuts: Final = self.outputs / "shortcuts"
        """Folder of the shortcuts stage: shortcuts.json, null.parquet."""
        self.intervene: Final = self.outputs / "intervene"
        """Folder of the intervene stage: curve.parquet, intervene.json, a picture for each intervention."""
        self.explained: Final = self.outputs / "explain"
        """Folder of the explain stage: gallery.parquet (GALLERY), explain.json, slides.json, pictures/."""
        self.report: Final = self.outputs / "report" / "report.html"
        """Beside it lie the folders of panels that have files of their own."""
        self.cards: Final = tuple(self.report.with_name(name) for name in CARDS)
        self.report_exports: Final = self.report.parent / "exports"
        """Folder beside the report: groups.csv, predictions.parquet, metrics.json, slides/."""
        self.tracked: Final = self.outputs / "track" / "runs.json"
        """The track stage's receipt: MLflow run and model version of every training."""
        self.study: Final = self.outputs / "study"
        """Folder of a repeated cross-validation."""
        self.results: Final = self.outputs / "compare"
        """Folder of the compare verb: table.md, table.tex, table.html, table.json."""

    def store(self, slide_id: str) -> Path:
        """The patches of a slide."""
        return self.patches / f"{slide_id}.zarr"

    def attribute_table(self, threshold: str) -> Path:
        """Attribute and group of every patch at one threshold (ATTRIBUTES).

        A file each, so that another threshold's change does not reach the trainings at this one.
        """
        return self.attributes / "tables" / f"{threshold}.parquet"

    def training(self, run: str) -> Path:
        """Folder of one training: model.safetensors, model.json, history.csv, composition.json, run.json."""
        return self.outputs / "train" / run

    def evaluation(self, run: str) -> Path:
        """Folder of one evaluation: predictions.parquet (PREDICTIONS), metrics.json."""
        return self.outputs / "evaluate" / run

    def evidence(self, run: str) -> Path:
        """Folder of what travels with a tracked training's model beside its card: evidence.json."""
        return self.tracked.parent / run

    def trials(self, verb: str, run: str) -> Path:
        """Folder of a search (tune: docs/tune.md) or of a sweep (sweep: docs/learning-rates.md)."""
        return self.outputs / verb / run


def run_name(algorithm: str, threshold: str, seed: int | None = None) -> str:
    """Name of one training: `gerne-low`; with a seed other than the settings', `gerne-low-s2`."""
    return f"{algorithm}-{threshold}" + ("" if seed is None else f"-s{seed}")


def name_parts(name: str) -> tuple[str, str, int | None]:
    """Algorithm, threshold and seed of a training's name; the seed is None where the name has none.

    An algorithm's name has no `-`, and no threshold's ends as a seed does (`pipeline.training.thresholds`).

    >>> name_parts("gerne-low-s2"), name_parts("gerne-low"), name_parts("gerne-s2")
    (('gerne', 'low', 2), ('gerne', 'low', None), ('gerne', 's2', None))
    >>> name_parts("gerne-much-tissue-s2")
    ('gerne', 'much-tissue', 2)
    """
    algorithm, _, rest = name.partition("-")
    threshold, _, last = rest.rpartition("-")
    if threshold and _SEED.fullmatch(last):
        return algorithm, threshold, int(last[1:])
    return algorithm, rest, None


def require_name(what: str, name: object) -> str:
    """Check what a person calls a cohort or a threshold.

    It becomes folders, words of a shell and of YAML, stages of DVC, and a model of the registry.

    Args:
        what: `cohort` or `threshold`, for the error.
        name: as it was read.

    Raises:
        ConfigError: it breaks the rule.
    """
    if isinstance(name, str) and _NAME.fullmatch(name) and name.casefold() not in _WORDS_OF_YAML:
        return name
    raise ConfigError(
        has=f"a {what} called {name!r}",
        needs="a letter, then letters, digits, _ and -, 100 at most; and no word that YAML knows",
        do="choose another name",
    )
