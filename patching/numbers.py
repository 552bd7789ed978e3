"""Numbers and lengths as people and programs write them: read whole, or not at all.

Scanners and exporters write a decimal comma, an exponent, no leading zero, a unit behind the number or a
zero byte at its end. Reading as far as the first odd character would make 1.0 of `1,0079`: a wrong pixel
size without a word.
"""

import math
import re

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_WITH_UNIT = re.compile(rf"({_NUMBER.pattern})\s*([^0-9]*)", re.DOTALL)
_PER_PIXEL = re.compile(r"\s*(?:/|\bper\b)\s*(?:px|pixels?)$", re.IGNORECASE)
# White space, control characters, byte order marks, and what decoders put for bytes that are no text.
_AROUND = "".join(map(chr, (*range(33), *range(127, 161), 0x2009, 0x200B, 0x202F, 0xFEFF, 0xFFFD)))
_LONGEST = 100
# Symbols mind their case (a Mm is no mm), words do not. There are two signs for micro and two for ångström.
_SYMBOLS = {
    "pm": 1e-6, "\xc5": 1e-4, "\u212b": 1e-4, "nm": 1e-3, "um": 1.0, "\xb5m": 1.0, "\u03bcm": 1.0,
    "\xb5": 1.0, "\u03bc": 1.0, "mm": 1e3, "cm": 1e4, "dm": 1e5, "m": 1e6, "in": 25400.0,
    "pt": 25400.0 / 72, "thou": 25.4,
}  # fmt: skip
_WORDS = {
    "picometer": 1e-6, "angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "micron": 1.0,
    "millimeter": 1e3, "centimeter": 1e4, "decimeter": 1e5, "meter": 1e6, "inch": 25400.0,
}  # fmt: skip
# ImageJ escapes letters outside ASCII, as XML may; UTF-8 that was read as Latin-1 begins with an odd letter.
_SPELLED = {"\\u00b5": "\xb5", "\\u00B5": "\xb5", "&#181;": "\xb5", "\xc2\xb5": "\xb5", "\xce\xbc": "\xb5"}


def number(text: str | None) -> float | None:
    """The finite number that a text is, or None.

    Examples: `0,325`, `.2520` and `2.52e-1` are numbers; `1.234,5` and `1,234.5` (which of both is the
    decimal sign?), `0.25 x 0.25`, `0x1A`, `1_000`, NaN and the empty text are none.
    """
    bare = (text or "").strip(_AROUND)
    if len(bare) > _LONGEST or not _NUMBER.fullmatch(bare):
        return None
    value = float(bare.replace(",", "."))
    return value if math.isfinite(value) else None


def micrometres(text: str | None, unit: str | None = None) -> float | None:
    """The length above 0 that a text tells, in µm, or None.

    Args:
        text: a number, with a unit of its own or without.
        unit: what it is counted in; None where nothing is told beside the text, which is then in its own
            unit, or in µm. An unknown one (`pixel`, `reference frame`) gives no length, nor does one that
            contradicts the text's own.
    """
    parts = _WITH_UNIT.fullmatch((text or "").strip(_AROUND))
    if parts is None or (value := number(parts[1])) is None:
        return None
    scales = {_scale(told) for told in (parts[2] or None, unit) if told is not None} or {1.0}
    scale = scales.pop()
    if scales or scale is None:
        return None
    return length if 0 < (length := value * scale) < math.inf else None


def _scale(unit: str) -> float | None:
    """Micrometres in a unit, None for one that is no length."""
    bare = _PER_PIXEL.sub("", unit.strip(_AROUND))
    for spelled, meant in _SPELLED.items():
        bare = bare.replace(spelled, meant)
    word = bare.lower().replace("metre", "meter").removesuffix("s")
    return _SYMBOLS.get(bare) or _WORDS.get(word) or _WORDS.get(word.removesuffix("e"))
