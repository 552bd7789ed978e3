"""Put methods side by side: outputs/<cohort>/compare/table.md, .tex, .html, .json, and pictures.html.

RUNS are evaluated trainings by name or folder (`gerne-low`, `gerne-low-s2`), `study` or a study's folder, or
single cells of it; without any, everything of the cohort. Seeds of one algorithm are pooled: brackets are
intervals over patients, of several seeds over other trainings too, and ± is the spread over seeds. The
candidate minus every other method is told with paired intervals. Thresholds are never mixed: their groups are
different ones.

pictures.html shows of two runs which verdicts changed in every group, and patches whose verdict did. They are
the two that were named, from the first to the second, if exactly two trainings of one threshold were; else
the primary reference and the candidate at the primary threshold. Without such a pair there is no such page.
"""

import argparse
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from patching.errors import ConfigError
from pipeline.config import Context, load_cohort, load_stage
from pipeline.files import replacing
from pipeline.report.names import names_of
from pipeline.report.sources import ReportSettings
from pipeline.results.figures import Scoreboard
from pipeline.results.predictions import find_tested, with_test
from pipeline.results.scoreboards import scoreboards_of
from pipeline.results.terms import Terms, terms_of
from pipeline.results.tested import Tested
from pipeline.tables.blocks import Block, Cell, Chapter, Row
from pipeline.tables.flips import pair_of
from pipeline.tables.page import page_of
from pipeline.tables.pictures import PAGE, pictures_page
from pipeline.tables.writers import WRITERS, printed

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to compare, and where to write it."""
    parser.add_argument("runs", nargs="*", metavar="RUNS", help="names or folders (default: everything)")
    parser.add_argument("--candidate", help="the algorithm under test (default: that of configs/report.yaml)")
    parser.add_argument("--output", type=Path, help="folder (default: outputs/<cohort>/compare)")
    parser.add_argument(
        "--oracle",
        action="store_true",
        help="add, apart, figures that runs hold as selected on the test patches",
    )


def run(context: Context, options: argparse.Namespace) -> None:
    """Print the tables and write them in every form.

    Raises:
        ArtifactError: nothing to compare, a file is missing, or runs are not of the same test patches.
        ConfigError: an unknown run or candidate, seeds that were trained differently, or ids to hash and no
            salt.
    """
    report = load_stage(context.configs, context.cohort, "report", ReportSettings)
    ids = names_of(hash_ids=report.hash_ids, salt=report.hash_salt)
    tested = with_test(find_tested(context, options.runs))
    terms = _terms(context, tested, report, options.candidate)
    boards = scoreboards_of(tested, terms, console=Console(stderr=True))
    page = page_of(context, "methods side by side", boards, terms)
    if options.oracle:
        oracle = {one.name: dict(one.oracle) for one in tested if one.oracle}
        chapters = (*page.chapters, _oracle_chapter(oracle))
        page = replace(page, chapters=chapters, record={**page.record, "oracle": oracle})
    console = Console()
    console.print(printed(page, console.width))
    folder = options.output or context.paths.results
    for name, written in WRITERS.items():
        with replacing(folder / name) as part:
            part.write_text(written(page), encoding="utf-8")
    logger.info("wrote %s in %s", ", ".join(WRITERS), folder)
    _write_pictures(context, folder / PAGE, tested, boards, terms, ids.patch)


def _write_pictures(
    context: Context,
    path: Path,
    tested: Sequence[Tested],
    boards: Sequence[Scoreboard],
    terms: Terms,
    called: Callable[[str], str],
) -> None:
    """Write the page of the pair that there is; without one, no page of an earlier call is left."""
    primary = terms.judging.primary
    pair = pair_of(tested, terms.judging.candidate, primary.reference, primary.threshold)
    if pair is None:
        path.unlink(missing_ok=True)
        logger.info("no %s: name two trainings of one threshold", path.name)
        return
    first, second = pair
    board = next(each for each in boards if (each.source, each.threshold) == ("split", first.threshold))
    description = load_cohort(context.configs, context.cohort).description
    with replacing(path) as part:
        page = pictures_page(context.paths, pair, board, terms, description, called)
        part.write_text(page, encoding="utf-8")
    logger.info("wrote %s: from %s to %s", path, first.name, second.name)


def _terms(
    context: Context, tested: Sequence[Tested], report: ReportSettings, candidate: str | None
) -> Terms:
    present = sorted({one.algorithm for one in tested})
    if candidate is not None and candidate not in present:
        raise ConfigError(
            has=f"--candidate {candidate}",
            needs=f"an algorithm of the runs: {', '.join(present)}",
            do="correct the name, or name its runs too",
        )
    return terms_of(context, tested, report, candidate=candidate, variants=True)


def _oracle_chapter(oracle: Mapping[str, Mapping[str, Any]]) -> Chapter:
    """Figures selected on the test patches, by run, apart from everything else."""
    keys = tuple(dict.fromkeys(key for figures in oracle.values() for key in figures))
    rows = tuple(
        Row(name, tuple(_oracle_cell(figures.get(key, "–")) for key in keys))
        for name, figures in oracle.items()
    )
    block = Block("Oracle.", "As the runs' metrics.json holds them.", ("Run", *keys), ("", *keys), rows)
    return Chapter(
        title="Oracle: selected on the test patches",
        lead="Too good by construction: no estimate of a performance, and comparable with oracles alone.",
        statements=(),
        blocks=(block,) if rows else (),
        remarks=() if rows else ("No run holds an oracle figure (`oracle` in metrics.json).",),
    )


def _oracle_cell(value: object) -> Cell:
    return Cell((f"{value:.4g}" if isinstance(value, int | float) else str(value),))
