"""Put methods side by side: outputs/<cohort>/compare/table.md, .tex, .html and .json.

RUNS are evaluated trainings by name or folder (`gerne-low`, `gerne-low-s2`), `study` or a study's folder, or
single cells of it; without any, everything of the cohort. Seeds of one algorithm are pooled: brackets are
intervals over patients, and the spread over seeds stands apart from them. The candidate minus every other
method is told with paired intervals. Thresholds are never mixed: their groups are different ones.
"""

import argparse
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from patching.errors import ConfigError
from pipeline.artifacts import Paths
from pipeline.config import Context, load_cohort, load_stage
from pipeline.experiments.study_files import StudySettings
from pipeline.files import read_json, replacing
from pipeline.provenance import versions
from pipeline.report.sources import ReportSettings
from pipeline.results.figures import Section, TableSettings
from pipeline.results.predictions import Source, Tested, find_tested
from pipeline.results.scoreboards import sections_of
from pipeline.results.verdict import BootstrapSettings, bootstrap_settings
from pipeline.tables.cells import Block, Cell, Chapter, Page, Row, chapter_of
from pipeline.tables.record import record_of
from pipeline.tables.writers import WRITERS, printed
from pipeline.training.layout import NamedLayout, read_layout

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
        ConfigError: an unknown run or candidate, or seeds that were trained differently.
    """
    tested = find_tested(context.paths, options.runs)
    settings = _settings(context, tested, options.candidate)
    sections = sections_of(tested, settings)
    page = _page(context, sections, tested, settings, oracle=options.oracle)
    console = Console()
    console.print(printed(page, console.width))
    folder = options.output or context.paths.results
    for name, written in WRITERS.items():
        with replacing(folder / name) as part:
            part.write_text(written(page), encoding="utf-8")
    logger.info("wrote %s in %s", ", ".join(WRITERS), folder)


def _settings(context: Context, tested: Sequence[Tested], candidate: str | None) -> TableSettings:
    report = load_stage(context.configs, context.cohort, "report", ReportSettings)
    present = sorted({one.algorithm for one in tested})
    if candidate is not None and candidate not in present:
        raise ConfigError(
            has=f"--candidate {candidate}",
            needs=f"an algorithm of the runs: {', '.join(present)}",
            do="correct the name, or name its runs too",
        )
    sources = {one.source for one in tested}
    return TableSettings(
        bootstrap={source: _bootstrap(context, source) for source in sources},
        names=report.names,
        candidate=candidate or report.candidate,
        minimum_test_patients=report.minimum_test_patients,
        thresholds=_thresholds(context.paths),
        layouts=_layouts(context.paths, {one.threshold for one in tested}),
    )


def _bootstrap(context: Context, source: Source) -> BootstrapSettings:
    """Of the stage that writes the same figures, so that both say the same."""
    if source == "split":
        return bootstrap_settings(context)
    study = load_stage(context.configs, context.cohort, "study", StudySettings)
    return BootstrapSettings.model_validate(study.model_dump(include=set(BootstrapSettings.model_fields)))


def _thresholds(paths: Paths) -> dict[str, float]:
    if not paths.groups.is_file():
        return {}
    found = read_json(paths.groups, "attribute").get("thresholds", {})
    return {name: float(content["value"]) for name, content in found.items() if "value" in content}


def _layouts(paths: Paths, thresholds: set[str]) -> dict[str, NamedLayout]:
    return {name: read_layout(paths, name) for name in thresholds if paths.attribute_table(name).is_file()}


def _page(
    context: Context,
    sections: Sequence[Section],
    tested: Sequence[Tested],
    settings: TableSettings,
    *,
    oracle: bool,
) -> Page:
    candidates = [one.algorithm for one in tested if settings.is_candidate(one.algorithm)]
    chapters = [chapter_of(section, candidates) for section in sections]
    record = record_of(context.cohort, sections)
    if oracle:
        chapters.append(_oracle(tested))
        record["oracle"] = {one.name: dict(one.oracle) for one in tested if one.oracle}
    return Page(
        cohort=context.cohort,
        description=load_cohort(context.configs, context.cohort).description,
        chapters=tuple(chapters),
        notes=tuple(_notes(sections, settings)),
        record=record,
        version=versions()["evenpatch"],
    )


def _oracle(tested: Sequence[Tested]) -> Chapter:
    """Figures selected on the test patches, apart from everything else."""
    holding = [one for one in tested if one.oracle]
    keys = tuple(dict.fromkeys(key for one in holding for key in one.oracle))
    rows = tuple(Row(one.name, tuple(_told(one.oracle, key) for key in keys)) for one in holding)
    block = Block("Oracle.", "As the runs' metrics.json holds them.", ("Run", *keys), ("", *keys), rows)
    return Chapter(
        title="Oracle: selected on the test patches",
        lead="Too good by construction: no estimate of a performance, and comparable with oracles alone.",
        blocks=(block,) if rows else (),
        remarks=() if rows else ("No run holds an oracle figure (`oracle` in metrics.json).",),
    )


def _told(figures: Mapping[str, Any], key: str) -> Cell:
    value = figures.get(key, "–")
    return Cell((f"{value:.4g}" if isinstance(value, int | float) else str(value),))


def _notes(sections: Sequence[Section], settings: TableSettings) -> Iterator[str]:
    for level, draws in dict.fromkeys((each.settings.level, each.settings.draws) for each in sections):
        yield (
            f"Figures are means over seeds. Brackets are {100 * level:g} % intervals of a bootstrap over the "
            f"test patients ({draws:,} draws), each figure's by itself: what other patients would change. "
            "± is the standard deviation over seeds (of a study, over repeats): what another training would "
            "change. Neither holds the other."
        )
    yield (
        "Differences are of the same patients in every draw. “Better” and “worse” are said only where the "
        "interval excludes 0, and only where at least "
        f"{settings.minimum_test_patients} test patients have patches of each class. They are not corrected "
        "for the number of comparisons."
    )
    yield (
        "Trials: candidates that each training chose from, on validation patients. The more there are, the "
        "better the best one looks there; the test patients chose nothing."
    )
    for source, limits in settings.bootstrap.items():
        where = "" if len(settings.bootstrap) == 1 else f" ({source})"
        yield (
            f"Not estimable{where}: under {limits.minimum_patches} test patches or {limits.minimum_patients} "
            "patients. It is never given as 0 or 100 %."
        )
