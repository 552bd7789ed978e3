"""What TIFFs tell in words and numbers: pixel sizes, lengths of segments, tags, and whether it is light."""

import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from patching import Location, Mpp, open_slide
from patching.errors import UnreadableSlideError
from patching.readers.base import AbstractSlide

PLANE = np.random.default_rng(0).integers(1, 250, (40, 60)).astype(np.uint8)


def whole(slide: AbstractSlide) -> NDArray[Any]:
    return slide.read_region(Location(0, 0), 0, slide.size)


def ome(attributes: str) -> str:
    return (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="P" '
        f'DimensionOrder="XYCZT" Type="uint8" SizeX="60" SizeY="40" SizeC="1" SizeZ="1" SizeT="1" '
        f'{attributes}><Channel ID="C" Name="SHG"/><TiffData/></Pixels></Image></OME>'
    )


@pytest.mark.parametrize(
    ("attributes", "mpp"),
    [
        ('PhysicalSizeX="0,325" PhysicalSizeY="0,65"', Mpp(0.325, 0.65)),
        ('PhysicalSizeX="3.25e-1" PhysicalSizeY=".65"', Mpp(0.325, 0.65)),
        ('PhysicalSizeX="325 nm" PhysicalSizeY="0,65 µm"', Mpp(0.325, 0.65)),
        ('PhysicalSizeX="325" PhysicalSizeXUnit="nm" PhysicalSizeY=" 0.65 "', Mpp(0.325, 0.65)),
        ('PhysicalSizeX="0.325" PhysicalSizeXUnit="" PhysicalSizeY="0.65"', Mpp(0.325, 0.65)),
        ('PhysicalSizeX="0.325" PhysicalSizeXUnit="\u03bcm" PhysicalSizeY="0.65"', Mpp(0.325, 0.65)),
        ('PhysicalSizeX="0.325" PhysicalSizeY="0.00065" PhysicalSizeYUnit="mm"', Mpp(0.325, 0.65)),
    ],
)
def test_pixel_sizes_of_ome_as_they_are_written(attributes: str, mpp: Mpp, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, PLANE, description=ome(attributes).encode(), metadata=None, photometric="minisblack"
    )
    with open_slide(path) as slide:
        assert slide.mpp is not None
        assert (slide.mpp.x, slide.mpp.y) == pytest.approx((mpp.x, mpp.y))


