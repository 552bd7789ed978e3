"""Numbers in files of others: whole, or none; never as far as the first odd character."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patching.numbers import micrometres, number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.2520", 0.252),
        ("0,500000", 0.5),
        ("1,0079", 1.0079),
        ("2.52e-1", 0.252),
        ("2,52E-01", 0.252),
        (".2520", 0.252),
        (",25", 0.25),
        ("5.", 5.0),
        ("+0.25", 0.25),
        ("-3", -3.0),
        ("0.25\0\0", 0.25),
        ("\ufeff0.25", 0.25),
        ("\xa00.25\r\n", 0.25),
        ("0.25\ufffd", 0.25),
    ],
)
def test_the_whole_text_is_the_number(text: str, value: float) -> None:
    assert number(text) == pytest.approx(value, rel=1e-15)


NO_NUMBERS = (
    *("", " ", "NaN", "inf", "-Infinity", "1e400", "unknown", "1.234,5", "1,234.5", "0.25 0.25", "0.25x0.25"),
    *("0x1A", "1_000", "1e", "e5", ".", ",", "-", "--1", "0. 25", "٠.٥", "0.25µm", "1" * 101, None),
)


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_not_a_number_as_a_whole_is_none(text: str | None) -> None:
    assert number(text) is None


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([".", ","]))
def test_whatever_python_writes_comes_back(value: float, sign: str) -> None:
    assert number(repr(value).replace(".", sign)) == value


@given(st.text(max_size=20))
def test_any_text_gives_a_finite_number_or_none(text: str) -> None:
    assert (value := number(text)) is None or math.isfinite(value)
    assert (length := micrometres(text)) is None or 0 < length < math.inf


@pytest.mark.parametrize(
    ("text", "unit", "length"),
    [
        ("0,325", None, 0.325),
        ("0,325 µm", None, 0.325),
        ("325nm", None, 0.325),
        ("325", "nm", 0.325),
        ("0.25", "\u03bcm", 0.25),
        ("0.25", "\xb5m", 0.25),
        ("0.25", "\\u00B5m", 0.25),
        ("0.25", "\xc2\xb5m", 0.25),
        ("0.25", "Microns", 0.25),
        ("0.25", "micrometre", 0.25),
        ("0.00025", "Millimeters", 0.25),
        ("0.25 µm", "micron", 0.25),
        ("2500", "\xc5", 0.25),
        ("2500", "\u212b", 0.25),
        ("1e-5", "inches", 0.254),
        ("2.5e-7", "m", 0.25),
        ("0.25 µm/px", None, 0.25),
        ("0,25 um / pixel", None, 0.25),
        ("250", "nm per pixel", 0.25),
        ("0.25 µm/Pixel", "µm", 0.25),
    ],
)
def test_lengths_in_any_unit(text: str, unit: str | None, length: float) -> None:
    assert micrometres(text, unit) == pytest.approx(length, rel=1e-12)


NO_LENGTHS = (
    *(("0.25", unit) for unit in ("pixel", "reference frame", "", "Mm", "M", "µM", "/px", "px/µm", "µm/s")),
    *((text, None) for text in ("0", "0.25 of a µm", "0.25 x 0.25 µm", "0.25 pixel", None)),
    *((text, "µm") for text in ("325 nm", "-0.25", "NaN", "", None)),
    ("1e308", "m"),
)


@pytest.mark.parametrize(("text", "unit"), NO_LENGTHS)
def test_what_is_no_length_is_none(text: str | None, unit: str | None) -> None:
    assert micrometres(text, unit) is None
