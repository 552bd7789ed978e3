"""Names of channels."""

from collections.abc import Sequence

_COLORS = (("r", "red"), ("g", "green"), ("b", "blue"))


def called_rgb(names: Sequence[str]) -> bool:
    """Whether these are red, green and blue in this order, as words or letters of any case."""
    return len(names) == len(_COLORS) and all(
        name.strip().lower() in words for name, words in zip(names, _COLORS, strict=True)
    )
