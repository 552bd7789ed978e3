"""`python -m benchmarks.cmnist`: train Colored MNIST's table; a run that was stopped goes on where it was.

Outputs lie in outputs/benchmarks/cmnist: a record per method, ratio and seed under cells/, table.md and
table.png. Nothing is chosen on the test images.
"""

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks.cmnist import table
from benchmarks.cmnist.cells import Cell, is_done, train_cell
from benchmarks.cmnist.settings import Settings, load

OUTPUT = Path("outputs/benchmarks/cmnist")
DATA = Path(os.environ.get("EVENPATCH_REAL_DATA", "../shared/data")) / "mnist"


def cells(
    settings: Settings, methods: Sequence[str], ratios: Sequence[float], seeds: Sequence[int]
) -> list[Cell]:
    """What is to be trained, GERNE's rows first."""
    return [
        Cell(
            method=name,
            ratio=ratio,
            seed=seed,
            settings={
                "algorithm": method.settings,
                "train": settings.train | {"attributes": method.attributes},
                **({"name": method.algorithm} if method.algorithm else {}),
            },
            trains=method.train,
        )
        for name, method in settings.methods.items()
        if name in methods
        for ratio in ratios
        if method.ratios is None or ratio in method.ratios
        for seed in seeds
    ]


def is_current(settings: Settings, record: Mapping[str, Any]) -> bool:
    """Whether a record is of these settings, and not of earlier ones."""
    made = cells(settings, [record["method"]], [record["ratio"]], [record["seed"]])
    return any(cell.fingerprint == record["fingerprint"] for cell in made)


def main() -> None:
    """Train what is missing, then write the table over all that was trained with these settings."""
    settings = load()
    parser = argparse.ArgumentParser(prog="benchmarks.cmnist", description=__doc__)
    parser.add_argument("--methods", nargs="+", choices=settings.methods, default=list(settings.methods))
    parser.add_argument("--ratios", nargs="+", type=float, default=list(settings.published_ratios))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(settings.seeds))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes of one thread")
    parser.add_argument(
        "--oracle", action="store_true", help="also tell what a choice on the test images gives"
    )
    options = parser.parse_args()
    folder, started = OUTPUT / "cells", time.monotonic()
    wanted = cells(settings, options.methods, options.ratios, options.seeds)
    missing = [cell for cell in wanted if not is_done(folder, cell)]
    print(f"{len(wanted)} trainings, {len(wanted) - len(missing)} of them finished before")
    # Forked children of a process that has used torch's threads can hang.
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(train_cell, DATA, folder, cell) for cell in missing]
        for future in track(as_completed(futures), "Colored MNIST", total=len(futures)):
            future.result()
    print(table.write(settings, OUTPUT, partial(is_current, settings), oracle=options.oracle))
    print(f"{(time.monotonic() - started) / 60:.1f} minutes; {OUTPUT / 'table.md'}")


if __name__ == "__main__":
    main()
