"""A compressed tile's own size is found wherever a decoder would find it."""

import imagecodecs
import numpy as np
import pytest

from patching.readers.tiff.stored_size import check_stored_size

JPEG, PIXELS = 7, 64 * 64 * 3


def stream(between: bytes) -> bytes:
    """A JPEG of 60,000 x 60,000 by its header, with bytes between its first markers."""
    data = imagecodecs.jpeg8_encode(np.zeros((64, 64, 3), np.uint8))
    place = data.index(b"\xff\xc0")
    grown = data[: place + 5] + b"\xea\x60\xea\x60" + data[place + 9 :]
    return grown[:2] + between + grown[2:]


@pytest.mark.parametrize("between", [b"", b"\x12\0", b"\xff", b"\xff\0\0", b"\0\xff\xfe\0\x04\xff\xc0"])
def test_a_frame_behind_what_decoders_skip(between: bytes) -> None:
    with pytest.raises(ValueError, match="grows to 3600000000 pixels"):
        check_stored_size(stream(between), JPEG, PIXELS)


@pytest.mark.parametrize("between", [b"", b"\x12\0", b"\xff", b"\0\xff\xfe\0\x04\xff\xc0"])
def test_a_frame_of_the_right_size(between: bytes) -> None:
    data = imagecodecs.jpeg8_encode(np.zeros((64, 64, 3), np.uint8))
    data = data[:2] + between + data[2:]
    assert imagecodecs.jpeg8_decode(data).shape == (64, 64, 3)
    check_stored_size(data, JPEG, PIXELS)
