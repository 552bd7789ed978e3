"""What a rule of the gate says: figure, bound, verdict and reason."""

from dataclasses import dataclass
from typing import Literal

from models.metrics.intervals import Interval
from pipeline.deployment.challenger.duel import told

Verdict = Literal["holds", "weak", "fails", "told", "does not apply"]


@dataclass(frozen=True)
class Finding:
    """What one rule says.

    Attributes:
        rule: its key in gate.json. title: its words.
        figure: what was found, a number, an interval, or words.
        bound: what it is held against, in words.
        verdict: `holds`; `weak`, which `--force` accepts; `fails`, which nothing does but other settings or
            another model; `told`, where no bound is set; `does not apply`.
        reason: in words, where the verdict is not that it holds.
        unit: of a number that has one.
    """

    rule: str
    title: str
    figure: Interval | float | str
    bound: str
    verdict: Verdict
    reason: str = ""
    unit: str = ""

    @property
    def shown(self) -> str:
        """The figure in words."""
        return f"{told(self.figure, signed=self.rule.endswith('_difference'))} {self.unit}".rstrip()


def failing(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Those that hold the candidate back, whoever forces."""
    return tuple(each for each in findings if each.verdict == "fails")


def weak(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Those that ask for `--force`."""
    return tuple(each for each in findings if each.verdict == "weak")


def asked(
    named: tuple[str, str], figure: Interval | float | str, bound: str, otherwise: Verdict, reason: str
) -> Finding:
    """A finding that holds where there is no reason against it."""
    return Finding(*named, figure, bound, otherwise if reason else "holds", reason)
