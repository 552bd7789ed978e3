"""A new project's files, written together or not at all."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from patching.errors import ConfigError
from pipeline.files import replacing

_SHOWN = 10


@contextmanager
def writing(folder: Path, files: Mapping[str, str]) -> Iterator[list[str]]:
    """Write what is not there yet, and take it back if that or the block fails; gives the names written.

    A killed process leaves some of the files; the same call writes the others.

    Args:
        folder: made if there is none.
        files: text by path in the folder.

    Raises:
        ConfigError: one of the files is there already and says something else.
    """
    _refuse_others(folder, files)
    missing = [name for name in files if not (folder / name).exists()]
    with ExitStack() as undo:
        for name in missing:
            path = folder / name
            _make_folder(path.parent, undo)
            with replacing(path) as part:
                part.write_text(files[name], encoding="utf-8")
            undo.callback(path.unlink)
        yield missing
        undo.pop_all()


def make_git(folder: Path) -> None:
    """Make the folder a git repository.

    Raises:
        ConfigError: there is no git, or it refuses.
    """
    git = shutil.which("git")
    if git is None:
        raise ConfigError(has="no command git", needs="git for --git", do="install git, or leave --git out")
    done = subprocess.run([git, "init", "--quiet", str(folder)], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ConfigError(
            has=f"git init: {done.stderr.strip()}",
            needs="a folder that git can use",
            do="mend what git says, or leave --git out",
        )


def in_git(folder: Path) -> bool:
    """Whether the folder lies in a git repository, or will once it is made."""
    here = folder.resolve()
    return any((each / ".git").exists() for each in (here, *here.parents))


def _refuse_others(folder: Path, files: Mapping[str, str]) -> None:
    there = _nearest(folder)
    if there.is_dir():
        others = [f"with {name}" for name, text in files.items() if not _is_free(folder / name, text)]
    else:
        others = [f"where {there} is a file"]
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise ConfigError(
            has=f"{folder}, {', '.join(others[:_SHOWN])}{more}",
            needs="a folder without files of these names: nothing is overwritten",
            do="choose another folder, or move them away",
        )


def _is_free(path: Path, text: str) -> bool:
    """Whether nothing is in the way, or what would be written is there."""
    there = _nearest(path)
    return (path.is_file() and path.read_bytes() == text.encode()) if there == path else there.is_dir()


def _nearest(path: Path) -> Path:
    """The path or the folder above it that is there, if only as a link to nowhere."""
    return next(each for each in (path, *path.parents) if each.exists() or each.is_symlink())


def _make_folder(folder: Path, undo: ExitStack) -> None:
    for each in reversed([folder, *folder.parents]):
        if not each.exists():
            each.mkdir()
            undo.callback(each.rmdir)
