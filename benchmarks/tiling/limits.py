"""Part `limits`: memory over slide sizes, time over tissue area, many slides, dask's two workers."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.tiling import places, slides
from benchmarks.tiling.contest import Contestant
from benchmarks.tiling.options import Options
from benchmarks.tiling.ours import CASES, locate
from benchmarks.tiling.pixels import place_of, slide_of

SIDES = (5_000, 10_000, 20_000, 50_000, 100_000)
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
_AREA_SIDE = 20_480
_SMALL, _SMALL_DISTINCT, _SMALL_SIDE = 1000, 40, 1024
_TILE = "benchmarks.tiling.ours:tile"


def run(options: Options) -> None:
    """All questions, each a contest of its own."""
    for workers in options.workers:
        for side in SIDES[: 1 if options.quick else None]:
            # Once: a peak does not vary as times do, and the largest slide writes gigabytes.
            name = f"limits/memory/{side}/{workers}"
            options.contest(
                name,
                lambda side=side, workers=workers: [_sparse(side, workers)],
                warm=False,
                watched=True,
                once=True,
            )
    options.contest("limits/area", lambda: _areas(options))
    options.contest("limits/small", lambda: _small(options), warm=False)
    options.contest("limits/dask", lambda: _dask(options))
    options.contest("limits/slides", lambda: _slides(options))


def _sparse(side: int, workers: int) -> Contestant:
    # A quarter is tissue up to 20,000 pixels, less above: 6 GiB of patches are enough.
    share = 0.25 if side <= 20_000 else 0.1
    path = str(slides.sparse_slide(side, share))
    return Contestant(
        "evenpatch", _TILE, {"slides": [path], "patch": CASES["aligned"], "workers": workers}, workers
    )


def _areas(options: Options) -> list[Contestant]:
    side = 5_000 if options.quick else _AREA_SIDE
    return [
        Contestant(
            f"{share:.0%}",
            _TILE,
            {"slides": [str(slides.sparse_slide(side, share))], "patch": CASES["aligned"], "workers": 1},
        )
        for share in SHARES
    ]


def _small(options: Options) -> list[Contestant]:
    """Many small slides; raw decoding of the same tiles is the reading that they need anyway."""
    distinct, total = (2, 4) if options.quick else (_SMALL_DISTINCT, _SMALL)
    paths = slides.small_slides(distinct, _SMALL_SIDE)
    located = [_located(path) for path in paths]
    repeat = total // distinct
    cohort = {
        "slides": [str(path) for path in paths],
        "patch": CASES["aligned"],
        "workers": 1,
        "repeat": repeat,
        "tidy": False,
    }
    raw = {"slides": _texts(paths), "places": _texts(located), "threads": 1, "repeat": repeat}
    return [Contestant("raw", "benchmarks.tiling.raw:decode", raw), Contestant("evenpatch", _TILE, cohort)]


def _dask(options: Options) -> list[Contestant]:
    """A cohort of eight slides under the dask scheduler, one worker and two."""
    side = 1024 if options.quick else 8_192
    paths = _texts(
        [slides.stained_slide(side, 0.4, 2000 + number) for number in range(2 if options.quick else 8)]
    )
    cohort = {"slides": paths, "patch": CASES["aligned"], "engine": "dask"}
    return [Contestant(f"{n}", _TILE, cohort | {"workers": n}, cores=2) for n in (1, 2)]


def _slides(options: Options) -> list[Contestant]:
    """Four slides in two processes, whose start is in the time; raw decoding in two threads beside it."""
    slide, annotation = slide_of("stained", quick=options.quick)
    place = str(place_of(slide, annotation, "aligned"))
    slides_, cohort = (
        [str(slide)] * 4,
        {"patch": CASES["aligned"], "workers": 2, "annotation": str(annotation)},
    )
    return [
        Contestant(
            "raw", "benchmarks.tiling.raw:decode", {"slides": slides_, "places": [place] * 4, "threads": 2}, 2
        ),
        Contestant("evenpatch", _TILE, {"slides": slides_, **cohort}, 2),
    ]


def _located(path: Path) -> Path:
    return locate(path, CASES["aligned"], None, places.WORK / "places" / f"{path.stem}.npz")


def _texts(paths: Sequence[Path]) -> list[str]:
    return [str(path) for path in paths]
