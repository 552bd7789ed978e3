"""`python -m benchmarks.intervals [--quick]`: how often intervals hold the truth, and how wide they are.

Writes results.json and tables, report.md, to outputs/benchmarks/intervals. On one core 17 minutes.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.intervals import table
from benchmarks.intervals.candidates import Candidates
from benchmarks.intervals.cohorts import APART, SETTINGS, UNEVEN, Setting, draw, truth_of
from benchmarks.intervals.ours import Ours
from benchmarks.intervals.ranked import ranked_tallies
from pipeline.files import replacing

OUTPUTS = Path("outputs/benchmarks/intervals")
SIZES = (10, 20, 30, 60)
TRAINED_SIZES = (20, 60)
REPEATS, TRAINING_SDS = (2, 3, 5), (0.3, 0.5)
COHORTS, QUICK = 2000, 40
BATCH = 50


def main() -> None:
    """Simulate every setting and size, then write the tables."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.intervals", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohorts", type=int, default=COHORTS, help="of every setting and size")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} cohorts: does it run?")
    parser.add_argument("--outputs", type=Path, default=OUTPUTS)
    options = parser.parse_args()
    n_cohorts = QUICK if options.quick else options.cohorts
    begin = time.monotonic()
    results = simulate(n_cohorts)
    results["minutes"] = round((time.monotonic() - begin) / 60, 1)
    options.outputs.mkdir(parents=True, exist_ok=True)
    with replacing(options.outputs / "results.json") as partial:
        partial.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = table.markdown(results)
    (options.outputs / "report.md").write_text(text, encoding="utf-8")
    print(text)


def simulate(n_cohorts: int) -> dict[str, Any]:
    """All parts: patients alone, uneven patients, effects by group, trainings, the AUROC."""
    results: dict[str, Any] = {"cohorts": n_cohorts}
    results["patients"] = [cell(each, size, n_cohorts) for each in SETTINGS for size in SIZES]
    results["uneven"] = [cell(each, size, n_cohorts) for each in UNEVEN for size in TRAINED_SIZES]
    results["apart"] = [cell(each, size, n_cohorts) for each in APART for size in TRAINED_SIZES]
    results["trainings"] = [
        cell(each.trained(repeats, training_sd), size, n_cohorts, others=False)
        for each in (SETTINGS[0], SETTINGS[2])
        for training_sd in TRAINING_SDS
        for size in TRAINED_SIZES
        for repeats in REPEATS
    ]
    results["ranked"] = []
    for size in SIZES:
        tallies = ranked_tallies(n_cohorts, size)
        results["ranked"].append(
            {"patients": size, "figures": {name: each.record() for name, each in tallies.items()}}
        )
    return results


def cell(setting: Setting, n_patients: int, n_cohorts: int, *, others: bool = True) -> dict[str, Any]:
    """One setting and size: our intervals, and with `others` the other ways."""
    first, second = truth_of(setting.first, setting), truth_of(setting.second, setting)
    rng = np.random.default_rng([n_patients, setting.repeats, round(100 * setting.training_sd)])
    ours, candidates = Ours(setting, first, second, n_patients), Candidates(first, second, n_patients)
    for begin in range(0, n_cohorts, BATCH):
        cohort = draw(setting, min(BATCH, n_cohorts - begin), n_patients, rng)
        ours.add(cohort)
        if others:
            candidates.add(cohort)
    print(f"{setting.name}, {n_patients} patients, {setting.repeats} trainings", file=sys.stderr, flush=True)
    return {
        "setting": setting.name,
        "patients": n_patients,
        "repeats": setting.repeats,
        "training_sd": setting.training_sd,
        "truth": {"first": first.wga, "second": second.wga},
        "ours": {name: each.record() for name, each in ours.tallies.items()},
        "means": {name: each.mean for name, each in ours.means.items()},
        "others": {name: each.record() for name, each in candidates.tallies.items()},
    }


if __name__ == "__main__":
    main()
