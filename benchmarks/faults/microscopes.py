"""Sound files of microscopes and of slides in several files, made anew for every process."""

import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from tests.patching import microscope_files as files
from tests.patching.compound import compound
from tests.patching.dicom_files import dicom


def _noise(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def _czi(path: Path) -> Path:
    tiles = [
        files.raw_tile(_noise(120, 160), (x, y), C=channel, M=number)
        for channel in range(2)
        for number, (x, y) in enumerate([(0, 0), (150, 0), (0, 110)])
    ]
    tiles.append(files.raw_tile(_noise(115, 155), (0, 0), factor=2, C=0))
    names = "".join(f"<Channel Name='{name}'/>" for name in ("SHG", "TPEF"))
    xml = (
        "<ImageDocument><Metadata><Scaling><Items><Distance Id='X'><Value>2.5e-7</Value></Distance><Distance "
        "Id='Y'><Value>2.5e-7</Value></Distance></Items></Scaling><Information><Image><Dimensions><Channels>"
        f"{names}</Channels></Dimensions></Image></Information></Metadata></ImageDocument>"
    )
    return files.czi(path, tiles, xml)


def _packed_czi(path: Path) -> Path:
    colors_HWC = _noise(120, 160, 3, dtype="uint8")
    packed = {
        1: imagecodecs.jpeg8_encode(colors_HWC),
        4: imagecodecs.jpegxr_encode(colors_HWC, level=1.0),
        5: imagecodecs.zstd_encode(colors_HWC.tobytes()),
        6: b"\x03\x01\x00" + imagecodecs.zstd_encode(colors_HWC.tobytes()),
    }
    tiles = [
        files.CziTile(data, (160 * at, 0), (160, 120), (160, 120), {"C": 0, "M": at}, 3, codec)
        for at, (codec, data) in enumerate(packed.items())
    ]
    return files.czi(path, tiles)


def _lif(path: Path) -> Path:
    stack = files.LifImage("stack", _noise(2, 3, 120, 160), "CZYX", ("SHG", "TPEF"), (0, 0))
    colors = files.LifImage("rgb", _noise(60, 90, 3, dtype="uint8"), "YXC", ("a",) * 3, (3, 2, 1))
    return files.lif(path, [stack, colors])


def _nd2(path: Path, *, compressed: bool = False) -> Path:
    frames = {number: _noise(120, 160, 2) for number in range(6)}
    return files.nd2(path, frames, ("SHG", "TPEF"), [("XY", 2), ("Z", 3)], compressed=compressed)


def _oib(path: Path) -> Path:
    planes = {f"C{channel:03}Z{plane:03}": _noise(120, 160) for channel in (1, 2) for plane in (1, 2, 3)}
    return files.oib(path, planes, ("SHG", "TPEF"))


def _zvi(path: Path) -> Path:
    path.write_bytes(compound({"Contents": bytes(600), "Image/Contents": bytes(600)}))
    return path


def _dicom(path: Path) -> Path:
    return dicom(path, _noise(200, 300, 3, dtype="uint8"), instance=1)


def _vms(path: Path) -> Path:
    path.write_text("[Virtual Microscope Specimen]\nNoLayers=1\nImageFile=a.jpg\nMapFile=b.jpg\n")
    return path


_WRITERS: dict[str, Callable[[Path], Path]] = {
    "mosaic.czi": _czi,
    "packed.czi": _packed_czi,
    "two.lif": _lif,
    "positions.nd2": _nd2,
    "packed.nd2": lambda path: _nd2(path, compressed=True),
    "stack.oib": _oib,
    "old.zvi": _zvi,
    "slide.dcm": _dicom,
    "slide.vms": _vms,
}
NAMES = tuple(_WRITERS)


@lru_cache(maxsize=len(NAMES))
def written(name: str) -> bytes:
    """The bytes of one of NAMES."""
    with tempfile.TemporaryDirectory() as folder:
        return _WRITERS[name](Path(folder) / name).read_bytes()
