"""Test directly whether models rely on the amount of tissue: outputs/<cohort>/intervene/.

Tissue of test patches is replaced step by step by real background, and background by tissue of other patches
of the same label; the candidate and its references are asked at every step, plainly and decided by tissue. In
a control the same pixels are replaced by others of the same kind, so that what pasting does is told from
what the amount of tissue does. Written are curve.parquet (every answer), intervene.json (slopes with
intervals over patients, where the pixels come from) and a picture of one patch in all steps for each
intervention.
"""

import argparse
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import track

from pipeline.artifacts import Paths
from pipeline.config import Context, load_cohort, load_stage, require_slides
from pipeline.files import NOT_ESTIMABLE, checksums, file_fingerprint, write_json, write_parquet
from pipeline.intervention.answers import CURVE, Answers, answered
from pipeline.intervention.feeding import Shelf
from pipeline.intervention.figures import NET, figures_of, with_numbers
from pipeline.intervention.models import models_of
from pipeline.intervention.sample import stock_of
from pipeline.intervention.settings import ARMS, InterveneSettings
from pipeline.intervention.strips import write_strip
from pipeline.results.bootstrap import bootstrap_settings
from pipeline.training.patches import patch_table, table_fingerprints

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The stage has no arguments of its own."""


def run(context: Context, options: argparse.Namespace) -> None:
    """Change patches, ask the models, and write all files.

    Raises:
        ArtifactError: an earlier stage's output is missing.
        CheckpointError: a model is missing or damaged.
        ConfigError: the cohort is an imported benchmark, whose patches have no tissue mask.
        StoreError: a patch store is missing or damaged.
    """
    require_slides(load_cohort(context.configs, context.cohort), context.cohort, "interventions on tissue")
    settings = load_stage(context.configs, context.cohort, "intervene", InterveneSettings)
    models, paths = models_of(context), context.paths
    if models is None:
        _write_nothing(paths)
        return
    table = patch_table(paths, models.threshold)
    stock = stock_of(table[table["patch_id"].isin(models.tested["patch_id"])], settings)
    shelf = Shelf(paths)
    console = Console(stderr=True)
    found = [
        answered(
            arm, stock, shelf, models.asked, settings, partial(track, description=arm.title, console=console)
        )
        for arm in ARMS
    ]
    curve = pd.concat(
        [each.curve for each in found if len(each.curve)] or [found[0].curve], ignore_index=True
    )
    for each in found:
        if each.example is not None:
            write_strip(paths.intervene / f"{each.arm.name}.png", each.example, shelf)
    write_parquet(paths.intervene / "curve.parquet", curve)
    numbers, lost = with_numbers(curve)
    told = figures_of(numbers, models.terms, settings, bootstrap_settings(context))
    remarks = [
        *models.remarks,
        *(
            f"{models.terms.named(name)} is left out: {count} of its answers are no numbers."
            for name, count in lost.items()
        ),
    ]
    content = {
        "missing": "",
        "threshold": models.threshold,
        "fingerprints": fingerprints(paths, models.threshold, [each.run for each in models.asked]),
        "settings": settings.model_dump(exclude={"device"}),
        "below_signal": shelf.below_signal,
        **checksums(paths.intervene / "curve.parquet"),
        "arms": {each.arm.name: _arm(each) for each in found},
        **told,
        "remarks": remarks,
    }
    write_json(paths.intervene / "intervene.json", content)
    _log(told, remarks)


def fingerprints(paths: Paths, threshold: str, runs: Sequence[str]) -> dict[str, str]:
    """SHA-256 of what the figures are made from: the tables at a threshold, and the models by run."""
    weights = {run: file_fingerprint([paths.training(run) / "model.safetensors"]) for run in runs}
    return {**table_fingerprints(paths, threshold), **weights}


def _write_nothing(paths: Paths) -> None:
    """Where there are no test patients, every file is there and says so."""
    why = "There are no test patients."
    logger.warning("nothing is changed: %s", why.lower().rstrip("."))
    write_parquet(paths.intervene / "curve.parquet", pd.DataFrame(columns=list(CURVE)))
    write_json(paths.intervene / "intervene.json", {"missing": why})


def _arm(each: Answers) -> dict[str, Any]:
    """How many patches, and where their new pixels come from."""
    curve = each.curve
    record: dict[str, Any] = {
        "title": each.arm.title,
        "patches": int(curve["patch_id"].nunique()),
        "slides": int(curve["slide_id"].nunique()),
        "patients": int(curve["patient_id"].nunique()),
        "moved": _moved(curve),
        "example": None if each.example is None else str(each.example.row["patch_id"]),
        "sources": {},
    }
    if len(each.sources):
        columns = ["same_slide", "other_slide", "drawn"]
        means = each.sources.groupby("kind")[columns].mean()
        record["sources"] = {
            str(kind): {name: float(means.loc[kind, name]) for name in columns} for kind in means.index
        }
    return record


def _moved(curve: pd.DataFrame) -> float:
    """Mean span of a patch's tissue fraction over the steps; 0 without any patches."""
    area = curve[curve["kind"] == "area"]
    spans = area.groupby("patch_id")["tissue_fraction"].agg(["min", "max"])
    return float((spans["max"] - spans["min"]).mean()) if len(spans) else 0.0


def _log(told: dict[str, Any], remarks: Sequence[str]) -> None:
    for method in told["methods"].values():
        slopes = {arm.title: method["slopes"][NET]["probability"][arm.name]["estimate"] for arm in ARMS}
        words = (
            f"{title} {value if value == NOT_ESTIMABLE else format(10 * value, '+.1f')}"
            for title, value in slopes.items()
        )
        logger.info("%s, points per 10 points of tissue: %s", method["name"], "; ".join(words))
    for remark in remarks:
        logger.warning("%s", remark)
