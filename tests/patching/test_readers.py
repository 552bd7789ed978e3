"""Every reader gives the pixels that were written, wherever they are asked for."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from patching import Location, Mpp, Size, open_slide
from patching.errors import ChannelError, MissingFileError
from patching.geometry import Level
from patching.readers.base import AbstractSlide, Header, Window
from patching.readers.registry import READERS, reader_for
from patching.readers.tiff.alpha import composited


class ArraySlide(AbstractSlide):
    """A slide in memory: what is tested through it is the base class."""

    def __init__(self, levels: tuple[NDArray[Any], ...], brightfield: bool = False) -> None:
        self._arrays, self._is_brightfield = levels, brightfield
        super().__init__()

    def _open(self) -> Header:
        first = self._arrays[0]
        sizes = tuple(Size(level.shape[1], level.shape[0]) for level in self._arrays)
        names = tuple(f"C{channel}" for channel in range(first.shape[2]))
        return Header(names, first.dtype, sizes, None, self._is_brightfield)

    def _read_into(
        self, region_HWC: NDArray[Any], level: int, window: Window, covered_HW: NDArray[np.bool_] | None
    ) -> None:
        rows = slice(window.top, window.top + window.height)
        region_HWC[:] = self._arrays[level][rows, window.left : window.left + window.width]


def padded(image_HWC: NDArray[Any], left: int, top: int, size: Size, fill: int) -> NDArray[Any]:
    """The region by the plainest means: pad far, then cut."""
    margin = 1000
    wide = np.pad(image_HWC, ((margin, margin), (margin, margin), (0, 0)), constant_values=fill)
    return wide[top + margin : top + margin + size.height, left + margin : left + margin + size.width]


# Shared machines stall; how long an example takes says nothing here.
unhurried = settings(max_examples=40, deadline=None)
places = st.tuples(st.integers(-150, 450), st.integers(-150, 350), st.integers(1, 260), st.integers(1, 170))


@given(place=places, brightfield=st.booleans())
@settings(unhurried, max_examples=100)
def test_a_region_is_the_padded_image(place: tuple[int, int, int, int], brightfield: bool) -> None:
    image_HWC = np.arange(200 * 300 * 2, dtype=np.uint32).astype(np.uint16).reshape(200, 300, 2)
    slide = ArraySlide((image_HWC,), brightfield)
    left, top, size = place[0], place[1], Size(place[2], place[3])
    region_HWC = slide.read_region(Location(left, top), 0, size)
    expected_HWC = padded(image_HWC, left, top, size, 65_535 if brightfield else 0)
    np.testing.assert_array_equal(region_HWC, expected_HWC)
    assert region_HWC.flags.owndata
    assert region_HWC.flags.writeable


@pytest.mark.parametrize(("x", "column"), [(0, 0), (1, 1), (2, 1), (3, 2), (-1, 0), (-2, -1), (599, 300)])
def test_locations_are_level_0_and_rounded_to_the_nearest_pixel(x: int, column: int) -> None:
    coarse_HWC = np.arange(1, 301, dtype=np.uint16)[None, :, None].repeat(200, 0)
    slide = ArraySlide((np.zeros((400, 600, 1), np.uint16), coarse_HWC))
    region_HWC = slide.read_region(Location(x, 0), 1, Size(1, 1))
    assert region_HWC[0, 0, 0] == (column + 1 if 0 <= column < 300 else 0)


def test_downsample_is_a_whole_number_or_the_mean_of_both_axes() -> None:
    planes = [(200, 301), (100, 150), (50, 76), (80, 99)]
    slide = ArraySlide(tuple(np.zeros((*plane, 1), np.uint8) for plane in planes))
    assert slide.levels == (
        Level(Size(301, 200), 1.0),
        Level(Size(150, 100), 2.0),
        Level(Size(76, 50), 4.0),
        Level(Size(99, 80), (301 / 99 + 2.5) / 2),
    )


@pytest.mark.parametrize(
    ("level", "size"), [(1, Size(3, 3)), (-1, Size(3, 3)), (0, Size(0, 3)), (0, Size(3, -1))]
)
def test_impossible_regions_are_refused(level: int, size: Size) -> None:
    slide = ArraySlide((np.zeros((200, 300, 1), np.uint8),))
    with pytest.raises(ValueError, match=r"level|region"):
        slide.read_region(Location(0, 0), level, size)


def test_alpha_is_laid_over_the_background() -> None:
    pixels_HWA = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 200, 128]]], np.uint8)
    expected_HWC = [[[10, 20, 30], [255, 255, 255], [127, 177, 227]]]
    np.testing.assert_array_equal(composited(pixels_HWA, 255), expected_HWC)


def test_ome_tiff(ome_tiff: Any) -> None:
    with open_slide(ome_tiff.path) as slide:
        assert slide.size == Size(300, 200)
        assert slide.channels == ("CARS", "TPEF", "SHG")
        assert slide.mpp == Mpp(0.5, 0.5)
        assert slide.dtype == np.uint16
        assert not slide.brightfield
        assert [level.downsample for level in slide.levels] == [1, 2, 4]
        for number, image_HWC in enumerate(ome_tiff.levels):
            whole = Size(image_HWC.shape[1], image_HWC.shape[0])
            np.testing.assert_array_equal(slide.read_region(Location(0, 0), number, whole), image_HWC)


@given(place=places, level=st.integers(0, 2))
@unhurried
def test_ome_tiff_regions(ome_tiff: Any, place: tuple[int, int, int, int], level: int) -> None:
    left, top, size = place[0], place[1], Size(place[2], place[3])
    with open_slide(ome_tiff.path) as slide:
        region_HWC = slide.read_region(Location(left << level, top << level), level, size)
    np.testing.assert_array_equal(region_HWC, padded(ome_tiff.levels[level], left, top, size, 0))


@pytest.mark.parametrize("reader", ["tiff", "openslide"])
@given(place=places)
@unhurried
def test_rgb_tiff_in_both_readers(rgb_tiff: Any, reader: str, place: tuple[int, int, int, int]) -> None:
    left, top, size = place[0], place[1], Size(place[2], place[3])
    with open_slide(rgb_tiff.path, reader=reader) as slide:
        assert (slide.size, slide.channels, slide.mpp) == (Size(300, 200), ("R", "G", "B"), Mpp(0.25, 0.25))
        assert slide.brightfield
        region_HWC = slide.read_region(Location(left, top), 0, size)
    np.testing.assert_array_equal(region_HWC, padded(rgb_tiff.image_HWC, left, top, size, 255))


@pytest.mark.parametrize("fixture", ["png", "jpeg"])
def test_pictures(fixture: str, request: pytest.FixtureRequest) -> None:
    written = request.getfixturevalue(fixture)
    with open_slide(written.path) as slide:
        assert (slide.size, slide.channels, slide.mpp) == (Size(300, 200), ("R", "G", "B"), None)
        assert slide.brightfield
        region_HWC = slide.read_region(Location(-10, 150), 0, Size(400, 60))
    np.testing.assert_array_equal(region_HWC, padded(written.image_HWC, -10, 150, Size(400, 60), 255))


def test_one_file_per_modality(modalities: Any) -> None:
    with open_slide(modalities.paths, channels=("CARS", "TPEF", "SHG")) as slide:
        assert (slide.size, slide.channels, slide.dtype) == (
            Size(300, 200),
            ("CARS", "TPEF", "SHG"),
            np.uint16,
        )
        region_HWC = slide.read_region(Location(250, -5), 0, Size(80, 300))
    np.testing.assert_array_equal(region_HWC, padded(modalities.image_HWC, 250, -5, Size(80, 300), 0))


def test_doubled_channel_names_get_their_modality(modalities: Any) -> None:
    with open_slide(modalities.paths) as slide:
        assert slide.channels == ("M1.C0", "M2.C0", "M3.C0")


def test_brightfield_beside_a_modality(slides: Path, rgb_tiff: Any) -> None:
    path = slides / "gray.tif"
    tifffile.imwrite(path, rgb_tiff.image_HWC[..., 1].copy(), photometric="minisblack", metadata=None)
    with open_slide((rgb_tiff.path, path)) as slide:
        assert slide.channels == ("R", "G", "B", "C0")
        # Only one of both tells its pixel size.
        assert slide.mpp == Mpp(0.25, 0.25)
        assert not slide.brightfield
        pixel_C = slide.read_region(Location(123, 45), 0, Size(1, 1))[0, 0]
    np.testing.assert_array_equal(pixel_C, rgb_tiff.image_HWC[45, 123][[0, 1, 2, 1]])


def write_contiguous(path: Path, image_HWC: NDArray[np.uint16]) -> None:
    tifffile.imwrite(path, image_HWC, photometric="minisblack", planarconfig="contig", metadata=None)


def write_separate(path: Path, image_HWC: NDArray[np.uint16]) -> None:
    planes_CHW = np.moveaxis(image_HWC, -1, 0)
    tifffile.imwrite(
        path, planes_CHW, photometric="minisblack", planarconfig="separate", tile=(32, 64), metadata=None
    )


def write_big_endian_strips(path: Path, image_HWC: NDArray[np.uint16]) -> None:
    options: dict[str, Any] = {"compression": "lzw", "predictor": True, "rowsperstrip": 7}
    tifffile.imwrite(path, image_HWC, byteorder=">", planarconfig="contig", photometric="minisblack",
                     metadata=None, **options)  # fmt: skip


def write_imagej(path: Path, image_HWC: NDArray[np.uint16]) -> None:
    tifffile.imwrite(path, np.moveaxis(image_HWC, -1, 0), imagej=True, metadata={"axes": "CYX"})


def write_ome_zstd(path: Path, image_HWC: NDArray[np.uint16]) -> None:
    planes_CHW = np.moveaxis(image_HWC, -1, 0)
    tifffile.imwrite(path, planes_CHW, ome=True, metadata={"axes": "CYX"}, compression="zstd",
                     tile=(64, 64), bigtiff=True)  # fmt: skip


LAYOUTS = [write_contiguous, write_separate, write_big_endian_strips, write_imagej, write_ome_zstd]


@pytest.mark.parametrize("write", LAYOUTS, ids=lambda write: write.__name__)
def test_tiff_layouts(
    write: Callable[[Path, NDArray[np.uint16]], None], tmp_path: Path, intensity_HWC: NDArray[np.uint16]
) -> None:
    path = tmp_path / ("layout.ome.tif" if write is write_ome_zstd else "layout.tif")
    write(path, intensity_HWC)
    with open_slide(path) as slide:
        assert (slide.size, slide.channels) == (Size(300, 200), ("C0", "C1", "C2"))
        assert slide.dtype == np.uint16
        assert slide.dtype.isnative
        region_HWC = slide.read_region(Location(100, 150), 0, Size(250, 70))
    np.testing.assert_array_equal(region_HWC, padded(intensity_HWC, 100, 150, Size(250, 70), 0))


def test_reduced_pages_are_levels(tmp_path: Path, brightfield_HWC: NDArray[np.uint8]) -> None:
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as tiff:
        for step, kind in ((1, 0), (2, 1), (4, 1)):
            level_HWC = np.ascontiguousarray(brightfield_HWC[::step, ::step])
            tiff.write(level_HWC, tile=(64, 64), photometric="rgb", subfiletype=kind, metadata=None)
    with open_slide(path) as slide:
        assert [level.size for level in slide.levels] == [Size(300, 200), Size(150, 100), Size(75, 50)]
        region_HWC = slide.read_region(Location(40, 80), 2, Size(20, 9))
    np.testing.assert_array_equal(region_HWC, brightfield_HWC[::4, ::4][20:29, 10:30])


def test_transparent_tiff_is_laid_over_white(tmp_path: Path, brightfield_HWC: NDArray[np.uint8]) -> None:
    path = tmp_path / "alpha.tif"
    alpha_HW1 = np.full((200, 300, 1), 255, np.uint8)
    alpha_HW1[:50] = 0
    pixels_HWA = np.concatenate([brightfield_HWC, alpha_HW1], axis=-1)
    tifffile.imwrite(
        path, pixels_HWA, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64), metadata=None
    )
    with open_slide(path) as slide:
        assert slide.channels == ("R", "G", "B")
        region_HWC = slide.read_region(Location(0, 0), 0, slide.size)
    assert (region_HWC[:50] == 255).all()
    np.testing.assert_array_equal(region_HWC[50:], brightfield_HWC[50:])


def test_tiles_that_are_not_stored_are_background(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    tile_HWC = np.full((64, 64, 3), 90, np.uint8)
    tiles = (tile_HWC if number == 0 else None for number in range(20))
    tifffile.imwrite(path, tiles, shape=(200, 300, 3), dtype=np.uint8, tile=(64, 64), photometric="rgb",
                     compression="zlib", metadata=None)  # fmt: skip
    with open_slide(path) as slide:
        region_HWC = slide.read_region(Location(0, 0), 0, slide.size)
    assert (region_HWC[:64, :64] == 90).all()
    assert (region_HWC[64:] == 255).all()
    assert (region_HWC[:, 64:] == 255).all()


def test_each_tile_is_decoded_once(ome_tiff: Any) -> None:
    with open_slide(ome_tiff.path) as slide:
        slide.read_region(Location(0, 0), 0, Size(48, 64))
        assert slide.segments_decoded == 3
        slide.read_region(Location(10, 10), 0, Size(48, 20))
        assert slide.segments_decoded == 6
        slide.read_region(Location(0, 0), 0, slide.size)
        assert slide.segments_decoded == 3 * 4 * 7


@pytest.mark.parametrize("kind", ["L", "LA", "1", "RGBA", "P", "I;16"])
def test_picture_modes(kind: str, tmp_path: Path, brightfield_HWC: NDArray[np.uint8]) -> None:
    path = tmp_path / "picture.png"
    if kind == "I;16":
        Image.fromarray(brightfield_HWC[..., 0].astype(np.uint16) * 200).save(path)
    else:
        Image.fromarray(brightfield_HWC).convert(kind).save(path)
    with open_slide(path) as slide:
        assert len(slide.channels) == (3 if kind in ("RGBA", "P") else 1)
        region_HWC = slide.read_region(Location(0, 0), 0, slide.size)
    if kind == "I;16":
        np.testing.assert_array_equal(region_HWC[..., 0], brightfield_HWC[..., 0].astype(np.uint16) * 200)
    else:
        with Image.open(path) as image:
            expected = np.asarray(image.convert("RGB" if kind in ("RGBA", "P") else "L"))
        np.testing.assert_array_equal(region_HWC, expected.reshape(region_HWC.shape))


def test_16_bit_color_png_keeps_its_bits(tmp_path: Path, intensity_HWC: NDArray[np.uint16]) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(imagecodecs.png_encode(intensity_HWC))
    with open_slide(path) as slide:
        assert slide.dtype == np.uint16
        assert not slide.brightfield
        np.testing.assert_array_equal(slide.read_region(Location(0, 0), 0, slide.size), intensity_HWC)


@pytest.mark.parametrize(("channels", "mode"), [(3, "RGBA"), (1, "LA")])
def test_16_bit_alpha_is_laid_over_the_background(channels: int, mode: str, tmp_path: Path) -> None:
    path = tmp_path / f"deep-{mode}.png"
    pixels_HWA = np.full((20, 30, channels + 1), 65535, np.uint16)
    pixels_HWA[..., :-1] = 40000
    pixels_HWA[:10, :, -1], pixels_HWA[10:15, :, -1] = 0, 32768
    path.write_bytes(imagecodecs.png_encode(pixels_HWA))
    light = channels == 3
    with open_slide(path, kind="brightfield" if light else None) as slide:
        assert (slide.dtype, len(slide.channels)) == (np.uint16, channels)
        column_HC = slide.read_region(Location(3, 0), 0, Size(1, 20))[:, 0]
    over, half = (65535, 52767) if light else (0, 20000)
    for rows, value in ((slice(10), over), (slice(10, 15), half), (slice(15, 20), 40000)):
        assert (column_HC[rows] == value).all()


def test_signals_in_an_rgb_file_are_not_brightfield(png: Any) -> None:
    for names in (
        ("CARS", "TPEF", "SHG"),
        ("RFP", "GFP", "BFP"),
        ("Rhodamine", "green", "blue"),
        ("B", "G", "R"),
    ):
        with open_slide(png.path, channels=names) as slide:
            assert not slide.brightfield
            assert not slide.read_region(Location(-5, 0), 0, Size(5, 5)).any()
    for names in (("R", "G", "B"), ("red", "green", "blue"), ("Red", "GREEN", "b")):
        with open_slide(png.path, channels=names) as slide:
            assert slide.brightfield


def test_content_decides_the_reader(ome_tiff: Any, rgb_tiff: Any, png: Any, jpeg: Any) -> None:
    files = (ome_tiff, rgb_tiff, png, jpeg)
    assert [reader_for(written.path) for written in files] == ["tiff", "tiff", "image", "image"]


def test_aperio_s_ycbcr_jpeg_2000_is_left_to_openslide(
    tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    path = tmp_path / "old.svs"
    with Image.fromarray(brightfield_HWC) as image:
        ycbcr_HWC = np.asarray(image.convert("YCbCr"))
    options: dict[str, Any] = {"tile": (128, 128), "photometric": "rgb", "metadata": None}
    compression = {"compression": 33003, "compressionargs": {"reversible": True, "mct": False}}
    tifffile.imwrite(
        path, ycbcr_HWC, description="Aperio Image Library |MPP = 0.25", **options, **compression
    )
    assert reader_for(path) == "openslide"
    with open_slide(path) as slide:
        region_HWC = slide.read_region(Location(0, 0), 0, slide.size)
    assert np.abs(region_HWC.astype(int) - brightfield_HWC).max() <= 3


def test_every_reader_is_used_and_refuses_an_unknown_name(rgb_tiff: Any, png: Any) -> None:
    for name, path in {"tiff": rgb_tiff.path, "openslide": rgb_tiff.path, "image": png.path}.items():
        with open_slide(path, reader=name) as slide:
            assert isinstance(slide, READERS[name])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tiff, openslide, image"):
        open_slide(rgb_tiff.path, reader="libvips")


def test_channels_are_renamed(ome_tiff: Any) -> None:
    with open_slide(ome_tiff.path, channels=("a", "b", "c")) as slide:
        assert slide.channels == ("a", "b", "c")


def test_another_number_of_channels_is_refused(ome_tiff: Any) -> None:
    with pytest.raises(ChannelError, match=r"3 channels \(CARS, TPEF, SHG\)\nneeds: 2 \(a, b\)"):
        open_slide(ome_tiff.path, channels=("a", "b"))


def test_openslide_is_refused_where_it_would_be_wrong(ome_tiff: Any) -> None:
    assert openslide.OpenSlide.detect_format(ome_tiff.path) is not None
    with pytest.raises(ChannelError, match="16 bits"):
        open_slide(ome_tiff.path, reader="openslide")


def test_openslide_is_refused_on_8_bit_channels(tmp_path: Path, intensity_HWC: NDArray[np.uint16]) -> None:
    path = tmp_path / "channels.ome.tif"
    planes_CHW = np.moveaxis(intensity_HWC, -1, 0).astype(np.uint8)
    options: dict[str, Any] = {"tile": (64, 64), "photometric": "minisblack"}
    tifffile.imwrite(path, planes_CHW, ome=True, metadata={"axes": "CYX"}, **options)
    with pytest.raises(ChannelError, match="8 bits and 3 channels"):
        open_slide(path, reader="openslide")


def test_openslide_is_refused_on_16_bit_rgb(tmp_path: Path, intensity_HWC: NDArray[np.uint16]) -> None:
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, intensity_HWC, photometric="rgb", tile=(64, 64), metadata=None)
    assert openslide.OpenSlide.detect_format(path) is not None
    with pytest.raises(ChannelError, match="16 bits and 3 channels"):
        open_slide(path, reader="openslide")
    with open_slide(path) as slide:
        assert (slide.channels, slide.dtype, slide.brightfield) == (("R", "G", "B"), np.uint16, False)
        np.testing.assert_array_equal(slide.read_region(Location(0, 0), 0, slide.size), intensity_HWC)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["CARS; 2845", "SHG"], ("CARS, 2845", "SHG")),
        (["SHG", "SHG"], ("C0", "C1")),
        (["SHG", ""], ("C0", "C1")),
    ],
)
def test_names_that_slides_csv_cannot_hold(
    names: list[str], expected: tuple[str, ...], tmp_path: Path
) -> None:
    path = tmp_path / "names.ome.tif"
    planes_CHW = np.zeros((2, 200, 300), np.uint16)
    tifffile.imwrite(path, planes_CHW, ome=True, metadata={"axes": "CYX", "Channel": {"Name": names}})
    with open_slide(path) as slide:
        assert slide.channels == expected


def test_slides_do_not_travel_between_processes(png: Any) -> None:
    with open_slide(png.path) as slide, pytest.raises(TypeError, match="send its paths"):
        pickle.dumps(slide)


def test_a_missing_file(tmp_path: Path, png: Any) -> None:
    with pytest.raises(MissingFileError, match=r"absent\.tif"):
        open_slide((png.path, tmp_path / "absent.tif"))
    with pytest.raises(ValueError, match="at least one"):
        open_slide(())
