"""Samples of a TIFF are read as what they are, or refused: ink, alpha and palettes are no intensities."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from patching import Location, open_slide
from patching.errors import ChannelError, UnreadableSlideError

RAMP = np.arange(256, dtype=np.uint16) * 257


def whole(path: Path, **how: Any) -> NDArray[Any]:
    with open_slide(path, **how) as slide:
        return slide.read_region(Location(0, 0), 0, slide.size)


def noise(samples: int, dtype: str = "uint8") -> NDArray[Any]:
    """High above 0, so that no reader takes it for empty."""
    top = 250 if dtype == "uint8" else 60_000
    return np.random.default_rng(samples).integers(9, top, (40, 60, samples)).astype(dtype)


@pytest.mark.parametrize("photometric", [5, 8, 9, 10, 32844, 32845, 34892, 4, 51177])
def test_colors_that_are_neither_rgb_nor_intensities(photometric: int, tmp_path: Path) -> None:
    path = tmp_path / "odd.tif"
    options: dict[str, Any] = {"metadata": None, "photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(path, noise(4 if photometric == 5 else 3), **options)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags[262].overwrite(photometric)
        tags = tiff.pages.first.tags
        if 338 in tags:
            tags[338].overwrite((0,) * tags[338].count)
    with pytest.raises(UnreadableSlideError, match=r"odd\.tif: (.|\n)*needs: .*(RGB|pixels)"):
        open_slide(path)


@pytest.mark.parametrize(
    ("samples", "options", "reason"),
    [
        (2, {"photometric": "minisblack", "extrasamples": ["unassalpha"]}, "intensities with transparency"),
        (2, {"photometric": "minisblack", "extrasamples": ["assocalpha"]}, "intensities with transparency"),
        (4, {"photometric": "minisblack", "extrasamples": [0, 0, 2]}, "intensities with transparency"),
        (4, {"photometric": "rgb", "extrasamples": ["unspecified"]}, "RGB and 1 more samples"),
        (5, {"photometric": "rgb", "extrasamples": [0, 0]}, "RGB and 2 more samples"),
        (5, {"photometric": "rgb", "extrasamples": [2, 0]}, "RGB and 2 more samples"),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_samples_beside_the_colors(
    samples: int, options: dict[str, Any], reason: str, dtype: str, tmp_path: Path
) -> None:
    path = tmp_path / "extra.tif"
    tifffile.imwrite(path, noise(samples, dtype), metadata=None, planarconfig="contig", **options)
    with pytest.raises(UnreadableSlideError, match=reason):
        open_slide(path)


def test_alpha_in_a_plane_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "planes.tif"
    planes = np.moveaxis(noise(4), -1, 0)
    options: dict[str, Any] = {"extrasamples": ["unassalpha"], "metadata": None}
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", **options)
    with pytest.raises(UnreadableSlideError, match="RGB and 1 more samples"):
        open_slide(path)


def test_a_fourth_sample_that_no_tag_tells_of(tmp_path: Path) -> None:
    path = tmp_path / "rgba.tif"
    tifffile.imwrite(path, noise(4), photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    data = path.read_bytes()
    # Another private tag in its place, which says nothing.
    entry = struct.pack("<HH", 338, 3)
    assert data.count(entry) == 1
    path.write_bytes(data.replace(entry, struct.pack("<HH", 65111, 3)))
    with pytest.raises(UnreadableSlideError, match="RGB and 1 more samples"):
        open_slide(path)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
def test_alpha_beside_rgb_is_laid_over_white(kind: str, dtype: str, tmp_path: Path) -> None:
    path, full = tmp_path / "alpha.tif", np.iinfo(dtype).max
    image = noise(4, dtype)
    image[..., 3] = full
    image[:10, :, 3], image[10:20, :, 3] = 0, full // 3
    stored = image.astype(np.float64)
    if kind == "assocalpha":
        stored[..., :3] *= stored[..., 3:] / full
    options: dict[str, Any] = {"photometric": "rgb", "extrasamples": [kind], "tile": (16, 32)}
    tifffile.imwrite(path, np.rint(stored).astype(dtype), metadata=None, **options)
    with open_slide(path, kind="brightfield") as slide:
        assert (slide.channels, slide.dtype, slide.brightfield) == (("R", "G", "B"), np.dtype(dtype), True)
        found_HWC = slide.read_region(Location(0, 0), 0, slide.size)
    np.testing.assert_array_equal(found_HWC[20:], image[20:, :, :3])
    assert (found_HWC[:10] == full).all()
    expected_HWC = image[10:20, :, :3] / 3 + full * 2 / 3
    assert np.abs(found_HWC[10:20] - expected_HWC).max() <= 1.01


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_transparent_signals_are_dark_and_unknown(dtype: str, tmp_path: Path) -> None:
    """Where the colors are declared to be signals, what is not there is no bright one."""
    path, image = tmp_path / "alpha.tif", noise(4, dtype)
    image[..., 3] = np.iinfo(dtype).max
    image[:10, :, 3] = 0
    tifffile.imwrite(path, image, photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    with open_slide(path, kind="intensity") as slide:
        covered_HW = np.empty((40, 60), bool)
        found_HWC = slide.read_region(Location(0, 0), 0, slide.size, covered=covered_HW)
    assert not found_HWC[:10].any()
    np.testing.assert_array_equal(found_HWC[10:], image[10:, :, :3])
    np.testing.assert_array_equal(covered_HW.all(axis=1), np.arange(40) >= 10)


@pytest.mark.parametrize("names", [["Red", "Green", "Blue", "Alpha"], ["r", "g", "b", "a"]])
def test_a_channel_called_alpha(names: list[str], tmp_path: Path) -> None:
    path = tmp_path / "planes.ome.tif"
    metadata = {"axes": "CYX", "Channel": {"Name": names}}
    planes = np.ascontiguousarray(np.moveaxis(noise(4), -1, 0))
    tifffile.imwrite(path, planes, ome=True, photometric="minisblack", metadata=metadata)
    with pytest.raises(UnreadableSlideError, match="the last is transparency"):
        open_slide(path)


def palette(random: bool) -> NDArray[np.uint16]:
    table = np.zeros((3, 256), np.uint16)
    table[1] = np.random.default_rng(0).permutation(RAMP) if random else RAMP
    return table


@pytest.mark.parametrize("names", [("SHG", "TPEF"), ("", "")])
def test_a_palette_for_display(
    names: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A scale of one color, in OME-TIFF: intensities, named or not."""
    path, image = tmp_path / "lut.ome.tif", noise(2)
    channels = "".join(f'<Channel ID="Channel:0:{c}" Name="{name}"/>' for c, name in enumerate(names))
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="I"><Pixels ID="P" '
        f'Type="uint8" DimensionOrder="XYCZT" SizeX="60" SizeY="40" SizeC="2" SizeZ="1" SizeT="1">{channels}'
        '<TiffData PlaneCount="2" IFD="0"/></Pixels></Image></OME>'
    )  # fmt: skip
    with tifffile.TiffWriter(path) as tiff:
        for c in range(2):
            options: dict[str, Any] = {"photometric": "palette", "colormap": palette(random=False)}
            tiff.write(image[..., c], description=xml if c == 0 else None, metadata=None, **options)
    with open_slide(path) as slide:
        assert slide.channels == (names if all(names) else ("C0", "C1"))
        np.testing.assert_array_equal(slide.read_region(Location(0, 0), 0, slide.size), image)
    assert "stored values are read" in caplog.text


