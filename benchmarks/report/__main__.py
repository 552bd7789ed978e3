"""`python -m benchmarks.report [--quick]`: size and time of report and cohort page by the number of slides.

Writes results.json and report.md to outputs/benchmarks/report. Each size has a process of its own. With
`--profile` a file beside them, for `python -m pstats`, tells where the largest size spends its time.
"""

import argparse
import cProfile
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.report.measure import Measured, measured
from benchmarks.report.table import markdown
from pipeline.files import replacing

OUTPUTS = Path("outputs/benchmarks/report")
SIZES, QUICK = (5, 50, 500), (5, 10)


def main() -> None:
    """Measure every size, then write the tables."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slides", type=int, nargs="+", default=None, help="test slides, as 5 50 500 10000")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} test slides: does it run?")
    parser.add_argument("--profile", action="store_true", help="the largest size once more under cProfile")
    parser.add_argument("--outputs", type=Path, default=OUTPUTS)
    options = parser.parse_args()
    sizes = sorted(set(options.slides or (QUICK if options.quick else SIZES)))
    if sizes[0] < 1:
        parser.error("--slides takes numbers above 0")
    options.outputs.mkdir(parents=True, exist_ok=True)
    rows: list[Measured] = []
    for size in sizes:
        # A process each: peak memory is of this size alone.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            rows.append(pool.submit(measured, size).result())
        text = markdown(rows)
        with replacing(options.outputs / "results.json") as partial:
            partial.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        with replacing(options.outputs / "report.md") as partial:
            partial.write_text(text, encoding="utf-8")
    print(text)
    if options.profile:
        with cProfile.Profile() as profile:
            measured(sizes[-1])
        profile.dump_stats(options.outputs / "profile.pstats")


if __name__ == "__main__":
    main()
