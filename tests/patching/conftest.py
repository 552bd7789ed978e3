"""Small slides that every patching test shares: 300 wide and 200 high, so that a swap of axes fails."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT = 300, 200
CHANNELS = ("CARS", "TPEF", "SHG")


@dataclass(frozen=True)
class Written:
    """A slide on disk and the pixels it holds, per level, each [H, W, C]."""

    path: Path
    levels: tuple[NDArray[np.generic], ...]

    @property
    def image_HWC(self) -> NDArray[np.generic]:
        return self.levels[0]


@dataclass(frozen=True)
class Stack:
    """One file per modality of the same field, and their channels joined [H, W, C]."""

    paths: tuple[Path, ...]
    image_HWC: NDArray[np.generic]


@pytest.fixture(scope="session")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the shared slides; tests must not change what lies there."""
    return tmp_path_factory.mktemp("slides")


@pytest.fixture(scope="session")
def intensity_HWC() -> NDArray[np.uint16]:
    """Three uint16 channels; every pixel tells its place and channel."""
    y_H1, x_1W = np.mgrid[:HEIGHT, :WIDTH]
    planes = [y_H1 * WIDTH + x_1W, 3 * x_1W + 7, 5 * y_H1 + 1000 + x_1W % 17]
    return np.stack(planes, axis=-1).astype(np.uint16)


@pytest.fixture(scope="session")
def brightfield_HWC() -> NDArray[np.uint8]:
    """A bright tinted background with a pink ellipse off the middle, and noise."""
    rng = np.random.default_rng(0)
    y_H1, x_1W = np.mgrid[:HEIGHT, :WIDTH]
    inside_HW = ((x_1W - 100) / 70) ** 2 + ((y_H1 - 120) / 50) ** 2 < 1
    image_HWC = np.where(inside_HW[..., None], (190, 90, 150), (240, 238, 232))
    noisy_HWC = image_HWC + rng.integers(-6, 7, image_HWC.shape)
    return noisy_HWC.astype(np.uint8)


@pytest.fixture(scope="session")
def ome_tiff(slides: Path, intensity_HWC: NDArray[np.uint16]) -> Written:
    """Pyramidal tiled OME-TIFF, uint16, three named channels, 0.5 µm per pixel, sub-IFDs, deflate."""
    path = slides / "multimodal.ome.tif"
    levels = (intensity_HWC, intensity_HWC[::2, ::2], intensity_HWC[::4, ::4])
    options = {"tile": (64, 48), "compression": "zlib", "photometric": "minisblack"}
    pixel = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    metadata = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}, **pixel}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        planes = [np.moveaxis(level, -1, 0) for level in levels]
        tiff.write(planes[0], subifds=2, metadata=metadata, **options)
        for plane in planes[1:]:
            tiff.write(plane, subfiletype=1, **options)
    return Written(path, levels)


@pytest.fixture(scope="session")
def rgb_tiff(slides: Path, brightfield_HWC: NDArray[np.uint8]) -> Written:
    """Tiled lossless 8-bit RGB TIFF with 0.25 µm per pixel, which OpenSlide reads too."""
    path = slides / "brightfield.tif"
    per_cm = 1e4 / 0.25
    tifffile.imwrite(
        path,
        brightfield_HWC,
        tile=(64, 48),
        photometric="rgb",
        compression="zlib",
        resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
        metadata=None,
    )
    return Written(path, (brightfield_HWC,))


@pytest.fixture(scope="session")
def png(slides: Path, brightfield_HWC: NDArray[np.uint8]) -> Written:
    """8-bit RGB PNG."""
    path = slides / "brightfield.png"
    Image.fromarray(brightfield_HWC).save(path)
    return Written(path, (brightfield_HWC,))


@pytest.fixture(scope="session")
def jpeg(slides: Path, brightfield_HWC: NDArray[np.uint8]) -> Written:
    """JPEG of the same picture; its pixels are what Pillow decodes."""
    path = slides / "brightfield.jpg"
    Image.fromarray(brightfield_HWC).save(path, quality=90)
    with Image.open(path) as image:
        return Written(path, (np.asarray(image),))


@pytest.fixture(scope="session")
def modalities(slides: Path, intensity_HWC: NDArray[np.uint16]) -> Stack:
    """One untiled single-channel TIFF per modality, 300 by 200, uint16."""
    paths = tuple(slides / f"{name}.tif" for name in CHANNELS)
    for channel, path in enumerate(paths):
        plane_HW = np.ascontiguousarray(intensity_HWC[..., channel])
        tifffile.imwrite(path, plane_HW, photometric="minisblack", metadata=None, rowsperstrip=37)
    return Stack(paths, intensity_HWC)