NAMELESS = (
    '<OME><Image><Pixels DimensionOrder="XYCZT" SizeX="60" SizeY="40" SizeC="1" SizeZ="1" SizeT="1" '
    'Type="uint8"><Channel/><TiffData/></Pixels></Image></OME>'
)


@pytest.mark.parametrize(
    ("name", "description", "random"),
    [
        ("plain.tif", None, False),
        ("plain.tif", None, True),
        ("imagej.tif", "ImageJ=1.54f\nimages=1\n", True),
        ("index.ome.tif", NAMELESS, True),
    ],
)
def test_a_palette_that_may_be_a_table_of_colors(
    name: str, description: str | None, random: bool, tmp_path: Path
) -> None:
    path = tmp_path / name
    options: dict[str, Any] = {"photometric": "palette", "colormap": palette(random)}
    tifffile.imwrite(path, noise(1)[..., 0], description=description, metadata=None, **options)
    with pytest.raises(UnreadableSlideError, match=r"numbers of colors(.|\n)*values as stored"):
        open_slide(path)


def test_a_lookup_table_of_imagej(tmp_path: Path) -> None:
    path, image = tmp_path / "green.tif", noise(1)
    options: dict[str, Any] = {"photometric": "palette", "colormap": palette(random=False)}
    tifffile.imwrite(path, image[..., 0], description="ImageJ=1.54f\nimages=1\n", metadata=None, **options)
    np.testing.assert_array_equal(whole(path), image)


