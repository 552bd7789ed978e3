"""A compressed tile's own size is found wherever a decoder would find it."""

import imagecodecs
import numpy as np
import pytest

from patching.readers.tiff.stored_size import why_too_large

JPEG, PIXELS = 7, 64 * 64 * 3


def stream(between: bytes) -> bytes:
    """A JPEG of 60,000 x 60,000 by its header, with bytes between its first markers."""
    data = imagecodecs.jpeg8_encode(np.zeros((64, 64, 3), np.uint8))
    place = data.index(b"\xff\xc0")
    grown = data[: place + 5] + b"\xea\x60\xea\x60" + data[place + 9 :]
    return grown[:2] + between + grown[2:]


@pytest.mark.parametrize("between", [b"", b"\x12\0", b"\xff", b"\xff\0\0", b"\0\xff\xfe\0\x04\xff\xc0"])
def test_a_frame_behind_what_decoders_skip(between: bytes) -> None:
    assert "grows to 3600000000 pixels" in str(why_too_large(stream(between), JPEG, PIXELS))


@pytest.mark.parametrize("between", [b"", b"\x12\0", b"\xff", b"\0\xff\xfe\0\x04\xff\xc0"])
def test_a_frame_of_the_right_size(between: bytes) -> None:
    data = imagecodecs.jpeg8_encode(np.zeros((64, 64, 3), np.uint8))
    data = data[:2] + between + data[2:]
    assert imagecodecs.jpeg8_decode(data).shape == (64, 64, 3)
    assert why_too_large(data, JPEG, PIXELS) is None


@pytest.mark.parametrize(("compression", "start"), [(34933, b""), (34712, b"\xff\x4f\xff\x51")])
def test_a_header_that_is_cut_off_declares_nothing(compression: int, start: bytes) -> None:
    assert why_too_large(start + b"\0" * 5, compression, PIXELS) is None
