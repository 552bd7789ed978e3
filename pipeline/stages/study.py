"""Repeat a patient-level cross-validation: outputs/<cohort>/study/.

For few patients one split says little. Here every patient is tested once per repeat, by a model that never
saw the patient: thresholds come from the fold's training patients, step and candidate from its validation
patients. Whom slides.csv fixes to train or validation is there in every fold and never tested; whom it fixes
to test is tested in one fold and left out of the others. Written are one pair of files per result under
cells/, predictions.parquet, study.json, table.md and two pictures: study.png, the figures with intervals over
patients, and decided.png, the same networks decided by tissue; those of `others:` in a folder others/. An
interrupted study goes on where it was, and with --archive also in another checkout.
"""

import argparse
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from patching.errors import AlgorithmError, ConfigError
from pipeline.artifacts import Paths, run_name
from pipeline.config import Context, load_cohort, load_stage, require_slides
from pipeline.experiments.best_on_validation import BEST, best_on_validation
from pipeline.experiments.study_archive import archive, made, restore
from pipeline.experiments.study_cells import Cell, is_done, planned, trainings
from pipeline.experiments.study_files import StudySettings, write
from pipeline.experiments.study_pool import finished
from pipeline.files import read_json, read_table
from pipeline.patch_tables import read_index
from pipeline.report.sources import ReportSettings
from pipeline.results.predictions import PLACED
from pipeline.results.runs import tuning_trials
from pipeline.results.scoreboards import scoreboards_of
from pipeline.results.studied import CELL, repeats_of
from pipeline.results.terms import terms_of
from pipeline.tables.page import page_of
from pipeline.tables.writers import printed
from pipeline.training.fixed import fixed_splits, told_fixed

logger = logging.getLogger(__name__)

