"""Which tracked run may carry the registry alias: chosen by validation, held back by test."""

import logging
from typing import Literal

from pydantic import Field

from patching.errors import RegistryError
from pipeline.config import Settings
from pipeline.files import NOT_ESTIMABLE
from pipeline.training.layout import TISSUE

logger = logging.getLogger(__name__)

Figure = Literal["wga", "gba", "average"]
OF_GROUPS = ("wga", "gba")
"""Figures that leave out the groups which are not estimable."""
Figures = dict[str, float]


class ValidationRule(Settings):
    """How the candidate is chosen."""

    figure: Figure | Literal["worst_class"]
    """`worst_class` is the one for models trained without attributes in validation."""
    minimum: float = Field(ge=0, le=1)
    """A run below it is no candidate."""
    every_group: bool
    """Whether a run with a validation group that is not estimable is no candidate."""


class GateRule(Settings):
    """What the chosen model must show on the test patients."""

    figure: Figure
    minimum_low: float | None = Field(ge=0, le=1)
    """The lower end of the interval must reach it; none: it is reported only."""


class RegisterSettings(Settings):
    """configs/register.yaml."""

    threshold: str
    alias: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    validation: ValidationRule
    test: GateRule


def choose(runs: dict[str, Figures], rule: ValidationRule) -> str:
    """The run with the best validation figure; ties go to the group-balanced accuracy, then to the name.

    Raises:
        RegistryError: no run is a candidate; says why of each.
    """
    refusals = {name: refusal(figures, rule) for name, figures in runs.items()}
    candidates = sorted(name for name, reason in refusals.items() if reason is None)
    for name in sorted(runs):
        logger.info(
            "%s: validation %s %s%s",
            name,
            rule.figure,
            _shown(runs[name], f"validation/{rule.figure}"),
            f", no candidate: {refusals[name]}" if refusals[name] else "",
        )
    if not candidates:
        raise RegistryError(
            has="; ".join(f"{name}: {reason}" for name, reason in sorted(refusals.items())),
            needs=f"a run with validation {rule.figure} of at least {rule.minimum:g}"
            + (" and every validation group estimable" if rule.every_group else ""),
            do=_lever(runs, rule),
        )
    # max keeps the first of equals, and the candidates are in alphabetical order.
    return max(
        candidates,
        key=lambda name: (runs[name][f"validation/{rule.figure}"], runs[name].get("validation/gba", 0.0)),
    )


def _lever(runs: dict[str, Figures], rule: ValidationRule) -> str:
    lenient = rule.model_copy(update={"every_group": False})
    if any(refusal(figures, lenient) is None for figures in runs.values()):
        return (
            "gather validation patients of those groups, or write "
            "`register: {validation: {every_group: false}}` in the cohort's file to choose without them"
        )
    return (
        "train better, gather validation patients, or lower `register: {validation: {minimum: ...}}` "
        "in the cohort's file"
    )


def refusal(figures: Figures, rule: ValidationRule) -> str | None:
    """Why a run is no candidate; none if it is one."""
    value = figures.get(f"validation/{rule.figure}")
    if value is None:
        return f"validation {rule.figure} is {NOT_ESTIMABLE}"
    if value < rule.minimum:
        return f"validation {rule.figure} {value:.3f} is below {rule.minimum:g}"
    missing = missing_groups(figures, "validation") if rule.figure in OF_GROUPS else []
    if rule.every_group and missing:
        return f"validation groups {NOT_ESTIMABLE}: {'; '.join(missing)}"
    return None


def missing_groups(figures: Figures, split: str) -> list[str]:
    """Groups that are not estimable: the split's WGA and GBA do not speak for them."""
    return [name for g, name in enumerate(TISSUE.names) if f"{split}/group_{g}/accuracy" not in figures]


def check_gate(name: str, figures: Figures, gate: GateRule) -> None:
    """Report the chosen model's test interval, and hold it back where its lower end is too low.

    A figure over groups of which some are not estimable cannot pass.

    Raises:
        RegistryError: the gate holds.
    """
    missing = missing_groups(figures, "test") if gate.figure in OF_GROUPS else []
    shown = _shown(figures, f"test/{gate.figure}")
    if missing:
        shown += f", without the groups that are {NOT_ESTIMABLE}: {'; '.join(missing)}"
    low = figures.get(f"test/{gate.figure}/low")
    logger.info("%s: test %s %s", name, gate.figure, shown)
    if gate.minimum_low is None or (low is not None and low >= gate.minimum_low and not missing):
        return
    raise RegistryError(
        has=f"{name} with test {gate.figure} {shown}",
        needs=f"a lower end of at least {gate.minimum_low:g}"
        + (", and every test group estimable" if gate.figure in OF_GROUPS else ""),
        do="leave the alias where it is: the gate may hold a model back, but choosing another by its test "
        "figures would spend the test patients; change the training, or gather data",
    )


def _shown(figures: Figures, key: str) -> str:
    if key not in figures:
        return NOT_ESTIMABLE
    low, high = figures.get(f"{key}/low"), figures.get(f"{key}/high")
    interval = f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else ""
    return f"{figures[key]:.3f}{interval}"