@pytest.mark.parametrize("text", ["", "NaN", "unknown", "0", "-0.5", "INF", "1.234,5", "0.5 x 0.5", "1e999"])
@pytest.mark.parametrize("axis", ["X", "Y"])
def test_what_is_no_pixel_size_is_none_and_told(
    axis: str, text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The resolution tags, which other programs fill, are not taken in its place."""
    path, other = tmp_path / "a.ome.tif", "Y" if axis == "X" else "X"
    xml = ome(f'PhysicalSize{axis}="{text}" PhysicalSize{other}="0.5"')
    options: dict[str, Any] = {
        "resolution": (40_000, 40_000),
        "resolutionunit": "CENTIMETER",
        "metadata": None,
    }
    tifffile.imwrite(path, PLANE, description=xml, photometric="minisblack", **options)
    with open_slide(path) as slide:
        assert (slide.mpp, slide.channels) == (None, ("SHG",))
        np.testing.assert_array_equal(whole(slide)[..., 0], PLANE)
    assert "no length" in caplog.text
    assert "`mpp`" in caplog.text


@pytest.mark.parametrize(
    "attributes",
    [
        'PhysicalSizeX="0.5"',
        'PhysicalSizeX="0.5" PhysicalSizeY="0.5" PhysicalSizeYUnit="pixel"',
        'PhysicalSizeX="0.5" PhysicalSizeXUnit="reference frame" PhysicalSizeY="0.5"',
        'PhysicalSizeX="325 nm" PhysicalSizeXUnit="µm" PhysicalSizeY="0.325"',
    ],
)
def test_one_side_alone_is_no_pixel_size(attributes: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, PLANE, description=ome(attributes).encode(), metadata=None, photometric="minisblack"
    )
    with open_slide(path) as slide:
        assert slide.mpp is None


@pytest.mark.parametrize(
    ("text", "mpp"),
    [
        ("MPP = 0.2520", 0.252),
        ("MPP = 1,0079", 1.0079),
        ("MPP=2.52e-1\0", 0.252),
        ("MPP = .2520|AppMag = 40", 0.252),
        ("AppMag = 40|MPP = 0.25 µm", 0.25),
        ("MPP = 0.25x", None),
        ("MPP = ", None),
        ("MPP = 1.234,5", None),
        ("OldMPP = 0.5|MPPX = 0.5", None),
    ],
)
def test_aperio_s_pixel_size(
    text: str, mpp: float | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.svs"
    described = f"Aperio Image Library v12.0.15\r\n60x40 (16x16) JPEG/RGB Q=95|{text}"
    options: dict[str, Any] = {"tile": (16, 16), "photometric": "rgb", "metadata": None}
    tifffile.imwrite(path, np.dstack([PLANE] * 3), description=described.encode("latin-1"), **options)
    with open_slide(path) as slide:
        assert (slide.mpp and slide.mpp.x) == (mpp and pytest.approx(mpp))
    assert ("no length" in caplog.text) == (mpp is None and "OldMPP" not in text)


@pytest.mark.parametrize(
    ("unit", "mpp"),
    [
        ("unit=um\nyunit=mm", Mpp(0.5, 250.0)),
        ("unit=um\nyunit=um", Mpp(0.5, 0.25)),
        ("unit=micrometres", Mpp(0.5, 0.25)),
        ("unit=um\nyunit=pixel", None),
    ],
)
def test_imagej_tells_a_unit_for_each_side(unit: str, mpp: Mpp | None, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    described = f"ImageJ=1.54f\nimages=1\n{unit}\n"
    options: dict[str, Any] = {"resolution": (2, 4), "resolutionunit": "NONE", "metadata": None}
    tifffile.imwrite(path, PLANE, description=described, photometric="minisblack", **options)
    with open_slide(path) as slide:
        assert slide.mpp == mpp


@pytest.mark.parametrize("resolution", [(0, 0), (1, 0), (0, 1)])
def test_resolutions_that_divide_by_nothing(resolution: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANE, resolution=(40_000, 40_000), resolutionunit="CENTIMETER", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags[282].overwrite(resolution)
    with open_slide(path) as slide:
        assert slide.mpp is None
        np.testing.assert_array_equal(whole(slide)[..., 0], PLANE)


def stored(path: Path, layout: dict[str, Any], tag: int) -> tuple[list[int], list[int]]:
    """Write a plane, and tell where its segments are and how long; `tag` holds the lengths."""
    tifffile.imwrite(path, PLANE, photometric="minisblack", metadata=None, **layout)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert tag in page.tags
        return list(page.dataoffsets), list(page.databytecounts)


def overwrite(path: Path, tag: int, values: list[int]) -> None:
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags[tag].overwrite(tuple(values))


STRIPS: dict[str, Any] = {"rowsperstrip": 7}
TILES: dict[str, Any] = {"tile": (16, 32)}


@pytest.mark.parametrize(("layout", "tag"), [({"rowsperstrip": 40}, 279), (STRIPS, 279), (TILES, 325)])
@pytest.mark.parametrize("missing", [False, True])
def test_lengths_that_are_not_told_follow_from_the_pixels(
    layout: dict[str, Any], tag: int, missing: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    offsets, _ = stored(path, layout, tag)
    overwrite(path, tag, [0] * len(offsets))
    if missing:
        with tifffile.TiffFile(path) as tiff:
            place = tiff.pages.first.tags[tag].offset
        data = bytearray(path.read_bytes())
        data[place : place + 2] = struct.pack("<H", 65112)
        path.write_bytes(data)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide)[..., 0], PLANE)


@pytest.mark.parametrize(("layout", "tag"), [(STRIPS, 279), (TILES, 325)])
def test_one_length_that_is_not_told(layout: dict[str, Any], tag: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    offsets, counts = stored(path, layout, tag)
    counts[2] = 0
    overwrite(path, tag, counts)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide)[..., 0], PLANE)
    # Where another segment lies, its pixels are not.
    offsets[2] = offsets[3]
    overwrite(path, 273 if tag == 279 else 324, offsets)
    with open_slide(path) as slide:
        region_HW = whole(slide)[..., 0]
    rows, columns = (slice(14, 21), slice(None)) if tag == 279 else (slice(16, 32), slice(0, 32))
    expected_HW = PLANE.copy()
    expected_HW[rows, columns] = 0
    np.testing.assert_array_equal(region_HW, expected_HW)


@pytest.mark.parametrize("layout", [STRIPS, TILES])
def test_compressed_segments_without_lengths_are_refused(layout: dict[str, Any], tmp_path: Path) -> None:
    path, tag = tmp_path / "a.tif", 279 if layout is STRIPS else 325
    offsets, _ = stored(path, layout | {"compression": "zlib"}, tag)
    overwrite(path, tag, [0] * len(offsets))
    with pytest.raises(
        UnreadableSlideError, match=f"{len(offsets)} tiles or strips, and not the length of any"
    ):
        open_slide(path)


@pytest.mark.parametrize("layout", [STRIPS, TILES])
@pytest.mark.parametrize("share", [0.7, 0.95])
def test_jpeg_that_breaks_off_is_not_filled_with_gray(
    share: float, layout: dict[str, Any], tmp_path: Path
) -> None:
    path, tag = tmp_path / "a.tif", 279 if layout is STRIPS else 325
    _, counts = stored(path, layout | {"compression": "jpeg"}, tag)
    with open_slide(path) as slide:
        assert np.abs(whole(slide)[..., 0].astype(int) - PLANE).mean() < 20
    overwrite(path, tag, [int(count * share) for count in counts])
    with open_slide(path) as slide, pytest.raises(UnreadableSlideError, match="a JPEG that breaks off"):
        whole(slide)


def test_lengths_follow_on_a_file_that_ends_early_too(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    offsets, _ = stored(path, STRIPS, 279)
    overwrite(path, 279, [0] * len(offsets))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UnreadableSlideError, match="truncated"):
        open_slide(path)


def with_tag(path: Path, code: int, kind: int, value: int) -> None:
    """A file with one more tag: a placeholder's entry is overwritten."""
    options: dict[str, Any] = {"extratags": [(65113, 4, 1, 7, True)], "metadata": None}
    tifffile.imwrite(path, PLANE, photometric="minisblack", **options)
    entry = struct.pack("<HHII", 65113, 4, 1, 7)
    data = path.read_bytes()
    assert data.count(entry) == 1
    path.write_bytes(data.replace(entry, struct.pack("<HHII", code, kind, 9, value)))


@pytest.mark.parametrize(
    ("code", "kind", "value"),
    [(65113, 2, 2**30), (65113, 99, 5), (40_999, 5, 2**30), (65535, 0, 0)],
)
def test_tags_that_are_not_understood_are_skipped(code: int, kind: int, value: int, tmp_path: Path) -> None:
    """A writer's own tag whose value is gone, and types that TIFF 6 does not know."""
    path = tmp_path / "a.tif"
    with_tag(path, code, kind, value)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide)[..., 0], PLANE)


