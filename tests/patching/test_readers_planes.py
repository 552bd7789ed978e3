"""Stacks: whatever the order of the axes, a plane or a projection is the one that was asked for."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from patching import Location, Size, open_slide
from patching.errors import UnreadableSlideError
from patching.geometry import Mpp
from patching.readers.planes import Planes, select

EXTENT = {"T": 2, "Z": 3, "C": 4, "Y": 40, "X": 60}


def stack(axes: str, dtype: str = "uint16") -> NDArray[Any]:
    """Noise, so that no two planes are alike."""
    rng = np.random.default_rng(3)
    return rng.integers(0, 250, [EXTENT[axis] for axis in axes]).astype(dtype)


def in_order(image: NDArray[Any], axes: str) -> NDArray[Any]:
    """The same with axes T, Z, Y, X, C."""
    return image.transpose([axes.index(axis) for axis in "TZYXC"])


def whole(path: Path, **choice: Any) -> NDArray[Any]:
    with open_slide(path, **choice) as slide:
        return slide.read_region(Location(0, 0), 0, slide.size)


ORDERS = ["".join(order) + "YX" for order in itertools.permutations("TZC")]


@pytest.mark.parametrize("axes", ORDERS)
def test_any_order_of_an_ome_stack(axes: str, tmp_path: Path) -> None:
    path, image = tmp_path / "stack.ome.tif", stack(axes)
    tifffile.imwrite(path, image, ome=True, metadata={"axes": axes}, photometric="minisblack", tile=(16, 32))
    image_TZHWC = in_order(image, axes)
    for t, z in itertools.product(range(2), range(3)):
        np.testing.assert_array_equal(whole(path, z=z, t=t), image_TZHWC[t, z])
    np.testing.assert_array_equal(whole(path, z="max", t=1), image_TZHWC[1].max(axis=0))
    np.testing.assert_array_equal(whole(path, z=2, t="max"), image_TZHWC[:, 2].max(axis=0))
    mean_HWC = np.rint(image_TZHWC.astype(float).mean(axis=1).max(axis=0))
    np.testing.assert_array_equal(whole(path, z="mean", t="max"), mean_HWC)


@pytest.mark.parametrize(
    ("unit", "mpp"),
    [("um", 1), ("micron", 1), (r"\u00B5m", 1), ("nm", 1e-3), ("pixel", None), (None, None)],
)
def test_the_pixel_size_of_imagej(unit: str | None, mpp: float | None, tmp_path: Path) -> None:
    path, metadata = tmp_path / "stack.tif", {"axes": "CYX"} | ({} if unit is None else {"unit": unit})
    tifffile.imwrite(path, stack("CYX"), imagej=True, resolution=(2.0, 4.0), metadata=metadata)
    with open_slide(path) as slide:
        assert slide.mpp == (None if mpp is None else Mpp(0.5 * mpp, 0.25 * mpp))


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("kind", ["imagej", "shaped"])
def test_imagej_and_shaped_stacks(kind: str, truncate: bool, tmp_path: Path) -> None:
    """ImageJ lists one directory for a large stack; its planes follow one another."""
    path, image = tmp_path / "stack.tif", stack("TZCYX")
    options: dict[str, Any] = {"photometric": "minisblack", "rowsperstrip": 7}
    tifffile.imwrite(
        path, image, imagej=kind == "imagej", metadata={"axes": "TZCYX"}, truncate=truncate, **options
    )
    with tifffile.TiffFile(path) as tiff:
        assert (len(tiff.pages) == 1) == truncate
    np.testing.assert_array_equal(whole(path, z=1, t=1), in_order(image, "TZCYX")[1, 1])
    np.testing.assert_array_equal(whole(path, z="max", t=0), in_order(image, "TZCYX")[0].max(axis=0))


def test_samples_that_are_planes(tmp_path: Path) -> None:
    """tifffile takes a first axis of three or four for colors."""
    path = tmp_path / "stack.tif"
    image = np.random.default_rng(0).integers(0, 9999, (2, 3, 40, 60)).astype(np.uint16)
    tifffile.imwrite(path, image, photometric="rgb", planarconfig="separate")
    with pytest.raises(UnreadableSlideError, match=r"QSYX of 2x3x40x60.*along Q\n.*\n.*`axes`.*CZYX"):
        open_slide(path)
    with pytest.raises(UnreadableSlideError, match=r"along Z \(3\)\n.*0 to 2.*\n.*`z`.*ingest\.z"):
        open_slide(path, axes="CZYX")
    np.testing.assert_array_equal(whole(path, axes="CZYX", z=2), image[:, 2].transpose(1, 2, 0))
    np.testing.assert_array_equal(whole(path, axes="CZYX", z="max"), image.max(axis=1).transpose(1, 2, 0))
    np.testing.assert_array_equal(whole(path, axes="TCYX", t=1), image[1].transpose(1, 2, 0))
    np.testing.assert_array_equal(whole(path, axes="CSYX"), image.reshape(6, 40, 60).transpose(1, 2, 0))


def test_pages_without_a_meaning(tmp_path: Path) -> None:
    path, image = tmp_path / "pages.tif", stack("ZYX")
    with tifffile.TiffWriter(path) as tiff:
        for plane_HW in image:
            tiff.write(plane_HW, photometric="minisblack", metadata=None)
    np.testing.assert_array_equal(whole(path, axes="CYX"), image.transpose(1, 2, 0))
    np.testing.assert_array_equal(whole(path, axes="TYX", t="max")[..., 0], image.max(axis=0))


def test_a_brightfield_focus_stack(tmp_path: Path) -> None:
    path = tmp_path / "focus.ome.tif"
    image = np.random.default_rng(0).integers(0, 255, (5, 40, 60, 3)).astype(np.uint8)
    tifffile.imwrite(path, image, ome=True, metadata={"axes": "ZYXS"}, photometric="rgb")
    for z in (3, "max"):
        with open_slide(path, z=z) as slide:
            assert (slide.channels, slide.brightfield) == (("R", "G", "B"), True)
            region_HWC = slide.read_region(Location(50, 30), 0, Size(20, 20))
        chosen_HWC = image[3] if z == 3 else image.max(axis=0)
        np.testing.assert_array_equal(region_HWC[:10, :10], chosen_HWC[30:, 50:])
        assert (region_HWC[10:] == 255).all()


def test_every_level_of_a_pyramid(tmp_path: Path) -> None:
    path, image = tmp_path / "pyramid.ome.tif", stack("ZCYX", "float32")
    with tifffile.TiffWriter(path, ome=True) as tiff:
        options: dict[str, Any] = {"photometric": "minisblack", "tile": (16, 16)}
        tiff.write(image, subifds=1, metadata={"axes": "ZCYX"}, **options)
        tiff.write(np.ascontiguousarray(image[..., ::2, ::2]), subfiletype=1, **options)
    with open_slide(path, z="mean", channels=("a", "b", "c", "d")) as slide:
        assert (slide.channels, slide.dtype, len(slide.levels)) == (tuple("abcd"), np.float32, 2)
        region_HWC = slide.read_region(Location(20, 10), 1, Size(15, 10))
    mean_CHW = image.mean(axis=0, dtype=np.float64)[:, ::2, ::2]
    np.testing.assert_array_equal(region_HWC, mean_CHW[:, 5:15, 10:25].transpose(1, 2, 0).astype(np.float32))


def test_only_the_chosen_pages_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, image = tmp_path / "stack.ome.tif", stack("ZCYX")
    tifffile.imwrite(path, image, ome=True, metadata={"axes": "ZCYX"}, photometric="minisblack")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        offset, size = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    data[offset : offset + size] = bytes(size)
    path.write_bytes(data)
    np.testing.assert_array_equal(whole(path, z=1), image[1].transpose(1, 2, 0))


def test_large_windows_are_projected_in_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, image = tmp_path / "stack.ome.tif", stack("ZCYX")
    tifffile.imwrite(path, image, ome=True, metadata={"axes": "ZCYX"}, photometric="minisblack")
    monkeypatch.setattr("patching.readers.projection._BAND_BYTES", 60 * 12 * 2 * 7)
    np.testing.assert_array_equal(whole(path, z="max"), image.max(axis=0).transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"z": 3, "t": 0}, r"3 planes along Z, of which number 3"),
        ({"z": -1, "t": 0}, r"number -1"),
        ({"z": 0}, r"several planes along T \(2\)"),
        ({"axes": "TZCXY", "z": 0, "t": 0}, r"named TZCXY"),
        ({"axes": "ZZCYX", "z": 0, "t": 0}, r"named ZZCYX"),
        ({"axes": "ZCYX", "z": 0}, r"5 different letters"),
        ({"axes": "TZQYX", "z": 0, "t": 0}, r"named TZQYX"),
    ],
)
def test_wrong_choices(choice: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, stack("TZCYX"), ome=True, metadata={"axes": "TZCYX"}, photometric="minisblack")
    with pytest.raises(UnreadableSlideError, match=reason):
        open_slide(path, **choice)


@pytest.mark.parametrize("fixture", ["png", "rgb_tiff", "ome_tiff"])
def test_slides_of_one_plane_take_any_choice_but_a_higher_number(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    written = request.getfixturevalue(fixture)
    np.testing.assert_array_equal(whole(written.path, z="max", t=0), written.image_HWC)
    with pytest.raises(UnreadableSlideError, match="1 plane along T, of which number 1"):
        open_slide(written.path, t=1)


@given(
    order=st.permutations("TZC"),
    lengths=st.tuples(*[st.integers(1, 4)] * 3),
    samples=st.integers(1, 4),
    z=st.integers(0, 3),
    t=st.integers(0, 3),
)
def test_numbers_of_planes(
    order: list[str], lengths: tuple[int, int, int], samples: int, z: int, t: int
) -> None:
    """Positions lead back to the planes, and no page is read that is not needed."""
    extent = dict(zip(order, lengths, strict=True))
    axes, shape = "".join(order) + "YXS", (*lengths, 20, 30, samples)
    z, t = z % extent["Z"], t % extent["T"]
    numbers = np.arange(np.prod(lengths) * samples).reshape(*lengths, samples)
    expected_TZCS = numbers.transpose([order.index(axis) for axis in "TZC"] + [3])
    selection = select("file", axes, shape, Planes(z, t), samples)
    chosen = [selection.wanted[at] for at in selection.groups_TZC.ravel()]
    assert chosen == expected_TZCS[t, z].ravel().tolist()
    assert len(selection.wanted) == extent["C"] * samples
    assert selection.direct
    everything = select("file", axes, shape, Planes("max", "mean"), samples)
    assert sorted(everything.wanted) == list(range(numbers.size))
    again = np.array(everything.wanted)[everything.groups_TZC]
    np.testing.assert_array_equal(again, expected_TZCS.reshape(again.shape))


def read_in_windows(path: Path) -> tuple[NDArray[Any], int]:
    """All pixels, in windows, and how many segments were decoded."""
    with open_slide(path) as slide:
        whole_HWC = np.empty((slide.size.height, slide.size.width, len(slide.channels)), slide.dtype)
        for top in range(0, slide.size.height, 60):
            for left in range(0, slide.size.width, 90):
                size = Size(min(90, slide.size.width - left), min(60, slide.size.height - top))
                region_HWC = slide.read_region(Location(left, top), 0, size)
                whole_HWC[top : top + size.height, left : left + size.width] = region_HWC
        return whole_HWC, slide.segments_decoded


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("kind", ["gray", "contig", "separate", "pages", "truncated", "strips"])
def test_one_huge_strip_is_read_in_part(
    kind: str, byteorder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patching.readers.tiff.strips._STRIP_BYTES", 300 * 2 * 7)
    path = tmp_path / "strip.tif"
    image_HWC = np.random.default_rng(0).integers(0, 60_000, (200, 300, 1 if kind == "gray" else 3))
    image_HWC = image_HWC.astype(np.uint16)
    options: dict[str, Any] = {"rowsperstrip": 90 if kind == "strips" else 200, "byteorder": byteorder}
    if kind in ("contig", "strips"):
        contiguous: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig"}
        tifffile.imwrite(path, image_HWC, metadata=None, **contiguous, **options)
    else:
        planes: dict[str, Any] = {
            "photometric": "minisblack",
            "metadata": {"axes": "CYX"},
            "truncate": kind == "truncated",
        }
        planes |= {"planarconfig": "separate"} if kind == "separate" else {}
        tifffile.imwrite(path, np.moveaxis(image_HWC, -1, 0), **planes, **options)
    whole_HWC, decoded = read_in_windows(path)
    np.testing.assert_array_equal(whole_HWC, image_HWC)
    rows = 2 if kind in ("contig", "strips") else 7
    assert decoded == -(-200 // rows) * (1 if kind in ("contig", "strips", "gray") else 3)


def test_a_huge_compressed_strip_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patching.readers.tiff.slide.CACHE_BYTES", 1000)
    path, image = tmp_path / "strip.tif", stack("CYX")
    options: dict[str, Any] = {"photometric": "minisblack", "compression": "zlib", "rowsperstrip": 40}
    tifffile.imwrite(path, image, metadata={"axes": "CYX"}, **options)
    whole_HWC, decoded = read_in_windows(path)
    np.testing.assert_array_equal(whole_HWC, np.moveaxis(image, 0, -1))
    assert decoded == 4
