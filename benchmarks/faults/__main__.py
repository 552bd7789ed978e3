"""The command line of the fault benchmarks."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.faults import disk_full, kill, moves, mutate, predict, tables, two
from benchmarks.faults.exercise import EXERCISES
from benchmarks.faults.results import write_results

PARTS: dict[str, Callable[[argparse.Namespace], dict[str, object]]] = {
    "mutate": mutate.run,
    "kill": kill.run,
    "disk-full": disk_full.run,
    "predict-kill": predict.kills,
    "predict-disk-full": predict.full_disks,
    "tables": tables.run,
    "two": two.run,
    "moves": moves.run,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one part; the exit code is 1 where something failed that must not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the real files")
    parser.add_argument("--outputs", type=Path, default=Path("outputs/benchmarks/faults"))
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--cases", type=int, default=5000, help="mutate: number of inputs")
    parser.add_argument("--first", type=int, default=0, help="mutate: number of the first input")
    parser.add_argument("--kind", choices=EXERCISES, help="mutate: this kind of files alone")
    parser.add_argument("--case", type=int, help="mutate: replay this one, with its traceback")
    parser.add_argument("--kills", type=int, default=50, help="kill, predict-kill: number of kills")
    parser.add_argument("--times", type=int, default=10, help="two: of every pair")
    options = parser.parse_args(arguments)
    results = PARTS[options.part](options)
    if options.case is None:
        write_results(options.outputs, options.part, results)
    return 0 if results["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
