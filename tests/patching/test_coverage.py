"""Pixels that do not exist are not values: every reader tells which do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from patching import Location, Size, open_slide
from patching.errors import UnreadableSlideError
from patching.readers.joined_reader import Shift
from patching.readers.overview import holds_pixels, overview
from patching.resample import covered_resize, covered_shrink, shrink
from tests.patching.leica import write_leica
from tests.patching.sparse import TILE, forget, holed, whole, write_sparse

GAPS = ((0, 1), (2, 4), (4, 0))


@pytest.fixture(scope="session")
def holes_uint16(intensity_HWC: NDArray[np.uint16]) -> NDArray[np.uint16]:
    return intensity_HWC + 1  # no pixel that is stored is 0


def check(path: Any, image_HWC: NDArray[Any], covered_HW: NDArray[np.bool_], **how: Any) -> None:
    """Whole, in windows of any place, and in announced regions: what exists is told and right."""
    with open_slide(path, **how) as slide:
        found_HWC, found_HW = whole(slide)
        np.testing.assert_array_equal(found_HW, covered_HW)
        np.testing.assert_array_equal(found_HWC[covered_HW], image_HWC[covered_HW])
        assert (found_HWC[~covered_HW] == slide.background).all()
        for left, top in ((-30, -20), (37, 41), (250, 170)):
            part_HW = np.empty((90, 110), np.bool_)
            slide.read_region(Location(left, top), 0, Size(110, 90), covered=part_HW)
            beyond_HW = np.pad(covered_HW, 200)[200 + top :, 200 + left :][:90, :110]
            np.testing.assert_array_equal(part_HW, beyond_HW)
        size = Size(TILE[1], TILE[0])
        places_N2 = np.array([(64, 0), (0, 0), (64, 0), (10, 5)])
        regions = slide.expect(0, places_N2, size)
        for number, (x, y) in enumerate(places_N2.tolist()):
            out_HWC = np.empty((*TILE, len(slide.channels)), slide.dtype)
            regions.read(number, out_HWC)
            np.testing.assert_array_equal(out_HWC, found_HWC[y : y + TILE[0], x : x + TILE[1]])


@pytest.mark.parametrize("compression", ["zlib", None, "lzw"])
def test_tiles_that_are_not_stored(
    compression: str | None, tmp_path: Path, holes_uint16: NDArray[np.uint16]
) -> None:
    path = write_sparse(
        tmp_path / "a.tif", [holes_uint16[..., :1]], [GAPS], compression=compression, photometric="minisblack"
    )
    check(path, holes_uint16[..., :1], holed((200, 300), GAPS))


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_brightfield_without_some_tiles_is_white_there(
    planar: str, tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    path = write_sparse(
        tmp_path / "a.tif",
        [brightfield_HWC],
        [GAPS],
        compression="zlib",
        photometric="rgb",
        planarconfig=planar,
    )
    with open_slide(path) as slide:
        assert slide.brightfield
        assert slide.background == 255
    check(path, brightfield_HWC, holed((200, 300), GAPS))


def write_ome(path: Path, planes: NDArray[Any], axes: str, holes: dict[int, list[int]]) -> Path:
    """An OME-TIFF whose pages lack the tiles of these numbers."""
    options: dict[str, Any] = {"tile": TILE, "compression": "zlib", "photometric": "minisblack"}
    tifffile.imwrite(path, planes, metadata={"axes": axes}, **options)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for number, segments in holes.items():
            forget(tiff.pages[number], segments)
    return path


def test_a_channel_that_lacks_a_tile_lacks_the_pixel(
    tmp_path: Path, holes_uint16: NDArray[np.uint16]
) -> None:
    planes = np.moveaxis(holes_uint16, -1, 0)
    path = write_ome(tmp_path / "a.ome.tif", planes, "CYX", {0: [1], 2: [17]})
    with open_slide(path) as slide:
        found_HWC, covered_HW = whole(slide)
    np.testing.assert_array_equal(covered_HW, holed((200, 300), [(0, 1), (3, 2)]))
    np.testing.assert_array_equal(found_HWC[..., 1], holes_uint16[..., 1])
    assert not found_HWC[:48, 64:128, 0].any()


def test_strips_of_no_length(tmp_path: Path, holes_uint16: NDArray[np.uint16]) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, holes_uint16[..., 0], rowsperstrip=20, compression="zlib", metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        forget(tiff.pages[0], [3, 9])
    covered_HW = np.ones((200, 300), np.bool_)
    covered_HW[60:80] = covered_HW[180:] = False
    check(path, holes_uint16[..., :1], covered_HW)


def halved(image_HWC: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(shrink(image_HWC, 2))


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_coarse_tile_that_is_lacking_is_made_from_the_finer_level(
    planar: str, tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    """Level 1 lacks two tiles, of which level 0 lacks parts; level 2 lacks one of those too."""
    levels = [brightfield_HWC, 255 - halved(brightfield_HWC), halved(halved(brightfield_HWC)) // 2]
    holes = [[(0, 1), (3, 4)], [(0, 0), (0, 1)], [(0, 0)]]
    path = write_sparse(
        tmp_path / "a.tif", levels, holes, compression="zlib", photometric="rgb", planarconfig=planar
    )
    known_HW = holed((200, 300), holes[0])
    first_HWC, first_HW = covered_shrink(brightfield_HWC, known_HW, 2)
    lacking_HW = ~holed((100, 150), holes[1])
    expected_HWC, expected_HW = levels[1].copy(), np.ones((100, 150), np.bool_)
    expected_HWC[lacking_HW], expected_HW[lacking_HW] = first_HWC[lacking_HW], first_HW[lacking_HW]
    with open_slide(path) as slide:
        assert len(slide.levels) == 3
        found_HWC, found_HW = whole(slide, 1)
        np.testing.assert_array_equal(found_HW, expected_HW)
        assert not found_HW.all()
        np.testing.assert_array_equal(found_HWC[found_HW], expected_HWC[found_HW])
        assert (found_HWC[~found_HW] == 255).all()
        second_HWC, second_HW = covered_shrink(expected_HWC, expected_HW, 2)
        deep_HWC, deep_HW = whole(slide, 2)
        np.testing.assert_array_equal(deep_HW[:48, :64], second_HW[:48, :64])
        np.testing.assert_array_equal(
            deep_HWC[:48, :64][deep_HW[:48, :64]], second_HWC[:48, :64][deep_HW[:48, :64]]
        )
        np.testing.assert_array_equal(deep_HWC[48:], levels[2][48:])


def test_what_no_level_has_stays_unknown_and_what_only_the_coarse_one_has_too(
    tmp_path: Path, holes_uint16: NDArray[np.uint16]
) -> None:
    """The coarse level's pixels are not blown up."""
    image_HWC = holes_uint16[..., :1]
    levels, holes = [image_HWC, halved(image_HWC)], [[(0, 0), (2, 3)], [(1, 1)]]
    path = write_sparse(tmp_path / "a.tif", levels, holes, compression="zlib", photometric="minisblack")
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide)[1], holed((200, 300), holes[0]))
        coarse_HWC, coarse_HW = whole(slide, 1)
    assert coarse_HW[:24, :32].all(), "stored on the coarse level"
    np.testing.assert_array_equal(coarse_HWC[:48], levels[1][:48])
    assert not coarse_HW[48:72, 96:128].any(), "lacking on both"
    assert coarse_HW[72:, 64:128].all(), "made from level 0"


