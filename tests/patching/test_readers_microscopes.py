"""What microscopes write, exactly as each format's own library reads it."""

import logging
import sys
from pathlib import Path
from typing import Any

import liffile
import nd2
import numpy as np
import oiffile
import pytest
from numpy.typing import NDArray

from patching import Location, Size, open_slide
from patching.errors import UnreadableSlideError
from patching.readers.registry import reader_for
from tests.patching import microscope_files as files
from tests.patching.microscope_files import LifImage, covered, noise, raw_tile, whole


@pytest.mark.parametrize(
    "head",
    [
        b"ZISRAWFILE",
        b"\xda\xce\xbe\x0a\0",
        b"\x70\0\0\0\x10\0\0\0\x2a",
        "[ProfileSaveInfo]\r\n".encode("utf-16"),
    ],
)
def test_content_decides_whatever_the_name(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "renamed").write_bytes(head + bytes(64))
    assert reader_for(tmp_path / "renamed") == "microscope"
    with pytest.raises(UnreadableSlideError, match="renamed"):
        open_slide(tmp_path / "renamed")


def test_lif_is_what_liffile_reads(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    small = LifImage("overview", noise(20, 30, dtype="uint8"), "YX")
    stack_CZYX = noise(2, 3, 40, 60, seed=1)
    path = files.lif(
        tmp_path / "a.lif", [small, LifImage("stack", stack_CZYX, "CZYX", ("SHG", "TPEF"), (0, 0))]
    )
    with liffile.LifFile(path) as file:
        np.testing.assert_array_equal(file.images[1].asarray(), stack_CZYX)
    with caplog.at_level(logging.INFO), open_slide(path, z=2) as slide:
        assert (slide.size, slide.channels, slide.dtype) == (Size(60, 40), ("SHG", "TPEF"), np.uint16)
        assert slide.mpp is not None
        assert (slide.mpp.x, slide.mpp.y) == pytest.approx((0.5, 0.25))
        part_HWC = slide.read_region(Location(13, 7), 0, Size(30, 20))
        np.testing.assert_array_equal(part_HWC, np.moveaxis(stack_CZYX[:, 2, 7:27, 13:43], 0, -1))
    assert "left out: overview" in caplog.text
    assert "read as a Leica LIF" in caplog.text
    np.testing.assert_array_equal(whole(path, series="overview")[..., 0], small.pixels)
    np.testing.assert_array_equal(whole(path, series=0), whole(path, series="overview"))
    for absent in ("other", 2, -1):
        with pytest.raises(UnreadableSlideError, match=rf"overview, stack\), not {absent!r}"):
            open_slide(path, series=absent)
    with pytest.raises(UnreadableSlideError, match="several planes along Z"):
        open_slide(path)


@pytest.mark.parametrize(
    ("value", "told"), [("2.5e-7", False), ("2,5E-7", False), ("unknown", True), ("0", True), ("", True)]
)
def test_a_microscope_s_file_without_a_length_tells_the_way_out(
    value: str, told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    distances = "".join(f'<Distance Id="{axis}"><Value>{value}</Value></Distance>' for axis in "XY")
    xml = f"<ImageDocument><Metadata><Scaling><Items>{distances}</Items></Scaling></Metadata></ImageDocument>"
    path = files.czi(tmp_path / "a.czi", [raw_tile(noise(20, 30), (0, 0))], xml)
    with open_slide(path) as slide:
        assert (slide.mpp is None) == told
    assert ("fill the column `mpp`" in caplog.text) == told


def test_lif_pages_are_views_of_the_file(tmp_path: Path) -> None:
    path = files.lif(tmp_path / "a.lif", [LifImage("a", noise(2, 40, 60), "CYX", ("A", "B"), (0, 0))])
    with open_slide(path) as slide:
        slide.read_region(Location(0, 0), 0, Size(5, 5))
        held = slide._container._held  # type: ignore[attr-defined]
        assert held
        assert not any(frame.flags.owndata or frame.flags.writeable for frame in held.values())


@pytest.mark.parametrize(("tags", "order"), [((1, 2, 3), [0, 1, 2]), ((3, 2, 1), [2, 1, 0])])
def test_lif_of_light_is_red_green_blue(tags: tuple[int, ...], order: list[int], tmp_path: Path) -> None:
    stored_YXC = noise(40, 60, 3, dtype="uint8")
    path = files.lif(tmp_path / "a.lif", [LifImage("rgb", stored_YXC, "YXC", ("a", "b", "c"), tags)])
    with open_slide(path) as slide:
        assert slide.channels == ("R", "G", "B")
        assert not slide.brightfield
    np.testing.assert_array_equal(whole(path), stored_YXC[..., order])
    with open_slide(path, kind="brightfield") as slide:
        assert slide.background == 255


def test_a_lif_scan_that_was_not_merged_needs_a_choice(tmp_path: Path) -> None:
    tiles_MYX = noise(4, 40, 60)
    path = files.lif(tmp_path / "a.lif", [LifImage("scan", tiles_MYX, "MYX")])
    with pytest.raises(UnreadableSlideError, match="several planes along M"):
        open_slide(path)
    np.testing.assert_array_equal(whole(path, axes="ZYX", z=3)[..., 0], tiles_MYX[3])


def test_channels_shown_in_red_green_and_blue_are_no_light(tmp_path: Path) -> None:
    image = LifImage("f", noise(3, 40, 60, dtype="uint8"), "CYX", ("Red", "Green", "Blue"), (0, 0, 0))
    with open_slide(files.lif(tmp_path / "a.lif", [image])) as slide:
        assert slide.channels == ("C0", "C1", "C2")
        assert not slide.brightfield


def frames(count: int, channels: int = 2, dtype: str = "uint16") -> dict[int, NDArray[Any]]:
    return {at: noise(40, 60, channels, dtype=dtype, seed=at) for at in range(count)}


@pytest.mark.parametrize("compressed", [False, True])
def test_nd2_is_what_nd2_reads(compressed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stored = frames(12)
    loops = [("T", 2), ("XY", 2), ("Z", 3)]
    path = files.nd2(
        tmp_path / "a.nd2", stored, ("SHG", "TPEF"), loops, compressed=compressed, points=("left", "right")
    )
    with nd2.ND2File(path) as file:
        expected_TPZCYX = file.asarray()
    np.testing.assert_array_equal(np.moveaxis(expected_TPZCYX[1, 0, 2], 0, -1), stored[8])
    with open_slide(path, t=1, z=2) as slide:
        assert (slide.size, slide.channels) == (Size(60, 40), ("SHG", "TPEF"))
        assert slide.mpp is not None
        assert (slide.mpp.x, slide.mpp.y) == (0.325, 0.325)
        part_HWC = slide.read_region(Location(13, 7), 0, Size(30, 20))
    np.testing.assert_array_equal(part_HWC, stored[8][7:27, 13:43])
    np.testing.assert_array_equal(whole(path, t=1, z=2, series="right"), stored[11])
    expected_HWC = np.rint(np.mean([stored[number] for number in (3, 4, 5)], axis=0))
    np.testing.assert_array_equal(whole(path, t=0, z="mean", series=1), expected_HWC)
    assert "of 2 images the largest is read, number 0 (left); left out: right" in caplog.text


def test_frames_that_were_never_taken_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stored = {number: frame for number, frame in frames(4).items() if number != 2}
    stored[3][:] = 0
    path = files.nd2(tmp_path / "a.nd2", stored, ("SHG", "TPEF"), [("T", 4)])
    with caplog.at_level(logging.WARNING):
        assert not whole(path, t=3).any()
    assert "does not exist" not in caplog.text
    with caplog.at_level(logging.WARNING):
        assert not whole(path, t=2).any()
    assert "frame 2 does not exist" in caplog.text
    assert not covered(path, t=2).any()
    assert covered(path, t=3).all()


def test_nd2_without_a_calibration_has_no_pixel_size(tmp_path: Path) -> None:
    with open_slide(files.nd2(tmp_path / "a.nd2", frames(1), ("A", "B"), calibrated=False)) as slide:
        assert slide.mpp is None


@pytest.mark.parametrize(("modality", "light"), [(0x0002, True), (0x0001, False)])
def test_nd2_of_colors_is_light_where_the_microscope_says_so(
    modality: int, light: bool, tmp_path: Path
) -> None:
    stored = frames(1, channels=3, dtype="uint8")
    path = files.nd2(tmp_path / "a.nd2", stored, ("RGB",), modality=modality)
    with nd2.ND2File(path) as file:
        assert dict(file.sizes) == {"Y": 40, "X": 60, "S": 3}
        assert ("brightfield" in file.metadata.channels[0].microscope.modalityFlags) == light
        np.testing.assert_array_equal(file.asarray(), stored[0])
    with open_slide(path) as slide:
        assert (slide.channels, slide.brightfield) == (("R", "G", "B"), light)
    np.testing.assert_array_equal(whole(path), stored[0])


def test_a_description_that_nd2_does_not_understand_costs_names_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored = frames(1)
    path = files.nd2(tmp_path / "a.nd2", stored, ("A", "B"))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"dCalibration ", b"xCalibration "))
    with caplog.at_level(logging.WARNING), open_slide(path) as slide:
        assert (slide.mpp, slide.channels) == (None, ("C0", "C1"))
    assert "pixel size cannot be read" in caplog.text
    np.testing.assert_array_equal(whole(path), stored[0])


def test_four_components_are_not_channels(tmp_path: Path) -> None:
    path = files.nd2(tmp_path / "a.nd2", frames(1, channels=4, dtype="uint8"), ("RGBA",))
    with pytest.raises(UnreadableSlideError, match="4 components in a channel"):
        open_slide(path)


def planes(channels: int, depth: int) -> dict[str, NDArray[Any]]:
    return {
        f"C{c:03}Z{z:03}": noise(40, 60, seed=10 * c + z)
        for c in range(1, channels + 1)
        for z in range(1, depth + 1)
    }


@pytest.mark.parametrize("write", [files.oif, files.oib])
def test_olympus_is_what_oiffile_reads(write: Any, tmp_path: Path) -> None:
    stored = planes(2, 3)
    path = write(tmp_path / f"a.{write.__name__}", stored, ("SHG", "TPEF"))
    with oiffile.OifFile(path) as file:
        expected_CZYX = file.asarray()
    with open_slide(path, z=1) as slide:
        assert (slide.size, slide.channels, slide.dtype) == (Size(60, 40), ("SHG", "TPEF"), np.uint16)
        assert slide.mpp is not None
        assert (slide.mpp.x, slide.mpp.y) == (0.497, 0.331)
        part_HWC = slide.read_region(Location(13, 7), 0, Size(30, 20))
    np.testing.assert_array_equal(part_HWC, np.moveaxis(expected_CZYX[:, 1, 7:27, 13:43], 0, -1))
    np.testing.assert_array_equal(whole(path, z="max"), np.moveaxis(expected_CZYX.max(axis=1), 0, -1))


@pytest.mark.parametrize("write", [files.oif, files.oib])
def test_a_page_that_is_not_there_is_told(
    write: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored = planes(2, 3)
    del stored["C002Z002"]
    path = write(tmp_path / f"a.{write.__name__}", stored, ("SHG", "TPEF"))
    with caplog.at_level(logging.WARNING):
        read_HWC = whole(path, z=1)
    np.testing.assert_array_equal(read_HWC[..., 0], stored["C001Z002"])
    assert not read_HWC[..., 1].any()
    assert "page 4 does not exist" in caplog.text
    assert not covered(path, z=1).any()
    assert covered(path, z=0).all()


def test_an_oif_without_its_folder_says_so(tmp_path: Path) -> None:
    path = files.oif(tmp_path / "a.oif", planes(1, 1), ("SHG",))
    path.with_name("a.oif.files").rename(tmp_path / "elsewhere")
    with pytest.raises(UnreadableSlideError, match=r"a\.oif\.files"):
        open_slide(path)


@pytest.mark.parametrize(("suffix", "package"), [("lif", "liffile"), ("nd2", "nd2"), ("oib", "oiffile")])
def test_without_the_extra_the_command_is_told(
    suffix: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "lif":
        files.lif(path, [LifImage("a", noise(20, 30), "YX")])
    elif suffix == "nd2":
        files.nd2(path, frames(1), ("A", "B"))
    else:
        files.oib(path, planes(1, 1), ("A",))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UnreadableSlideError) as refused:
        open_slide(path)
    assert f"the package {package}" in refused.value.has
    assert suffix.upper() in refused.value.has
    assert "pip install 'evenpatch[microscopes]'" in refused.value.do
    assert "damaged" not in str(refused.value)


def test_one_file_per_modality(tmp_path: Path) -> None:
    stored = noise(40, 60, seed=5)
    paths = [
        files.czi(tmp_path / "shg.czi", [raw_tile(stored, (9, 9))]),
        files.lif(tmp_path / "tpef.lif", [LifImage("a", stored + 1, "YX")]),
    ]
    with open_slide(paths, channels=("SHG", "TPEF")) as slide:
        read_HWC = slide.read_region(Location(0, 0), 0, slide.size)
    np.testing.assert_array_equal(read_HWC, np.stack([stored, stored + 1], axis=-1))


def test_a_compound_file_whose_sectors_run_in_a_circle_ends_in_an_error(tmp_path: Path) -> None:
    # Without the check this test does not fail: oiffile follows them for ever.
    path = files.oib(tmp_path / "a.oib", planes(1, 1), ("A",))
    data = bytearray(path.read_bytes())
    fat = (int.from_bytes(data[76:80], "little") + 1) * 512
    following = np.frombuffer(data, "<u4", 128, fat).tolist()
    place = next(number for number, after in enumerate(following) if after == number + 1)
    data[fat + 4 * (place + 1) : fat + 4 * (place + 2)] = place.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UnreadableSlideError, match="sectors in a circle"):
        open_slide(path)


def test_a_damaged_stream_of_zlib_is_told(tmp_path: Path) -> None:
    path = files.nd2(tmp_path / "a.nd2", frames(1), ("A", "B"), compressed=True)
    data = bytearray(path.read_bytes())
    at = data.index(b"x\x9c", data.index(b"ImageDataSeq|0!"))
    data[at + 1000 : at + 1040] = bytes(40)
    path.write_bytes(data)
    with open_slide(path) as slide, pytest.raises(UnreadableSlideError, match=r"a\.nd2"):
        slide.read_region(Location(0, 0), 0, slide.size)


def test_an_nd2_compressed_with_loss_is_refused(tmp_path: Path) -> None:
    # nd2 would return the compressed bytes as values.
    with pytest.raises(UnreadableSlideError, match="compressed with loss"):
        open_slide(files.nd2(tmp_path / "a.nd2", frames(1), ("A", "B"), lossy=True))


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_an_nd2_cut_off_is_told(share: float, tmp_path: Path) -> None:
    path = files.nd2(tmp_path / "a.nd2", frames(3), ("A", "B"), [("T", 3)])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UnreadableSlideError, match="truncated, or was never finished"):
        open_slide(path)


