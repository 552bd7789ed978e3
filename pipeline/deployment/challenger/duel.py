"""Two models on the same patches: the figures of each, and what the first has over the second."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.metrics.brier import BrierStatistics, brier_statistics
from models.metrics.intervals import Interval, bootstrap, paired_difference
from pipeline.config import Context
from pipeline.files import NOT_ESTIMABLE
from pipeline.results.bootstrap import BootstrapSettings, bootstrap_settings
from pipeline.results.claims import StudyClaim
from pipeline.results.figures import GroupSize, Method, Scoreboard
from pipeline.results.scoreboards import scoreboards_of
from pipeline.results.terms import JudgingSettings, PrimarySettings, Terms
from pipeline.results.tested import CONTROL, KNOWN, NEEDED, Tested
from pipeline.results.verdict import estimable
from pipeline.training.layout import NamedLayout, read_layout

CHALLENGER, HOLDER = "candidate", "champion"
"""Names of the two in the place of algorithms, which they may share."""
Figures = Mapping[str, Interval]


@dataclass(frozen=True)
class Answers:
    """What a model says of patches: P(label = 1), and the class that its own decision makes of it."""

    probability_N: NDArray[np.float64]
    prediction_N: NDArray[np.int64]


@dataclass(frozen=True)
class Duel:
    """Figures with intervals over patients, by key: those of a scoreboard, `brier` and `group_<g>`.

    Attributes:
        patches, patients: how many were tested.
        patients_K: patients with patches of each class.
        sizes: of the groups, in the order of their numbers.
        champion: of the second model; none without one.
        difference: candidate minus champion, on the same draws of the same patients.
    """

    patches: int
    patients: int
    patients_K: tuple[int, ...]
    sizes: tuple[GroupSize, ...]
    candidate: Figures
    champion: Figures | None
    difference: Figures | None


def duel_of(
    context: Context,
    threshold: str,
    table: pd.DataFrame,
    candidate: Answers,
    champion: Answers | None,
) -> Duel:
    """The figures of a candidate, and of a champion if there is one.

    Args:
        context: of the cohort, whose evaluation says how intervals are drawn.
        threshold: whose groups are told apart.
        table: the test patches (`pipeline.training.patches.patch_table`).
        candidate, champion: of every patch, in the table's order.
    """
    layout, settings = read_layout(context.paths, threshold), bootstrap_settings(context)
    named = {CHALLENGER: candidate} | ({} if champion is None else {HOLDER: champion})
    tested = [_tested(name, threshold, table, answers) for name, answers in named.items()]
    (board,) = scoreboards_of(tested, _terms(threshold, layout, settings))
    brier = {name: _brier(table, each.probability_N, layout, settings) for name, each in named.items()}
    scores = {name: bootstrap(sums, **settings.drawn)["brier"] for name, sums in brier.items()}
    method = {each.algorithm: each for each in board.methods}
    return Duel(
        patches=board.patches,
        patients=board.patients,
        patients_K=board.patients_K,
        sizes=board.sizes,
        candidate=_figures(method[CHALLENGER], scores[CHALLENGER]),
        champion=_figures(method[HOLDER], scores[HOLDER]) if HOLDER in method else None,
        difference=_difference(board, brier, settings),
    )


def _tested(name: str, threshold: str, table: pd.DataFrame, answers: Answers) -> Tested:
    scored = table.assign(probability=answers.probability_N, prediction=answers.prediction_N)
    columns = list(dict.fromkeys((*NEEDED, *KNOWN, "probability")))
    patches = scored[columns].sort_values("patch_id", ignore_index=True)
    return Tested(name, "split", name, threshold, 0, (), {}, {}, patches)


def _terms(threshold: str, layout: NamedLayout, settings: BootstrapSettings) -> Terms:
    return Terms(
        judging=JudgingSettings(
            names={},
            candidate=CHALLENGER,
            minimum_test_patients=1,
            primary=PrimarySettings(
                candidate=CHALLENGER, reference=HOLDER, metric="wga", threshold=threshold
            ),
            decided=(CONTROL,),
            minimum_validation_patients=1,
        ),
        bootstrap={"split": settings},
        variants=False,
        references=(HOLDER,),
        thresholds={},
        layouts={threshold: layout},
        # Both models are asked for their own decisions.
        decided=(),
    )


def _brier(
    table: pd.DataFrame, score_N: NDArray[np.float64], layout: NamedLayout, settings: BootstrapSettings
) -> BrierStatistics:
    return brier_statistics(
        table["label"],
        score_N,
        table["group"],
        table["patient_id"],
        layout.groups.n_groups,
        **settings.minimums(),
    )


def _figures(method: Method, brier: Interval) -> Figures:
    return {**method.figures, **_numbered(method.groups), "brier": brier}


def _difference(
    board: Scoreboard, brier: Mapping[str, BrierStatistics], settings: BootstrapSettings
) -> Figures | None:
    if not board.contrasts:
        return None
    (contrast,) = board.contrasts
    score = paired_difference(brier[CHALLENGER], brier[HOLDER], **settings.drawn)["brier"]
    return {**contrast.figures, **_numbered(contrast.groups), "brier": score}


def _numbered(groups: tuple[Interval, ...]) -> Figures:
    return {f"group_{g}": interval for g, interval in enumerate(groups)}


def claimed(claim: StudyClaim) -> Duel:
    """The figures of a study's models that were trained as the candidate was; there is nobody beside it."""
    board, method = claim.board, claim.method
    return Duel(
        patches=board.patches,
        patients=board.patients,
        patients_K=board.patients_K,
        sizes=board.sizes,
        candidate={**method.figures, **_numbered(method.groups)},
        champion=None,
        difference=None,
    )


def told(figure: Interval | float | str, *, signed: bool = False) -> str:
    """A figure in words; a difference with its sign."""
    if isinstance(figure, str):
        return figure
    if not isinstance(figure, Interval):
        return f"{figure:.4g}"
    if math.isnan(figure.estimate):
        return NOT_ESTIMABLE
    sign = "+" if signed else ""
    if not estimable(figure):
        return f"{figure.estimate:{sign}.3f}"
    return f"{figure.estimate:{sign}.3f} ({figure.low:{sign}.3f} to {figure.high:{sign}.3f})"
