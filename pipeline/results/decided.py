"""Methods decided by another rule than plainly: their own log-odds, a rule fitted on validation, no training.

The tissue fraction of a tested patch is known, so that the log-odds of any method can be decided with it.
What a method of training has over ERM decided by tissue is more than a moved threshold.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from models.decisions.fitting import fit_decision
from models.decisions.settings import FitSettings
from models.networks.card import DecisionCard
from models.networks.decision import told
from patching.errors import AlgorithmError, ConfigError
from pipeline.files import NOT_ESTIMABLE
from pipeline.results.terms import Terms
from pipeline.results.tested import DecidedRule, Tested, base_of, decided_name, rule_of

_AGAIN = "evaluate the training, or run the study, again"


@dataclass(frozen=True)
class _Failure:
    """A run that a rule cannot be fitted for; `of` is how many runs its method has."""

    name: str
    reason: str
    of: int


def with_decided(
    tested: Sequence[Tested], terms: Terms, *, console: Console | None = None
) -> tuple[tuple[Tested, ...], tuple[str, ...]]:
    """The runs as they are decided plainly, by their own cards, and by every rule of the terms.

    Args:
        tested: of one threshold and source.
        terms: with the rules and the names to print.
        console: for a progress bar; without one there is none.

    Returns:
        The runs, and sentences about those that a rule cannot be fitted for, or whose card has its own.

    Raises:
        ConfigError: an algorithm's own name reads as one with a rule.
    """
    marked = sorted({run.algorithm for run in tested if rule_of(run.algorithm) is not None})
    if marked:
        raise ConfigError(
            has=f"algorithms called {', '.join(marked)}",
            needs="names without the mark that stands before a decision rule",
            do="rename their files in configs/algorithms and train again",
        )
    own = [_by_card(run, run.decision) for run in tested if run.decision is not None]
    by_card = {(run.algorithm, run.seed) for run in own}
    remarks = _of_cards(own, tested, terms)
    found: list[Tested] = []
    failures: list[_Failure] = []
    pairs, told_of = list(product(tested, terms.decided)), f"rules at {tested[0].threshold}"
    for run, rule in track(pairs, told_of, console=console, transient=True, disable=console is None):
        name = decided_name(run.algorithm, rule)
        if (name, run.seed) in by_card:
            continue
        try:
            found.append(_by_rule(run, rule, terms))
        except AlgorithmError as error:
            n_runs = sum(one.algorithm == run.algorithm for one in tested)
            failures.append(_Failure(name, f"{error.has}; needs {error.needs}", n_runs))
    return (*tested, *own, *found), (*remarks, *_sentences(failures, terms), *_few(found))


def fitted_rules(run: Tested, rule: DecidedRule, terms: Terms) -> dict[int, DecisionCard]:
    """A rule fitted on the run's validation patches, by the fold of a study; of one split all are of fold 0.

    Raises:
        AlgorithmError: the run lacks what a rule takes, or the validation patches of a fold do not carry it.
    """
    above = _above(run, terms)
    _require_what_a_rule_takes(run, above)
    settings = FitSettings(minimum_patients=terms.judging.minimum_validation_patients)
    found = {}
    for fold in _by_fold(run.patches):
        own = _by_fold(run.validation).get(fold, run.validation[:0])
        try:
            found[fold] = fit_decision(
                rule,
                logit_N=own["logit"],
                label_N=own["label"],
                tissue_fraction_N=own["tissue_fraction"],
                patient_N=own["patient_id"],
                above=above[fold],
                settings=settings,
            )
        except AlgorithmError as error:
            place = f" of fold {fold}" if run.source == "study" else ""
            raise AlgorithmError(
                has=f"{run.name}{place}: {error.has}", needs=error.needs, do=error.do
            ) from error
    return found


def _by_rule(run: Tested, rule: DecidedRule, terms: Terms) -> Tested:
    """Decided by a rule of its own validation patches.

    Raises:
        AlgorithmError: as `fitted_rules`.
    """
    decisions, folds = fitted_rules(run, rule, terms), _by_fold(run.patches)
    pieces = [_decided(rows, decisions[fold]) for fold, rows in folds.items()]
    return _renamed(run, decided_name(run.algorithm, rule), pd.concat(pieces))


def _require_what_a_rule_takes(run: Tested, above: Mapping[int, float]) -> None:
    tables = [run.patches, *([] if run.validation.empty else [run.validation])]
    both = pd.concat([table.reindex(columns=["label", "tissue_fraction", "logit"]) for table in tables])
    known = np.isfinite(both["logit"].to_numpy(np.float64)).all()
    lacking = (
        (both["label"].max() > 1, "more than two classes", "two"),
        (both["tissue_fraction"].isna().any(), "patches without a tissue fraction", "that of every patch"),
        (not known, "predictions without log-odds", f"them: {_AGAIN}"),
        (run.validation.empty, "no predictions of validation patches", f"them: {_AGAIN}"),
        (not set(_by_fold(run.patches)) <= set(above), "a threshold whose value is not recorded", "it"),
    )
    for lacks, has, needs in lacking:
        if lacks:
            raise AlgorithmError(has=has, needs=needs, do=_AGAIN)


def _above(run: Tested, terms: Terms) -> Mapping[int, float]:
    """The threshold on the tissue fraction by fold."""
    value = terms.thresholds.get(run.threshold)
    if run.source == "study":
        return run.above
    return {} if value is None else {0: value}


def _by_fold(patches: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """Patches by the fold of a study; of one split all are of fold 0."""
    if "fold" not in patches:
        return {0: patches}
    return {int(fold): patches[patches["fold"] == fold] for fold in sorted(patches["fold"].unique())}


def _by_card(run: Tested, decision: DecisionCard) -> Tested:
    return _renamed(run, run.as_decided, _decided(run.patches, decision))


def _decided(rows: pd.DataFrame, decision: DecisionCard) -> pd.DataFrame:
    probability_N, prediction_N = told(decision, rows["logit"], rows["tissue_fraction"])
    return rows.assign(probability=probability_N, prediction=prediction_N)


def _renamed(run: Tested, algorithm: str, patches: pd.DataFrame) -> Tested:
    return replace(
        run,
        name=f"{run.name}, {rule_of(algorithm)}",
        algorithm=algorithm,
        patches=patches.sort_values("patch_id", ignore_index=True),
        decision=None,
    )


def _of_cards(own: Sequence[Tested], tested: Sequence[Tested], terms: Terms) -> list[str]:
    """Which methods are decided as their cards say, and in how many runs where it is not all."""
    told = []
    for name in dict.fromkeys(run.algorithm for run in own):
        n_own = sum(run.algorithm == name for run in own)
        n_runs = sum(run.algorithm == base_of(name) for run in tested)
        where = "" if n_own == n_runs else f" in {n_own} of {n_runs} runs"
        told.append(f"{terms.named(name)}: the rule is that of the model’s own card{where}.")
    return told


def _sentences(failures: Sequence[_Failure], terms: Terms) -> Iterator[str]:
    """Methods that fail for the same reason, and of those that fail in some runs, how many are left out."""
    by_method: dict[str, list[_Failure]] = {}
    for failure in failures:
        by_method.setdefault(failure.name, []).append(failure)
    whole: dict[str, list[str]] = {}
    for name, found in sorted(by_method.items(), key=lambda item: terms.place(item[0])):
        reason, n_runs = found[0].reason, found[0].of
        if len(found) == n_runs:
            whole.setdefault(reason, []).append(terms.named(name))
        else:
            yield f"{terms.named(name)}: {len(found)} of {n_runs} runs are left out of it ({reason})."
    for reason, names in whole.items():
        yield f"{'; '.join(names)}: {NOT_ESTIMABLE} ({reason})."


def _few(found: Sequence[Tested]) -> Iterator[str]:
    """A warning where rules stand on fewer validation patients than a model's own decision would."""
    counts = [
        int(rows.groupby("group")["patient_id"].nunique().min())
        for run in found
        for rows in _by_fold(run.validation).values()
    ]
    if counts and min(counts) < FitSettings().minimum_patients:
        where = " of some fold" if found[0].source == "study" else ""
        yield (
            f"Rules are fitted on as few as {min(counts)} validation patients of a group{where}: such a "
            "rule is unsteady, and a control that it makes is weak."
        )
