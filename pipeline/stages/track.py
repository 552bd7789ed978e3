"""Log every evaluated training of a cohort to MLflow, once, and register its model.

A training is known by the fingerprint of its weights and figures: a second call finds it logged and does
nothing, also where DVC restored the outputs without running a stage. A training from which no patient was
kept apart (`split.test: 0`) carries the figures of the cohort's study, if that is of the same patches and
settings. The store is mlflow.db with mlartifacts/ beside it, or the server that MLFLOW_TRACKING_URI names.
The receipt is outputs/<cohort>/track/runs.json.
"""

import argparse
import hashlib
import logging
from typing import Any

import numpy as np
import pandas as pd
from rich.progress import track

from models.data.splitting import TEST
from models.networks.card_file import CARD, WEIGHTS, load_card
from models.networks.evidence import EVIDENCE, Evidence, save_evidence
from patching.sealing import damaged
from pipeline.artifacts import Paths
from pipeline.cards.study_evidence import evidence_of, study_figures, wga_told
from pipeline.config import Context
from pipeline.files import file_fingerprint, read_json, read_table, write_json
from pipeline.flattening import flat, metrics_of
from pipeline.locks import held
from pipeline.look.curves import curves_figure
from pipeline.provenance import git_commit
from pipeline.results.runs import identity, listed_runs
from pipeline.tracking.cells import encode_patch
from pipeline.tracking.connection import logging_alone
from pipeline.tracking.models import ModelStore, TrainingRecord
from pipeline.tracking.pages import group_figures, pages_of
from pipeline.tracking.refusals import without_secrets
from pipeline.tracking.served import columns_of, patch_form

logger = logging.getLogger(__name__)