@pytest.mark.parametrize("nbytes", [1, 300, 2**11])
def test_a_coarse_level_of_another_ratio_and_far_apart(
    nbytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holes_uint16: NDArray[np.uint16]
) -> None:
    """Blocks of one pixel, of a part of a row and of some rows give what one block gives."""
    image_HWC = np.tile(holes_uint16[..., :1], (3, 3, 1))[:593, :885]
    coarse_HWC = np.zeros((149, 222, 1), np.uint16)
    everything = [(row, column) for row in range(4) for column in range(4)]
    path = write_sparse(
        tmp_path / "a.tif",
        [image_HWC, coarse_HWC],
        [[], everything],
        compression="zlib",
        photometric="minisblack",
    )
    with open_slide(path) as slide:
        assert slide.levels[1].downsample == 4
        found_HWC, found_HW = whole(slide, 1)
    monkeypatch.setattr("patching.readers.tiff.finer._BLOCK_BYTES", 32 * nbytes)
    with open_slide(path) as slide:
        again_HWC, _ = whole(slide, 1)
    assert found_HW.all()
    np.testing.assert_array_equal(found_HWC, shrink(image_HWC, 4))
    np.testing.assert_array_equal(again_HWC, found_HWC)


def write_zarr(
    path: Any, levels: list[NDArray[Any]], zarr_format: int, shards: tuple[int, ...] | None, fill: int
) -> list[zarr.Array[Any]]:
    """An OME-Zarr of levels [C, H, W] in chunks of one channel and 48 x 64 pixels, without a chunk."""
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    arrays, datasets = [], []
    for number, level in enumerate(levels):
        options: dict[str, Any] = {} if shards is None else {"shards": shards}
        arrays.append(
            group.create_array(
                str(number),
                shape=level.shape,
                chunks=(1, *TILE),
                dtype=level.dtype,
                fill_value=fill,
                config={"write_empty_chunks": True},
                **options,
            )
        )
        scale = [{"type": "scale", "scale": [1.0, 0.5 * 2**number, 0.5 * 2**number]}]
        datasets.append({"path": str(number), "coordinateTransformations": scale})
    axes = [{"name": "c", "type": "channel"}] + [
        {"name": name, "type": "space", "unit": "micrometer"} for name in "yx"
    ]
    image: dict[str, Any] = {"axes": axes, "datasets": datasets}
    if zarr_format == 3:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    else:
        group.attrs["multiscales"] = [image | {"version": "0.4"}]
    return arrays


