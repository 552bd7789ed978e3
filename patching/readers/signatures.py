"""Which file is what: formats known by their first bytes, and the way out of those that are not read.

A file of another format is not damaged. Its error names the format and what to do, so that nobody copies a
sound file again.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from patching.damage import decoded
from patching.errors import UnreadableSlideError
from patching.readers.containers.dicom import dicom_told

PNG_MAGIC, JPEG_MAGIC = b"\x89PNG", b"\xff\xd8\xff"
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_JPEG2000_MAGIC = b"\0\0\0\x0cjP  \r\n\x87\n"
_HEAD = 4096
_SECTOR_SHIFTS = range(7, 13)

FIJI = "open it in Fiji (Bio-Formats) and save it as OME-TIFF, or convert it with `bfconvert`"
_QUPATH = "export it as OME-TIFF from QuPath, or convert it with Bio-Formats' `bfconvert`"
_PICTURE = "save it as PNG or TIFF without loss, from the original where there is one"
_UNPACK = "unpack it, and name the slide that is inside"
_AGAIN = "download the file itself, and look at it before you name it in `image`"
_VOLUME = "save the plane or the stack as OME-TIFF (Fiji, or tifffile.imwrite(..., ome=True))"
_DICOM = "convert it to OME-TIFF with `bfconvert`, or to 8-bit whole-slide DICOM in JPEG or JPEG 2000"


@dataclass(frozen=True, slots=True)
class Format:
    """What a file is, in words with an article, and the way out; or the reader that takes it."""

    name: str
    do: str = ""
    reader: str | None = None


_CZI, _LIF = Format("a Zeiss CZI", FIJI, "microscope"), Format("a Leica LIF", FIJI, "microscope")
_ND2 = Format("a Nikon ND2", FIJI, "microscope")
_OIB, _OIF = Format("an Olympus OIB", FIJI, "microscope"), Format("an Olympus OIF", FIJI, "microscope")
_OLD_ND2 = Format(
    "a Nikon ND2 of before 2006, in JPEG 2000",
    "open it in NIS-Elements and save it as ND2 or TIFF, or as OME-TIFF in Fiji (Bio-Formats)",
)
_JPEG2000 = Format("a JPEG 2000 picture", _PICTURE)
_ZEROS = Format("zeros instead of content", "copy or download it again: that was not finished")
_ZVI = Format("a Zeiss ZVI", "save it as CZI or OME-TIFF in ZEN, or as OME-TIFF in Fiji (Bio-Formats)")
_OLE = Format("an OLE2 container", FIJI)
_ISO_MEDIA = {
    "a HEIC picture": (b"heic", b"heix", b"heim", b"mif1", b"msf1"),
    "an AVIF picture": (b"avif", b"avis"),
}

# Place, bytes, format; the first that fits counts.
_MAGIC: tuple[tuple[int, bytes, Format], ...] = (
    (0, b"ZISRAWFILE", _CZI),
    (0, b"\xda\xce\xbe\x0a", _ND2),
    (0, b"OLYMPUSRAWFORMAT", Format("an Olympus OIR", "save it as OIB in FluoView; or " + FIJI)),
    (0, b"OMAS_BF_", Format("an OBF or MSR of Abberior or LaVision", FIJI)),
    (0, b"PQTTTR", Format("a PicoQuant PTU of photon times", "save its intensity image as TIFF")),
    (0, b"\0\0\0\x03\0", Format("a Gatan DM3", FIJI)),
    (0, b"\x89HDF\r\n\x1a\n", Format("an HDF5 file, such as Imaris' IMS", FIJI)),
    (0, b"\x0e\x03\x13\x01", Format("an HDF4 file", FIJI)),
    (0, b"CDF", Format("a NetCDF file", FIJI)),
    (0, b"SQLite format 3\0", Format("an SQLite database", _QUPATH)),
    (0, b"\xff\x0a", Format("a JPEG XL picture", _PICTURE)),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", Format("a JPEG XL picture", _PICTURE)),
    (0, b"\xff\x4f\xff\x51", Format("a bare JPEG 2000 codestream", _PICTURE)),
    (0, b"GIF8", Format("a GIF picture", _PICTURE)),
    (0, b"8BPS", Format("a Photoshop file", _PICTURE)),
    (0, b"v/1\x01", Format("an OpenEXR picture", _PICTURE)),
    (0, b"SIMPLE  =", Format("a FITS file", _VOLUME)),
    (0, b"NRRD000", Format("an NRRD volume", _VOLUME)),
    (208, b"MAP ", Format("an MRC map", _VOLUME)),
    (344, b"n+1\0", Format("a NIfTI volume", _VOLUME)),
    (344, b"ni1\0", Format("a NIfTI volume", _VOLUME)),
    (0, b"ObjectType = Image", Format("a MetaImage header", _VOLUME)),
    (0, b"ics_version", Format("an ICS file", FIJI)),
    (0, b"\x93NUMPY", Format("a NumPy array", _VOLUME)),
    (0, b"MATLAB 5.0 MAT-file", Format("a MATLAB file", _VOLUME)),
    (0, b"\0\x05\x16\x07", Format("what macOS keeps beside a file", "name the file without `._`")),
    (0, b"\x1f\x8b", Format("a gzip archive", _UNPACK)),
    (0, b"PK\x03\x04", Format("a zip archive", _UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", Format("a 7z archive", _UNPACK)),
    (0, b"\xfd7zXZ\0", Format("an xz archive", _UNPACK)),
    (0, b"BZh", Format("a bzip2 archive", _UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", Format("a Zstandard archive", _UNPACK)),
    (0, b"Rar!\x1a\x07", Format("a RAR archive", _UNPACK)),
    (257, b"ustar", Format("a tar archive", _UNPACK)),
    (0, b"%PDF", Format("a PDF", "name the slide that it was made from")),
    (0, b"version https://git-lfs", Format("a pointer of Git LFS", "run `git lfs pull` in that repository")),
    (0, b"/annex/objects/", Format("a pointer of git-annex", "run `git annex get` in that repository")),
    (0, b"outs:\n", Format("a pointer of DVC", "run `dvc pull`, and name the file without `.dvc`")),
    (0, b'"NDInfoFile"', Format("a MetaMorph ND list", "name its TIFFs, or " + FIJI)),
)  # fmt: skip
# Text: white space and a byte order mark before it do not matter, nor do upper and lower case.
_TEXT: tuple[tuple[bytes, Format], ...] = (
    (b"<!doctype html", Format("a web page saved instead of the file", _AGAIN)),
    (b"<html", Format("a web page saved instead of the file", _AGAIN)),
    (b"<dataobject", Format("a Philips iSyntax", "export it as TIFF from Philips IMS")),
    (b"<ome", Format("OME-XML without pixels", "name the OME-TIFF files that it lists")),
    (b"<imagedocument", Format("an XML document", "name the file that holds the pixels")),
    (b"<?xml", Format("an XML document", "name the file that holds the pixels")),
    (b"<error", Format("a server's error saved instead of the file", _AGAIN)),
)


def head_of(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        UnreadableSlideError: it cannot be read.
    """
    with decoded(path, lambda: path.open("rb")) as file:
        head: bytes = decoded(path, file.read, _HEAD)
    return head


