"""`python -m benchmarks.tiling [--quick] [--only PART ...]`: measure, and write outputs/benchmarks/tiling."""

import argparse
import os
import shutil

from benchmarks.tiling import limits, peers, pixels, report, storage
from benchmarks.tiling.options import Options, tell
from benchmarks.tiling.ours import CASES
from benchmarks.tiling.places import WORK

PARTS = {"pixels": pixels.run, "storage": storage.run, "limits": limits.run, "peers": peers.run}


def main() -> None:
    """Run the parts asked for, then write the report over all that was ever measured."""
    parser = argparse.ArgumentParser(prog="benchmarks.tiling", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to run")
    parser.add_argument("--quick", action="store_true", help="small slides, two repeats: does it run?")
    parser.add_argument("--repeats", type=int, default=5, help="turns that count")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument(
        "--peers-python", default=os.environ.get("PEERS_PYTHON"), help="the peers' interpreter"
    )
    parser.add_argument(
        "--peers-path", nargs="*", default=[], help="folders of peers' sources, such as TRIDENT's"
    )
    parser.add_argument("--peer-patches", type=int, default=1500, help="patches each peer reads")
    parser.add_argument("--match", default="", help="only contests whose name contains this: peers/overlap/2")
    parser.add_argument("--resume", action="store_true", help="keep contests that were measured before")
    arguments = vars(parser.parse_args())
    only = arguments.pop("only")
    options = Options(**{k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()})
    shutil.rmtree(WORK, ignore_errors=True)  # what a run that was stopped left
    for part in only:
        PARTS[part](options)
    tell(f"report: {report.write()}")


if __name__ == "__main__":
    main()
