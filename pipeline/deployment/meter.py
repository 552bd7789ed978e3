"""What a run does, measured while it goes on."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.deployment.network import Compared


@dataclass
class Meter:
    """Counts and times of a run; threads may tell it at the same time."""

    total: int
    """Slides to predict."""
    slides: int = 0
    """Those that are written or have failed."""
    patches: int = 0
    """Those that were predicted."""
    planned_slides: int = 0
    planned_patches: int = 0
    thread_seconds: dict[str, float] = field(default_factory=dict)
    """That threads spent on each kind of step."""
    difference: Compared | None = None
    """What a network that is not exact changes."""
    started: float = field(default_factory=time.perf_counter)
    _busy: float = 0.0
    _at_work: int = 0
    _since: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """A thread does a step while the block lasts."""
        start = time.perf_counter()
        yield
        with self._lock:
            self.thread_seconds[step] = self.thread_seconds.get(step, 0.0) + time.perf_counter() - start

    def planned(self, patches: int) -> None:
        """A slide's patches are known; those of one that cannot be planned are none."""
        with self._lock:
            self.planned_slides += 1
            self.planned_patches += patches

    def predicted(self, patches: int) -> None:
        """Patches have their probability."""
        with self._lock:
            self.patches += patches

    def compared(self, found: Compared | None) -> None:
        """A network that is not exact was compared with the exact one."""
        if found is not None:
            with self._lock:
                self.difference = found if self.difference is None else self.difference + found

    def finished(self) -> None:
        """A slide is written, or has failed."""
        with self._lock:
            self.slides += 1

    @contextmanager
    def busy(self) -> Iterator[None]:
        """The network computes while the block lasts; blocks of several threads may overlap."""
        with self._lock:
            if self._at_work == 0:
                self._since = time.perf_counter()
            self._at_work += 1
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1
                if self._at_work == 0:
                    self._busy += time.perf_counter() - self._since

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.perf_counter() - self.started

    @property
    def busy_share(self) -> float:
        """Share of the time in which the network computed."""
        with self._lock:
            now = time.perf_counter() - self._since if self._at_work else 0.0
            return min(1.0, (self._busy + now) / max(self.seconds, 1e-9))

    @property
    def rate(self) -> float:
        """Patches per second."""
        return self.patches / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """Until all patches are predicted, if slides to come hold as many as those known; None at first."""
        if not self.patches or not self.planned_slides:
            return None
        if self.slides >= self.total:
            return 0.0
        expected = self.planned_patches / self.planned_slides * max(self.total, self.planned_slides)
        return max(0.0, expected - self.patches) / self.rate

    def told(self) -> str:
        """The same in a line."""
        left = self.seconds_left
        return (
            f"{self.slides}/{self.total} slides, {self.patches:,} patches, {self.rate:,.0f}/s, "
            f"network busy {self.busy_share:.0%}, {'-' if left is None else _clock(left)} left"
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
