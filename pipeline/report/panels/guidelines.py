"""Reporting guidelines, item by item: where the report answers it, what people must add, what is missing."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import pandas as pd

from models.data.splitting import TEST
from models.networks.card import ModelCard
from models.networks.decision_words import briefly, verdict_told
from pipeline.report.documents import DOCUMENTS, MODEL_CARD
from pipeline.report.evidence import Evidence
from pipeline.report.guidelines.checklist import (
    ANSWERED,
    GUIDELINES,
    PARTLY,
    STATES,
    Answer,
    answers,
    read_guideline,
)
from pipeline.report.sources import Sources

PLACES = ("site", "center", "centre", "hospital", "institution", "institute", "laboratory")
"""Columns of slides.csv that say where a slide is from; a test on other values is external."""


def values(sources: Sources) -> Mapping[str, Any]:
    """Every guideline with the answers to its items, and how many there are of each kind."""
    conditions, words = facts(sources)
    unread = sources.card if isinstance(sources.card, str) else ""
    checklists = []
    for name in GUIDELINES:
        guideline = read_guideline(name)
        rows = answers(guideline, conditions, words, sources.settings.statements)
        rows = tuple(map(_without_card, rows)) if unread else rows
        counts = {state: sum(row.state == state for row in rows) for state in STATES}
        checklists.append({"guideline": guideline, "rows": rows, "counts": counts})
    return {"checklists": checklists, "documents": DOCUMENTS, "unread": unread}


def _without_card(row: Answer) -> Answer:
    """The model card is there, and lacks what model.json would tell."""
    return replace(row, state=PARTLY) if MODEL_CARD in row.where and row.state == ANSWERED else row


def facts(sources: Sources) -> tuple[dict[str, bool], dict[str, str]]:
    """What holds of this report, and the words that answers are filled with."""
    evidence = sources.evidence
    tested, external = bool(sources.boards), external_by(evidence)
    words = {
        "cohort": evidence.paths.cohort,
        "and_tested": f" and tested on {evidence.test_patients:,} of its patients" if tested else "",
        "no_test": "No patient was kept apart for a test."
        + (" The cross-validation tells of models trained alike." if sources.study else ""),
        "test_kind": "external test" if external else "internal test",
        "test_kind_told": _told_test(evidence, external)
        if tested
        else "No patient was kept apart for a test.",
        "test_patients": f"{evidence.test_patients:,}",
        "intended_use": evidence.file.intended_use,
        **_of_the_model(sources.card),
    }
    return {"tested": tested, "external": tested and bool(external)}, words


def _of_the_model(card: ModelCard | str) -> dict[str, str]:
    if isinstance(card, str):
        unknown = dict.fromkeys(("backbone", "decision"), "not known, for model.json cannot be read")
        return unknown | dict.fromkeys(("calibration", "initialization", "symmetries"), "")
    decision = card.decision
    return {
        "backbone": card.backbone,
        "decision": f"{verdict_told(card)}, {briefly(decision)}",
        "calibration": "Probabilities were calibrated on validation patients."
        if decision.calibration
        else f"Probabilities are not calibrated: {decision.uncalibrated}.",
        "initialization": _initialization(card),
        "symmetries": ", averaged over the symmetries of a patch" if card.test_time_symmetries else "",
    }


def _initialization(card: ModelCard) -> str:
    weights = card.train_settings.get("weights")
    # The file's name alone: where it lay says something of a machine.
    return f"Weights of {PurePath(weights).name}." if weights else f"Random weights, seed {card.seed}."


def external_by(evidence: Evidence) -> str:
    """The column of slides.csv by which all test patients are from elsewhere; empty where none tells that."""
    split_of = evidence.index.drop_duplicates("patient_id").set_index("patient_id")["split"]
    split = evidence.slides["patient_id"].map(pd.Series(split_of))
    for column in evidence.slides.columns:
        if str(column).lower() not in PLACES:
            continue
        place = evidence.slides[column].astype("str").where(evidence.slides[column].notna())
        of_test, of_others = place[split == TEST], place[split.notna() & (split != TEST)]
        # A slide of no known place may be of any.
        known = of_test.notna().all() and of_others.notna().all() and len(of_test) and len(of_others)
        if known and not set(of_test) & set(of_others):
            return str(column)
    return ""


def _told_test(evidence: Evidence, external: str) -> str:
    if external:
        return f"All test patients differ from the others in `{external}` of slides.csv."
    fixed = evidence.slides["split"].notna() & (evidence.slides["split"].astype("str") != "")
    how = "as slides.csv fixes it" if fixed.all() else "by patient, at random within balance"
    return f"Test patients come from the same slides.csv as the others, split {how}: an internal test."
