"""Small files as microscopes write them, by hand: CZI, LIF, ND2, OIF and OIB."""

import io
import struct
import uuid
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from patching import Location, open_slide
from tests.patching.compound import compound


def noise(*shape: int, dtype: str = "uint16", seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 250 if dtype == "uint8" else 60_000, shape).astype(dtype)


def whole(path: Path, level: int = 0, **how: Any) -> NDArray[Any]:
    with open_slide(path, **how) as slide:
        region_HWC: NDArray[Any] = slide.read_region(Location(0, 0), level, slide.levels[level].size)
    return region_HWC


def covered(path: Path, level: int = 0, **how: Any) -> NDArray[np.bool_]:
    with open_slide(path, **how) as slide:
        size = slide.levels[level].size
        covered_HW = np.zeros((size.height, size.width), np.bool_)
        slide.read_region(Location(0, 0), level, size, covered=covered_HW)
    return covered_HW


@dataclass(frozen=True)
class CziTile:
    """Stored bytes of a tile, its corner, its size at level 0 and as stored, and its other coordinates."""

    data: bytes
    corner: tuple[int, int]
    size: tuple[int, int]
    stored: tuple[int, int]
    place: Mapping[str, int] = field(default_factory=dict)
    pixels: int = 1
    codec: int = 0


def raw_tile(pixels_HW: NDArray[Any], corner: tuple[int, int], factor: int = 1, **place: int) -> CziTile:
    """A tile of 8 or 16 bits, gray or blue, green, red, not compressed."""
    height, width = pixels_HW.shape[:2]
    kind = {(1, 2): 0, (2, 2): 1, (1, 3): 3}[pixels_HW.itemsize, pixels_HW.ndim]
    size = (width * factor, height * factor)
    return CziTile(pixels_HW.tobytes(), corner, size, (width, height), place, kind)


def segment(kind: bytes, content: bytes) -> bytes:
    return struct.pack("<16sqq", kind, len(content), len(content)) + content


def entry(tile: CziTile, at: int) -> bytes:
    axes = {
        "X": (tile.corner[0], tile.size[0], tile.stored[0]),
        "Y": (tile.corner[1], tile.size[1], tile.stored[1]),
    }
    axes |= {name: (start, 1, 1) for name, start in tile.place.items()}
    head = struct.pack(
        "<2siqiiB5xi", b"DV", tile.pixels, at, 0, tile.codec, int(tile.size != tile.stored), len(axes)
    )
    return head + b"".join(
        struct.pack("<4siifi", name.encode(), start, size, float(start), stored)
        for name, (start, size, stored) in axes.items()
    )


def czi(path: Path, tiles: Sequence[CziTile], xml: str = "", part: int = 0) -> Path:
    """A CZI file of the given tiles."""
    own = uuid.UUID(int=1).bytes
    primary = own if part == 0 else uuid.UUID(int=2).bytes
    body, places = b"", []
    start = 32 + 512
    for tile in tiles:
        places.append(start + len(body))
        told = entry(tile, places[-1])
        fixed = (struct.pack("<iiq", 0, 0, len(tile.data)) + told).ljust(256, b"\0")
        body += segment(b"ZISRAWSUBBLOCK", fixed + tile.data)
    about = segment(
        b"ZISRAWMETADATA", struct.pack("<ii", len(xml.encode()), 0).ljust(256, b"\0") + xml.encode()
    )
    listed = b"".join(entry(tile, at) for tile, at in zip(tiles, places, strict=True))
    directory = segment(b"ZISRAWDIRECTORY", struct.pack("<i", len(tiles)).ljust(128, b"\0") + listed)
    xml_at, tiles_at = start + len(body), start + len(body) + len(about)
    header = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, primary, own, part, tiles_at, xml_at, 0, 0)
    path.write_bytes(segment(b"ZISRAWFILE", header.ljust(512, b"\0")) + body + about + directory)
    return path


@dataclass(frozen=True)
class LifImage:
    """An image [..., Y, X] or [..., Y, X, C], and what is told of it."""

    name: str
    pixels: NDArray[Any]
    axes: str
    channels: tuple[str, ...] = ("Green",)
    tags: tuple[int, ...] = (0,)
    mpp: tuple[float, float] = (0.5, 0.25)


_DIMENSIONS = {"X": 1, "Y": 2, "Z": 3, "T": 4, "M": 10}


