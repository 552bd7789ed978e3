"""What travels with a model from which no patient was kept apart: its cohort's study's figures, or none."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from models.data.splitting import TEST
from models.metrics.intervals import Interval
from models.networks.card import ModelCard
from models.networks.evidence import STUDY, UNTESTED, Estimate, Evidence, GroupEvidence
from patching.errors import ArtifactError
from pipeline.cards.evidence import FIGURES, gathered_evidence, how_chosen, limits_of
from pipeline.cards.words import shown
from pipeline.config import CohortFile, Context, load_cohort
from pipeline.files import read_json
from pipeline.results.claims import StudyClaim, study_claim
from pipeline.results.verdict import estimable

logger = logging.getLogger(__name__)


def evidence_of(context: Context, name: str, card: ModelCard) -> Evidence:
    """How a training did on its test patients; without any, what the cohort's study says of it.

    Where there are neither test patients nor a study of the same patches, settings, method and threshold,
    nothing is claimed, and the limits say why.

    Args:
        context: of the cohort.
        name: of the training.
        card: of its model.

    Raises:
        ArtifactError: its evaluation, or the study, is missing or damaged.
    """
    paths, cohort = context.paths, load_cohort(context.configs, context.cohort)
    if TEST in read_json(paths.evaluation(name) / "metrics.json", "evaluate"):
        return gathered_evidence(paths, name, card, cohort)
    record = read_json(paths.training(name) / "run.json", "train")
    try:
        claim = study_claim(context, card, record)
    except ArtifactError as error:
        logger.warning("%s: nothing is claimed of it: %s", name, error.has)
        return _untested(context, name, card, cohort, f"No figure is claimed: {error.has}.")
    found = _evidence(
        context,
        name,
        cohort,
        split=STUDY,
        chosen=f"{_chosen(record)} {claim.told}",
        patches=claim.board.patches,
        patients=claim.board.patients,
        groups=_groups(claim, card),
        figures={key: _estimate(claim.method.figures[key]) for key in FIGURES if key in claim.method.figures},
    )
    tuned = (f"The figures are too good: {claim.tuned}.",) if claim.tuned else ()
    return found.model_copy(update={"limits": (*limits_of(card, found), *tuned, *cohort.limits)})


def study_figures(evidence: Evidence) -> dict[str, float]:
    """Figures of models trained alike, as metrics: `study/wga` and its ends; none with other evidence."""
    if evidence.split != STUDY:
        return {}
    ends = {
        f"{STUDY}/{key}{end}": value
        for key, figure in evidence.figures.items()
        for end, value in (("", figure.value), ("/low", figure.low), ("/high", figure.high))
    }
    return {key: value for key, value in ends.items() if value is not None}


def wga_told(evidence: Evidence) -> str:
    """The worst group's accuracy, and whose it is where it is not that of test patients."""
    whose = {STUDY: "study's ", UNTESTED: "untested, "}.get(evidence.split, "")
    return f"{whose}WGA {shown(evidence.figures['wga'])}"


def _untested(context: Context, name: str, card: ModelCard, cohort: CohortFile, reason: str) -> Evidence:
    classes, attributes = len(card.classes), len(card.attribute.names)
    nothing = Estimate(value=None)
    found = _evidence(
        context,
        name,
        cohort,
        split=UNTESTED,
        chosen=_chosen(read_json(context.paths.training(name) / "run.json", "train")),
        patches=0,
        patients=0,
        groups=tuple(
            GroupEvidence(label=label, attribute=attribute, accuracy=nothing, patches=0, patients=0)
            for label in range(classes)
            for attribute in range(attributes)
        ),
        figures=dict.fromkeys(FIGURES, nothing),
    )
    return found.model_copy(update={"limits": (*limits_of(card, found), reason, *cohort.limits)})


def _evidence(context: Context, name: str, cohort: CohortFile, **found: Any) -> Evidence:
    return Evidence(
        training=name,
        cohort=context.cohort,
        description=cohort.description,
        intended_use=cohort.intended_use,
        limits=(),
        **found,
    )


def _chosen(record: Mapping[str, Any]) -> str:
    return f"No patient was kept apart for a test. {how_chosen(record)}."


def _groups(claim: StudyClaim, card: ModelCard) -> tuple[GroupEvidence, ...]:
    n_attributes = len(card.attribute.names)
    return tuple(
        GroupEvidence(
            label=number // n_attributes,
            attribute=number % n_attributes,
            accuracy=_estimate(interval),
            patches=round(size.patches),
            patients=size.patients,
        )
        for number, (size, interval) in enumerate(zip(claim.board.sizes, claim.method.groups, strict=True))
    )


def _estimate(interval: Interval) -> Estimate:
    if not math.isfinite(interval.estimate):
        return Estimate(value=None)
    if not estimable(interval):
        return Estimate(value=interval.estimate)
    return Estimate(value=interval.estimate, low=interval.low, high=interval.high, level=interval.level)
