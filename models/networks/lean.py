"""MONAI without the packages that it looks for beside itself."""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_BESIDE = (
    "ignite",
    "matplotlib",
    "mlflow",
    "optuna",
    "scipy",
    "skimage",
    "sklearn",
    "tensorboard",
    "transformers",
)
"""What MONAI imports where it is installed, and none of its networks uses."""


@contextmanager
def lean_monai() -> Iterator[None]:
    """Import MONAI as if it were installed alone, while the block lasts.

    For one network it imports all of itself, and every package that any part of it could use: 100 MiB and
    three seconds of the processor more, instead of 30 and half a second. What is imported already stays, and
    other threads import as ever. What MONAI did not find it lacks until the process ends, and so this is for
    processes that only train or predict.
    """
    finder = _Hidden({name for name in _BESIDE if name not in sys.modules}, threading.get_ident())
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Hidden(MetaPathFinder):
    """Says of some packages that they are not installed, to one thread."""

    def __init__(self, names: set[str], thread: int) -> None:
        self._names, self._thread = names, thread

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Nothing, for the next finder to look; an error for those that are hidden."""
        if fullname.partition(".")[0] in self._names and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{fullname} is not looked for", name=fullname)
        return None
