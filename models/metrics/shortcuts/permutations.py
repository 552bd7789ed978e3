"""What the linear model reaches where labels have nothing to do with pixels: permuted over patients."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from models.data.attributes import LAYOUT, ThresholdRule
from models.metrics.accuracy import auroc, group_metrics
from models.metrics.shortcuts.answers import Answers, linear_answers
from models.metrics.shortcuts.patches import CheckedPatches, ShortcutSettings, patient_folds

FIGURES = ("wga", "gba", "auroc_within")


def permuted_labels(
    label_N: NDArray[np.int64], patient_N: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Every patient gets the labels of another one, all of them together, begun at a random place.

    Labels of one patient go together, so that patches are not exchangeable and patients are: these are what
    is permuted (Good 2005, Permutation, Parametric and Bootstrap Tests of Hypotheses; Ojala and Garriga 2010,
    JMLR 11:1833, test 1: the classifier's figure is the statistic). A patient keeps the number of its
    patches: the giver's labels, closed to a ring, are stretched or thinned to it and turned by a random share
    of it. A giver of one label hands on that label. The runs and the tumor share of a slide's labels are
    kept; their tie to pixels, to tissue, to the number of patches and to the place in a slide is broken, the
    last by turning: labels that lie alike in every patient would else fit every patient.

    Args:
        label_N: labels in the order in which patches lie in their patients' slides.
        patient_N: number of every patch's patient, 0 to P - 1.
    """
    order_N = np.argsort(patient_N, kind="stable")
    count_P = np.bincount(patient_N)
    start_P = np.cumsum(count_P) - count_P
    giver_P = rng.permutation(len(count_P))
    taker_N = patient_N[order_N]
    giver_N = giver_P[taker_N]
    place_N = (np.arange(len(order_N)) - start_P[taker_N] + 0.5) / count_P[taker_N]
    place_N = (place_N + rng.random(len(count_P))[taker_N]) % 1
    source_N = start_P[giver_N] + np.floor(place_N * count_P[giver_N]).astype(np.int64)
    permuted_N = np.empty_like(label_N)
    permuted_N[order_N] = label_N[order_N][source_N]
    return permuted_N


def permutation_null(
    patches: CheckedPatches,
    rules: Mapping[str, ThresholdRule],
    settings: ShortcutSettings,
    minimums: Mapping[str, int],
    watched: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> dict[str, NDArray[np.float64]]:
    """FIGURES of the linear model under permuted labels, [permutations, 3], by the threshold's name.

    Everything that knows labels is made again: folds, groups, weights, model, and which groups are estimable.

    Args:
        minimums: minimum_patches and minimum_patients of a group that is estimable.
        watched: hands on the numbers of the permutations, and may show how far they are.
    """
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in rules}
    for number in watched(range(settings.permutations)):
        rng = np.random.default_rng([settings.seed, number])
        label_N = permuted_labels(patches.label_N, patches.patient_N, rng)
        for name, answers in cross_validated(patches, label_N, rules, settings).items():
            found[name].append(figures_of(patches, label_N, answers, minimums))
    return {name: np.stack(rows) for name, rows in found.items()}


def cross_validated(
    patches: CheckedPatches,
    label_N: NDArray[np.int64],
    rules: Mapping[str, ThresholdRule],
    settings: ShortcutSettings,
) -> dict[str, Answers]:
    """The linear model's answers to these labels, by the threshold's name, in folds made for them."""
    fold_N = patient_folds(patches, label_N, settings.folds, settings.seed)
    return linear_answers(patches, label_N, fold_N, rules, settings.ridge)


def figures_of(
    patches: CheckedPatches, label_N: NDArray[np.int64], answers: Answers, minimums: Mapping[str, int]
) -> NDArray[np.float64]:
    """FIGURES of answers: WGA, GBA, and the mean of the AUROCs among patches of one attribute value, which is
    NaN unless every group is estimable."""
    group_N = LAYOUT.group(label_N, answers.attribute_N)
    metrics = group_metrics(
        label_N, answers.prediction_N, group_N, LAYOUT.n_groups, patient=patches.patient_N, **minimums
    )
    within = np.nan
    if metrics.estimable_G.all():
        strata = [answers.attribute_N == a for a in range(LAYOUT.n_attributes)]
        within = float(np.mean([auroc(label_N[a_N], answers.score_N[a_N]) for a_N in strata]))
    return np.array([metrics.wga, metrics.gba, within])


def against_null(observed: float, null_M: NDArray[np.float64], level: float = 0.95) -> dict[str, float]:
    """A figure beside those of M permutations: observed, mean, quantile (of `level`), and p.

    p is the chance of a figure as high without a tie, (1 + permutations at least as high) / (1 + M): with the
    observed one counted in, it is never 0 and not too small (Phipson and Smyth 2010, SAGMB 9:39). A
    permutation whose figure is not estimable counts as higher, and in mean and quantile not at all. NaN where
    nothing is defined.
    """
    defined_M = null_M[~np.isnan(null_M)]
    if not defined_M.size or np.isnan(observed):
        return {"observed": observed, "mean": np.nan, "quantile": np.nan, "p": np.nan}
    reached = (~(null_M < observed)).sum()
    return {
        "observed": observed,
        "mean": float(defined_M.mean()),
        "quantile": float(np.quantile(defined_M, level)),
        "p": float((1 + reached) / (1 + len(null_M))),
    }
