"""What a file's name says, and whether its content and what lies beside it confirm it."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from patching.errors import UnreadableSlideError
from patching.readers.containers.companions import check_mirax
from patching.readers.signatures import FIJI, JPEG_MAGIC, PNG_MAGIC, TIFF_MAGIC, Format

logger = logging.getLogger(__name__)
_QUPATH = "export it as OME-TIFF from QuPath, or convert it with Bio-Formats' `bfconvert`"
_LONGEST_NAME = 240
_VMS_PART = re.compile(r"(.+?)(?:\([0-9,]+\)|_map[0-9]*|_macro)", re.DOTALL)
_VIEWER = "export it as TIFF, SVS or DICOM with the scanner's own viewer"
_COPY = "copy both again from the source"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a suffix says of a file."""

    name: str
    vendors: tuple[str, ...] = ()
    """What OpenSlide must call it; none: it never reads this format."""
    beside: str = ""
    """What lies beside the file and holds its pixels; `{stem}` and `{name}` are the file's."""
    do: str = _QUPATH
    microscope: bool = False
    """Whether the reader of microscopes' formats takes it."""
    may_differ: bool = False
    """Whether other programs write plain TIFFs under this suffix; their first image is the slide too."""


_JPEGS = "the JPEG or NGR images and the .opt file that {name} lists, beside it"
_CLAIMS: dict[str, Claim] = {
    ".mrxs": Claim("a 3DHISTECH MIRAX slide", ("mirax",), "the folder {stem} beside it, with Slidedat.ini, "
                   "Index.dat and every Data*.dat", _COPY),
    ".vms": Claim("a Hamamatsu VMS slide", ("hamamatsu",), _JPEGS, _COPY),
    ".vmu": Claim("a Hamamatsu VMU slide", ("hamamatsu",), _JPEGS, _COPY),
    ".vsi": Claim("an Olympus VSI slide", (), "a format that is read: its pixels lie in the ETS files of the "
                  "folder _{stem}_ beside it, which are not", _QUPATH),
    ".ets": Claim("a part of an Olympus VSI slide"),
    ".ndpi": Claim("a Hamamatsu NDPI slide", ("hamamatsu",)),
    ".ndpis": Claim("a list of Hamamatsu NDPI slides", do="name the NDPI files that it lists, joined by `;`"),
    ".svs": Claim("an Aperio SVS", ("aperio",), may_differ=True),
    ".scn": Claim("a Leica SCN slide", ("leica",)),
    ".bif": Claim("a Ventana BIF slide", ("ventana",)),
    ".svslide": Claim("a Sakura slide", ("sakura",)),
    ".dcm": Claim("a DICOM slide", ("dicom",)),
    ".czi": Claim("a Zeiss CZI", ("zeiss",), do=FIJI, microscope=True),
    ".lif": Claim("a Leica LIF", do=FIJI, microscope=True),
    ".nd2": Claim("a Nikon ND2", do=FIJI, microscope=True),
    ".oib": Claim("an Olympus OIB", do=FIJI, microscope=True),
    ".oif": Claim("an Olympus OIF", (), "the folder {name}.files beside it", _COPY, microscope=True),
    ".oir": Claim("an Olympus OIR", do=FIJI),
    ".poir": Claim("an Olympus POIR", do=FIJI),
    ".zvi": Claim("a Zeiss ZVI", do=FIJI),
    ".xdce": Claim("an IN Cell list of files", (), "the TIFFs that it lists", "name these TIFFs"),
    ".xlef": Claim("a Leica list of files", (), "the LOF or TIFF files that it lists", FIJI),
    ".nd": Claim("a MetaMorph list of files", (), "the STK or TIFF files that it lists", "name these files"),
    ".companion.ome": Claim("an OME companion", (), "the OME-TIFFs that it lists", "name these OME-TIFFs"),
    ".ome.xml": Claim("OME-XML", (), "the OME-TIFFs that it lists", "name these OME-TIFFs"),
    ".isyntax": Claim("a Philips iSyntax", do="export it as TIFF from Philips IMS"),
    ".i2syntax": Claim("a Philips iSyntax", do="export it as TIFF from Philips IMS"),
    ".kfb": Claim("a KFBIO slide", do=_VIEWER),
    ".sdpc": Claim("an SQRAY slide", do=_VIEWER),
    ".tron": Claim("an InteMedic TRON slide", do=_VIEWER),
    ".tmap": Claim("a Unic TMAP slide", do=_VIEWER),
    ".mds": Claim("a Motic slide", do=_VIEWER),
    ".mdsx": Claim("a Motic slide", do=_VIEWER),
    ".dzi": Claim("a Deep Zoom list", (), "the folder {stem}_files beside it; it is not read"),
    ".afi": Claim("an Aperio list", (), "the SVS files that it lists", "name them, joined by `;`"),
    ".sld": Claim("a 3i SlideBook", do=FIJI),
    ".dv": Claim("a DeltaVision file", do=FIJI),
    ".r3d": Claim("a DeltaVision file", do=FIJI),
    ".sdt": Claim("a Becker & Hickl file of photon times", do="save its intensity image as TIFF"),
    ".sif": Claim("an Andor file", do=FIJI),
    ".pic": Claim("a Bio-Rad file", do=FIJI),
    ".lei": Claim("a Leica list of files", (), "the TIFFs that it lists", "name these TIFFs"),
    ".ims": Claim("an Imaris IMS", do=FIJI),
}  # fmt: skip


