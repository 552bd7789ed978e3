"""Where a result comes from: commit, versions of what was used, and hashes of what went in."""

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "evenpatch",
    "torch",
    "monai",
    "accelerate",
    "albumentations",
    "numpy",
    "pandas",
    "zarr",
    "tensorstore",
    "scikit-learn",
    "mlflow",
    "dvc",
)


def git_commit(root: Path) -> str:
    """The commit checked out in `root`, with `-dirty` where tracked files differ; `unknown` outside git."""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return "unknown"
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if changed else commit


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the results."""
    return {"python": platform.python_version()} | {name: version_of(name) for name in PACKAGES}


def version_of(package: str) -> str:
    """The installed version; `unknown` where only the code is on the path, as in a model's own folder."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _git(root: Path, *arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run(  # noqa: S603
        [git, "-C", str(root), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""