def put(array: zarr.Array[Any], level: NDArray[Any], holes: Any) -> None:
    """Store the chunks that are not in holes (channel, row, column)."""
    for channel in range(level.shape[0]):
        for row, top in enumerate(range(0, level.shape[1], TILE[0])):
            for column, left in enumerate(range(0, level.shape[2], TILE[1])):
                if (channel, row, column) not in holes:
                    part = np.s_[channel : channel + 1, top : top + TILE[0], left : left + TILE[1]]
                    array[part] = level[part]


ZARRS = {"2": (2, None), "3": (3, None), "shards": (3, (1, 96, 128))}


@pytest.mark.parametrize("fill", [0, 7])
@pytest.mark.parametrize("where", ["folder", "address"])
@pytest.mark.parametrize("how", ZARRS)
def test_chunks_that_are_not_stored(
    how: str, where: str, fill: int, tmp_path: Path, holes_uint16: NDArray[np.uint16]
) -> None:
    """A chunk that holds nothing but the fill value exists, if it is stored."""
    image_HWC = holes_uint16.copy()
    image_HWC[96:144, 0:64] = fill
    planes = np.moveaxis(image_HWC, -1, 0)
    path: Any = tmp_path / "a.zarr" if where == "folder" else f"memory://{how}-{fill}.zarr"
    [array] = write_zarr(path, [planes], *ZARRS[how], fill)
    put(array, planes, {(c, row, column) for c in range(3) for row, column in GAPS})
    check(path, image_HWC, holed((200, 300), GAPS))
    if where == "address":
        fsspec.filesystem("memory").rm(f"/{how}-{fill}.zarr", recursive=True)


