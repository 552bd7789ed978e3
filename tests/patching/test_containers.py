"""A file whose pixels lie elsewhere is never read as its preview, and a scanner's name must be confirmed."""

import logging
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from patching import Location, Size, open_slide
from patching.digests import fingerprint
from patching.errors import UnreadableSlideError
from patching.readers.containers.companions import belonging
from patching.readers.registry import reader_for
from patching.survey.named_slides import find_slides
from tests.patching.dicom_files import JPEG_LS
from tests.patching.dicom_files import dicom as dicom_level
from tests.patching.leica import write_leica

PREVIEW = np.full((40, 60, 3), 230, np.uint8)
SLIDEDAT = """\ufeff[GENERAL]
SLIDE_VERSION = 01.02
[HIERARCHICAL]
INDEXFILE = Index.dat
[DATAFILE]
FILE_COUNT = 2
FILE_0 = Data0000.dat
FILE_1 = Data0001.dat
"""


def preview(path: Path, kind: str = "JPEG") -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(PREVIEW).save(path, format=kind)
    return path


def refused(path: Path) -> UnreadableSlideError:
    with pytest.raises(UnreadableSlideError) as error:
        open_slide(path)
    assert path.name in error.value.has
    return error.value


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("s.mrxs", "JPEG", ["its folder s is missing", "Slidedat.ini"]),
        ("s.MRXS", "JPEG", ["its folder s is missing"]),
        ("s.vsi", "TIFF", ["its folder _s_ is missing", "ETS"]),
        ("s.vms", "JPEG", ["the .opt file that s.vms lists"]),
        ("s.ndpi", "TIFF", ["Hamamatsu NDPI", "rename it to .tif"]),
        ("s.scn", "TIFF", ["Leica SCN", "rename it to .tif"]),
        ("s.bif", "TIFF", ["Ventana BIF", "rename it to .tif"]),
        ("s.svs", "JPEG", ["a JPEG picture, where the name says an Aperio SVS"]),
        ("s.czi", "TIFF", ["a TIFF, where the name says a Zeiss CZI"]),
        ("s.dcm", "PNG", ["a PNG picture, where the name says a DICOM slide"]),
        ("s.oif", "PNG", ["the folder s.oif.files"]),
    ],
)
def test_a_preview_is_not_the_slide(name: str, kind: str, words: list[str], tmp_path: Path) -> None:
    error = refused(preview(tmp_path / name, kind))
    for word in words:
        assert word in str(error)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("s.companion.ome", "name these OME-TIFFs"),
        ("s.ome.xml", "name these OME-TIFFs"),
        ("s.xdce", "name these TIFFs"),
        ("s.kfb", "the scanner's own viewer"),
        ("s.sdpc", "the scanner's own viewer"),
        ("s.isyntax", "Philips IMS"),
        ("s.ndpis", "name the NDPI files"),
        ("s.zvi", "Fiji"),
        ("s.dzi", "the folder s_files beside it"),
        ("s.afi", "the SVS files that it lists"),
        ("s.sdt", "intensity image"),
        ("s.pic", "Fiji"),
    ],
)
def test_lists_and_closed_formats_tell_the_way_out(name: str, word: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x01\x02 some content that nothing recognizes")
    assert word in str(refused(tmp_path / name))


def test_a_folder_without_slidedat_is_told(tmp_path: Path) -> None:
    path = preview(tmp_path / "s.mrxs")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "Data0000.dat").write_bytes(b"pixels")
    assert "Slidedat.ini is missing in its folder s" in refused(path).has


def mirax(folder: Path) -> Path:
    """What OpenSlide takes for an MRXS slide, without any pixels."""
    path = preview(folder / "s.mrxs")
    (folder / "s").mkdir()
    (folder / "s" / "Slidedat.ini").write_text(SLIDEDAT, encoding="utf-8")
    for name in ("Index.dat", "Data0000.dat"):
        (folder / "s" / name).write_bytes(b"01.02")
    return path


def test_missing_files_of_pixels_are_told_when_it_is_opened(tmp_path: Path) -> None:
    path = mirax(tmp_path)
    assert openslide.OpenSlide.detect_format(path) == "mirax"
    error = refused(path)
    assert "1 of 3 files are missing in its folder s: Data0001.dat" in error.has


def test_a_slide_that_openslide_does_not_open_tells_what_belongs_to_it(tmp_path: Path) -> None:
    path = mirax(tmp_path)
    (tmp_path / "s" / "Data0001.dat").write_bytes(b"01.02")
    assert "the folder s beside it, with Slidedat.ini" in refused(path).needs


