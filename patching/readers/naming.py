"""Names of channels."""

from collections.abc import Iterable, Sequence

_COLORS = (("r", "red"), ("g", "green"), ("b", "blue"))


def called_rgb(names: Sequence[str]) -> bool:
    """Whether these are red, green and blue in this order, as words or letters of any case."""
    return len(names) == len(_COLORS) and all(
        name.strip().lower() in words for name, words in zip(names, _COLORS, strict=True)
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
