"""Every file that one stage writes and another reads, damaged: what later verbs say, what `verify` finds."""

import argparse
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import Progress

from benchmarks.faults.project import COHORT, RUN, STAGES, Told, called, called_apart, write_project

_TRAINED_ON = ("train", "evaluate", "explain", "report")
READERS: dict[str, tuple[str, ...]] = {
    "data/cohort/slides.csv": ("tile", "split", "explain", "report"),
    "data/cohort/summary.json": ("report",),
    "data/cohort/excluded.csv": ("report",),
    "data/patches/index.parquet": (
        "statistics",
        "split",
        "attribute",
        "shortcuts",
        "compare",
        "study",
        *_TRAINED_ON,
    ),
    "data/patches/summary.json": ("report",),
    "data/patches/s3.zarr/zarr.json": ("statistics", *_TRAINED_ON),
    "data/patches/s3.zarr/images/c.0.0.0.0": ("statistics", *_TRAINED_ON),
    "data/.tile/s3.json": ("tile",),
    "data/statistics/statistics.parquet": ("shortcuts", "report"),
    "data/splits.csv": ("attribute", "tune", *_TRAINED_ON),
    "data/attributes/tables/low.parquet": ("tune", *_TRAINED_ON),
    "data/attributes/groups.json": ("compare", "report", "track"),
    "data/attributes/histogram.csv": ("report",),
    "outputs/shortcuts/shortcuts.json": ("report",),
    "outputs/shortcuts/null.parquet": ("report",),
    "outputs/train/erm-low/model.safetensors": ("evaluate", "explain", "intervene"),
    "outputs/train/erm-low/model.json": ("evaluate", "explain", "compare", "report", "track"),
    "outputs/train/erm-low/run.json": ("compare", "explain", "report", "track"),
    "outputs/train/erm-low/history.csv": ("report", "track"),
    "outputs/train/erm-low/composition.json": (),
    "outputs/evaluate/erm-low/predictions.parquet": ("explain", "compare", "report", "track"),
    "outputs/evaluate/erm-low/metrics.json": ("compare", "report", "track"),
    "outputs/explain/gallery.parquet": ("report",),
    "outputs/explain/explain.json": ("report",),
    "outputs/explain/slides.json": ("report",),
    "outputs/intervene/intervene.json": ("report",),
    "outputs/intervene/curve.parquet": (),
    "outputs/track/runs.json": ("register",),
    "outputs/track/erm-low/evidence.json": ("track",),
    "outputs/study/study.json": ("compare",),
    "outputs/study/predictions.parquet": ("compare",),
    "outputs/study/cells/r0-f0-erm-low.json": ("study",),
    "outputs/study/cells/r0-f0-erm-low.parquet": ("study",),
    "outputs/tune/erm-low/tune.json": ("compare",),
    "outputs/tune/erm-low/journal.log": ("tune",),
}
"""By file, below the cohort's folders, the verbs that read it."""
MENDED = ("data/.tile/", "outputs/study/cells/", "outputs/track/erm-low/evidence.json")
"""What the verb that reads it also writes: it does its work again instead of stopping."""
_APART = ("track", "register", "tune")
"""Verbs that hold a database open, which the next case would find gone."""
Damage = Callable[[bytes, np.random.Generator], bytes]


def _flipped(content: bytes, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(len(content)))
    return content[:place] + bytes([content[place] ^ (1 << int(rng.integers(8)))]) + content[place + 1 :]


DAMAGES: Mapping[str, Damage] = {
    "empty": lambda *_: b"",
    "cut off": lambda content, _: content[: len(content) // 2],
    "of other content": lambda *_: b"{}\n",
    "bit flipped": _flipped,
    "another bit flipped": _flipped,
}


class Case(NamedTuple):
    """A damaged file, a verb, and how it ended."""

    file: str
    damage: str
    verb: str
    outcome: str
    text: str


def run(options: argparse.Namespace) -> dict[str, object]:
    """Damage, call, restore; a file and damage after the other."""
    cases: list[Case] = []
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, Progress() as progress:
        root = _finished(Path(folder))
        bar = progress.add_task("damage", total=len(READERS) * len(DAMAGES))
        for file, verbs in READERS.items():
            for damage in DAMAGES:
                cases += _tried(root, file, damage, verbs, options.seed)
                progress.advance(bar)
    return _results(cases)


def _finished(folder: Path) -> Path:
    """A project in which every verb has run."""
    root = write_project(folder / "project", Path("configs"))
    for words in (*STAGES, ("study",), ("tune", *RUN), ("verify",)):
        told = called(root, *words)
        if told.code != 0:
            raise RuntimeError(f"{words[0]} ended with {told.code}: {told.text}")
    return root


def _tried(root: Path, file: str, damage: str, verbs: tuple[str, ...], seed: int) -> Iterator[Case]:
    kind, _, rest = file.partition("/")
    path = root / kind / COHORT / rest
    whole = path.read_bytes()
    damaged = DAMAGES[damage](whole, np.random.default_rng([seed, *f"{file}{damage}".encode()]))
    for verb in ("verify", *verbs):
        kept = root.with_name("kept")
        shutil.copytree(root, kept)
        path.write_bytes(damaged)
        call = called_apart if verb in _APART else called
        told = call(root, *next((words for words in STAGES if words[0] == verb), _words(verb)))
        # Of a store the slide is named, whose store is written anew.
        stores = [part.removesuffix(".zarr") for part in path.parts if part.endswith(".zarr")]
        name = stores[0] if stores else path.name
        yield Case(file, damage, verb, _outcome(told, name), told.text.strip()[-2000:])
        shutil.rmtree(root)
        kept.rename(root)


def _words(verb: str) -> tuple[str, ...]:
    return (verb, *RUN) if verb in ("tune", "sweep") else (verb,)


def _outcome(told: Told, name: str) -> str:
    if told.code == 0:
        return "warned" if name in told.text else "went on"
    if told.code != 2 or "Error\nhas: " not in told.text:
        return "CRASHED"
    return "refused" if name in told.text and "run `evenpatch " in told.text else "REFUSED WITHOUT NAME"


def _results(cases: list[Case]) -> dict[str, object]:
    found = {
        (case.file, case.damage)
        for case in cases
        if case.verb == "verify" and case.outcome in ("refused", "warned")
    }
    unfound = sorted(
        {f"{case.file}, {case.damage}" for case in cases if (case.file, case.damage) not in found}
    )
    outcomes = Counter(case.outcome for case in cases if case.verb != "verify")
    wrong = [case for case in cases if case.outcome.isupper()]
    table = [{**case._asdict(), "text": case.text if case in wrong else case.text[:200]} for case in cases]
    return {
        "passed": not wrong,
        "files": len(READERS),
        "damaged_in_turn": len(READERS) * len(DAMAGES),
        "calls": len(cases),
        "later_verbs": dict(outcomes),
        "found_by_verify": len(found),
        "not_found_by_verify": unfound,
        "table": table,
    }
