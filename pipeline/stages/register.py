"""Move the registry alias to the best tracked model, if it passes the gate.

The candidate is the run with the best validation figure at one threshold; the test patients have no part in
that. The gate then looks at the candidate's test interval, and can only hold it back. Without a threshold the
settings' one is taken; `--run` names the model instead of choosing it by validation. The gate holds where the
settings give it a `minimum_low`, and only reports otherwise.
"""

import argparse
import logging
from typing import Any, Literal

from pydantic import Field

from patching.errors import ArtifactError, RegistryError
from pipeline.artifacts import Paths
from pipeline.config import Context, Settings, load_cohort, load_stage, require_slides
from pipeline.files import read_json
from pipeline.report.evidence import GROUP_NAMES
from pipeline.tracking.models import Logged, ModelStore

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to register, and under which alias."""
    parser.add_argument("--threshold", help="compare the runs at this threshold (default: the settings')")
    parser.add_argument("--alias", help="alias to move (default: the settings')")
    parser.add_argument(
        "--run",
        dest="named",
        metavar="RUN",
        help="register this run, as `gerne-low`: skips the choice by validation; "
        "the test gate holds only where the settings give it a `minimum_low`",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")


def run(context: Context, options: argparse.Namespace) -> None:
    """Choose, check the gate, and move the alias; does nothing where it points there already.

    Raises:
        RegistryError: nothing is tracked, no run is a candidate, or the gate holds.
        ConfigError: the cohort is an imported benchmark.
    """
    require_slides(load_cohort(context.configs, context.cohort), context.cohort, "a model to register")
    settings = load_stage(context.configs, context.cohort, "register", RegisterSettings)
    alias = options.alias or settings.alias
    store = ModelStore(context.paths.root, context.cohort)
    tracked = {
        name: (logged, store.figures(logged))
        for name, logged in _tracked(
            context.paths, options.threshold or settings.threshold, options.named
        ).items()
    }
    name = options.named or choose(
        {key: figures for key, (_, figures) in tracked.items()}, settings.validation
    )
    logged, figures = tracked[name]
    check_gate(name, figures, settings.test)
    before = store.aliased(alias)
    target = f"version {logged.version} ({name}) of {logged.model}"
    if before == logged.version:
        logger.info("%s is %s already", alias, target)
    elif options.dry_run:
        logger.info("would move %s from version %s to %s", alias, before or "none", target)
    else:
        store.set_alias(alias, logged)
        logger.info("moved %s from version %s to %s", alias, before or "none", target)
    print(f"models:/{logged.model}@{alias}: {target}")


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
        return f"validation {rule.figure} is not estimable"
    if value < rule.minimum:
        return f"validation {rule.figure} {value:.3f} is below {rule.minimum:g}"
    missing = missing_groups(figures, "validation") if rule.figure in OF_GROUPS else []
    if rule.every_group and missing:
        return f"validation groups not estimable: {'; '.join(missing)}"
    return None


def missing_groups(figures: Figures, split: str) -> list[str]:
    """Groups that are not estimable: the split's WGA and GBA do not speak for them."""
    return [name for g, name in enumerate(GROUP_NAMES) if f"{split}/group_{g}/accuracy" not in figures]


def check_gate(name: str, figures: Figures, gate: GateRule) -> None:
    """Report the chosen model's test interval, and hold it back where its lower end is too low.

    A figure over groups of which some are not estimable cannot pass.

    Raises:
        RegistryError: the gate holds.
    """
    missing = missing_groups(figures, "test") if gate.figure in OF_GROUPS else []
    shown = _shown(figures, f"test/{gate.figure}")
    if missing:
        shown += f", without the groups that are not estimable: {'; '.join(missing)}"
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


def _tracked(paths: Paths, threshold: str, run: str | None) -> dict[str, Logged]:
    """The tracked runs to choose from: all at one threshold, or the one that was named."""
    try:
        receipts: list[dict[str, Any]] = read_json(paths.tracked, "track")["runs"]
    except ArtifactError as error:
        raise RegistryError(
            has=f"no tracked models of {paths.cohort} ({error.has})",
            needs=error.needs,
            do="run `evenpatch track` first",
        ) from error
    wanted = [r for r in receipts if (r["run"] == run if run else r["threshold"] == threshold)]
    if not wanted:
        raise RegistryError(
            has=f"tracked runs {', '.join(r['run'] for r in receipts)}",
            needs=f"the run {run}" if run else f"a run at threshold {threshold}",
            do="correct the name, or train, evaluate and track it",
        )
    return {r["run"]: Logged(r["mlflow_run_id"], r["model"], r["version"]) for r in wanted}


def _shown(figures: Figures, key: str) -> str:
    if key not in figures:
        return "not estimable"
    low, high = figures.get(f"{key}/low"), figures.get(f"{key}/high")
    interval = f" ({low:.3f} to {high:.3f})" if low is not None and high is not None else ""
    return f"{figures[key]:.3f}{interval}"
