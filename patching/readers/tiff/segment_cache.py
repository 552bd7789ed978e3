"""Decoded segments (tiles or strips), shared by the threads that read one slide.

Without knowledge of what comes, the least recently used segment goes first. A reader that was told
which segments will be used, and how often, keeps each until its last use and drops it then: every
segment is decoded once, and no more are held than lie between its first and last use.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Key = tuple[int, int, int]
"""Level, page of the level, segment of the page."""
Decode = Callable[[Key, NDArray[Any] | None], "Segment"]
_FREE_BUFFERS = 64


@dataclass(frozen=True, slots=True)
class Segment:
    """Pixels of a segment, or None where it is not stored; its shape, first sample and corner."""

    pixels_HWS: NDArray[Any] | None
    shape: tuple[int, int]
    """Height and width of a whole segment."""
    sample: int
    top: int
    left: int
    covered_HW: NDArray[np.bool_] | None = None
    """Which of the pixels exist; None where all do."""


@dataclass(slots=True)
class _Slot:
    segment: Segment | None = None
    left: bool = False
    """Its thread failed at it, or stopped before it came to it."""
    readers: int = 0

    @property
    def done(self) -> bool:
        """Whether nobody is going to decode it any more."""
        return self.segment is not None or self.left

    @property
    def idle(self) -> bool:
        """Whether it is done, and nobody reads it."""
        return self.readers == 0 and self.done


_Filling = tuple[Key, _Slot, NDArray[Any] | None]
"""A segment to be decoded, for whom, and memory that may be used."""


class SegmentCache:
    """Decodes each segment when it is first asked for; threads that ask for the same one wait for it.

    Args:
        decode: from a key, and an array that may be overwritten or None, to the segment.
        capacity: bytes of decoded pixels to hold; beyond it the oldest are dropped and, if they
            are wanted again, decoded again.
    """

    def __init__(self, decode: Decode, capacity: int) -> None:
        self._decode, self.capacity = decode, capacity
        self._changed = threading.Condition(threading.Lock())
        self._slots: OrderedDict[Key, _Slot] = OrderedDict()
        self._uses: Counter[Key] = Counter()
        self._free: list[NDArray[Any]] = []
        self._held = 0
        self.decoded = 0
        """Segments decoded so far."""

    def expect(self, keys: Iterable[Key] | Mapping[Key, int]) -> None:
        """Announce uses, by key as often as it occurs or by their number; forget what nobody will use."""
        with self._changed:
            self._uses.update(keys)
            for key in [key for key, slot in self._slots.items() if key not in self._uses and slot.idle]:
                self._drop(key)

    def expects_one(self, keys: Sequence[Key]) -> bool:
        """Whether the next use of each is the announced last one, and nobody holds any; it is over then."""
        with self._changed:
            if any(self._uses[key] != 1 or key in self._slots for key in keys):
                return False
            for key in keys:
                del self._uses[key]
            self.decoded += len(keys)
            return True

    @contextmanager
    def lent(self, keys: Sequence[Key]) -> Iterator[list[Segment]]:
        """The decoded segments, to be read within the block only: their memory is used again.

        Threads that wait for each other's segments have decoded their own before.
        """
        slots, mine = self._take(keys)
        try:
            while mine:
                self._fill(*mine[-1])
                mine.pop()
            yield [slot.segment or self._awaited(key, slot) for key, slot in zip(keys, slots, strict=True)]
        finally:
            self._give_back(keys, slots, mine)

    def _take(self, keys: Sequence[Key]) -> tuple[list[_Slot], list[_Filling]]:
        slots, mine = [], []
        with self._changed:
            for key in keys:
                slot = self._slots.get(key)
                if slot is None:
                    slot = self._slots[key] = _Slot()
                    mine.append((key, slot, self._free.pop() if self._free else None))
                    self.decoded += 1
                self._slots.move_to_end(key)
                slot.readers += 1
                slots.append(slot)
        return slots, mine

    def _fill(self, key: Key, slot: _Slot, buffer: NDArray[Any] | None) -> None:
        segment = self._decode(key, buffer)
        with self._changed:
            slot.segment = segment
            if self._slots.get(key) is slot:
                self._held += _nbytes(segment)
            if slot.readers > 1:
                self._changed.notify_all()

    def _awaited(self, key: Key, slot: _Slot) -> Segment:
        """What another thread decodes; what it failed at, or left undecoded, is tried here."""
        with self._changed:
            self._changed.wait_for(lambda: slot.done)
        return slot.segment or self._decode(key, None)

    def _give_back(self, keys: Sequence[Key], slots: Sequence[_Slot], undecoded: Sequence[_Filling]) -> None:
        with self._changed:
            for key, slot, _ in undecoded:
                slot.left = True
                if self._slots.get(key) is slot:
                    del self._slots[key]
            if undecoded:
                self._changed.notify_all()
            for key, slot in zip(keys, slots, strict=True):
                slot.readers -= 1
                left = self._uses.get(key)
                if left is not None:
                    if left > 1:
                        self._uses[key] = left - 1
                    else:
                        del self._uses[key]
                        self._drop(key)
            if self._held > self.capacity:
                self._shrink()

    def _shrink(self) -> None:
        for _ in range(len(self._slots)):
            if self._held <= self.capacity:
                return
            key, slot = next(iter(self._slots.items()))
            if slot.idle:
                self._drop(key)
            else:
                self._slots.move_to_end(key)

    def _drop(self, key: Key) -> None:
        """Forget a segment, and keep its memory for the next one; others may still be reading it."""
        slot = self._slots.pop(key, None)
        if slot is None or slot.segment is None:
            return
        segment = slot.segment
        self._held -= _nbytes(segment)
        pixels_HWS = segment.pixels_HWS
        if slot.readers == 0 and pixels_HWS is not None and pixels_HWS.flags.writeable:
            self._free = [*self._free[-_FREE_BUFFERS + 1 :], pixels_HWS]


def _nbytes(segment: Segment) -> int:
    return 0 if segment.pixels_HWS is None else int(np.asarray(segment.pixels_HWS).nbytes)