def test_an_nd2_that_tells_a_terabyte_is_damaged(tmp_path: Path) -> None:
    path = files.nd2(tmp_path / "a.nd2", frames(1), ("A", "B"))
    data = bytearray(path.read_bytes())
    at = data.index(b"ImageAttributesLV!") - 8
    data[at : at + 8] = (2**40).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(UnreadableSlideError, match="a chunk of 1099511627776 bytes"):
        open_slide(path)


def test_an_image_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    good = LifImage("good", noise(20, 30), "YX")
    path = files.lif(tmp_path / "a.lif", [LifImage("lines", noise(900, 900), "TX"), good])
    np.testing.assert_array_equal(whole(path)[..., 0], good.pixels)
    np.testing.assert_array_equal(whole(path, series=1)[..., 0], good.pixels)
    for series in (0, "lines"):
        with pytest.raises(UnreadableSlideError, match="the image lines of axes TX"):
            open_slide(path, series=series)
    tiles = [
        raw_tile(noise(40, 60, dtype="uint8"), (0, 0), S=0, C=0),
        raw_tile(noise(40, 60), (0, 0), S=0, C=1),
        raw_tile(noise(20, 30, seed=3), (500, 0), S=1, C=0),
    ]
    mixed = files.czi(tmp_path / "a.czi", tiles)
    np.testing.assert_array_equal(whole(mixed)[..., 0], noise(20, 30, seed=3))
    with pytest.raises(UnreadableSlideError, match="channels of several pixel types"):
        open_slide(mixed, series=0)
