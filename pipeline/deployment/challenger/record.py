"""A judgement as gate.json, as a table for the terminal, and as tags."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from models.metrics.intervals import Interval
from pipeline.artifacts import Paths
from pipeline.deployment.challenger.duel import Figures, told
from pipeline.deployment.challenger.evidence import Evidence
from pipeline.deployment.challenger.findings import Finding, Verdict, failing, weak
from pipeline.deployment.challenger.rules import Claim
from pipeline.deployment.challenger.settings import RegisterSettings
from pipeline.files import NOT_ESTIMABLE, finite_or
from pipeline.results.verdict import interval_record
from pipeline.tracking.registry import Version

FORCED = "evenpatch.forced"
APPROVED = "evenpatch.approved_by"
GATE = "evenpatch.gate"
_LONGEST_TAG = 4000
_STYLES: dict[Verdict, str] = {"holds": "green", "weak": "yellow", "fails": "bold red"}


@dataclass(frozen=True)
class Judgement:
    """What the gate decided, and from what.

    Attributes:
        alias: to be moved. threshold: whose groups were told apart.
        forced: whether weak evidence is accepted.
        at: when, UTC.
    """

    alias: str
    threshold: str
    evidence: Evidence
    findings: tuple[Finding, ...]
    settings: RegisterSettings
    claim: Claim
    forced: bool
    at: datetime

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the alias stays where it is; empty where it moves."""
        against = failing(self.findings) + (() if self.forced else weak(self.findings))
        return tuple(each.reason for each in against)

    @property
    def accepted(self) -> str:
        """The weak evidence that `--force` accepted, in words."""
        return "; ".join(each.reason for each in weak(self.findings)) if self.forced else ""


def now() -> datetime:
    """To the second."""
    return datetime.now(UTC).replace(microsecond=0)


def gate_path(paths: Paths) -> Path:
    """Where the last judgement lies; no stage reads it."""
    return paths.outputs / "register" / "gate.json"


def gate_json(judgement: Judgement, model: str) -> dict[str, Any]:
    """Everything that a later reader asks of a promotion, or of a refusal."""
    evidence = judgement.evidence
    duel = evidence.duel
    return {
        "model": model,
        "alias": judgement.alias,
        "at": judgement.at.isoformat(),
        "decision": "refuse" if judgement.reasons else "promote",
        "reasons": list(judgement.reasons),
        "forced": judgement.accepted,
        "approved_by": judgement.claim.approved,
        "candidate": _version(evidence.candidate),
        "champion": _version(evidence.champion) if evidence.champion else None,
        "unscored": evidence.unscored,
        "threshold": judgement.threshold,
        "test_evidence": evidence.claim.told if evidence.claim else "its own test patients",
        "test": {
            "patches": duel.patches,
            "patients": duel.patients,
            "groups": {
                size.name: {"patches": int(size.patches), "patients": size.patients} for size in duel.sizes
            },
        },
        "rules": [_finding(each) for each in judgement.findings],
        "figures": {
            name: _figures(figures)
            for name, figures in (
                ("candidate", duel.candidate),
                ("champion", duel.champion),
                ("difference", duel.difference),
            )
            if figures is not None
        },
        "settings": judgement.settings.model_dump(mode="json"),
    }


def gate_tags(judgement: Judgement) -> dict[str, str]:
    """The judgement on the candidate's version and run, for whoever looks there first."""
    evidence, difference = judgement.evidence, judgement.evidence.duel.difference
    compared = evidence.champion.number if evidence.champion else "none"
    tags = {
        GATE: f"refused: {'; '.join(judgement.reasons)}" if judgement.reasons else "passed",
        f"{GATE}.at": judgement.at.isoformat(),
        f"{GATE}.champion": f"{compared} ({evidence.unscored})" if evidence.unscored else compared,
        f"{GATE}.test_wga": told(evidence.duel.candidate["wga"]),
        f"{GATE}.test_evidence": evidence.claim.told if evidence.claim else "its own test patients",
        f"{GATE}.wga_difference": told(difference["wga"], signed=True) if difference else "no comparison",
        FORCED: "" if judgement.reasons else judgement.accepted,
        APPROVED: "" if judgement.reasons else judgement.claim.approved,
    }
    return {key: value[:_LONGEST_TAG] for key, value in tags.items() if value}


def gate_table(judgement: Judgement) -> Table:
    """Rule by rule, for a terminal."""
    evidence = judgement.evidence
    against = evidence.champion.told if evidence.champion else "no champion yet"
    table = Table(box=SIMPLE, title_justify="left")
    table.title = Text(f"{evidence.candidate.told} against {against}, threshold {judgement.threshold}")
    for column in ("rule", "found", "asked", "verdict"):
        table.add_column(column, overflow="fold")
    for each in judgement.findings:
        if each.verdict == "does not apply" and each.rule != "champion" and each.reason == evidence.unscored:
            continue  # The row on the champion says it for all of them.
        style = _STYLES.get(each.verdict, "dim")
        table.add_row(*map(Text, (each.title, each.shown, each.bound)), Text(each.verdict, style=style))
    return table


def _version(version: Version) -> dict[str, str]:
    return {"version": version.number, "run": version.name, "mlflow_run_id": version.run_id}


def _finding(each: Finding) -> dict[str, Any]:
    return {
        "rule": each.rule,
        "asks": each.title,
        "figure": _figure(each.figure),
        "unit": each.unit,
        "bound": each.bound,
        "verdict": each.verdict,
        "reason": each.reason,
    }


def _figure(figure: Interval | float | str) -> Mapping[str, float | str] | float | str:
    if isinstance(figure, Interval):
        return interval_record(figure)
    return figure if isinstance(figure, str) else finite_or(figure, NOT_ESTIMABLE)


def _figures(figures: Figures) -> dict[str, Any]:
    return {key: interval_record(interval) for key, interval in figures.items()}