@pytest.mark.parametrize("code", [305, 50839, 51123])
def test_tags_that_are_understood_must_be_there(code: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with_tag(path, code, 2, 2**30)
    with pytest.raises(UnreadableSlideError, match="tags can be read: it is truncated"):
        open_slide(path)


COLORS = np.random.default_rng(1).integers(0, 250, (3, 40, 60))


@pytest.mark.parametrize(
    ("names", "dtype", "light", "told"),
    [
        (["Red", "Green", "Blue"], "uint8", True, "taken for transmitted light"),
        (["r", "g", "b"], "uint16", True, "taken for transmitted light"),
        (None, "uint8", False, "set `kind` to brightfield"),
        (None, "uint16", False, ""),
        (["Blue", "Green", "Red"], "uint8", False, ""),
        (["Red", "Green", "Blue"], "float32", False, "save them in 8 or 16 bits"),
        (["CARS", "TPEF", "SHG"], "uint8", False, ""),
    ],
)
def test_three_planes_are_light_where_they_are_called_so(
    names: list[str] | None,
    dtype: str,
    light: bool,
    told: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path, image = tmp_path / "planes.ome.tif", COLORS.astype(dtype)
    metadata: dict[str, Any] = {"axes": "CYX"} | ({"Channel": {"Name": names}} if names else {})
    tifffile.imwrite(path, image, ome=True, photometric="minisblack", metadata=metadata)
    with open_slide(path) as slide:
        assert slide.brightfield == light
        assert slide.background == (np.iinfo(dtype).max if light else 0)
        np.testing.assert_array_equal(whole(slide), np.moveaxis(image, 0, -1))
    said = [record.message for record in caplog.records if record.name.startswith("patching")]
    assert bool(said) == bool(told)
    assert told in " ".join(said)
    with open_slide(path, kind="intensity") as slide:
        assert not slide.brightfield


@pytest.mark.parametrize(
    ("names", "colors", "dtype", "light"),
    [
        (("", "", ""), (-16776961, 16711935, 65535), "uint8", True),
        (("Channel 0", "Channel 1", "Channel 2"), (-16776961, 16711935, 65535), "uint8", True),
        (("SHG", "TPEF", "CARS"), (-16776961, 16711935, 65535), "uint8", False),
        (("", "", ""), (-16776961, 65535, 16711935), "uint8", False),
        (("", "", ""), (-16776961, 16711935, 65535), "uint16", False),
    ],
)
def test_nameless_planes_drawn_in_red_green_and_blue(
    names: tuple[str, ...],
    colors: tuple[int, ...],
    dtype: str,
    light: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As converters write H&E; fluorescence that is drawn so has names."""
    path, image = tmp_path / "planes.ome.tif", COLORS.astype(dtype)
    metadata = {"axes": "CYX", "Channel": {"Name": list(names), "Color": list(colors)}}
    tifffile.imwrite(path, image, ome=True, photometric="minisblack", metadata=metadata)
    with open_slide(path) as slide:
        assert slide.brightfield == light
        assert (slide.channels == ("R", "G", "B")) == light
    assert ("taken for transmitted light" in caplog.text) == light


def test_deep_rgb_is_intensities_until_it_is_declared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "deep.tif"
    image = np.moveaxis(COLORS, 0, -1).astype(np.uint16) * 200
    tifffile.imwrite(path, image, photometric="rgb", metadata=None)
    with open_slide(path) as slide:
        assert (slide.channels, slide.brightfield) == (("R", "G", "B"), False)
    assert "of uint16 are taken for intensities: if they are red, green and blue, set" in caplog.text
    with open_slide(path, kind="brightfield") as slide:
        assert (slide.brightfield, slide.background) == (True, 65535)


def test_zeiss_stores_detectors_as_rgb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An LSM file's three detectors have the photometric tag of colors; its own words tell more."""
    path = tmp_path / "scan.tif"
    with tifffile.TiffWriter(path) as tiff:
        for image in (COLORS.astype(np.uint8), COLORS[:, ::4, ::4].astype(np.uint8)):
            tiff.write(image, photometric="rgb", planarconfig="separate", metadata=None)
    told = {
        "VoxelSizeX": 2.5e-7,
        "VoxelSizeY": 5e-7,
        "ChannelColors": {"ColorNames": ["SHG", "TPEF", "T PMT"]},
    }
    monkeypatch.setattr(tifffile.TiffFile, "is_lsm", True, raising=False)
    monkeypatch.setattr(tifffile.TiffFile, "lsm_metadata", told)
    monkeypatch.setattr(tifffile.TiffFile, "_series_lsm", tifffile.TiffFile._series_generic)
    monkeypatch.setattr(tifffile.TiffFile, "_lsm_load_pages", lambda _: None)
    with open_slide(path) as slide:
        assert (slide.channels, slide.brightfield) == (("SHG", "TPEF", "T PMT"), False)
        assert slide.mpp is not None
        assert (slide.mpp.x, slide.mpp.y) == pytest.approx((0.25, 0.5))


def test_an_ordinary_slide_is_not_talked_about(rgb_tiff: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with open_slide(rgb_tiff.path) as slide:
        assert slide.brightfield
    assert not [record for record in caplog.records if record.name.startswith("patching")]


@pytest.mark.parametrize(
    ("words", "light"),
    [
        ({"IlluminationType": ["Epifluorescence"] * 3}, False),
        ({"ContrastMethod": ["Fluorescence"] * 3}, False),
        ({"EmissionWavelength": [610, 520, 460]}, False),
        ({"IlluminationType": ["Transmitted"] * 3, "EmissionWavelength": [610, 520, 460]}, True),
        ({"ContrastMethod": ["Brightfield"] * 3}, True),
        ({}, True),
    ],
)
def test_colors_of_fluorescence_are_no_transmitted_light(
    words: dict[str, Any], light: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, image = tmp_path / "planes.ome.tif", COLORS.astype(np.uint8)
    metadata = {"axes": "CYX", "Channel": {"Name": ["Red", "Green", "Blue"], **words}}
    tifffile.imwrite(path, image, ome=True, photometric="minisblack", metadata=metadata)
    with open_slide(path) as slide:
        assert (slide.brightfield, slide.background) == (light, 255 if light else 0)
    assert ("tells of fluorescence" in caplog.text) == (not light)
    with open_slide(path, kind="brightfield") as slide:
        assert slide.brightfield


@pytest.mark.parametrize(
    ("field", "light"), [("ExWave = 387", False), ("EmWave=447", False), ("Left=2", True)]
)
def test_aperio_s_fluorescence(field: str, light: bool, tmp_path: Path) -> None:
    path, image = tmp_path / "a.svs", np.moveaxis(COLORS, 0, -1).astype(np.uint8)
    tifffile.imwrite(
        path, image, tile=(16, 16), photometric="rgb", metadata=None,
        description=f"Aperio Leica Biosystems\r\n60x40 (16x16) JPEG/RGB|AppMag = 20|{field}",
    )  # fmt: skip
    with open_slide(path) as slide:
        assert (slide.channels, slide.brightfield) == (("R", "G", "B"), light)


TYPED = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="P" '
    'DimensionOrder="XYCZT" Type="{}" SizeX="60" SizeY="40" SizeC="1" SizeZ="1" SizeT="1"><TiffData/>'
    "</Pixels></Image></OME>"
)


def test_real_numbers_that_only_the_xml_tells_of_are_refused(tmp_path: Path) -> None:
    """Read as whole ones, 0.5 would be 1,056,964,608."""
    path, values = tmp_path / "a.ome.tif", (COLORS[0] / 7).astype(np.float32)
    tifffile.imwrite(
        path,
        values.view(np.uint32),
        description=TYPED.format("float"),
        photometric="minisblack",
        metadata=None,
    )
    with pytest.raises(UnreadableSlideError, match="pixels of float by its OME-XML") as refusal:
        open_slide(path)
    assert "SampleFormat" in refusal.value.needs
    tifffile.imwrite(path, values, description=TYPED.format("float"), photometric="minisblack", metadata=None)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide)[..., 0], values)


@pytest.mark.parametrize(
    ("told", "stored", "differs"),
    [
        ("int16", "uint16", True),
        ("uint8", "uint16", True),
        ("float", "uint16", True),
        ("uint16", "int16", True),
        ("uint16", "uint16", False),
        ("double", "float64", False),
        ("bit", "uint8", False),
        ("unknown", "uint8", False),
    ],
)
def test_a_type_that_the_directory_contradicts_is_told(
    told: str, stored: str, differs: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, values = tmp_path / "a.ome.tif", COLORS[0].astype(stored)
    tifffile.imwrite(path, values, description=TYPED.format(told), photometric="minisblack", metadata=None)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide)[..., 0], values)
    assert (f"pixels of {stored}, where its OME-XML tells of {told}" in caplog.text) == differs


@pytest.mark.parametrize(
    ("function", "told"), [({"c0": -32768.0, "c1": 1.0}, True), ({"c0": 0.0, "c1": 1.0}, False), ({}, False)]
)
def test_values_that_imagej_shows_otherwise_are_told(
    function: dict[str, float], told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Signed numbers of 16 bits are stored with 32768 added."""
    path, values = tmp_path / "a.tif", COLORS[0].astype(np.uint16)
    tifffile.imwrite(path, values, imagej=True, metadata={"cf": 0, **function} if function else {})
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide)[..., 0], values)
    assert ("calibration is not applied" in caplog.text) == told


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ('PhysicalSizeX="2.5e-7" PhysicalSizeY="2.5e-7"', True),
        ('PhysicalSizeX="250" PhysicalSizeY="250"', True),
        ('PhysicalSizeX="0.25" PhysicalSizeY="250"', True),
        ('PhysicalSizeX="0.01" PhysicalSizeY="50"', False),
    ],
)
def test_pixels_that_no_light_microscope_has_are_told(
    attributes: str, told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lengths in metres or nanometres whose unit was left out."""
    path, xml = tmp_path / "a.ome.tif", TYPED.format("uint8").replace('Type="', f'{attributes} Type="')
    tifffile.imwrite(
        path, COLORS[0].astype(np.uint8), description=xml, photometric="minisblack", metadata=None
    )
    with open_slide(path) as slide:
        assert slide.mpp is not None
    assert ("no light microscope's" in caplog.text) == told
