"""What one run of a benchmark was asked for."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.tiling import places, results
from benchmarks.tiling.contest import Contestant, compete


@dataclass(frozen=True)
class Contests:
    """Arguments that decide which contests run, and how often."""

    quick: bool = False
    """Small slides, two repeats: whether it runs, not how fast."""
    repeats: int = 5
    peers_python: str | None = None
    """Interpreter of the environment in which the peers are installed."""
    match: str = ""
    """Only contests whose name contains it, such as `peers/overlap/2`."""
    resume: bool = False
    """Contests that results.json has are not run again."""
    folder: Path = field(default_factory=lambda: places.RESULTS)
    """Of results.json."""

    @property
    def counted(self) -> int:
        """Turns that count."""
        return 2 if self.quick else self.repeats

    def contest(
        self, name: str, make: Callable[[], list[Contestant]], *, once: bool = False, **options: bool
    ) -> None:
        """Run one contest and save it, unless it is not asked for or kept from an earlier run."""
        if self.match not in name:
            return
        known = results.load(self.folder).get(name)
        if self.resume and known is not None and known["quick"] == self.quick:
            tell(f"{name}: kept")
            return
        tell(f"{name}: preparing")
        under = results.conditions()
        found = compete(
            make(),
            1 if once else self.counted,
            lambda line: tell(f"{name}: {line}"),
            self.folder / "logs",
            **options,
        )
        results.save(self.folder, name, found, under, quick=self.quick)


@dataclass(frozen=True)
class Options(Contests):
    """Arguments of the benchmark of tiling."""

    cases: tuple[str, ...] = ("aligned", "overlap", "shifted", "fractional")
    workers: tuple[int, ...] = (1, 2)
    peers_path: tuple[str, ...] = ()
    """Folders with sources of peers that no registry has."""
    peer_patches: int = 1500
    """Patches that each peer reads: the first ones, row by row."""


def tell(line: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
