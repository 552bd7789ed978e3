"""Look closer at test patches of the one model that the report is about: outputs/<cohort>/explain/.

Patches of every group are chosen by rule: errors that the model is surest of, usual errors, a matched correct
patch beside each, and some by hash. Of each are written: what the network saw, the same place at the finest
resolution that its slide has, its tissue, an occlusion map and Grad-CAM. Slides that are gone or have changed
since tiling are told, and left out. The report reads all of it and runs no network (docs/report.md).
"""

import argparse
import logging
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import track

from models.determinism import deterministic
from models.networks.checkpoint import load_classifier
from models.networks.classifier import choose_device
from pipeline.cohort.slides import ingested_rows, with_files
from pipeline.config import Context, load_cohort, load_stage, require_slides, stage_mapping
from pipeline.explain.handover import FACTS, SLIDES_FILE, TABLE
from pipeline.explain.making import Gallery
from pipeline.explain.settings import ExplainSettings
from pipeline.explain.subject import fingerprints_of, subject_of
from pipeline.files import checksums, replacing_folder, write_json, write_parquet

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The stage has no arguments of its own."""


def run(context: Context, options: argparse.Namespace) -> None:
    """Write the hand-over.

    Raises:
        ArtifactError: an earlier stage's output is missing, or no run is present.
        CheckpointError: the training's files are missing or damaged.
        ConfigError: the cohort is an imported benchmark.
        StoreError: a patch store is missing or damaged.
    """
    cohort = load_cohort(context.configs, context.cohort)
    require_slides(cohort, context.cohort, "the gallery")
    settings = load_stage(context.configs, context.cohort, "explain", ExplainSettings)
    paths, subject = context.paths, subject_of(context)
    classifier, card = load_classifier(paths.training(subject.name))
    device = choose_device(settings.device)
    # Ingest has checked whose they are.
    rows = with_files(ingested_rows(paths, patients=False), paths.root)
    slides = {row.slide_id: row for row in rows}
    # On a montage nothing is drawn.
    classes = None if cohort.montages else stage_mapping(context.configs, context.cohort, "tile")["classes"]
    gallery = Gallery(paths, subject.rows, classifier.to(device), card, settings, _watched)
    with replacing_folder(paths.explained) as part:
        with deterministic(device):
            table, meaning, found = gallery.write(part, slides, classes)
        write_parquet(part / TABLE, table)
        write_json(part / SLIDES_FILE, found)
        write_json(
            part / FACTS,
            {
                "run": subject.name,
                "algorithm": subject.algorithm,
                "threshold": subject.threshold,
                "fingerprints": fingerprints_of(paths, subject.name),
                "settings": settings.model_dump(exclude={"device"}),
                "patches": len(subject.rows),
                "maps": meaning,
                **checksums(part / TABLE),
            },
        )
    lacking = sorted({row["state"] for row in found.values()} - {"same", "not_checked"})
    logger.info(
        "%s: %d patches of %d slides%s",
        subject.name,
        len(table),
        table["slide_id"].nunique(),
        f"; some slides are {', '.join(lacking)}" if lacking else "",
    )


def _watched(items: Iterable[Any], told: str) -> Iterable[Any]:
    return track(list(items), description=told, console=Console(stderr=True), transient=True)