@pytest.mark.parametrize("how", ZARRS)
def test_a_channel_that_lacks_a_chunk_lacks_the_pixel(
    how: str, tmp_path: Path, holes_uint16: NDArray[np.uint16]
) -> None:
    planes = np.moveaxis(holes_uint16, -1, 0)
    [array] = write_zarr(tmp_path / "a.zarr", [planes], *ZARRS[how], 0)
    put(array, planes, {(1, 1, 2)})
    with open_slide(tmp_path / "a.zarr") as slide:
        found_HWC, covered_HW = whole(slide)
    np.testing.assert_array_equal(covered_HW, holed((200, 300), [(1, 2)]))
    np.testing.assert_array_equal(found_HWC[..., (0, 2)], holes_uint16[..., (0, 2)])


@pytest.mark.parametrize("how", ZARRS)
def test_a_coarse_chunk_that_is_lacking_is_made_from_the_finer_level(
    how: str, tmp_path: Path, holes_uint16: NDArray[np.uint16]
) -> None:
    levels_HWC = [holes_uint16, halved(holes_uint16) // 3]
    planes = [np.moveaxis(level, -1, 0) for level in levels_HWC]
    first, second = write_zarr(tmp_path / "a.zarr", planes, *ZARRS[how], 0)
    put(first, planes[0], {(c, 0, 1) for c in range(3)})
    put(second, planes[1], {(0, 0, 0), (1, 0, 0), (2, 0, 0), (1, 1, 1)})
    made_HWC, made_HW = covered_shrink(holes_uint16, holed((200, 300), [(0, 1)]), 2)
    expected_HWC, lacking = levels_HWC[1].copy(), np.s_[:48, :64]
    expected_HWC[lacking] = made_HWC[lacking]
    expected_HWC[48:96, 64:128, 1] = made_HWC[48:96, 64:128, 1]
    with open_slide(tmp_path / "a.zarr") as slide:
        found_HWC, covered_HW = whole(slide, 1)
    np.testing.assert_array_equal(covered_HW[lacking], made_HW[lacking])
    assert covered_HW[48:].all()
    np.testing.assert_array_equal(found_HWC[covered_HW], expected_HWC[covered_HW])


@pytest.mark.parametrize("how", [*ZARRS, "tiff"])
def test_what_only_a_coarser_level_has_is_known_without_decoding(
    how: str, tmp_path: Path, holes_uint16: NDArray[np.uint16]
) -> None:
    """Of three levels: what each lacks, less what finer ones have; shards lack what all their chunks do."""
    levels = [holes_uint16, halved(holes_uint16), halved(halved(holes_uint16))]
    first = [(row, column) for row in (2, 3) for column in (2, 3)]
    holes = [first, [(0, 0), (1, 1)], [(0, 0), (1, 1)]]
    path = tmp_path / "a.zarr"
    if how == "tiff":
        path = tmp_path / "a.tif"
        write_sparse(
            path, levels, holes, compression="zlib", photometric="minisblack", planarconfig="separate"
        )
    else:
        planes = [np.moveaxis(level, -1, 0) for level in levels]
        for array, level, lacking in zip(
            write_zarr(path, planes, *ZARRS[how], 0), planes, holes, strict=True
        ):
            put(array, level, {(c, row, column) for c in range(3) for row, column in lacking})
    sides = TILE if how != "shards" else (2 * TILE[0], 2 * TILE[1])
    expected = [{(top, left) for top in (96, 144) for left in (128, 192)}, {(48, 64)}, set[tuple[int, int]]()]
    if how == "shards":
        expected = [{(96, 128)}, set(), set()]
    with open_slide(path) as slide:
        for level, places in enumerate(expected):
            found = slide.lacking(level)
            assert {(window.top, window.left) for window in found} == places
            assert len(found) == len(places)
            assert all(window.height <= sides[0] and window.width <= sides[1] for window in found)
            covered_HW = whole(slide, level)[1]
            for window in found:
                rows = slice(window.top, window.top + window.height)
                assert not covered_HW[rows, window.left : window.left + window.width].any()


def test_what_modalities_lack_moves_with_them(tmp_path: Path, holes_uint16: NDArray[np.uint16]) -> None:
    paths = [
        write_sparse(
            tmp_path / f"{number}.tif",
            [holes_uint16[..., :1]],
            [holes],
            compression="zlib",
            photometric="minisblack",
        )
        for number, holes in enumerate(([(1, 1)], [(0, 0), (3, 4)]))
    ]
    with open_slide(paths, shift=[Shift(0, 0), Shift(-10, 7)]) as slide:
        found = slide.lacking(0)
        covered_HW = whole(slide)[1]
    assert sorted((w.left, w.top, w.width, w.height) for w in found) == [
        (0, 7, 54, 48),
        (64, 48, 64, 48),
        (246, 151, 44, 48),
    ]
    for window in found:
        rows = slice(window.top, window.top + window.height)
        assert not covered_HW[rows, window.left : window.left + window.width].any()


def alpha_of(shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Transparent, half transparent and opaque columns."""
    alpha_HW = np.full(shape, 255, np.uint8)
    alpha_HW[:, :70], alpha_HW[:, 70:120] = 0, 1
    alpha_HW[150:, 200:] = 0
    return alpha_HW


def rgba_png(path: Path, image_HWC: NDArray[Any]) -> Path:
    Image.fromarray(np.dstack([image_HWC, alpha_of(image_HWC.shape[:2])])).save(path / "a.png")
    return path / "a.png"


def rgba_tiff(path: Path, image_HWC: NDArray[Any]) -> Path:
    data = np.dstack([image_HWC, alpha_of(image_HWC.shape[:2])])
    options: dict[str, Any] = {"photometric": "rgb", "extrasamples": ["unassalpha"], "tile": TILE}
    tifffile.imwrite(path / "a.tif", data, compression="zlib", metadata=None, **options)
    return path / "a.tif"


def palette_png(path: Path, image_HWC: NDArray[Any]) -> Path:
    """Color 0 of the palette is transparent."""
    indices_HW = np.where(alpha_of(image_HWC.shape[:2]) == 0, 0, 1 + image_HWC[..., 0] // 64)
    picture = Image.fromarray(indices_HW.astype(np.uint8), mode="P")
    picture.putpalette([value for gray in range(256) for value in (gray, 10, 255 - gray)])
    picture.save(path / "a.png", transparency=0)
    return path / "a.png"


@pytest.mark.parametrize("write", [rgba_png, rgba_tiff, palette_png])
def test_transparent_pixels(
    write: Callable[[Path, NDArray[Any]], Path], tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    with open_slide(write(tmp_path, brightfield_HWC)) as slide:
        found_HWC, covered_HW = whole(slide)
    np.testing.assert_array_equal(covered_HW, alpha_of((200, 300)) > 0)
    assert (found_HWC[~covered_HW] == 255).all()


def test_what_a_scanner_left_out(tmp_path: Path, brightfield_HWC: NDArray[np.uint8]) -> None:
    path = write_leica(tmp_path / "a.scn", brightfield_HWC)
    with open_slide(path) as slide:
        assert slide.size == Size(600, 360)
        found_HWC, covered_HW = whole(slide)
    expected_HW = np.zeros((360, 600), np.bool_)
    expected_HW[100:300, 160:460] = True
    np.testing.assert_array_equal(covered_HW, expected_HW)
    assert (found_HWC[~covered_HW] == 255).all()


def test_modalities_cover_what_all_of_them_cover(tmp_path: Path, holes_uint16: NDArray[np.uint16]) -> None:
    holes = [[(0, 0)], [(1, 1)], []]
    paths = [
        write_sparse(
            tmp_path / f"{number}.tif",
            [holes_uint16[..., number : number + 1]],
            [lacking],
            compression="zlib",
            photometric="minisblack",
        )
        for number, lacking in enumerate(holes)
    ]
    shifts = [Shift(0, 0), Shift(7, -4), Shift(-11, 0)]
    with open_slide(paths, shift=shifts) as slide:
        _, covered_HW = whole(slide)
    second_HW, third_HW = np.zeros((200, 300), np.bool_), np.zeros((200, 300), np.bool_)
    second_HW[:196, 7:] = holed((200, 300), holes[1])[4:, :293]
    third_HW[:, :289] = True
    np.testing.assert_array_equal(covered_HW, holed((200, 300), holes[0]) & second_HW & third_HW)


def test_modalities_that_are_declared_brightfield_lack_white(
    tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    """A file of one plane alone would be taken for a dark one."""
    paths = [
        write_sparse(
            tmp_path / f"{number}.tif",
            [brightfield_HWC[..., number : number + 1]],
            [[(1, 2)]],
            compression="zlib",
            photometric="minisblack",
        )
        for number in range(3)
    ]
    with open_slide(paths, channels=["R", "G", "B"], kind="brightfield") as slide:
        found_HWC, covered_HW = whole(slide)
    np.testing.assert_array_equal(covered_HW, holed((200, 300), [(1, 2)]))
    assert (found_HWC[~covered_HW] == 255).all()


@pytest.mark.parametrize("z", [0, 1, "max", "mean"])
def test_a_projection_exists_where_all_its_planes_do(
    z: Any, tmp_path: Path, holes_uint16: NDArray[np.uint16]
) -> None:
    planes = np.moveaxis(holes_uint16, -1, 0)
    path = write_ome(tmp_path / "a.ome.tif", planes, "ZYX", {1: [1]})
    with open_slide(path, z=z) as slide:
        _, covered_HW = whole(slide)
    np.testing.assert_array_equal(covered_HW, holed((200, 300), [] if z == 0 else [(0, 1)]))


def test_nothing_is_covered_outside(rgb_tiff: Any) -> None:
    with open_slide(rgb_tiff.path) as slide:
        for place in (Location(900, 10), Location(-400, 10), Location(10, 400), Location(-5, -300)):
            covered_HW = np.ones((60, 80), np.bool_)
            slide.read_region(place, 0, Size(80, 60), covered=covered_HW)
            assert not covered_HW.any()
        with pytest.raises(ValueError, match="coverage"):
            slide.read_region(Location(0, 0), 0, Size(80, 60), covered=np.ones((80, 60), np.bool_))


@pytest.mark.parametrize("threads", [1, 4])
def test_an_overview_averages_what_exists(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holes_uint16: NDArray[np.uint16]
) -> None:
    """Blocks of any size give the same; a pixel half of which exists is the mean of that half."""
    image_HWC = holes_uint16[..., :1]
    path = write_sparse(tmp_path / "a.tif", [image_HWC], [GAPS], compression="zlib", photometric="minisblack")
    monkeypatch.setattr("patching.readers.overview._BLOCK", 160)
    with open_slide(path) as slide:
        view = overview(slide, 32.5, threads)
    assert view.downsample == 32
    assert view.image_HWC.shape == (7, 10, 1)
    known_HW = holed((200, 300), GAPS)
    for row in range(7):
        for column in range(10):
            window = np.s_[row * 32 : row * 32 + 32, column * 32 : column * 32 + 32]
            edge = ((0, 32 - known_HW[window].shape[0]), (0, 32 - known_HW[window].shape[1]))
            part_HW = np.pad(known_HW[window], edge, mode="edge")
            pixels_HW = np.pad(image_HWC[window][..., 0], edge, mode="edge")
            assert view.covered_HW[row, column] == (part_HW.mean() >= 0.5)
            if part_HW.any():
                assert abs(float(view.image_HWC[row, column, 0]) - pixels_HW[part_HW].mean()) <= 0.51
    assert 0 < view.covered_HW.mean() < 1


@given(
    rows=st.integers(1, 7),
    columns=st.integers(1, 7),
    factor=st.integers(1, 5),
    seed=st.integers(0, 99),
    dtype=st.sampled_from(["uint8", "uint16", "int32", "float32"]),
)
@settings(max_examples=60, deadline=None)
def test_means_are_over_covered_pixels(rows: int, columns: int, factor: int, seed: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    height, width = rows * factor, columns * factor
    image_HWC = rng.integers(1, 250, (height, width, 2)).astype(dtype)
    covered_HW = rng.random((height, width)) < 0.6
    image_HWC[~covered_HW] = 0
    found_HWC, found_HW = covered_resize(image_HWC, covered_HW, Size(columns, rows))
    blocks = covered_HW.reshape(rows, factor, columns, factor).swapaxes(1, 2)
    values = image_HWC.reshape(rows, factor, columns, factor, 2).swapaxes(1, 2).astype(float)
    for row in range(rows):
        for column in range(columns):
            known = blocks[row, column]
            assert found_HW[row, column] == (known.mean() >= 0.5)
            if known.any():
                mean_C = values[row, column][known].mean(axis=0)
                np.testing.assert_allclose(found_HWC[row, column], mean_C, atol=0.51)


def test_a_slide_without_a_pixel(tmp_path: Path, brightfield_HWC: NDArray[np.uint8]) -> None:
    everything = [(row, column) for row in range(5) for column in range(5)]
    some = everything[:-1]
    for name, holes, expected in (("none", everything, False), ("one", some, True)):
        path = write_sparse(
            tmp_path / f"{name}.tif", [brightfield_HWC], [holes], compression="zlib", photometric="rgb"
        )
        with open_slide(path) as slide:
            assert holds_pixels(slide) is expected
    clear = np.zeros((200, 300, 4), np.uint8)
    for name, alpha, expected in (("clear", 0, False), ("dot", 9, True)):
        clear[190, 290, 3] = alpha
        Image.fromarray(clear).save(tmp_path / f"{name}.png")
        options: dict[str, Any] = {"photometric": "rgb", "extrasamples": ["unassalpha"], "tile": TILE}
        tifffile.imwrite(tmp_path / f"{name}.tif", clear, metadata=None, **options)
        for suffix in ("png", "tif"):
            with open_slide(tmp_path / f"{name}.{suffix}") as slide:
                assert holds_pixels(slide) is expected
    planes = np.moveaxis(brightfield_HWC, -1, 0)
    [array] = write_zarr(tmp_path / "a.zarr", [planes], 2, None, 0)
    with open_slide(tmp_path / "a.zarr") as slide:
        assert not holds_pixels(slide)
    put(array, planes, {(c, row, column) for c in range(3) for row, column in some})
    with open_slide(tmp_path / "a.zarr") as slide:
        assert holds_pixels(slide)


@pytest.mark.parametrize("write", [rgba_png, rgba_tiff])
def test_transparent_pixels_of_intensities_are_dark(
    write: Callable[[Path, NDArray[Any]], Path], tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    with open_slide(write(tmp_path, brightfield_HWC), kind="intensity") as slide:
        found_HWC, covered_HW = whole(slide)
        slide.fill_with(9)
        again_HWC, _ = whole(slide)
    np.testing.assert_array_equal(covered_HW, alpha_of((200, 300)) > 0)
    assert not found_HWC[~covered_HW].any()
    assert (again_HWC[~covered_HW] == 9).all()


def test_levels_of_another_layout_are_left_out_and_impossible_ones_refused(
    tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    """Samples together on level 0, apart on level 1, which lacks a tile."""
    path = tmp_path / "a.tif"
    half_HWC = halved(brightfield_HWC)
    options: dict[str, Any] = {"tile": TILE, "compression": "zlib", "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(brightfield_HWC, subifds=1, planarconfig="contig", **options)
        tiff.write(np.moveaxis(half_HWC, -1, 0), subfiletype=1, planarconfig="separate", **options)
    with open_slide(path) as slide:
        assert [level.size for level in slide.levels] == [Size(300, 200)]
        np.testing.assert_array_equal(whole(slide)[0], brightfield_HWC)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["PlanarConfiguration"].overwrite(3)
    with pytest.raises(UnreadableSlideError, match="planarconfig"):
        open_slide(path)