def _described(image: LifImage, block: int) -> str:
    strides = dict(zip(image.axes, image.pixels.strides, strict=True))
    lengths = dict(zip(image.axes, image.pixels.shape, strict=True))
    channels = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="{tag}" Resolution="{image.pixels.itemsize * 8}" '
        f'NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" LUTName="{name}" IsLUTInverted="0" '
        f'BytesInc="{at * strides.get("C", 0)}" BitInc="0" />'
        for at, (name, tag) in enumerate(zip(image.channels, image.tags, strict=True))
    )
    spans = {"X": image.mpp[0], "Y": image.mpp[1]}
    dimensions = "".join(
        f'<DimensionDescription DimID="{_DIMENSIONS[axis]}" NumberOfElements="{lengths[axis]}" Origin="0" '
        f'Length="{(lengths[axis] - 1) * spans.get(axis, 1) * 1e-6:.9e}" Unit="m" BytesInc="{strides[axis]}" '
        'BitInc="0" />'
        for axis in image.axes[::-1]
        if axis in _DIMENSIONS
    )
    return (
        f'<Element Name="{image.name}"><Data><Image><ImageDescription><Channels>{channels}</Channels>'
        f"<Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
        f'<Memory Size="{image.pixels.nbytes}" MemoryBlockID="MemBlock_{block}" /></Element>'
    )


def lif(path: Path, images: Sequence[LifImage]) -> Path:
    """A LIF file of version 2; pixels lie in memory as they are given."""
    children = "".join(_described(image, number) for number, image in enumerate(images))
    xml = (
        f'<LMSDataContainerHeader Version="2"><Element Name="{path.stem}"><Data /><Memory Size="0" '
        f'MemoryBlockID="" /><Children>{children}</Children></Element></LMSDataContainerHeader>'
    )
    text = xml.encode("utf-16-le")
    content = struct.pack("<IIBI", 0x70, 5 + len(text), 0x2A, len(xml)) + text
    for number, image in enumerate(images):
        name = f"MemBlock_{number}"
        title = struct.pack("<BQBI", 0x2A, image.pixels.nbytes, 0x2A, len(name)) + name.encode("utf-16-le")
        content += struct.pack("<II", 0x70, len(title)) + title + np.ascontiguousarray(image.pixels).tobytes()
    path.write_bytes(content)
    return path


_MAGIC = 0x0ABECEDA


def _variant(values: Mapping[str, Any]) -> bytes:
    def node(name: str, value: Any) -> str:
        if isinstance(value, Mapping):
            return f"<{name}>{''.join(node(key, each) for key, each in value.items())}</{name}>"
        kinds = {bool: "bool", int: "lx_uint32", float: "double", str: "CLxStringW"}
        told = str(value).lower() if isinstance(value, bool) else value
        return f'<{name} runtype="{kinds[type(value)]}" value="{told}"/>'

    return f"<variant>{''.join(node(key, each) for key, each in values.items())}</variant>".encode()


def nd2(
    path: Path,
    frames: Mapping[int, NDArray[Any]],
    names: Sequence[str],
    loops: Sequence[tuple[str, int]] = (),
    *,
    calibrated: bool = True,
    compressed: bool = False,
    lossy: bool = False,
    modality: int | None = None,
    points: Sequence[str] = (),
) -> Path:
    """An ND2 of version 3: frames [Y, X, components] by number; loops are XY, Z, T, the first slowest."""
    first = next(iter(frames.values()))
    height, width, components = first.shape
    planes = {
        f"a{at}": {
            "sDescription": name,
            "uiSampleIndex": at,
            "uiCompCount": components // len(names),
            "pFluorescentProbe": {"m_uiColor": 1},
        }
        | ({} if modality is None else {"uiModalityMask": modality})
        for at, name in enumerate(names)
    }
    experiment: dict[str, Any] = {}
    for kind, count in reversed(loops):
        inner = {"ppNextLevelEx": {"a0": experiment}} if experiment else {}
        pars: dict[str, Any] = {"uiCount": count}
        if kind == "XY":
            told = points or [""] * count
            pars["Points"] = {
                f"p{at}": {"dPosX": float(at), "dPosName": name} for at, name in enumerate(told)
            }
            for at, name in enumerate(told):
                pars["Points"][f"p{at}"]["pPosName"] = name
        if kind == "Z":
            pars |= {
                "dZStep": 1.0,
                "iType": 0,
                "bAbsolute": False,
                "dZLow": 0.0,
                "dZHigh": 1.0,
                "dZHome": 0.0,
            }
        if kind == "T":
            pars |= {
                "dStart": 0.0,
                "dPeriod": 1.0,
                "dDuration": 1.0,
                "dMinPeriodDiff": 0.0,
                "dMaxPeriodDiff": 0.0,
                "dAvgPeriodDiff": 0.0,
            }
        experiment = {"eType": {"T": 1, "XY": 2, "Z": 4}[kind], "uLoopPars": pars, **inner}
    sequences = int(np.prod([count for _, count in loops])) if loops else 1
    bits = first.itemsize * 8
    attributes = {
        "uiWidth": width,
        "uiHeight": height,
        "uiWidthBytes": width * components * first.itemsize,
        "uiComp": components,
        "uiBpcInMemory": bits,
        "uiBpcSignificant": bits,
        "uiSequenceCount": sequences,
        "eCompression": 1 if lossy else 0 if compressed else 2,
        "dCompressionParam": 1.0,
    }
    pictures = {"uiCount": len(names), "sPlaneNew": planes}
    meta = {"bCalibrated": calibrated, "dCalibration": 0.325, "sPicturePlanes": pictures}
    chunks: dict[bytes, bytes] = {
        b"ImageAttributesLV!": _variant({"SLxImageAttributes": attributes}),
        b"ImageMetadataSeqLV|0!": _variant({"SLxPictureMetadata": meta}),
    }
    if experiment:
        chunks[b"ImageMetadataLV!"] = _variant({"SLxExperiment": experiment})
    for number, frame in frames.items():
        data = np.ascontiguousarray(frame).tobytes()
        chunks[f"ImageDataSeq|{number}!".encode()] = bytes(8) + (zlib.compress(data) if compressed else data)
    return _written(path, chunks)


