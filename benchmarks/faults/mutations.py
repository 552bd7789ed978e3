"""Ways to spoil a file, each a function of its bytes, its sensitive ranges and a random generator."""

import re
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

_SENSITIVE = 0.5
_EXTREMES = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_WORDS = (
    b"1e308",
    b"-1",
    b"NaN",
    b"1e999",
    b"0",
    b"9" * 400,
    b"\0",
    b"\xff\xfe",
    b'"',
    b"&x;",
    b"[[[[",
    b"\n",
)
_BLOCK = 4096

Mutation = Callable[[bytearray, Sequence[range], np.random.Generator], str]


def mutated(
    data: bytes, ranges: Sequence[range], rng: np.random.Generator, *, text: bool
) -> tuple[bytes, str]:
    """The file with one to three faults, and what they are."""
    spoiled = bytearray(data)
    menu = BINARY + TEXT if text else BINARY
    told = []
    for _ in range(int(rng.choice([1, 2, 3], p=[0.75, 0.2, 0.05]))):
        if spoiled:
            inside = [part for part in ranges if part.stop <= len(spoiled)]
            told.append(menu[rng.integers(len(menu))](spoiled, inside, rng))
    return bytes(spoiled), "; ".join(told)


def flip_bits(data: bytearray, ranges: Sequence[range], rng: np.random.Generator) -> str:
    """Single bits here and there."""
    places = [_place(data, ranges, rng) for _ in range(int(rng.choice([1, 2, 8])))]
    for place in places:
        data[place] ^= 1 << int(rng.integers(8))
    return f"bits flipped at {places}"


def burst(data: bytearray, ranges: Sequence[range], rng: np.random.Generator) -> str:
    """A run of random bytes."""
    place, length = _place(data, ranges, rng), int(rng.integers(1, 65))
    length = min(length, len(data) - place)
    data[place : place + length] = rng.bytes(length)
    return f"{length} random bytes at {place}"


def extreme(data: bytearray, ranges: Sequence[range], rng: np.random.Generator) -> str:
    """A number that no sound file holds: where a size or an offset stood, this lies."""
    width = int(rng.choice([2, 4, 8]))
    place = min(_place(data, ranges, rng) // 2 * 2, max(len(data) - width, 0))
    value = int(rng.choice(np.array(_EXTREMES, np.uint64))) % 2 ** (8 * width)
    order: Literal["little", "big"] = "little" if rng.random() < 0.5 else "big"
    data[place : place + width] = value.to_bytes(width, order)
    return f"{value:#x} in {width} bytes at {place}"


def truncate(data: bytearray, _ranges: Sequence[range], rng: np.random.Generator) -> str:
    """The end is missing; half of the time it is a short end."""
    kept = int(rng.integers(len(data))) if rng.random() < 0.5 else len(data) - int(rng.integers(1, 2000))
    del data[max(kept, 0) :]
    return f"cut to {max(kept, 0)} bytes"


def zero(data: bytearray, ranges: Sequence[range], rng: np.random.Generator) -> str:
    """A hole, as a disk that lost a block leaves."""
    place, length = _place(data, ranges, rng), int(2 ** rng.uniform(0, 14))
    length = min(length, len(data) - place)
    data[place : place + length] = bytes(length)
    return f"{length} zeros at {place}"


def swap(data: bytearray, _ranges: Sequence[range], rng: np.random.Generator) -> str:
    """Two blocks in each other's place."""
    length = int(rng.integers(1, max(2, min(_BLOCK, len(data) // 2))))
    first, second = sorted(int(place) for place in rng.integers(0, max(1, len(data) - length), 2))
    second = max(second, first + length)
    length = min(length, len(data) - second)
    if length > 0:
        data[first : first + length], data[second : second + length] = (
            data[second : second + length],
            data[first : first + length],
        )
    return f"{length} bytes at {first} and {second} swapped"


def renumber(data: bytearray, _ranges: Sequence[range], rng: np.random.Generator) -> str:
    """A number of a text exchanged for one that makes no sense."""
    found = list(_NUMBER.finditer(bytes(data)))
    if not found:
        return "no number"
    match, word = found[int(rng.integers(len(found)))], _WORDS[int(rng.integers(len(_WORDS)))]
    data[match.start() : match.end()] = word
    return f"{match[0]!r} at {match.start()} made {word[:10]!r}"


def repeat(data: bytearray, _ranges: Sequence[range], rng: np.random.Generator) -> str:
    """A piece of text again and again."""
    place, length = int(rng.integers(len(data))), int(rng.integers(1, 200))
    times = int(rng.choice([2, 50, 5000]))
    data[place:place] = bytes(data[place : place + length]) * times
    return f"{length} bytes at {place} {times} times"


def drop(data: bytearray, _ranges: Sequence[range], rng: np.random.Generator) -> str:
    """A piece of text is missing."""
    place, length = int(rng.integers(len(data))), int(rng.integers(1, 100))
    del data[place : place + length]
    return f"{length} bytes dropped at {place}"


def insert(data: bytearray, _ranges: Sequence[range], rng: np.random.Generator) -> str:
    """Something that does not belong there."""
    place, word = int(rng.integers(len(data) + 1)), _WORDS[int(rng.integers(len(_WORDS)))]
    data[place:place] = word
    return f"{word[:10]!r} inserted at {place}"


BINARY: tuple[Mutation, ...] = (flip_bits, flip_bits, burst, extreme, extreme, truncate, zero, swap)
TEXT: tuple[Mutation, ...] = (renumber, renumber, repeat, drop, insert)


def _place(data: bytearray, ranges: Sequence[range], rng: np.random.Generator) -> int:
    if ranges and rng.random() < _SENSITIVE:
        part = ranges[int(rng.integers(len(ranges)))]
        return int(part[rng.integers(len(part))])
    return int(rng.integers(len(data)))
