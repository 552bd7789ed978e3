"""What the networks say of changed patches: a row for every patch, step, kind and method."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.data.dataset import MemoryPatches
from models.determinism import deterministic
from models.networks.checkpoint import load_classifier
from models.networks.classifier import Classifier, choose_device
from models.networks.decision import network_logit, ruled, told
from pipeline.intervention.feeding import Fed, Shelf, fed
from pipeline.intervention.models import Asked
from pipeline.intervention.sample import Stock, chosen
from pipeline.intervention.settings import Arm, InterveneSettings

CURVE = (
    "arm",
    "patch_id",
    "slide_id",
    "patient_id",
    "kind",
    "step",
    "share",
    "tissue_fraction",
    "method",
    "logit",
    "log_odds",
    "probability",
)
"""Columns of curve.parquet: `logit` is the network's own, `log_odds` the rule's before calibration."""
Watched = Callable[[Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Answers:
    """One intervention.

    Attributes:
        curve: CURVE.
        patches: how many were changed. sources: a row for each of them, by kind (`Sources`).
        example: the first patch, to be shown.
    """

    arm: Arm
    curve: pd.DataFrame
    sources: pd.DataFrame
    example: Fed | None


def answered(
    arm: Arm,
    stock: Stock,
    shelf: Shelf,
    models: Sequence[Asked],
    settings: InterveneSettings,
    watched: Watched,
) -> Answers:
    """Change the patches of an intervention, and ask every model; `watched` shows progress.

    Raises:
        CheckpointError: a model is missing or damaged.
        StoreError: a patch store is.
    """
    device = choose_device(settings.device)
    networks = [load_classifier(model.folder)[0].to(device) for model in models]
    tables: list[pd.DataFrame] = []
    sources: list[dict[str, Any]] = []
    example: Fed | None = None
    waiting: list[tuple[pd.DataFrame, NDArray[Any]]] = []
    with deterministic(device):
        for _, row in watched(list(chosen(arm, stock, settings).iterrows())):
            each = fed(row, arm, stock, shelf, settings)
            if each is None:
                continue
            example = example or each
            sources += _sources(each)
            waiting.append((_rows(each, arm), _images(each)))
            if sum(images.nbytes for _, images in waiting) >= settings.memory_limit_gib * 2**30:
                tables.append(_asked(waiting, models, networks))
                waiting = []
        if waiting:
            tables.append(_asked(waiting, models, networks))
    empty = pd.DataFrame(columns=list(CURVE))
    return Answers(
        arm, pd.concat(tables, ignore_index=True) if tables else empty, pd.DataFrame(sources), example
    )


def _rows(each: Fed, arm: Arm) -> pd.DataFrame:
    """One row a step, of both kinds, in the order of `_images`."""
    own = {name: each.row[name] for name in ("patch_id", "slide_id", "patient_id")}
    return pd.DataFrame(
        [
            {
                "arm": arm.name,
                **own,
                "kind": kind,
                "step": number,
                "share": step.share,
                "tissue_fraction": step.patch.tissue_fraction,
            }
            for kind, steps in (("area", each.area), ("control", each.control))
            for number, step in enumerate(steps)
        ]
    )


def _images(each: Fed) -> NDArray[Any]:
    return np.stack([step.patch.image_HWC for step in (*each.area, *each.control)])


def _sources(each: Fed) -> list[dict[str, Any]]:
    return [
        {"patch_id": each.row["patch_id"], "kind": kind, **vars(found)}
        for kind, found in (("area", each.area_sources), ("control", each.control_sources))
    ]


def _asked(
    waiting: Sequence[tuple[pd.DataFrame, NDArray[Any]]],
    models: Sequence[Asked],
    networks: Sequence[Classifier],
) -> pd.DataFrame:
    rows = pd.concat([table for table, _ in waiting], ignore_index=True)
    images = MemoryPatches(np.concatenate([images_NHWC for _, images_NHWC in waiting]))
    found = []
    for model, network in zip(models, networks, strict=True):
        logit_N = network_logit(network.predict_patches(images))
        for method, decision in model.decisions.items():
            probability_N, _ = told(decision, logit_N, rows["tissue_fraction"])
            odds_N = ruled(decision, logit_N, rows["tissue_fraction"])
            found.append(
                rows.assign(method=method, logit=logit_N, log_odds=odds_N, probability=probability_N)
            )
    return pd.concat(found, ignore_index=True)[list(CURVE)]
