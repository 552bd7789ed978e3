"""Names of channels, and what they say of the pixels."""

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from patching.errors import ChannelError

logger = logging.getLogger(__name__)
RGB = ("R", "G", "B")
SlideKind = Literal["brightfield", "intensity"]
"""Transmitted light in red, green and blue with a bright background, or signals with a dark one."""
_LIGHT = (np.uint8, np.uint16)
_NO_NAME = re.compile(r"(channel|c)?[ :_-]*[0-9]*")
_COLORS = (("r", "red"), ("g", "green"), ("b", "blue"))


def called_rgb(names: Sequence[str]) -> bool:
    """Whether these are red, green and blue in this order, as words or letters of any case."""
    return len(names) == len(_COLORS) and all(
        name.strip().lower() in words for name, words in zip(names, _COLORS, strict=True)
    )


def nameless(names: Sequence[str]) -> bool:
    """Whether all are no names but numbers: empty, C0, Channel 1, channel:2 and the like."""
    return all(_NO_NAME.fullmatch(name.strip().lower()) for name in names)


def tell_intensities(source: object, names: Sequence[str], dtype: np.dtype[Any]) -> None:
    """In the log: three channels that may be red, green and blue, and are taken for signals.

    They are called so, whatever their pixel type, or have no names in 8 bits.
    """
    if called_rgb(names) or (len(names) == len(RGB) and nameless(names) and dtype == np.uint8):
        do = "set `kind` to brightfield" if dtype in _LIGHT else "save them in 8 or 16 bits"
        logger.warning(
            "%s: three channels of %s are taken for intensities: if they are red, green and blue, %s",
            *(source, dtype, do),
        )


def counted(number: int, noun: str) -> str:
    """`1 channel`, `3 channels`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def distinct(found: Iterable[str], count: int) -> tuple[str, ...]:
    """The file's own names of `count` channels; if some lack one or share it, all are numbered."""
    names = tuple(name.strip().replace(";", ",") for name in found)
    return names if len(names) == len(set(names)) == count and all(names) else numbered(count)


def numbered(count: int) -> tuple[str, ...]:
    """Names for channels that have none: C0, C1, ..."""
    return tuple(f"C{channel}" for channel in range(count))


def names_light(
    source: str, channels: Sequence[str], names: Sequence[str], dtype: np.dtype[Any], told: bool | None
) -> bool:
    """Whether new names say that the pixels are transmitted light; `told` is what the file says of it.

    Raises:
        ChannelError: another number of names than channels.
    """
    if len(names) != len(channels):
        raise ChannelError(
            has=f"{source}: {counted(len(channels), 'channel')} ({', '.join(channels)})",
            needs=f"{len(names)} ({', '.join(names)})",
            do="correct the column `channels`, or give the missing modalities' files in `image`",
        )
    return told is not False and dtype in _LIGHT and called_rgb(names)


def colors_of(source: str, channels: Sequence[str], dtype: np.dtype[Any]) -> tuple[str, ...]:
    """Names of the channels of what was declared to be transmitted light: without names, R, G, B.

    Raises:
        ChannelError: other than red, green and blue of 8 or 16 bits, unsigned.
    """
    without_names = len(channels) == len(RGB) and nameless(channels)
    if dtype not in _LIGHT or not (without_names or called_rgb(channels)):
        raise ChannelError(
            has=f"{source}: {', '.join(channels)} in {dtype}, declared as brightfield",
            needs="red, green and blue, in this order, in 8 or 16 bits, unsigned",
            do="correct the column `kind`, or name the channels R;G;B in the column `channels` if they are",
        )
    return RGB if without_names else tuple(channels)
