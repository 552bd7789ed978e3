"""Thousands of spoiled files: each must be read, or refused by a typed error, in 20 s and 2 GiB."""

import argparse
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.progress import track

from benchmarks.faults.corpus import Corpus
from benchmarks.faults.results import write_results
from benchmarks.faults.worker import FAILURES, Outcome, Worker, run_case, scratch

_SAVE_EVERY = 250


def run(options: argparse.Namespace) -> dict[str, object]:
    """All cases, or one of them."""
    if options.case is not None:
        return _replay(options)
    outcomes: list[Outcome] = []
    start = time.perf_counter()
    cases = range(options.first, options.first + options.cases)
    with Worker(options) as worker:
        for case in track(cases, "spoiled files"):
            outcome = worker.try_case(case)
            outcomes.append(outcome)
            if outcome.end in FAILURES:
                print(f"case {case}: {outcome.end}: {outcome.source}: {outcome.mutation}", flush=True)
            if len(outcomes) % _SAVE_EVERY == 0:
                write_results(options.outputs, "mutate", summary(outcomes, time.perf_counter() - start))
    return summary(outcomes, time.perf_counter() - start)


def _replay(options: argparse.Namespace) -> dict[str, object]:
    """One case in this process, under a debugger if wanted; its file is kept."""
    corpus = Corpus(options.data, options.kind)
    with scratch() as folder:
        outcome = run_case(options.case, corpus, options.seed, folder)
        for path in folder.iterdir():
            options.outputs.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, options.outputs / f"case-{options.case}{path.suffix}")
    for name, value in asdict(outcome).items():
        print(f"{name}: {value}")
    return {"passed": outcome.end not in FAILURES}


def summary(outcomes: Sequence[Outcome], seconds: float) -> dict[str, object]:
    """Counts, extremes, and every failure with its traceback."""
    failures = [outcome for outcome in outcomes if outcome.end in FAILURES]
    return {
        "passed": not failures,
        "inputs": len(outcomes),
        "files_spoiled": len({outcome.source for outcome in outcomes}),
        "by_kind": dict(Counter(outcome.kind for outcome in outcomes)),
        "ends": dict(Counter(outcome.end for outcome in outcomes).most_common()),
        "failed": len(failures),
        "slowest_s": max(outcome.seconds for outcome in outcomes),
        "median_s": statistics.median(outcome.seconds for outcome in outcomes),
        "peak_MiB": max(outcome.peak for outcome in outcomes) / 2**20,
        "minutes": seconds / 60,
        "failures": [asdict(outcome) for outcome in failures],
        "extremes": [_told(outcome) for outcome in sorted(outcomes, key=lambda o: -o.seconds)[:10]]
        + [_told(outcome) for outcome in sorted(outcomes, key=lambda o: -o.peak)[:10]],
    }


def _told(outcome: Outcome) -> str:
    name = Path(outcome.source).name
    return (
        f"case {outcome.case}: {name}: {outcome.seconds:.1f} s, {outcome.peak / 2**20:.0f} MiB, {outcome.end}"
    )