def _written(path: Path, chunks: Mapping[bytes, bytes]) -> Path:
    signature = b"ND2 FILE SIGNATURE CHUNK NAME01!"
    file = io.BytesIO()
    file.write(struct.pack("<IIQ32s64s", _MAGIC, 32, 64, signature, b"Ver3.0"))
    listed = b""
    for name, data in chunks.items():
        listed += name + struct.pack("<QQ", file.tell(), len(data))
        # The name's room fills a page, and time stands in 8 bytes before the pixels.
        file.write(struct.pack("<IIQ", _MAGIC, 4072, len(data)) + name.ljust(4072, b"\0") + data)
    at = file.tell()
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!"
    listed += end + struct.pack("<Q", at)
    file.write(struct.pack("<IIQ", _MAGIC, 32, len(listed)) + b"ND2 FILEMAP SIGNATURE NAME 0001!" + listed)
    path.write_bytes(file.getvalue())
    return path


def _settings(sections: Mapping[str, Mapping[str, object]]) -> bytes:
    lines = [
        f"[{name}]\r\n" + "".join(f"{key}={value}\r\n" for key, value in told.items())
        for name, told in sections.items()
    ]
    return "".join(lines).encode("utf-16")


def _main(names: Sequence[str]) -> bytes:
    dyes: dict[str, Mapping[str, object]] = {
        f"GUI Channel {at} Parameters": {"CH Name": f'"CH{at}"', "DyeName": f'"{name}"'}
        for at, name in enumerate(names, 1)
    }
    reference = {
        "WidthConvertValue": 0.497, "WidthUnit": '"um"', "HeightConvertValue": 0.331, "HeightUnit": '"um"',
    }  # fmt: skip
    profile = {"Name": '"OIF"', "Version": '"1.0"'}
    return _settings({"ProfileSaveInfo": profile, **dyes, "Reference Image Parameter": reference})


def _pages(planes: Mapping[str, NDArray[Any]]) -> Iterable[tuple[str, bytes]]:
    for name, plane_HW in planes.items():
        file = io.BytesIO()
        tifffile.imwrite(file, plane_HW, photometric="minisblack", metadata=None)
        yield f"s_{name}.tif", file.getvalue()


def oif(path: Path, planes: Mapping[str, NDArray[Any]], names: Sequence[str]) -> Path:
    """An OIF file with its folder; planes by place, such as C001Z002."""
    path.write_bytes(_main(names))
    folder = path.with_name(f"{path.name}.files")
    folder.mkdir()
    for name, data in _pages(planes):
        (folder / name).write_bytes(data)
    return path


def oib(path: Path, planes: Mapping[str, NDArray[Any]], names: Sequence[str]) -> Path:
    """The same in one compound file."""
    streams = {"Stream00000": _main(names)}
    info: dict[str, object] = {
        "Name": '"OIB"',
        "Version": '"1.0"',
        "MainFileName": "Stream00000",
        "Stream00000": "main.oif",
        "Storage00001": "s.oif.files",
    }
    for number, (name, data) in enumerate(_pages(planes), 1):
        streams[f"Storage00001/Stream{number:05}"] = data
        info[f"Stream{number:05}"] = f"Storage00001/{name}"
    path.write_bytes(compound({"OibInfo.txt": _settings({"OibSaveInfo": info}), **streams}))
    return path
