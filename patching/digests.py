"""SHA-256 of what a slide's files hold."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from patching.errors import UnreadableSlideError
from patching.readers.containers.companions import belonging
from patching.readers.zarr.files import Source, ZarrFiles, is_url
from patching.readers.zarr.metadata import documents_of


def fingerprint(paths: Sequence[Source]) -> str:
    """SHA-256 of a slide's content.

    Of one file it is what `sha256sum` prints; of several it is taken over their digests; of a folder over
    its files' names and digests, in order. Of an address only the documents are read, not the pixels.

    Raises:
        UnreadableSlideError: a file or folder that cannot be read, or not to its end.
    """
    digests = [digest for path in paths for digest in content_digests(path)]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def content_digests(source: Source) -> list[str]:
    """SHA-256 of a file, and of those beside it where the format keeps pixels there.

    Of a folder it is taken over its files' names and digests, of an address over its documents.

    Raises:
        UnreadableSlideError: a file or folder that cannot be read, or not to its end.
    """
    if isinstance(source, str) and is_url(source):
        return [hashlib.sha256(b"\n".join(documents_of(ZarrFiles(source)))).hexdigest()]
    path = Path(source)
    if path.is_dir():
        listed = "\n".join(f"{file.relative_to(path).as_posix()} {_digest(file)}" for file in _inside(path))
        return [hashlib.sha256(listed.encode()).hexdigest()]
    beside = [file for each in belonging(path) for file in (_inside(each) if each.is_dir() else [each])]
    return [_digest(file) for file in (path, *beside)]


def _inside(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise _unreadable(folder, error)

    # Path.rglob passes over folders that it must not enter.
    walk = os.walk(folder, onerror=refuse) if folder.is_dir() else ()
    files = [Path(parent, name) for parent, _, names in walk for name in names]
    return sorted(file for file in files if file.is_file())


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> UnreadableSlideError:
    return UnreadableSlideError(
        has=f"{path}: {error}",
        needs="a file or folder that can be read whole",
        do="check its permissions and its disk or share, or copy it again from its source",
    )
