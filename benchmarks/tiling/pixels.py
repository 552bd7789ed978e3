"""Part `pixels`: raw decoding, and evenpatch end to end beside it, on two kinds of slide."""

from pathlib import Path

from benchmarks.tiling import places, slides
from benchmarks.tiling.contest import Contestant
from benchmarks.tiling.options import Options
from benchmarks.tiling.ours import CASES, locate

KINDS = ("stained", "zlib", "zstd")


def run(options: Options) -> None:
    """Every kind of slide, case and number of workers."""
    for kind in KINDS:
        # The share of the 16-bit slides is asked for on their tiles.
        for case in options.cases if kind == "stained" else ("aligned",):
            for workers in options.workers:
                options.contest(
                    f"pixels/{kind}/{case}/{workers}",
                    lambda kind=kind, case=case, workers=workers: contestants(options, kind, case, workers),
                )


def contestants(options: Options, kind: str, case: str, workers: int) -> list[Contestant]:
    """Raw decoding and ours, on the same patches."""
    slide, annotation = slide_of(kind, quick=options.quick)
    place = place_of(slide, annotation, case)
    raw = {"slides": [str(slide)], "places": [str(place)], "threads": workers}
    whole = {"slides": [str(slide)], "patch": CASES[case], "workers": workers, "annotation": str(annotation)}
    contestants = [
        Contestant("raw", "benchmarks.tiling.raw:decode", raw, workers),
        Contestant("evenpatch", "benchmarks.tiling.ours:tile", whole, workers),
    ]
    if case == "aligned":
        measured = whole | {"quality": True}
        contestants.append(Contestant("with quality", "benchmarks.tiling.ours:tile", measured, workers))
    if kind != "stained":
        # 16-bit patches are really compressed, which takes longer than decoding them.
        plain = whole | {"codec": "none"}
        contestants.append(Contestant("codec none", "benchmarks.tiling.ours:tile", plain, workers))
    return contestants


def slide_of(kind: str, *, quick: bool) -> tuple[Path, Path]:
    """A slide and its annotation."""
    side = (2048 if quick else 20_480) if kind == "stained" else (1024 if quick else 10_240)
    slide = slides.stained_slide(side) if kind == "stained" else slides.multichannel_slide(kind, side)
    slide.read_bytes()  # into the page cache
    return slide, slides.outline(slide, side)


def place_of(slide: Path, annotation: Path, case: str) -> Path:
    """Where the kept patches lie, found anew: detectors change."""
    return locate(slide, CASES[case], annotation, places.WORK / "places" / f"{slide.stem}-{case}.npz")