def claim_of(path: Path) -> Claim | None:
    """What a file's name says that it is, if that needs more than a look at its content."""
    name = path.name.lower()
    return next((claim for suffix, claim in _CLAIMS.items() if name.endswith(suffix)), None)


def check_claim(path: Path, vendor: str | None, known: Format | None, head: bytes) -> None:
    """Refuse a file that is not what its name says, or only the preview of a slide that lies elsewhere.

    Args:
        path: the file.
        vendor: what OpenSlide says that it is.
        known: what its first bytes say that it is.
        head: these bytes.

    Raises:
        UnreadableSlideError: a scanner's suffix that the content does not confirm, or a preview.
    """
    claim = claim_of(path)
    if claim is None:
        _check_renamed(path, head)
    elif claim.may_differ and head.startswith(TIFF_MAGIC):
        if vendor not in claim.vendors:
            logger.warning("%s: not %s by its content but a plain TIFF; it is read as such", path, claim.name)
    elif vendor not in claim.vendors and not (claim.microscope and known and known.reader):
        beside = claim.beside.format(stem=path.stem, name=path.name)
        raise UnreadableSlideError(
            has=f"{path}: {_content(path, known, head)}, where the name says {claim.name}{_absent(path)}",
            needs=beside or f"{claim.name} that is whole, or the suffix of what it is",
            do=_way(claim, known, head),
        )
    elif vendor == "mirax":
        check_mirax(path)


def _way(claim: Claim, known: Format | None, head: bytes) -> str:
    if known:
        return known.do
    if claim.beside or not head.startswith((PNG_MAGIC, JPEG_MAGIC, *TIFF_MAGIC)):
        return claim.do
    return (
        "copy it again from its source; if it was exported under this name, rename it to .tif, .png or .jpg"
    )


def _content(path: Path, known: Format | None, head: bytes) -> str:
    if known:
        return known.name
    kinds = {"a JPEG picture": (JPEG_MAGIC,), "a PNG picture": (PNG_MAGIC,), "a TIFF": TIFF_MAGIC}
    picture = next((name for name, magic in kinds.items() if head.startswith(magic)), None)
    return picture or f"{path.stat().st_size} bytes of no known format, beginning {head[:4]!r}"


