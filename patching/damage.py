"""Calls of libraries on untrusted bytes: whatever a decoder raises becomes one error that names the file.

Only the call itself is covered, never code of ours around it: an error of ours is a defect and stays what
it is.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from patching.errors import EvenpatchError, MemoryShortageError, UnreadableSlideError

# What decoders raise on damaged bytes: the codecs' own errors derive from RuntimeError, TIFF's from
# ValueError, and a lying directory shows as a failed lookup or an impossible number inside the library.
DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    SyntaxError,
    EOFError,
    struct.error,
)
_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Foreign:
    """Calls functions of a library; what they raise on damaged bytes becomes the error of `refuse`.

    Args:
        refuse: the error for a file, slide or folder, of which the library says this.
        own: what this library raises beside `DAMAGE`.
    """

    refuse: Callable[[Any, str], EvenpatchError]
    own: tuple[type[Exception], ...] = ()

    def __call__(
        self, source: object, call: Callable[_Args, _Result], /, *args: _Args.args, **kwargs: _Args.kwargs
    ) -> _Result:
        """The result of a function on `source`.

        Raises:
            MemoryShortageError: it needs more memory than there is.
        """
        try:
            return call(*args, **kwargs)
        except MemoryError as error:
            raise out_of_memory(self.refuse(source, in_words(error)).has) from error
        except (*DAMAGE, *self.own) as error:
            raise self.refuse(source, in_words(error)) from error


def damaged(source: object, what: str) -> UnreadableSlideError:
    """The error for a file, or slide, that is damaged."""
    return UnreadableSlideError(
        has=f"{source}: {what}",
        needs="a whole file in a format that evenpatch reads",
        do="copy the file again from its source, or export it anew",
    )


def not_finite(source: object, largest: float) -> UnreadableSlideError:
    """The error for pixels that are no numbers, or too large to reckon with."""
    return UnreadableSlideError(
        has=f"{source}: pixels that are infinite, not a number or beyond {largest:g}",
        needs="finite pixels: one such pixel spoils thresholds, means and trainings",
        do="export it with these pixels set to 0",
    )


decoded = Foreign(damaged)
"""For decoders of slides: an UnreadableSlideError."""


def in_words(error: Exception) -> str:
    """An error of a library."""
    return f"{type(error).__name__}: {error}"


@contextmanager
def memory_told(work: object) -> Iterator[None]:
    """Turn a want of memory anywhere in the block into an error that says what helps."""
    try:
        yield
    except MemoryShortageError:
        raise
    except MemoryError as error:
        raise out_of_memory(f"{work}: {in_words(error)}") from error


def out_of_memory(has: str) -> MemoryShortageError:
    """The error for work that needs more memory than there is."""
    return MemoryShortageError(
        has=has,
        needs="more memory, or work that takes less of it",
        do="close other programs, lower what is held at a time (tiling: `tile.workers` and `tile.cache_mib`; "
        "predicting: `--workers`; training and evaluation: `memory_limit_gib`) or take a larger machine, and "
        "run the command again",
    )
