"""Which tracked run may challenge the champion: chosen by validation, and by nothing else."""

import logging

from patching.errors import RegistryError
from pipeline.deployment.challenger.settings import ValidationRule
from pipeline.files import NOT_ESTIMABLE
from pipeline.training.layout import TISSUE

logger = logging.getLogger(__name__)

OF_GROUPS = ("wga", "gba")
"""Figures that leave out the groups which are not estimable."""
Figures = dict[str, float]


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
            shown(runs[name], f"validation/{rule.figure}"),
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


def shown(figures: Figures, key: str) -> str:
    """A figure of a run with its interval, in words."""
    if key not in figures:
        return NOT_ESTIMABLE
    low, high = figures.get(f"{key}/low"), figures.get(f"{key}/high")
    interval = f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else ""
    return f"{figures[key]:.3f}{interval}"
