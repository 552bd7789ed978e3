"""`python -m benchmarks.predict [--quick] [--only PART ...]`: measure, and write
outputs/benchmarks/predict.
"""

import argparse
import os
import shutil

from benchmarks.predict import report
from benchmarks.predict.parts import PARTS, Options
from benchmarks.predict.places import RESULTS
from benchmarks.tiling.options import tell
from benchmarks.tiling.places import WORK


def main() -> None:
    """Run the parts asked for, then write the report over all that was ever measured."""
    parser = argparse.ArgumentParser(prog="benchmarks.predict", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to run")
    parser.add_argument("--quick", action="store_true", help="small slides, two repeats: does it run?")
    parser.add_argument("--repeats", type=int, default=3, help="turns that count")
    parser.add_argument("--threads", type=int, default=Options.threads, help="of the whole and of each work")
    parser.add_argument(
        "--peers-python", default=os.environ.get("PEERS_PYTHON"), help="the interpreter with TIAToolbox"
    )
    parser.add_argument("--match", default="", help="only contests whose name contains this: memory/40000")
    parser.add_argument("--resume", action="store_true", help="keep contests that were measured before")
    arguments = vars(parser.parse_args())
    only = arguments.pop("only")
    options = Options(**arguments, folder=RESULTS)
    shutil.rmtree(WORK, ignore_errors=True)  # what a run that was stopped left
    for part in only:
        PARTS[part](options)
    tell(f"report: {report.write(RESULTS)}")


if __name__ == "__main__":
    main()
