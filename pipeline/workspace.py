"""Where a project's paths lead, also from the copy of it that `dvc exp run --temp` and `--queue` work in."""

from pathlib import Path


def workspace(root: Path) -> Path:
    """The user's own working tree.

    `dvc exp run --temp` and `--queue` run stages in a copy under `.dvc/tmp/exps/` that is deleted
    afterwards; what is logged there would be lost with it.
    """
    here = root.resolve()
    for folder in here.parents:
        if (folder.parent.name, folder.name) == ("tmp", "exps") and folder.parent.parent.name == ".dvc":
            return folder.parents[2]
    return here


def located(path: Path | str, root: Path) -> Path:
    """Where a path of the project's settings or tables leads: an absolute one to itself, another from `root`.

    DVC's copy of a project holds what git and DVC track, and lies elsewhere: what is not found from there is
    found from the user's own working tree.
    """
    here, own = root / path, workspace(root) / path
    return own if own.exists() and not here.exists() else here