def jpeg_2000(path: Path, image: NDArray[Any], *, mct: bool, code: int = 33003, **options: Any) -> None:
    compressed: dict[str, Any] = {"compression": code, "tile": (16, 32), "metadata": None}
    how = {"level": 0, "reversible": True, "mct": mct}
    tifffile.imwrite(path, image, compressionargs=how, **compressed, **options)


@pytest.mark.parametrize("code", [33003, 33004, 33005, 34712])
def test_jpeg_2000_of_rgb_and_of_gray(code: int, tmp_path: Path) -> None:
    path = tmp_path / "stream.tif"
    jpeg_2000(path, noise(3), mct=True, code=code, photometric="rgb")
    np.testing.assert_array_equal(whole(path), noise(3))
    jpeg_2000(path, noise(1, "uint16")[..., 0], mct=False, code=code, photometric="minisblack")
    np.testing.assert_array_equal(whole(path), noise(1, "uint16"))


@pytest.mark.parametrize(
    ("code", "photometric", "mct"), [(33003, "rgb", False), (34712, "ycbcr", False), (33005, "ycbcr", True)]
)
def test_jpeg_2000_that_may_be_luma_and_chroma(
    code: int, photometric: str, mct: bool, tmp_path: Path
) -> None:
    """Aperio's tiles in a file that lost its description have no color transform, and are YCbCr."""
    path = tmp_path / "copied.tif"
    jpeg_2000(path, noise(3), mct=mct, code=code, photometric="rgb")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags[262].overwrite(6 if photometric == "ycbcr" else 2)
    with pytest.raises(UnreadableSlideError, match="colors"):
        open_slide(path)


def test_jpeg_2000_of_subsampled_chroma(tmp_path: Path) -> None:
    path = tmp_path / "chroma.tif"
    jpeg_2000(path, noise(3), mct=True, code=34712, photometric="rgb")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages.first.dataoffsets[0]
    size = data.index(b"\xff\x4f\xff\x51", start)
    assert data[size + 46 : size + 48] == b"\x01\x01"
    data[size + 46 : size + 48] = b"\x02\x02"
    path.write_bytes(data)
    with pytest.raises(UnreadableSlideError, match="luma and chroma"):
        open_slide(path)


@pytest.mark.parametrize(("turn", "word"), [(2, "mirrored"), (3, "180"), (6, "90"), (8, "270")])
def test_pixels_that_are_not_stored_upright(turn: int, word: str, tmp_path: Path) -> None:
    path = tmp_path / "turned.tif"
    tifffile.imwrite(path, noise(3), photometric="rgb", metadata=None, extratags=[(274, 3, 1, turn, True)])
    with pytest.raises(UnreadableSlideError, match=rf"{word}(.|\n)*Orientation to 1"):
        open_slide(path)


@pytest.mark.parametrize("turn", [0, 1, 9])
def test_orientations_that_say_nothing(turn: int, tmp_path: Path) -> None:
    path = tmp_path / "upright.tif"
    tifffile.imwrite(path, noise(3), photometric="rgb", metadata=None, extratags=[(274, 3, 1, turn, True)])
    np.testing.assert_array_equal(whole(path), noise(3))