def recognized(path: Path, head: bytes) -> Format | None:
    """What a file is by its first bytes, if it is none of TIFF, PNG and JPEG; None if they tell nothing."""
    if head.startswith(OLE_MAGIC):
        return _in_ole(path, head)
    if head.startswith(_JPEG2000_MAGIC):
        return _OLD_ND2 if path.suffix.lower() == ".nd2" else _JPEG2000
    # Leica's blocks begin with 0x70, a length, and 0x2A before a text in UTF-16.
    if head.startswith(b"\x70\0\0\0") and head[8:9] == b"\x2a":
        return Format("a Leica LOF", FIJI) if "LMS_Object_File".encode("utf-16-le") in head else _LIF
    if head[:4] == b"RIFF":
        return Format("a WebP picture", _PICTURE) if head[8:12] == b"WEBP" else Format("a film", _VOLUME)
    if head[4:8] == b"ftyp":
        name = next((name for name, brands in _ISO_MEDIA.items() if head[8:12] in brands), "a film")
        return Format(name, _PICTURE)
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return Format("a BMP picture", _PICTURE)
    if re.match(rb"P[1-7][ \t\r\n]", head):
        return Format("a PNM picture", _PICTURE)
    if head.startswith(b"DICM", 128):
        told = dicom_told(path)
        return Format(f"a DICOM file{f' ({told})' if told else ''} that OpenSlide does not read", _DICOM)
    found = next((known for at, magic, known in _MAGIC if head.startswith(magic, at)), None)
    return found or (_in_text(head) if head.strip(b"\0") else _ZEROS)


def _in_text(head: bytes) -> Format | None:
    # A text in UTF-16 (OIF is one) without its empty bytes is comparable.
    plain = head.removeprefix(b"\xef\xbb\xbf").removeprefix(b"\xff\xfe").replace(b"\0", b"").lstrip().lower()
    document = re.sub(rb"^<\?xml[^>]*\?>\s*(<!--.*?-->\s*)*", b"", plain, flags=re.DOTALL)
    if re.search(rb"\[(fileinformation|profilesaveinfo|acquisition parameters)", plain):
        return _OIF
    for text in (document, plain):
        for start, known in _TEXT:
            if text.startswith(start):
                return known
    return None


def _in_ole(path: Path, head: bytes) -> Format:
    """OLE2 holds a folder of named streams: what they are called tells the program."""
    shift, first = int.from_bytes(head[30:32], "little"), int.from_bytes(head[48:52], "little")
    if shift not in _SECTOR_SHIFTS:
        return _OLE
    with decoded(path, lambda: path.open("rb")) as file:
        decoded(path, file.seek, (first + 1) << shift)
        directory: bytes = decoded(path, file.read, _HEAD)
    names = {
        directory[at : at + 64].decode("utf-16-le", "replace").partition("\0")[0]
        for at in range(0, len(directory), 128)
    }
    if "OibInfo.txt" in names:
        return _OIB
    return _ZVI if {"Image", "Contents"} <= names else _OLE


def not_read(path: Path, kind: Format) -> UnreadableSlideError:
    """The error for a file of a known format that no reader takes."""
    return UnreadableSlideError(
        has=f"{path}: {kind.name}, a format that is not read",
        needs="TIFF, OME-Zarr, a format of OpenSlide, PNG or JPEG, or CZI, LIF, ND2, OIB or OIF",
        do=kind.do,
    )


def empty(path: Path) -> UnreadableSlideError:
    """The error for a file without content."""
    return UnreadableSlideError(
        has=f"{path}: an empty file (0 bytes)",
        needs="a slide",
        do="copy or download it again: that was begun and not finished, or the disk was full",
    )


def unknown(path: Path, head: bytes) -> UnreadableSlideError:
    """The error for a file of which nothing is known."""
    return UnreadableSlideError(
        has=f"{path}: {path.stat().st_size} bytes of no known format, beginning {head[:4]!r}",
        needs="TIFF, SVS, NDPI, MRXS or another format of OpenSlide, OME-Zarr, PNG or JPEG",
        do="check that the file is what its name says, or export it as OME-TIFF",
    )