def _absent(path: Path) -> str:
    """What of a slide in several files is missing, for its error."""
    suffix = path.suffix.lower()
    if suffix not in (".mrxs", ".vsi"):
        return ""
    folder = path.with_suffix("") if suffix == ".mrxs" else path.with_name(f"_{path.stem}_")
    if not folder.is_dir():
        return f": it is the preview alone, its folder {folder.name} is missing"
    if suffix == ".mrxs":
        return f": it is the preview alone, Slidedat.ini is missing in its folder {folder.name}"
    return f": it is the preview, the slide lies in its folder {folder.name}"


def _check_renamed(path: Path, head: bytes) -> None:
    """A preview under a picture's suffix, beside the folder of its slide."""
    if len(path.name) > _LONGEST_NAME:
        return  # a longer name than the file system takes cannot lie beside it
    if head.startswith(JPEG_MAGIC):
        _check_part(path)
        name, folder, content = "a 3DHISTECH MIRAX slide", path.with_suffix(""), "Slidedat.ini"
        suffix = ".mrxs"
    elif head.startswith(TIFF_MAGIC):
        name, folder, content = "an Olympus VSI slide", path.with_name(f"_{path.stem}_"), "*/*.ets"
        suffix = ".vsi"
    else:
        return
    if any(folder.glob(content)) and not path.with_suffix(suffix).exists():
        raise UnreadableSlideError(
            has=f"{path}: the preview of {name}, by its folder {folder.name}",
            needs=f"the slide, whose pixels lie in the folder {folder.name}",
            do=f"give the file its suffix {suffix} again, or move a picture of its own elsewhere",
        )


def _check_part(path: Path) -> None:
    """A part, map or macro picture of a Hamamatsu slide, by its name: a folder may hold many pictures."""
    part = _VMS_PART.fullmatch(path.stem)
    lists = [path.with_name(f"{part[1]}{suffix}") for suffix in (".vms", ".vmu")] if part else []
    if listed := [each for each in lists if each.is_file()]:
        raise UnreadableSlideError(
            has=f"{path}: a part or a preview of the Hamamatsu slide {listed[0].name}",
            needs="the slide itself",
            do=f"give {listed[0].name} instead, or move a picture of its own elsewhere",
        )


def check_forced(source: Path | str, reader: str) -> None:
    """Refuse a forced reader of pictures on a file whose pixels lie beside it.

    Raises:
        UnreadableSlideError: it would read the preview.
    """
    claim = claim_of(Path(source))
    if claim and claim.beside and not claim.microscope and reader in ("image", "tiff"):
        raise UnreadableSlideError(
            has=f"{source}: {claim.name}, of which the reader {reader} would take the preview",
            needs=beside(Path(source)),
            do="leave the choice of the reader to evenpatch",
        )


def beside(path: Path) -> str:
    """What belongs to a file by its suffix, for the error of one that does not open; empty for nothing."""
    claim = claim_of(path)
    return claim.beside.format(stem=path.stem, name=path.name) if claim else ""


def check_folder(path: Path) -> None:
    """Refuse a folder that belongs to a file, and tell the file's name; OME-Zarr is none.

    Raises:
        UnreadableSlideError: the folder of a MIRAX, VSI or OIF slide, or one of DICOM files.
    """
    if (path / "Slidedat.ini").is_file():
        kind, named = "a 3DHISTECH MIRAX slide", f"{path.name}.mrxs"
    elif any(path.glob("*/frame_t*.ets")):
        kind, named = "an Olympus VSI slide", f"{path.name.strip('_')}.vsi"
    elif path.name.lower().endswith(".oif.files"):
        kind, named = "an Olympus OIF", path.name[: -len(".files")]
    elif found := next(path.glob("*.dcm"), None):
        kind, named = "a DICOM slide", f"{path.name}/{found.name}"
    else:
        return
    raise UnreadableSlideError(
        has=f"{path}: the folder of {kind}", needs="the file that names the slide", do=f"give {named} instead"
    )
