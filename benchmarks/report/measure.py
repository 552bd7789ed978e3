"""One size of cohort: made, reported, and what came of it."""

import resource
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypedDict

import pandas as pd

from benchmarks.report.cohort import write_cohort
from patching.store.reading import PatchStore
from pipeline.cohort.page import write_cohort_page
from pipeline.config import load_stage
from pipeline.report.sources import ReportSettings, gather
from pipeline.stages import report

_MB = 1e6
_KIB_OF_MIB = 1024


class Measured(TypedDict):
    """Of one size; seconds are the processor's, but those of the clock, and megabytes 10^6 bytes.

    `report_s` holds all that `evenpatch report` does but its imports, `gather_s` the reading and the figures
    of it alone. `whole_cohort_s` is the cohort page with its contact sheet.
    """

    slides: int
    patches: int
    report_mb: float
    beside_mb: float
    beside_files: int
    gather_s: float
    report_s: float
    report_clock_s: float
    cohort_mb: float
    cohort_s: float
    peak_mib: float


def measured(test_slides: int) -> Measured:
    """`measure` in a temporary folder, with the repository's own settings."""
    with tempfile.TemporaryDirectory(prefix="evenpatch-report-") as folder:
        return measure(Path(folder), Path(__file__).resolve().parent.parent.parent, test_slides)


def measure(root: Path, repository: Path, test_slides: int) -> Measured:
    """Make a cohort in an empty folder, its report and its page.

    Args:
        root: empty folder.
        repository: whose configs are taken.
        test_slides: of the cohort, beside those of training and validation.
    """
    context = write_cohort(root, repository, test_slides)
    paths = context.paths
    settings = load_stage(context.configs, context.cohort, "report", ReportSettings)
    gather_s, _ = timed(lambda: gather(context, settings))
    report_s, report_clock_s = timed(lambda: report.run(context, Namespace()))
    index = pd.read_parquet(paths.index)
    stores = {name: PatchStore.open(paths.store(name)) for name in sorted(index["slide_id"].unique())}
    cohort_s, _ = timed(lambda: write_cohort_page(paths, index, stores))
    beside = [each for each in paths.report.parent.rglob("*") if each.is_file() and each != paths.report]
    return Measured(
        slides=test_slides,
        patches=len(index),
        report_mb=megabytes([paths.report]),
        beside_mb=megabytes(beside),
        beside_files=len(beside),
        gather_s=gather_s,
        report_s=report_s,
        report_clock_s=report_clock_s,
        cohort_mb=megabytes([paths.overlays / "cohort.html"]),
        cohort_s=cohort_s,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_OF_MIB,
    )


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the processor, and of the clock."""
    processor, clock = time.process_time(), time.monotonic()
    work()
    return time.process_time() - processor, time.monotonic() - clock


def megabytes(files: Iterable[Path]) -> float:
    """Of files together."""
    return sum(each.stat().st_size for each in files) / _MB
