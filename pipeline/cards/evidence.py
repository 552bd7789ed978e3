"""What travels with a model of how well it does: evidence.json, from an evaluation's figures."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from models.data.splitting import TEST
from models.metrics.accuracy import group_metrics
from models.networks.card import ModelCard
from models.networks.decision import needs_tissue
from models.networks.decision_words import briefly, decided_plainly, verdict_told
from models.networks.evidence import STUDY, UNTESTED, Estimate, Evidence, GroupEvidence
from models.networks.reliability import group_name, weak_groups
from pipeline.artifacts import Paths
from pipeline.config import CohortFile
from pipeline.files import read_json
from pipeline.patch_tables import read_predictions
from pipeline.training.layout import GIVEN

FIGURES = ("wga", "gba", "average", "worst_class", "auroc")
_BRIER = "brier"
_FEW_PATIENTS = 20
"""Test patients under which the figures are said to stand on few."""
_OF_THE_SPLIT = {
    TEST: "The figures are of one split; another split of the same patients gives others.",
    STUDY: "The figures are of models trained alike on parts of its patients, and not of these weights: no "
    "patient was kept apart from them.",
    UNTESTED: "It was tested on nobody: no patient was kept apart from its training.",
}


def gathered_evidence(paths: Paths, name: str, card: ModelCard, cohort: CohortFile) -> Evidence:
    """How a training did on the test patients, with what it is for and where it ends.

    Args:
        paths: of the cohort.
        name: of the training.
        card: of its model.
        cohort: its file, for the words.

    Raises:
        ArtifactError: its evaluation is missing or damaged.
    """
    record = read_json(paths.training(name) / "run.json", "train")
    tested = read_json(paths.evaluation(name) / "metrics.json", "evaluate")[TEST]
    figures = {key: _estimate(tested, key, tested[key]) for key in FIGURES}
    groups = _groups(tested, card)
    if len(card.classes) == 2:
        predictions = read_predictions(paths.evaluation(name))
        of_test = predictions[predictions["split"] == TEST]
        figures[_BRIER] = Estimate(value=_brier(of_test))
        if not decided_plainly(card.decision):
            figures |= _plain(of_test, groups)
    evidence = Evidence(
        training=name,
        cohort=paths.cohort,
        description=cohort.description,
        split=TEST,
        chosen=f"One split by patient. {how_chosen(record)}; the test patients decided nothing.",
        patches=tested["patches"],
        patients=tested["patients"],
        groups=groups,
        figures=figures,
        intended_use=cohort.intended_use,
        limits=(),
    )
    return evidence.model_copy(update={"limits": (*limits_of(card, evidence), *cohort.limits)})


def _groups(tested: Mapping[str, Any], card: ModelCard) -> tuple[GroupEvidence, ...]:
    n_attributes = len(card.attribute.names)
    return tuple(
        GroupEvidence(
            label=number // n_attributes,
            attribute=number % n_attributes,
            accuracy=_estimate(tested, f"group_{number}", group["accuracy"]),
            patches=group["patches"],
            patients=group["patients"],
        )
        for number, group in enumerate(tested["groups"].values())
    )


def _estimate(tested: Mapping[str, Any], figure: str, value: float | str) -> Estimate:
    """With its interval where it has one; a text in the place of a value says that it is not estimable."""
    if isinstance(value, str):
        return Estimate(value=None)
    return Estimate(value=value, **tested["intervals"].get(figure, {}))


def _plain(of_test: pd.DataFrame, groups: tuple[GroupEvidence, ...]) -> dict[str, Estimate]:
    """What the network alone reaches, without rule and at 0.5, over the groups that are estimable."""
    own_N = (of_test["logit"].to_numpy(np.float64) > 0).astype(np.int64)
    found = group_metrics(of_test["label"], own_N, of_test["group"], len(groups))
    accuracy_M = found.accuracy_G[[group.accuracy.value is not None for group in groups]]
    figures: dict[str, float | None] = {"wga": None, "gba": None, "average": None}
    if accuracy_M.size:
        figures = {"wga": accuracy_M.min(), "gba": accuracy_M.mean(), "average": found.average}
    return {f"plain_{name}": Estimate(value=value) for name, value in figures.items()}


def _brier(of_test: pd.DataFrame) -> float | None:
    """Mean squared difference of the told probability of tumor from 0 or 1; None without test patches."""
    squared = np.square(of_test["probability"].to_numpy(np.float64) - of_test["label"].to_numpy(np.float64))
    return float(squared.mean()) if squared.size else None


def how_chosen(record: Mapping[str, Any]) -> str:
    """What chose the state and the candidate of a training, in a sentence without its end.

    Args:
        record: its run.json.
    """
    selection = record["train_settings"].get("selection", "auto")
    choice = record.get("choice", {"by": "validation"})
    step, one = (
        f"the step ({record['best_step']})",
        f"one of {record['n_trials']} candidates, by `{selection}`",
    )
    return {
        "validation": f"The validation patients chose {step} and {one}",
        "last": f"Nothing chose {step}, which is the last, or the candidate, which is the first: "
        f"{choice.get('why')}",
        "cross_validation": f"Inner folds of the training patients chose {step} and {one}",
    }[choice["by"]]


def _of_the_decision(card: ModelCard) -> Iterator[str]:
    """Where what makes probabilities and classes of the network's output ends."""
    decision = card.decision
    if decision.calibration is None:
        yield f"Its probabilities are not calibrated: {decision.uncalibrated}."
    elif decision.rule == "plain":
        yield (
            "Its probabilities are calibrated on the validation patients: where tumor is rarer or more "
            "frequent than among them, they are too high or too low."
        )
    else:
        yield (
            "Its probabilities are calibrated as if all groups were equally frequent: where tumor is rarer "
            "than that, they are too high."
        )
    if not decided_plainly(decision):
        yield f"Its verdicts are {briefly(decision).partition(',')[0]}: {verdict_told(card)}."
    if needs_tissue(decision):
        yield "A patch alone gets no verdict: the tissue fraction is needed, whose detector needs the slide."


def limits_of(card: ModelCard, evidence: Evidence) -> tuple[str, ...]:
    """What follows from the training and its figures, a sentence each."""
    cut, trained = card.attribute.above, sum(map(sum, card.counts))
    found = [
        f"Trained on {trained} patches of the cohort {evidence.cohort}, and not tried on any other.",
        *_of_the_decision(card),
        _OF_THE_SPLIT[evidence.split],
    ]
    if 0 < evidence.patients < _FEW_PATIENTS:
        found.append(f"The figures stand on {evidence.patients} test patients.")
    weak = [group_name(card, group.label, group.attribute) for group in weak_groups(evidence)]
    if weak:
        found.append(f"Not known to do better than a coin in: {'; '.join(weak)}.")
    if cut is not None:
        name = card.attribute.names[1]
        found.append(f"Groups are told by the tissue fraction alone: {name} is more than {cut:.4g}.")
    if card.tissue is None:
        found.append(
            "Trained on imported images: there is no tissue detector, and slides cannot be predicted."
        )
    if card.threshold != GIVEN and card.ranges.mpp is None:
        found.append("The µm per pixel of its slides were not known.")
    return tuple(found)
