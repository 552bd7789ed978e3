"""What belongs to a slide's file: the files and folders beside it that hold its pixels."""

import re
from collections.abc import Sequence
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from pathlib import Path

from patching.damage import Foreign, damaged, decoded
from patching.errors import UnreadableSlideError
from patching.readers.containers.dicom import dicom_siblings

_LONGEST_LINE = 200
_configured = Foreign(damaged, (ConfigParserError,))


def belonging(path: Path) -> Sequence[Path]:
    """The files and folders beside a slide's file that hold its pixels, sorted; not the file itself.

    Raises:
        UnreadableSlideError: a list of them that cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in (".mrxs", ".oif"):
        folder = path.with_suffix("") if suffix == ".mrxs" else path.with_name(f"{path.name}.files")
        return [folder] if folder.is_dir() else []
    if suffix in (".vms", ".vmu"):
        lines = decoded(path, path.read_bytes).decode("utf-8", "replace").splitlines()
        names = {Path(line.partition("=")[2].strip()).name for line in lines if len(line) < _LONGEST_LINE}
        return sorted(each for name in names - {"", ".."} if (each := path.with_name(name)).is_file())
    return dicom_siblings(path) if suffix == ".dcm" else []


def check_mirax(path: Path) -> None:
    """OpenSlide opens a slide whose files of pixels are missing, and fails where it reads them."""
    folder = path.with_suffix("")
    parser = ConfigParser(
        interpolation=None, strict=False, delimiters=("=",), allow_no_value=True, empty_lines_in_values=False
    )
    text: str = decoded(path, (folder / "Slidedat.ini").read_bytes).decode("utf-8-sig", "replace")
    _configured(path, parser.read_string, text)
    listed = [
        value
        for section, key in (("DATAFILE", r"file_\d+"), ("HIERARCHICAL", "indexfile"))
        if parser.has_section(section)
        for name, value in parser.items(section)
        if value and re.fullmatch(key, name)
    ]
    if missing := [name for name in listed if not decoded(path, (folder / name).is_file)]:
        raise UnreadableSlideError(
            has=f"{path}: {len(missing)} of {len(listed)} files are missing in its folder {folder.name}: "
            f"{', '.join(missing[:5])}",
            needs=f"the folder {folder.name} with Slidedat.ini and all files that it lists",
            do="copy the file and this folder again from the source",
        )