def vms(folder: Path) -> Path:
    path = folder / "s.vms"
    path.write_text(
        "[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\n"
        "ImageFile=s(0,0).jpg\nMapFile=s_map.jpg\nOptimisationFile=s.opt\n"
    )
    preview(folder / "s_map.jpg")
    preview(folder / "other.jpg")
    return path


def test_a_vms_without_its_pictures_names_them(tmp_path: Path) -> None:
    path = vms(tmp_path)
    assert openslide.OpenSlide.detect_format(path) == "hamamatsu"
    error = refused(path)
    assert "the JPEG or NGR images and the .opt file that s.vms lists" in error.needs


@pytest.mark.parametrize("name", ["s(0,0).jpg", "s_map.jpg", "s_map2.jpg", "s_macro.jpg"])
def test_a_part_of_a_vms_slide_is_not_a_slide(name: str, tmp_path: Path) -> None:
    path = preview(tmp_path / name)
    assert reader_for(path) == "image"
    vms(tmp_path)
    assert "give s.vms instead" in refused(path).do
    assert reader_for(preview(tmp_path / "s.jpg")) == reader_for(tmp_path / "other.jpg") == "image"


def test_a_preview_without_its_suffix_is_told_by_its_folder(tmp_path: Path) -> None:
    path = mirax(tmp_path)
    path = path.rename(tmp_path / "s.jpg")
    assert "give the file its suffix .mrxs again" in refused(path).do
    renamed = preview(tmp_path / "t.tif", "TIFF")
    (tmp_path / "_t_" / "stack1").mkdir(parents=True)
    assert reader_for(renamed) == "tiff"
    (tmp_path / "_t_" / "stack1" / "frame_t.ets").write_bytes(b"SIS\0")
    assert "give the file its suffix .vsi again" in refused(renamed).do


@pytest.mark.parametrize(("name", "reader"), [("s.mrxs", "image"), ("s.vsi", "tiff"), ("s.vms", "image")])
def test_no_reader_is_forced_onto_a_preview(name: str, reader: str, tmp_path: Path) -> None:
    path = preview(tmp_path / name, "TIFF" if reader == "tiff" else "JPEG")
    with pytest.raises(UnreadableSlideError, match="would take the preview"):
        open_slide(path, reader=reader)


def test_a_picture_beside_its_slide_is_a_picture(tmp_path: Path) -> None:
    mirax(tmp_path)
    assert reader_for(preview(tmp_path / "s.jpg")) == "image"


@pytest.mark.parametrize(
    ("folder", "content", "named"),
    [
        ("s", "Slidedat.ini", "s.mrxs"),
        ("_s_", "stack1/frame_t.ets", "s.vsi"),
        ("s.oif.files", "s_C001.tif", "s.oif"),
        ("d", "000.dcm", "d/000.dcm"),
    ],
)
def test_the_folder_of_a_slide_names_its_file(folder: str, content: str, named: str, tmp_path: Path) -> None:
    file = tmp_path / folder / content
    file.parent.mkdir(parents=True)
    file.touch()
    assert f"give {named} instead" in refused(tmp_path / folder).do


