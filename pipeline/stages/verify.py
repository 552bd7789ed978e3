"""Check that a cohort's files are whole and agree with each other. Writes nothing.

Every chunk of the patch stores is read and held against its checksum; the patch index is held against the
stores; splits, attributes and predictions against the index; each model's weights against its card; tables
and JSON files are read. Damage is told with the command that writes the file anew; of stores, remove those
named and run `evenpatch tile` again. The exit code is 2 where anything is wrong.
"""

import argparse
import logging
import os
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import track

from patching.errors import ArtifactError, StoreError
from patching.store.verify import verify_store
from pipeline.artifacts import Paths
from pipeline.checks.files import file_problems
from pipeline.checks.index import index_problems
from pipeline.checks.tables import run_problems, table_problems
from pipeline.config import Context, load_cohort
from pipeline.files import read_table
from pipeline.patch_tables import read_slides

logger = logging.getLogger(__name__)
_NAMED = 10
_CHECKS = (file_problems, table_problems, run_problems)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument(
        "--slide", action="append", help="only the store of this slide_id; may be given again"
    )


def run(context: Context, options: argparse.Namespace) -> None:
    """Read everything.

    Raises:
        ArtifactError: the ingest stage has not run, or a file is damaged or contradicts another.
        StoreError: a store is damaged or missing.
    """
    paths = context.paths
    slides = read_slides(paths)
    listed = slides["slide_id"].tolist()
    excluded = paths.tile_excluded
    gone = set(read_table(excluded, ("slide_id",), "tile")["slide_id"]) if excluded.is_file() else set()
    wanted = options.slide or [name for name in listed if name not in gone]
    if unknown := [name for name in wanted if name not in listed]:
        raise StoreError(
            has=f"no slide {', '.join(unknown)} in {paths.slides}",
            needs="a slide_id of the cohort",
            do="correct `--slide`",
        )
    _refuse_stores(paths, list(_of_stores(paths, wanted)))
    logger.info("%d stores are whole", len(wanted))
    if options.slide:
        return
    imported = load_cohort(context.configs, context.cohort).benchmark is not None
    patients = slides.set_index("slide_id").loc[wanted, "patient_id"].to_dict()
    of_index = index_problems(paths, patients, imported=imported)
    checks = (of_index, *(check(paths) for check in _CHECKS))
    # A damaged file may be met by several checks, of which the first one says how it is written anew.
    met: dict[str, str] = {}
    for problem in (problem for check in checks for problem in check):
        fault = problem.partition("; ")[0].replace(f"{paths.root.resolve()}{os.sep}", "")
        if fault not in met:
            logger.error("%s", problem)
        met.setdefault(fault, problem)
    problems = list(met.values())
    if problems:
        raise ArtifactError(
            has=f"{_counted(problems)}: {'; '.join(problems[:_NAMED])}",
            needs="files as they were written, of one another",
            do="run the commands named above, from the first on",
        )
    logger.info("the tables and models there are agree with them and each other")


def _of_stores(paths: Paths, wanted: Sequence[str]) -> Iterator[str]:
    for name in track(wanted, "verifying stores", console=Console(stderr=True)):
        for problem in verify_store(paths.store(name)):
            logger.error("%s: %s", name, problem)
            yield f"{name}: {problem}"


def _counted(problems: Sequence[str]) -> str:
    return "1 problem" if len(problems) == 1 else f"{len(problems)} problems"


def _refuse_stores(paths: Paths, problems: Sequence[str]) -> None:
    if problems:
        raise StoreError(
            has=f"{_counted(problems)} in {paths.patches}: {'; '.join(problems[:_NAMED])}",
            needs="whole stores",
            do="remove the stores named above and run `evenpatch tile` again: it writes what is missing",
        )
