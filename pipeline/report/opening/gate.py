"""What `evenpatch register` said last of the model that the report is about, read from the file it left."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patching.errors import ArtifactError
from pipeline.artifacts import Paths
from pipeline.files import read_json

_SAME = 0.005
"""How far the worst group's accuracy of the judged version may lie from that of the training at hand."""
_KEYS = ("alias", "decision", "reasons", "forced", "candidate", "threshold", "test", "figures")


@dataclass(frozen=True)
class GateResult:
    """The gate's answer.

    Attributes:
        word: in one or two words. reasons: why, in sentences.
        passed: whether it was let through; none where the gate has not judged this model.
    """

    word: str
    reasons: tuple[str, ...]
    passed: bool | None


def gate_file(paths: Paths) -> Path:
    """Where `register` leaves its last judgement (docs/registry.md)."""
    return paths.outputs / "register" / "gate.json"


def gate_result(paths: Paths, run: str, worst: float, patients: int) -> GateResult:
    """What the gate said of a training; that it said nothing of it, where it did not.

    A judgement counts only where it is of this run, on as many test patients, and found the same worst group.

    Args:
        run: name of the training.
        worst: accuracy of its worst test group, as it decides itself.
        patients: in the test split.

    Raises:
        ArtifactError: gate.json is damaged.
    """
    ask = (
        f"`evenpatch register --cohort {paths.cohort}` asks it; with `--dry-run` nothing is written or moved."
    )
    if not gate_file(paths).is_file():
        return GateResult("not asked yet", (ask,), None)
    record = read_json(gate_file(paths), "register")
    missing = [key for key in _KEYS if key not in record]
    if missing:
        raise ArtifactError(
            has=f"{gate_file(paths)} without {', '.join(missing)}",
            needs="a judgement of the gate",
            do="run `evenpatch register` again, or remove the file",
        )
    other = _other(record, run, worst, patients)
    if other:
        return GateResult("not asked of this model", (other, ask), None)
    reasons = tuple(f"{reason[:1].upper()}{reason[1:]}." for reason in record["reasons"])
    if record["decision"] != "promote":
        return GateResult("refused", reasons, False)
    forced = f"Weak evidence was accepted by --force: {record['forced']}." if record["forced"] else ""
    return GateResult(f"passed, as “{record['alias']}”", (forced,) if forced else (), True)


def _other(record: dict[str, Any], run: str, worst: float, patients: int) -> str:
    """Why the judgement is of something else, in words; empty where it is of this training."""
    judged = record["candidate"]["run"]
    if judged != run:
        return f"The last judgement is of {judged}, the report of {run}."
    figure = record["figures"]["candidate"].get("wga", {}).get("estimate")
    found = figure if isinstance(figure, float | int) else math.nan
    if record["test"]["patients"] != patients or not abs(found - worst) < _SAME:
        return f"The last judgement is of another version of {run}, or of other test patients."
    return ""