_PARAMS = ("algorithm", "threshold", "seed", "n_trials", "algorithm_settings", "train_settings")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tracking has no options beyond the cohort."""


def run(context: Context, options: argparse.Namespace) -> None:
    """Log what is not logged yet, and write the receipt.

    Raises:
        ArtifactError: nothing has been trained and evaluated.
        RegistryError: MLflow cannot be reached, or refuses.
        BusyError: another process is logging, for longer than `--wait`.
    """
    paths = context.paths
    names = listed_runs(context)
    with held([logging_alone(paths.root)], "track", vars(options).get("wait")):
        store = ModelStore(paths.root, context.cohort)
        receipts = [_tracked(store, context, name) for name in track(names, "track", transient=True)]
    write_json(paths.tracked, {"runs": receipts})
    logger.info("%d trainings of %s are in %s", len(receipts), context.cohort, without_secrets(store.uri))


def _tracked(store: ModelStore, context: Context, name: str) -> dict[str, Any]:
    """Receipt of one training, logged now or before."""
    paths = context.paths
    record = read_json(paths.training(name) / "run.json", "train")
    card = load_card(paths.training(name))
    evidence = evidence_of(context, name, card)
    save_evidence(paths.evidence(name), evidence)
    digest = training_fingerprint(paths, name, evidence)
    logged = store.find(digest)
    if logged is None:
        logged = store.log(training_record(paths, name, digest, evidence))
        logger.info("logged %s: version %s of %s", name, logged.version, logged.model)
    seconds = record["seconds"]
    store.describe(
        logged, pages_of(card, evidence, model=logged.model, version=logged.version, seconds=seconds)
    )
    # The report links to the cards, which lie beside it here, too.
    pages = [(page, "report") for page in (paths.report, *paths.cards)]
    for page, folder in (*pages, (paths.shortcuts / "shortcuts.json", "shortcuts")):
        if page.is_file():
            store.refresh(logged, f"evenpatch.{page.stem}", file_fingerprint([page]), folder, page)
    if _exported(paths) == name:
        files = sorted(path for path in paths.report_exports.rglob("*") if path.is_file())
        store.refresh(logged, "evenpatch.exports", file_fingerprint(files), "report", paths.report_exports)
    algorithm, threshold = identity(name, record)
    return {
        "run": name,
        "algorithm": algorithm,
        "threshold": threshold,
        "fingerprint": digest,
        "mlflow_run_id": logged.run_id,
        "model": logged.model,
        "version": logged.version,
    }


def _exported(paths: Paths) -> str | None:
    """The training whose figures and predictions lie beside the report, if any do."""
    path = paths.report_exports / "metrics.json"
    return str(read_json(path, "report")["model"]["run"]) if path.is_file() else None


def training_fingerprint(paths: Paths, name: str, evidence: Evidence) -> str:
    """SHA-256 of what makes a training: its weights, its card and its figures.

    Figures of a study are no part of its evaluation, and may come when it is logged already.
    """
    training, evaluation = paths.training(name), paths.evaluation(name)
    own = file_fingerprint([training / WEIGHTS, training / CARD, evaluation / "metrics.json"])
    if evidence.split == TEST:
        return own
    claimed = evidence.model_dump_json(include={"split", "patches", "patients", "groups", "figures"})
    return hashlib.sha256(f"{own} {claimed}".encode()).hexdigest()


def training_record(paths: Paths, name: str, digest: str, evidence: Evidence) -> TrainingRecord:
    """All that is logged of one training."""
    training, evaluation = paths.training(name), paths.evaluation(name)
    card, record = load_card(training), read_json(training / "run.json", "train")
    figures = evaluation / "metrics.json"
    metrics = metrics_of(read_json(figures, "evaluate"))
    if not metrics:
        raise damaged(figures, "evaluate", "no figures in it")
    read_json(paths.groups, "attribute")  # It is among the files: damaged, it would be logged as it is.
    file = training / "history.csv"
    history = read_table(file, ("step", "epoch"), "train", numbers=True, record=record)
    data = file_fingerprint([paths.index, paths.splits, paths.attribute_table(card.threshold)])
    shape, dtype = patch_form(card)
    identities = {
        "run": name,
        "algorithm": card.algorithm,
        "threshold": card.threshold,
        "cohort": paths.cohort,
    }
    sources = {"fingerprint": digest, "data": data, "commit": git_commit(paths.root)}
    curves = curves_figure([(card.algorithm, card.algorithm, history, int(record["best_step"]))], name)
    return TrainingRecord(
        # MLflow's table of runs shows names and no figures, until one asks for them.
        name=f"{name} ({wga_told(evidence)})",
        fingerprint=digest,
        tags=_prefixed(identities | sources),
        version_tags=_prefixed(
            identities | sources | {"validation_wga": metrics.get("validation/wga", "none")}
        ),
        params={key: str(value) for key, value in flat({key: record[key] for key in _PARAMS}).items()},
        metrics=_shown_first(metrics) | group_figures(card, evidence) | study_figures(evidence) | metrics,
        history=history,
        seconds=record["seconds"],
        files=(
            ("training", training / "composition.json"),
            ("training", training / "run.json"),
            ("training", training / CARD),
            # Which patients it was trained on, for a gate that judges it after the split has changed.
            ("data", paths.splits),
            ("evaluation", evaluation / "metrics.json"),
            ("evaluation", evaluation / "predictions.parquet"),
        ),
        texts={"plots/curves.svg": curves.decode(), "data/groups.json": paths.groups.read_text()},
        model_files={
            "weights": training / WEIGHTS,
            "card": training / CARD,
            "evidence": paths.evidence(name) / EVIDENCE,
        },
        example=pd.DataFrame({"patch": [encode_patch(np.zeros(shape, dtype))], "tissue_fraction": [0.0]}),
        columns=columns_of(card.decision),
        dataset=(paths.cohort, data),
    )


def _shown_first(metrics: dict[str, float]) -> dict[str, float]:
    """The worst group's accuracy under names of their own: MLflow's tables begin with them."""
    names = {"wga": "test/wga", "wga low": "test/wga/low", "wga high": "test/wga/high"}
    return {shown: metrics[key] for shown, key in names.items() if key in metrics}


def _prefixed(tags: dict[str, Any]) -> dict[str, str]:
    return {f"evenpatch.{key}": str(value) for key, value in tags.items()}
