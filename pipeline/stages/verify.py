"""Check every chunk of a cohort's patch stores against its checksum. Writes nothing.

Damage is listed by slide and shard; remove the stores named and run `evenpatch tile` again. The exit
code is 2 where anything is wrong.
"""

import argparse
import logging

from rich.console import Console
from rich.progress import track

from patching.errors import StoreError
from patching.store.verify import verify_store
from pipeline.artifacts import SLIDES
from pipeline.config import Context
from pipeline.files import read_table

logger = logging.getLogger(__name__)
_NAMED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("--slide", action="append", help="only this slide_id; may be given again")


def run(context: Context, options: argparse.Namespace) -> None:
    """Read every store.

    Raises:
        ArtifactError: the ingest stage has not run.
        StoreError: something is damaged or missing.
    """
    paths = context.paths
    listed = read_table(paths.slides, SLIDES, "ingest")["slide_id"].tolist()
    excluded = paths.tile_excluded
    gone = set(read_table(excluded, ("slide_id",), "tile")["slide_id"]) if excluded.is_file() else set()
    wanted = options.slide or [name for name in listed if name not in gone]
    if unknown := [name for name in wanted if name not in listed]:
        raise StoreError(
            has=f"no slide {', '.join(unknown)} in {paths.slides}",
            needs="a slide_id of the cohort",
            do="correct `--slide`",
        )
    problems: list[str] = []
    for name in track(wanted, "verifying stores", console=Console(stderr=True)):
        for problem in verify_store(paths.store(name)):
            logger.error("%s: %s", name, problem)
            problems.append(f"{name}: {problem}")
    if problems:
        raise StoreError(
            has=f"{len(problems)} problems in {paths.patches}: {'; '.join(problems[:_NAMED])}",
            needs="whole stores",
            do="remove the stores named above and run `evenpatch tile` again: it writes what is missing",
        )
    logger.info("%d stores are whole", len(wanted))
