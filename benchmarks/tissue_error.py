"""Error of tissue fractions against level 0, for masks of 8, 16 and 32 pixels per patch side.

    python -m benchmarks.tissue_error [DATA]

Two errors, on real slides. (a) Arithmetic: the level-0 mask reduced to the coarse grid, as area means and as
a binary mask. (b) Boundary rule: the detector applied to the image reduced to the coarse grid.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from patching.geometry import Mpp, Size
from patching.readers.overview import overview
from patching.readers.registry import open_slide
from patching.resample import shrink
from patching.tissue.registry import make_detector
from patching.tissue_area import AreaTable

_EXTENT = 256
_SIDES = (8, 16, 32)
_SIGNAL: dict[str, Any] = {"method": "signal", "channel": "SHG_log_intensity"}
_COHORTS: dict[str, tuple[str, dict[str, Any]]] = {
    "CMU-1-Small-Region.svs": ("wsi-scanners/CMU-1-Small-Region.svs", {"method": "otsu"}),
    "TCGA frozen section": ("wsi-scanners/TCGA-CR-7395*.svs", {"method": "otsu"}),
    "P-SHG cores": ("breast-pshg-tma/core*_*.ome.tif", _SIGNAL),
}


def main(data: Path) -> None:
    """Print one table."""
    columns = ("slides", "patches", "pixels per side", "same mask, means", "same mask, binary", "rule there")
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|")
    for name, (pattern, detector) in _COHORTS.items():
        errors = [_errors(path, detector) for path in sorted(data.glob(pattern))]
        for side in _SIDES:
            joined_N3 = np.concatenate([found[side] for found in errors])
            cells = [f"{column.mean():.4f}, {column.max():.3f}" for column in joined_N3.T]
            print(f"| {name} | {len(joined_N3)} | {side} | {' | '.join(cells)} |")


def _errors(path: Path, detector: dict[str, Any]) -> dict[int, NDArray[np.float64]]:
    """Absolute errors [N, 3] of each patch: area means, binary mask, rule."""
    with open_slide(path) as slide:
        image_HWC = overview(slide, 1.0).image_HWC
        size, mpp, brightfield, channels = slide.size, slide.mpp, slide.brightfield, slide.channels
    if detector["method"] == "signal" and len(channels) > 1:
        channels = ("SHG_log_intensity", *channels[1:])
    elif detector["method"] == "signal":
        channels = ("SHG_log_intensity",)
    image_HWC = np.ascontiguousarray(image_HWC)

    def detect(image: NDArray[Any], factor: int) -> NDArray[np.bool_]:
        pixel = None if mpp is None else Mpp(mpp.x * factor, mpp.y * factor)
        found = make_detector(**detector).detect(image, pixel, brightfield=brightfield, channels=channels)
        return np.asarray(found, np.bool_)

    fine_HW = detect(image_HWC, 1)
    locations_N2 = np.array(list(_grid(size)))
    truth_N = AreaTable(fine_HW).fractions(locations_N2, _EXTENT, 1.0)
    result = {}
    for side in _SIDES:
        factor = _EXTENT // side
        share_HW = shrink(fine_HW.astype(np.float32)[..., None], factor)[..., 0].astype(np.float32)
        masks = (share_HW, share_HW >= 0.5, detect(shrink(image_HWC, factor), factor))
        found = [AreaTable.of_slide(m, size, factor).fractions(locations_N2, _EXTENT, factor) for m in masks]
        result[side] = np.abs(np.stack(found, axis=-1) - truth_N[:, None])
    return result


def _grid(size: Size) -> Iterator[tuple[int, int]]:
    # Off the mask's grid, as an arbitrary stride is.
    for y in range(0, size.height - _EXTENT + 1, 101):
        for x in range(0, size.width - _EXTENT + 1, 101):
            yield x, y


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data"))
