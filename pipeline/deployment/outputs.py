"""The files of a predicted slide: one folder a slide, whole or not at all.

`<slide_id>/<slide_id>.geojson.gz`, `.heatmap.ome.tif`, `.heatmap.ome.zarr` (by option) and `.overlay.png`
carry the slide's name, since they are opened beside others; `patches.parquet`, `summary.json`,
`thumbnail.jpg` and `heatmap.jpg` are for the page of the run and for programs.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.networks.decision_words import briefly, decided_plainly
from patching.disk_space import free_space, full_disk
from patching.errors import DiskSpaceError
from patching.pictures.drawing import write_picture
from patching.resample import shrink
from pipeline.deployment.prediction import ANNOTATED, PATCHES, SlidePrediction
from pipeline.deployment.summary import SlideSummary, summarize, write_summary
from pipeline.look.geojson import Tiles, write_tiles
from pipeline.look.heatmap import HeatGrid, painted
from pipeline.look.heatmap_files import Placed, write_ome_tiff, write_ome_zarr
from pipeline.look.heatmap_picture import HeatContent, draw_heat, with_legend

Heatmap = Literal["ome-tiff", "ome-zarr", "both", "none"]
TABLE, THUMBNAIL, HEAT = "patches.parquet", "thumbnail.jpg", "heatmap.jpg"
_SMALL_SIDE = 240


@dataclass(frozen=True)
class OutputOptions:
    """What a user chooses about a slide's files."""

    heatmap: Heatmap = "ome-tiff"
    attributes: tuple[str, ...] = ()
    """Names of the parts of the tissue fractions, as the model numbers them."""


def write_slide(prediction: SlidePrediction, folder: Path, options: OutputOptions) -> SlideSummary:
    """Write all files of a slide into `folder`/<slide_id>, in place of what is there.

    They are written into `.<slide_id>.part`, which is renamed at the end. The same prediction gives the same
    bytes.

    Raises:
        DiskSpaceError: the disk is full.
    """
    final = folder / prediction.slide_id
    with _whole(final) as part:
        grid = HeatGrid.of(prediction.size, prediction.locations_N2, prediction.extent, prediction.stride)
        heat_HW = painted(grid, prediction.locations_N2, prediction.extent, prediction.probability_N)
        _write_table(prediction, part / TABLE)
        write_tiles(tiles_of(prediction), part / f"{prediction.slide_id}.geojson.gz")
        _write_heatmaps(prediction, heat_HW, grid.cell, part, options.heatmap)
        _write_pictures(content_of(prediction, heat_HW, grid.cell), part)
        files = sorted(path.name for path in part.iterdir())
        summary = summarize(prediction, grid, files, options.attributes)
        write_summary(summary, part)
    return summary


def halves_of(final: Path) -> tuple[Path, Path]:
    """Where a slide's new folder is made, and where its old one waits until the new one is whole."""
    part, old = (final.with_name(f".{final.name}.{word}") for word in ("part", "old"))
    return part, old


def remove(folder: Path) -> None:
    """Remove a folder, or the link that somebody put in its place and not what it leads to."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _whole(final: Path) -> Iterator[Path]:
    """An empty folder that takes the name of `final` once the block ends without error."""
    part, old = halves_of(final)
    try:
        _settle(final, part, old)
        part.mkdir(parents=True)
        yield part
        if final.exists():
            final.replace(old)
        part.replace(final)
    except OSError as error:
        raise _told(error, final) from error
    finally:
        _settle(final, part, old)


def _settle(final: Path, part: Path, old: Path) -> None:
    """Leave one folder, whatever moment a process was stopped at."""
    if old.exists() and not final.exists():
        old.replace(final)
    for left in (part, old):
        remove(left)


def _told(error: OSError, path: Path) -> OSError:
    if not isinstance(full_disk(error, path), DiskSpaceError):
        return error
    return DiskSpaceError(
        has=f"no space left for {path} ({free_space(path.parent) / 1e9:.1f} GB free)",
        needs="room for the files of every slide",
        do="free some space, or name another folder with `--out`, and run the same command again: finished "
        "slides are kept",
    )


def _write_table(prediction: SlidePrediction, path: Path) -> None:
    """patches.parquet: slide_id, patch_id, the columns of the prediction, and extent."""
    name, patches = prediction.slide_id, prediction.patches
    columns = {
        "slide_id": pa.array([name] * len(patches), pa.string()),
        "patch_id": pa.array([f"{name}@{x}_{y}" for x, y in prediction.locations_N2.tolist()], pa.string()),
        **{column: pa.array(patches[column].array) for column in PATCHES if column != "note"},
        "note": pa.array(prediction.notes, pa.string()),
        **{column: pa.array(patches[column].array) for column in ANNOTATED if prediction.annotated},
        "extent": pa.array(np.full(len(patches), prediction.extent)),
    }
    pq.write_table(pa.table(columns), path, compression="zstd")


def tiles_of(prediction: SlidePrediction) -> Tiles:
    """The patches as QuPath gets them."""
    patches = prediction.patches
    return Tiles(
        name=prediction.slide_id,
        size=prediction.size,
        bounds=prediction.bounds,
        extent=prediction.extent,
        locations_N2=prediction.locations_N2,
        classes=prediction.classes,
        class_N=patches["prediction"].to_numpy(np.int64),
        probability_N=prediction.probability_N,
        tissue_N=patches["tissue_fraction"].to_numpy(np.float64),
        notes=prediction.notes,
        decision="" if decided_plainly(prediction.decision) else prediction.decided,
    )


def _write_heatmaps(
    prediction: SlidePrediction, heat_HW: NDArray[np.uint16], cell: int, part: Path, wanted: Heatmap
) -> None:
    placed = Placed(
        name=prediction.slide_id,
        image_HW=heat_HW,
        cell=cell,
        mpp=prediction.mpp,
        bounds=prediction.bounds,
        threshold=prediction.decision.threshold,
        decision=briefly(prediction.decision),
    )
    if wanted in ("ome-tiff", "both"):
        write_ome_tiff(placed, part / f"{prediction.slide_id}.heatmap.ome.tif")
    if wanted in ("ome-zarr", "both"):
        write_ome_zarr(placed, part / f"{prediction.slide_id}.heatmap.ome.zarr")


def content_of(prediction: SlidePrediction, heat_HW: NDArray[np.uint16], cell: int) -> HeatContent:
    """What the overlay shows."""
    noted_N = np.array([note != "" for note in prediction.notes], np.bool_)
    return HeatContent(
        title=prediction.slide_id,
        image_HW3=prediction.thumbnail_HW3,
        size=prediction.size,
        heat_HW=heat_HW,
        threshold=prediction.decision.threshold,
        decision=briefly(prediction.decision),
        cell=cell,
        extent=prediction.extent,
        marked_N2=prediction.locations_N2[noted_N],
        tissue_HW=prediction.tissue_HW,
        tissue_downsample=prediction.tissue_downsample,
        outlines=prediction.outlines,
        mpp=prediction.mpp,
    )


def _write_pictures(content: HeatContent, part: Path) -> None:
    """The overlay, and both its layers small for the page."""
    plain_HW3, shown_HW3 = draw_heat(content)
    write_picture(with_legend(shown_HW3, content), part / f"{content.title}.overlay.png")
    # By a whole number: a quarter of the time of any other.
    factor = -(-max(plain_HW3.shape) // _SMALL_SIDE)
    for picture_HW3, name in ((plain_HW3, THUMBNAIL), (shown_HW3, HEAT)):
        write_picture(np.asarray(shrink(picture_HW3, factor), np.uint8), part / name)
