"""A small cohort of every kind of slide, and the process that tiles it:

python -m benchmarks.faults.cohort SLIDES OUTPUTS WORKERS
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from patching.digests import fingerprint
from patching.errors import EvenpatchError
from patching.manifest import SlideRow
from patching.tiling.engine import Folders, SlideTask, tile_cohort
from patching.tiling.settings import TileSettings

READY, DONE = "ready", "done"
SETTINGS = {
    "patch": {"size": 64, "downsample": 1, "stride": 48},
    "tissue": {"method": "otsu"},
    "classes": {"tumor": "tumor", "*": "normal"},
    "minimum_tissue_fraction": 0.001,
    "patches_per_shard": 32,
}
_OUTLINE = [[0, 0], [900, 100], [1400, 1100], [200, 900], [0, 0]]


def write_slides(folder: Path) -> None:
    """Three small slides and a larger one with an annotation: JPEG, deflate at 16 bits, PNG."""
    folder.mkdir(parents=True)
    _brightfield(folder / "large.tif", 2400, 1800, seed=0)
    _brightfield(folder / "small.tif", 700, 500, seed=1)
    _multimodal(folder / "signals.ome.tif", 800, 600)
    Image.fromarray(_tissue(500, 400, seed=3)).save(folder / "picture.png")
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [_OUTLINE]},
        "properties": {"classification": {"name": "Tumor"}},
    }
    (folder / "large.geojson").write_text(json.dumps([feature]))


def tasks(slides: Path, outputs: Path) -> list[SlideTask]:
    """One for each slide; the largest comes first."""
    folders = Folders(outputs / "patches", outputs / "overlays", outputs / "receipts")
    rows = [
        SlideRow("large", "p0", (slides / "large.tif",), annotation=slides / "large.geojson"),
        SlideRow("small", "p1", (slides / "small.tif",), label=1),
        SlideRow("signals", "p2", (slides / "signals.ome.tif",), label=0),
        SlideRow("picture", "p3", (slides / "picture.png",), label=0),
    ]
    settings = TileSettings.model_validate(SETTINGS)
    return [SlideTask(row, fingerprint(row.images), settings, folders) for row in rows]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its relative path, unfinished ones too; but for the logs, which tell times."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "logs")
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def main(arguments: Sequence[str]) -> int:
    """Tile, saying when the work begins and when it is done; an expected error ends with code 2."""
    slides, outputs, workers = Path(arguments[0]), Path(arguments[1]), int(arguments[2])
    work = tasks(slides, outputs)
    print(READY, flush=True)
    try:
        for outcome in tile_cohort(work, workers):
            if outcome.error is not None:
                raise outcome.error
    except EvenpatchError as error:
        print(f"{type(error).__name__}\n{error}", file=sys.stderr)
        return 2
    print(DONE, flush=True)
    return 0


def _tissue(width: int, height: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rng = np.random.default_rng(seed)
    y_H1, x_1W = np.mgrid[:height, :width]
    inside_HW = ((x_1W / width - 0.45) / 0.4) ** 2 + ((y_H1 / height - 0.5) / 0.4) ** 2 < 1
    image_HWC = np.where(inside_HW[..., None], (180, 90, 150), (240, 238, 235))
    image_HWC = image_HWC + rng.integers(-9, 10, image_HWC.shape)
    return image_HWC.astype(np.uint8)


def _brightfield(path: Path, width: int, height: int, seed: int) -> None:
    image_HWC = _tissue(width, height, seed)
    options: dict[str, Any] = {
        "tile": (256, 256),
        "compression": "jpeg",
        "photometric": "rgb",
        "metadata": None,
    }
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(image_HWC, **options)
        tiff.write(np.ascontiguousarray(image_HWC[::4, ::4]), subfiletype=1, **options)


def _multimodal(path: Path, width: int, height: int) -> None:
    image_HWC = _tissue(width, height, seed=2).astype(np.uint16) * 100
    planes_CHW = np.ascontiguousarray(np.moveaxis(24_500 - image_HWC, -1, 0))
    names = {"axes": "CYX", "Channel": {"Name": ["CARS", "TPEF", "SHG"]}}
    tifffile.imwrite(
        path,
        planes_CHW,
        ome=True,
        tile=(128, 128),
        compression="zlib",
        photometric="minisblack",
        metadata=names,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
