"""What is measured: contests whose contestants take turns, by part."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.predict import jobs, model
from benchmarks.tiling import places, slides
from benchmarks.tiling.contest import Contestant
from benchmarks.tiling.options import Contests, tell
from benchmarks.tiling.ours import CASES, locate
from models.networks.classifier import batch_on
from pipeline.phantoms.cohort import PhantomSettings, draw, slides_of
from pipeline.phantoms.writer import write_slide
from pipeline.yaml_file import load_yaml

SIDES = (5_000, 10_000, 20_000, 40_000)
SMALL = 200
_DISTINCT = 40
SIDE, _IN_FLIGHT = 6144, 4
_JOBS = "benchmarks.predict.jobs"
_SIDE = 256


@dataclass(frozen=True)
class Options(Contests):
    """Arguments of this benchmark."""

    threads: int = len(os.sched_getaffinity(0))
    """Workers of the whole, and threads of each of its works alone."""


def efficiency(options: Options) -> None:
    """Four slides at once, and each work alone in as many threads."""
    for kind, quality in (("stained", False), ("stained", True), ("zlib", True)):
        name = f"efficiency/{kind}/{'quality' if quality else 'plain'}"
        options.contest(name, lambda kind=kind, quality=quality: _works(options, kind, quality=quality))


def peers(options: Options) -> None:
    """TIAToolbox and the verb on one core each."""
    python = options.peers_python
    if python is None or not Path(python).is_file():
        tell("peers: left out: give --peers-python, see docs/benchmarks.md")
        return
    options.contest("peers", lambda: _peers(options, python))


def memory(options: Options) -> None:
    """Peak over sizes of slides; once a size, for a peak does not vary as times do."""
    for side in SIDES[: 1 if options.quick else None]:
        options.contest(
            f"memory/{side}", lambda side=side: [_sparse(side, options.threads)], warm=False, once=True
        )


def small(options: Options) -> None:
    """Many small slides, and their planning, reading and network alone."""
    options.contest("small", lambda: _small(options))


def planning(options: Options) -> None:
    """A large 16-bit slide and a small one, in one thread."""
    options.contest("planning", lambda: _planning(options))


PARTS: dict[str, Callable[[Options], None]] = {
    "efficiency": efficiency,
    "peers": peers,
    "memory": memory,
    "small": small,
    "planning": planning,
}


def _works(options: Options, kind: str, *, quality: bool) -> list[Contestant]:
    paths = _slides(kind, quick=options.quick)
    located = [_located(path) for path in paths]
    folder = str(model.model_folder(kind, quality=quality))
    raw = {"slides": _texts(paths), "places": _texts(located), "threads": options.threads}
    return [
        Contestant("raw", "benchmarks.tiling.raw:decode", raw, options.threads),
        *_alone(_texts(paths), folder, options.threads, _count(located)),
        _whole(_texts(paths), folder, options.threads),
    ]


def _peers(options: Options, python: str) -> list[Contestant]:
    paths = _slides("stained", quick=options.quick)
    located = [_located(path) for path in paths]
    folder = model.model_folder("stained", quality=False)
    measured = model.model_folder("stained", quality=True)
    theirs: dict[str, Any] = {
        "slides": _texts(paths),
        "places": _texts(located),
        "network": str(model.exported(folder)),
        "batch": batch_on(torch.device("cpu"), _SIDE),
        "work": str(places.WORK / "tiatoolbox"),
    }
    return [
        _whole(_texts(paths), str(folder), 1, tell=True),
        _whole(_texts(paths), str(measured), 1, name="with quality"),
        Contestant("TIAToolbox", "benchmarks.predict.peer:tiatoolbox", theirs, 1, python),
    ]


def _sparse(side: int, threads: int) -> Contestant:
    folder = str(model.model_folder("stained", quality=True))
    return _whole([str(slides.sparse_slide(side))], folder, threads)


def _small(options: Options) -> list[Contestant]:
    distinct, total = (2, 4) if options.quick else (_DISTINCT, SMALL)
    paths = slides.small_slides(distinct)
    linked = places.WORK / "small"
    linked.mkdir(parents=True)
    for number in range(total):
        (linked / f"s{number:03}.svs").hardlink_to(paths[number % distinct])
    folder = str(model.model_folder("stained", quality=True))
    patches = jobs.plan([str(linked)], folder, options.threads)()["patches"]
    alone = _alone([str(linked)], folder, options.threads, patches)
    return [*alone, _whole([str(linked)], folder, options.threads)]


def _planning(options: Options) -> list[Contestant]:
    large = slides.multichannel_slide("zlib", 1024 if options.quick else 10_240)
    folder = str(model.model_folder("phantom", quality=True))
    return [
        _contestant(name, "plan", slides=[str(path)], model=folder, threads=1)
        for name, path in {"large": large, "phantom": _phantom()}.items()
    ]


def _phantom() -> Path:
    """The first slide of the built-in cohort."""
    settings = PhantomSettings.model_validate(load_yaml(places.ROOT / "configs" / "phantom.yaml"))
    path = places.WORK / "phantom" / "first.ome.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_slide(path, draw(settings, slides_of(settings)[0]).counts_CHW, settings.mpp)
    return path


def _alone(slides_: list[str], folder: str, threads: int, patches: int) -> list[Contestant]:
    given = {"slides": slides_, "model": folder, "threads": threads}
    return [
        _contestant("plan", "plan", **given),
        _contestant("read", "read", **given),
        _contestant("network", "network", patches=patches, model=folder, threads=threads),
    ]


def _whole(
    slides_: list[str], folder: str, threads: int, name: str = "evenpatch", *, tell: bool = False
) -> Contestant:
    return _contestant(name, "whole", slides=slides_, model=folder, threads=threads, tell=tell)


def _contestant(name: str, job: str, **parameters: Any) -> Contestant:
    return Contestant(name, f"{_JOBS}:{job}", parameters, parameters["threads"])


def _slides(kind: str, *, quick: bool) -> list[Path]:
    side = 1024 if quick else SIDE
    numbers = range(3000, 3000 + _IN_FLIGHT)
    if kind == "stained":
        return [slides.stained_slide(side, 0.4, number) for number in numbers]
    return [slides.multichannel_slide(kind, side, 0.4, number) for number in numbers]


def _located(path: Path) -> Path:
    return locate(path, CASES["aligned"], None, places.WORK / "places" / f"{path.stem}.npz")


def _count(located: Sequence[Path]) -> int:
    return sum(len(np.load(place)["locations"]) for place in located)


def _texts(paths: Sequence[Path]) -> list[str]:
    return [str(path) for path in paths]