OPTIONS = ("repeats", "algorithms", "thresholds", "workers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much."""
    parser.add_argument("--repeats", type=int, help="of the cross-validation (default: configs/study.yaml)")
    parser.add_argument(
        "--algorithms",
        nargs="+",
        help="files of configs/algorithms: these alone, without `others:` (default: configs/study.yaml)",
    )
    parser.add_argument("--thresholds", nargs="+", help="of the attribute stage (default: all)")
    parser.add_argument("--workers", type=int, help="processes of one thread (default: configs/study.yaml)")
    parser.add_argument(
        "--archive",
        type=Path,
        metavar="FOLDER",
        help="keep finished trainings in FOLDER/<cohort> too, in small files, and take what is there",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        help="start no training after so many, above 0; the same command goes on from there",
    )


def run(context: Context, options: argparse.Namespace) -> None:
    """Train what is missing, then summarize everything.

    Raises:
        ArtifactError: the patch index is missing, or the archive is damaged.
        ConfigError, GroupError, AlgorithmError: no slides, a wrong option, an untrainable fold. What is
            finished is kept.
        MemoryShortageError: a training's process was ended from outside.
    """
    require_slides(load_cohort(context.configs, context.cohort), context.cohort, "a study")
    if options.minutes is not None and not options.minutes > 0:
        raise ConfigError(has=f"--minutes {options.minutes:g}", needs="more than 0", do="correct the option")
    given = {key: getattr(options, key) for key in OPTIONS}
    if options.algorithms:
        given["others"] = {}
    settings = load_stage(context.configs, context.cohort, "study", StudySettings, **given)
    index = read_index(context.paths)
    cells = list(planned(context, settings))
    folder = context.paths.study / "cells"
    store = options.archive / context.cohort if options.archive else None
    if store is not None:
        made(store)
        logger.info("%d results taken from %s", restore(store, folder, cells, index), store)
    missing = [cell for cell in cells if not is_done(folder, cell)]
    logger.info("%d results, %d of them finished before", len(cells), len(cells) - len(missing))
    until = math.inf if options.minutes is None else time.monotonic() + 60 * options.minutes
    try:
        for names in finished(context.paths, folder, trainings(missing), settings.workers, until):
            logger.debug("finished %s", ", ".join(names))
    finally:
        if store is not None:
            logger.info("%d files written in %s", archive(store, folder, cells, index), store)
    left = [cell for cell in cells if not is_done(folder, cell)]
    if left:
        print(f"{len(left)} of {len(cells)} results are missing still: run the same command again")
        return
    _summarize_all(context, settings, cells, index)


def _summarize_all(
    context: Context, settings: StudySettings, cells: Sequence[Cell], index: pd.DataFrame
) -> None:
    """The methods of all repeats, and in a folder of its own all methods in the repeats that all have."""
    own = [cell for cell in cells if cell.algorithm in settings.algorithms]
    summarize_cells(context, context.paths.study, settings, own, index)
    if settings.others.algorithms:
        repeats = min(settings.repeats, settings.others.repeats)
        every = settings.model_copy(update={"algorithms": settings.every_algorithm, "repeats": repeats})
        shared = [cell for cell in cells if cell.repeat < repeats]
        summarize_cells(context, context.paths.study / "others", every, shared, index)


def summarize_cells(
    context: Context, folder: Path, settings: StudySettings, cells: Sequence[Cell], index: pd.DataFrame
) -> None:
    """Figures, tables and picture of finished cells.

    Raises:
        AlgorithmError: no method ran in every fold.
    """
    places = context.paths.study / "cells"
    records = [read_json(places / f"{cell.name}.json", "study") for cell in cells]
    kept, left_out = without_failures(cells, records)
    fixed = fixed_splits(context.paths)
    fixed = fixed[fixed.index.isin(index["patient_id"])]
    remarks = [*told_fixed(fixed), *left_out, *tuned_before(context.paths, kept)]
    ran = tuple(name for name in settings.algorithms if any(cell.algorithm == name for cell in kept))
    predictions = pd.concat([read_table(places / f"{cell.name}.parquet", CELL, "study") for cell in kept])
    predictions = predictions.merge(index[["patch_id", "patient_id"]], on="patch_id")
    best = best_on_validation(predictions, records)
    if best is not None:
        predictions, ran = pd.concat([predictions, best]), (*ran, BEST)
    settings = settings.model_copy(update={"algorithms": ran})
    summarize(context, folder, settings, predictions, records, remarks)
    for name in ("table.md", "study.json", "study.png", "decided.png"):
        logger.info("wrote %s", folder / name)


def summarize(
    context: Context,
    folder: Path,
    settings: StudySettings,
    predictions: pd.DataFrame,
    records: Sequence[Mapping[str, Any]],
    remarks: Sequence[str],
) -> None:
    """Print the tables and write all files.

    Args:
        context: of the cohort.
        folder: for the files.
        settings: of the study.
        predictions: columns CELL and patient_id, of every cell.
        records: of the cells.
        remarks: sentences about methods that could not be trained, or that know patients of the test.
    """
    tested = repeats_of(predictions, records, read_index(context.paths, PLACED))
    report = load_stage(context.configs, context.cohort, "report", ReportSettings)
    terms = terms_of(context, tested, report, candidate=settings.candidate)
    boards = scoreboards_of(tested, terms, console=Console(stderr=True))
    page = page_of(context, "repeated cross-validation", boards, terms, remarks)
    write(context, folder, settings, predictions, records, boards, page, terms.control)
    console = Console()
    console.print(printed(page, console.width))


def without_failures(
    cells: Sequence[Cell], records: Sequence[dict[str, Any]]
) -> tuple[list[Cell], list[str]]:
    """The cells of the methods that ran in every fold, and a sentence about every other method.

    A method that is missing in some folds would be compared on other patients than the rest.

    Raises:
        AlgorithmError: no method ran in every fold.
    """
    failed: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if record.get("failure"):
            failed.setdefault(record["algorithm"], []).append(record)
    remarks = [
        f"{name} is left out: it could not be trained in {len(found)} of "
        f"{sum(cell.algorithm == name for cell in cells)} cells; {found[0]['name']}: {found[0]['failure']}"
        for name, found in failed.items()
    ]
    kept = [cell for cell in cells if cell.algorithm not in failed]
    if not kept:
        raise AlgorithmError(
            has="; ".join(remarks), needs="one method that runs in every fold", do="see the reasons above"
        )
    return kept, remarks


def tuned_before(paths: Paths, cells: Sequence[Cell]) -> list[str]:
    """A sentence about every method with settings of `evenpatch tune`, whose patients the study tests."""
    settings = {(cell.algorithm, cell.threshold): cell.algorithm_settings for cell in cells}
    return [
        f"{algorithm} at threshold {threshold} is too good: its settings are the best of {trials} trials of "
        "`evenpatch tune`, chosen on validation patients that this study tests."
        for (algorithm, threshold), own in settings.items()
        if (trials := tuning_trials(paths.trials("tune", run_name(algorithm, threshold)), own))
    ]
