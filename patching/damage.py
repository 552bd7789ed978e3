"""Damaged files: whatever a decoder raises becomes one error that names the file."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from patching.errors import SlideError, UnreadableSlideError

# What decoders raise on damaged bytes: the codecs' own errors derive from RuntimeError, TIFF's from
# ValueError, and a lying directory shows as a failed lookup or an impossible number.
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
    MemoryError,
    struct.error,
)


@contextmanager
def damage_told(path: object) -> Iterator[None]:
    """Turn what decoders raise into an UnreadableSlideError that names the file, or slide."""
    try:
        yield
    except SlideError:
        raise
    except DAMAGE as error:
        raise UnreadableSlideError(
            has=f"{path}: {type(error).__name__}: {error}",
            needs="a whole file in a format that evenpatch reads",
            do="copy the file again from its source, or export it anew",
        ) from error