def test_a_plain_tiff_called_svs_is_read_and_told(
    rgb_tiff: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "plain.svs"
    shutil.copy(rgb_tiff.path, path)
    with caplog.at_level(logging.WARNING), open_slide(path) as slide:
        assert slide.size.width == 300
    assert "plain.svs: not an Aperio SVS by its content" in caplog.text


def test_an_aperio_slide_called_tif_is_read_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.tif", "a.svs"):
        image_HWC = np.full((200, 300, 3), 200, np.uint8)
        tifffile.imwrite(
            tmp_path / name,
            image_HWC,
            tile=(64, 64),
            photometric="rgb",
            description="Aperio x\n|MPP = 0.25",
            metadata=None,
        )
        with caplog.at_level(logging.INFO), open_slide(tmp_path / name) as slide:
            assert slide.mpp is not None
    assert not caplog.records


def dicom(path: Path, series: str) -> None:
    value = series.encode()
    path.write_bytes(bytes(128) + b"DICM" + b"\x20\0\x0e\0UI" + len(value).to_bytes(2, "little") + value)


def test_what_belongs_to_a_file(tmp_path: Path) -> None:
    assert [each.name for each in belonging(vms(tmp_path))] == ["s_map.jpg"]
    assert [each.name for each in belonging(mirax(tmp_path))] == ["s"]
    for name, series in (("0.dcm", "1.2.840.1"), ("1.dcm", "1.2.840.1"), ("2.dcm", "1.2.840.2")):
        dicom(tmp_path / name, series)
    assert [each.name for each in belonging(tmp_path / "1.dcm")] == ["0.dcm"]
    assert list(belonging(tmp_path / "other.jpg")) == []


def test_a_folder_lists_slides_and_not_their_parts(tmp_path: Path) -> None:
    vms(tmp_path)
    for name, series in (("0.dcm", "1.2.840.1"), ("1.dcm", "1.2.840.1"), ("2.dcm", "1.2.840.2")):
        dicom(tmp_path / name, series)
    (tmp_path / "m.czi").write_bytes(b"ZISRAWFILE")
    (tmp_path / "v.vsi").write_bytes(b"II*\0")
    assert [row.slide_id for row in find_slides([str(tmp_path)])] == ["0", "2", "m", "other", "s", "v"]


def test_a_fingerprint_covers_what_belongs_to_the_file(tmp_path: Path) -> None:
    path = vms(tmp_path)
    before = fingerprint([path])
    preview(tmp_path / "other.jpg", "PNG")
    assert fingerprint([path]) == before
    preview(tmp_path / "s_map.jpg", "PNG")
    assert fingerprint([path]) != before
    sums = subprocess.run(["sha256sum", tmp_path / "other.jpg"], capture_output=True, text=True, check=True)
    assert fingerprint([tmp_path / "other.jpg"]) == sums.stdout.split()[0]


def test_a_dicom_slide_is_read_from_any_of_its_files(
    tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    half_HWC = np.ascontiguousarray(brightfield_HWC[::2, ::2])
    files = [
        dicom_level(tmp_path / "0.dcm", brightfield_HWC, instance=1),
        dicom_level(tmp_path / "1.dcm", half_HWC, instance=2, kind="RESAMPLED", mpp=1.0),
    ]
    for path in files:
        assert reader_for(path) == "openslide"
        with open_slide(path) as slide:
            assert [level.size for level in slide.levels] == [Size(300, 200), Size(150, 100)]
            assert slide.mpp is not None
            assert slide.mpp.x == 0.5
            region_HWC = slide.read_region(Location(0, 0), 0, slide.size)
        np.testing.assert_array_equal(region_HWC, brightfield_HWC)
    assert [row.slide_id for row in find_slides([str(tmp_path)])] == ["0"]
    files[0].unlink()
    with pytest.raises(UnreadableSlideError, match="without the file of the scanned level"):
        open_slide(files[1])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"dtype": "uint16"}, "BitsAllocated value 16"),
        ({"channels": 1}, "SamplesPerPixel value 1"),
        ({"syntax": JPEG_LS}, "Unsupported transfer syntax"),
        ({"sop": "1.2.840.10008.5.1.4.1.1.2"}, "a DICOM file"),
    ],
)
def test_dicom_that_openslide_does_not_decode_is_not_damaged(
    how: dict[str, Any], words: str, tmp_path: Path, brightfield_HWC: NDArray[np.uint8]
) -> None:
    image_HWC: NDArray[Any] = brightfield_HWC[..., : how.get("channels", 3)].astype(how.get("dtype", "uint8"))
    told = {name: value for name, value in how.items() if name in ("syntax", "sop")}
    error = refused(dicom_level(tmp_path / "s.dcm", image_HWC, instance=1, **told))
    assert words in error.has
    assert "OME-TIFF" in error.do
    assert "copy" not in error.do


def test_leica_s_fluorescence_is_not_damaged(tmp_path: Path, brightfield_HWC: NDArray[np.uint8]) -> None:
    path = write_leica(tmp_path / "s.scn", brightfield_HWC)
    light, data = b"<illuminationSource>brightfield<", path.read_bytes()
    assert data.count(light) == 1
    path.write_bytes(data.replace(light, b"<illuminationSource>fluoresce12<"))
    error = refused(path)
    assert "main image" in error.has
    assert "OME-TIFF" in error.do
    assert "copy" not in error.do


def test_a_list_that_cannot_be_read_hides_no_slide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = vms(tmp_path)
    read = Path.read_bytes

    def denied(file: Path) -> bytes:
        if file == path:
            raise PermissionError(13, "Permission denied")
        return read(file)

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert [row.slide_id for row in find_slides([str(tmp_path)])] == ["other", "s", "s_map"]