@pytest.mark.parametrize("dtype", ["complex64", "bool"])
def test_pixels_that_are_no_plain_numbers(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.tif"
    tifffile.imwrite(path, noise(1)[..., 0].astype(dtype), photometric="minisblack", metadata=None)
    with pytest.raises(UnreadableSlideError, match="whole or real numbers"):
        open_slide(path)


@pytest.mark.parametrize(
    ("tag", "value", "reason"),
    [(258, (8, 8, 16), "as many bits"), (339, (2, 1, 2), r"mixed\.tif"), (339, (5, 5, 5), "whole or real")],
)
def test_mixed_samples(tag: int, value: tuple[int, int, int], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "mixed.tif"
    options: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}
    tifffile.imwrite(path, (noise(3) // 2).astype(np.int8), **options)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags[tag].overwrite(value)
    with pytest.raises(UnreadableSlideError, match=reason):
        open_slide(path)


@pytest.mark.parametrize("bits", [10, 12])
def test_packed_bits_keep_their_values(bits: int, tmp_path: Path) -> None:
    path = tmp_path / "packed.tif"
    image_HW = noise(1, "uint16")[..., 0] % 2**bits
    packed = packs(image_HW, bits)
    tifffile.imwrite(path, image_HW, photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        page = tiff.pages.first
        page.tags[258].overwrite(bits)
        page.tags[279].overwrite(len(packed))
        start = page.dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[start : start + len(packed)] = packed
    path.write_bytes(data)
    np.testing.assert_array_equal(whole(path)[..., 0], image_HW)


def packs(image_HW: NDArray[Any], bits: int) -> bytes:
    """Big-endian bits, each row filled up to whole bytes."""
    rows = []
    for row in image_HW:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    return b"".join(rows)


def test_a_compression_that_is_not_supported(tmp_path: Path) -> None:
    path = tmp_path / "jpegxr.tif"
    tifffile.imwrite(path, noise(3), photometric="rgb", metadata=None, compression="jpegxr")
    with pytest.raises(UnreadableSlideError, match="not supported") as error:
        open_slide(path)
    assert "damaged" not in str(error.value)


@pytest.mark.parametrize(
    ("samples", "names", "told"), [(2, None, True), (2, ["SHG", "TPEF"], False), (3, None, False)]
)
def test_a_second_sample_that_may_be_transparency_is_told(
    samples: int, names: list[str] | None, told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, image = tmp_path / "a.tif", np.random.default_rng(0).integers(0, 255, (40, 60, samples))
    channel = "".join(f'<Channel ID="C:{n}" Name="{name}"/>' for n, name in enumerate(names or ()))
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="P" '
        'DimensionOrder="XYCZT" Type="uint16" SizeX="60" SizeY="40" SizeC="2" SizeZ="1" SizeT="1">'
        f"{channel}<TiffData/></Pixels></Image></OME>"
    )
    tifffile.imwrite(
        path, image.astype(np.uint16), photometric="minisblack", planarconfig="contig", metadata=None,
        description=xml if names else None,
    )  # fmt: skip
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read_region(Location(0, 0), 0, slide.size), image)
    assert ("if it is transparency, save it without" in caplog.text) == told


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "cielab"},
        {"photometric": "minisblack"},
        {"photometric": "miniswhite"},
        {"photometric": "palette", "colormap": np.stack([RAMP] * 3)},
        {"photometric": "rgb", "extratags": [(274, 3, 1, 3, True)]},
    ],
)
def test_openslide_is_not_forced_onto_other_samples(options: dict[str, Any], tmp_path: Path) -> None:
    """It makes RGB of all of them, and turns each tile by itself."""
    path, colors = tmp_path / "a.tif", options["photometric"] in ("cielab", "rgb")
    image = noise(3) if colors else noise(3)[..., 0]
    tifffile.imwrite(path, image, tile=(16, 16), metadata=None, **options)
    with pytest.raises((UnreadableSlideError, ChannelError)):
        open_slide(path, reader="openslide")
