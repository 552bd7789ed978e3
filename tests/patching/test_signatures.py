"""A file of another format is named, with the way out; nothing sound is called damaged."""

import sqlite3
from pathlib import Path

import pytest

from patching import open_slide
from patching.errors import UnreadableSlideError
from tests.patching.compound import compound

DICOM = b"\0" * 128 + b"DICM"
HEADS = {
    "a.bin": (b"OLYMPUSRAWFORMAT\x0c\0\0\0", "an Olympus OIR", "FluoView"),
    "b.bin": (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5", "Fiji"),
    "c.bin": (b"\xff\x0a" + bytes(40), "JPEG XL", "PNG or TIFF"),
    "d.bin": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(9), "JPEG XL", "PNG or TIFF"),
    "e.bin": (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC", "PNG or TIFF"),
    "f.bin": (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF", "PNG or TIFF"),
    "g.bin": (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP", "PNG or TIFF"),
    "h.bin": (b"BM\x36\x03\0\0\0\0\0\0\x36\0\0\0", "BMP", "PNG or TIFF"),
    "i.bin": (b"GIF89a" + bytes(9), "GIF", "PNG or TIFF"),
    "j.bin": (b"8BPS\0\x01" + bytes(9), "Photoshop", "PNG or TIFF"),
    "k.bin": (b"SIMPLE  =                    T", "FITS", "OME-TIFF"),
    "l.bin": (b"NRRD0004\ntype: float\n", "an NRRD volume", "OME-TIFF"),
    "m.bin": (bytes(208) + b"MAP DD\0\0", "MRC", "OME-TIFF"),
    "n.bin": (b"\x5c\x01\0\0" + bytes(340) + b"n+1\0", "NIfTI", "OME-TIFF"),
    "o.bin": (b"\x1f\x8b\x08\0" + bytes(9), "gzip", "unpack"),
    "p.bin": (b"PK\x03\x04" + bytes(9), "zip", "unpack"),
    "q.bin": (b"7z\xbc\xaf\x27\x1c" + bytes(9), "7z", "unpack"),
    "r.bin": (bytes(257) + b"ustar\0", "tar archive", "unpack"),
    "s.bin": (b"%PDF-1.7\n", "a PDF", "name the slide"),
    "t.bin": (b"\xef\xbb\xbf \n<!DOCTYPE html><html>Sign in</html>", "web page", "download"),
    "u.bin": (b"<html><body>404</body></html>", "web page", "download"),
    "v.bin": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "server's error", "download"),
    "w.bin": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS", "git lfs pull"),
    "x.bin": (b"/annex/objects/SHA256E-s1--0.tif\n", "git-annex", "git annex get"),
    "y.bin": (b"outs:\n- md5: 0\n  path: a.tif\n", "pointer of DVC", "dvc pull"),
    "z.bin": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(9), "JPEG 2000", "PNG or TIFF"),
    "old.nd2": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(9), "ND2 of before 2006", "NIS-Elements"),
    "lof.bin": (b"\x70\0\0\0\x40\0\0\0\x2a" + "LMS_Object_File".encode("utf-16-le"), "Leica LOF", "Fiji"),
    "flim.bin": (b"PQTTTR\0\0", "PicoQuant", "intensity image"),
    "array.bin": (b"\x93NUMPY\x01\0", "NumPy", "OME-TIFF"),
    "._slide.svs": (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", "macOS", "without `._`"),
    "zeros.tif": (bytes(5000), "zeros instead of content", "again"),
    "philips.bin": (b'<DataObject ObjectType="DPUfsImport">', "iSyntax", "Philips IMS"),
    "ls.dcm": (
        DICOM + b"\x02\0\x10\0UI\x16\x001.2.840.10008.1.2.4.80\x08\0\x60\0CS\x02\0OP"
        b"\x28\0\0\x01US\x02\0\x10\0",
        "DICOM file (modality OP, 16 bits, JPEG-LS)",
        "bfconvert",
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_format_that_is_not_read_is_named(name: str, tmp_path: Path) -> None:
    head, kind, way = HEADS[name]
    path = tmp_path / name
    path.write_bytes(head)
    with pytest.raises(UnreadableSlideError) as refused:
        open_slide(path)
    assert name in refused.value.has
    assert kind in refused.value.has
    assert way in refused.value.do
    assert "damaged" not in str(refused.value)


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    for name in ("a.tif", "b.mrxs", "c"):
        (tmp_path / name).touch()
        with pytest.raises(UnreadableSlideError, match="an empty file"):
            open_slide(tmp_path / name)


def test_a_database_is_no_sakura_slide(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.svslide") as database:
        database.execute("CREATE TABLE cells (id INTEGER)")
    database.close()
    with pytest.raises(UnreadableSlideError, match="an SQLite database, where the name says a Sakura slide"):
        open_slide(tmp_path / "other.svslide")


@pytest.mark.parametrize(
    ("streams", "kind"),
    [({"Image/Contents": b"", "Contents": b""}, "a Zeiss ZVI"), ({"Workbook": b""}, "an OLE2 container")],
)
def test_ole_containers_are_told_apart(streams: dict[str, bytes], kind: str, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(compound(streams))
    with pytest.raises(UnreadableSlideError, match=kind):
        open_slide(tmp_path / "file.bin")
