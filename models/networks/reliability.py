"""Which verdicts are not to be trusted, from the model's card and evidence and what was measured of a patch.

Three kinds are told, each in words, several joined by "; ":

- `blank`: nothing to judge. No channel varies, or the tissue fraction is 0, or below what the model's own
  tiling keeps.
- `outside training: COLUMNS`: a value lies outside those of all training patches: the tissue fraction, the
  size of a pixel, or a column of patching.survey.quality. A model is not known to hold there.
- `weak group: GROUPS`: the verdict is the error that a weak group makes. See `weak_groups` and `doubted`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.networks.card import ModelCard, Range
from models.networks.evidence import Evidence, GroupEvidence

BLANK = "blank"
OUTSIDE = "outside training"
WEAK_GROUP = "weak group"
"""How the kinds of a note begin."""
WEAK_BELOW = 0.5
"""Bound on the lower end of a group's accuracy, see `weak_groups`."""
_MPP_TOLERANCE = 0.01
"""Relative; that of a patch spec, under which two pixel sizes count as equal."""
_TISSUE = "tissue fraction"
_MPP = "µm per pixel"
_SPREAD = "spread_"


def notes(
    card: ModelCard,
    evidence: Evidence | None,
    prediction_N: NDArray[np.integer[Any]],
    *,
    tissue_fraction_N: NDArray[np.floating[Any]] | None = None,
    quality: Mapping[str, NDArray[np.floating[Any]]] | None = None,
    mpp: float | None = None,
) -> NDArray[np.str_]:
    """What is to be told of every verdict, [N]; "" where there is nothing.

    What was not measured (None, NaN, a column that is not there) gives no note.

    Args:
        card, evidence: of the model; without evidence no group is known to be weak, and none is told.
        prediction_N: the verdicts, see models.networks.decision.
        tissue_fraction_N: 0..1, by the card's tissue detector.
        quality: columns of patching.survey.quality, [N] each, by their names.
        mpp: µm per pixel of the patches, the same for all.
    """
    measured = dict(quality or {})
    tissue_N = np.full(len(prediction_N), np.nan) if tissue_fraction_N is None else tissue_fraction_N
    flags = {BLANK: _blank(card, tissue_N, measured)}
    outside = _outside(card, tissue_N, measured, mpp)
    weak = {} if evidence is None else doubted(card, evidence, prediction_N, tissue_N)
    flags |= {f"{OUTSIDE}: {name}": flag_N for name, flag_N in outside.items()}
    flags |= {f"{WEAK_GROUP}: {name}": flag_N for name, flag_N in weak.items()}
    return _in_words(flags, len(prediction_N))


def weak_groups(evidence: Evidence, below: float = WEAK_BELOW) -> tuple[GroupEvidence, ...]:
    """Groups that the model is not known to do well in.

    A group is weak where the lower end of its accuracy lies below `below`, or where it is not estimable: what
    was not tested is not trusted. At the default of 0.5 the test patients leave it open whether the model is
    better than a coin there; that it is as good as wanted, say 0.9, needs a bound of one's own.
    """
    return tuple(
        group for group in evidence.groups if group.accuracy.low is None or group.accuracy.low < below
    )


def doubted(
    card: ModelCard,
    evidence: Evidence,
    prediction_N: NDArray[np.integer[Any]],
    tissue_fraction_N: NDArray[np.floating[Any]],
) -> dict[str, NDArray[np.bool_]]:
    """Per weak group, which verdicts may be its errors, [N].

    The true class of a new patch is not known, but its attribute is, and its verdict. A wrong verdict k at
    attribute a is, of necessity, a patch of a group (k', a) of another class k' that was taken for k. So the
    verdict k at attribute a is doubted where a group (k', a), k' != k, is weak; that (k, a) itself is weak
    says only that patches of class k get other verdicts. Example: where tumor with little tissue is weak, it
    is "non-tumor" on little tissue that is doubted, and no verdict of "tumor".

    Where the attribute of a patch is not known, its verdict is doubted where it would be at every value.
    """
    attribute_N = _attribute(card, tissue_fraction_N)
    weak = weak_groups(evidence)
    weak_KA = np.zeros((len(card.classes), len(card.attribute.names)), np.bool_)
    for group in weak:
        weak_KA[group.label, group.attribute] = True
    others_KA = np.stack([np.delete(weak_KA, label, axis=0).any(axis=0) for label in range(len(weak_KA))])
    everywhere_K = np.asarray(others_KA.all(axis=1))
    unknown_N = (attribute_N < 0) & everywhere_K[prediction_N]
    return {
        group_name(card, group.label, group.attribute): (prediction_N != group.label)
        & ((attribute_N == group.attribute) | unknown_N)
        for group in weak
    }


def group_name(card: ModelCard, label: int, attribute: int) -> str:
    """In words: `tumor and little tissue`; MLflow takes it as part of a metric's name."""
    return f"{card.classes[label]} and {card.attribute.names[attribute]}"


def _attribute(card: ModelCard, tissue_fraction_N: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Of every patch, -1 where it is not known."""
    above = card.attribute.above
    if above is None:
        return np.full(len(tissue_fraction_N), -1, np.int64)
    return np.where(np.isnan(tissue_fraction_N), -1, tissue_fraction_N > above).astype(np.int64)


def _blank(
    card: ModelCard,
    tissue_fraction_N: NDArray[np.floating[Any]],
    quality: Mapping[str, NDArray[np.floating[Any]]],
) -> NDArray[np.bool_]:
    least = card.tissue.minimum_fraction if card.tissue is not None else 0.0
    blank_N: NDArray[np.bool_] = (tissue_fraction_N < least) | (tissue_fraction_N == 0)
    spreads = [spread_N for name, spread_N in quality.items() if name.startswith(_SPREAD)]
    return blank_N | np.all(np.stack(spreads) == 0, axis=0) if spreads else blank_N


def _outside(
    card: ModelCard,
    tissue_fraction_N: NDArray[np.floating[Any]],
    quality: Mapping[str, NDArray[np.floating[Any]]],
    mpp: float | None,
) -> dict[str, NDArray[np.bool_]]:
    """Per measured column whose range is known, which patches lie outside it; NaN lies nowhere."""
    found: dict[str, NDArray[np.bool_]] = {}
    if card.ranges.mpp is not None and mpp is not None:
        trained = card.ranges.mpp
        near = Range(low=trained.low * (1 - _MPP_TOLERANCE), high=trained.high * (1 + _MPP_TOLERANCE))
        found[_MPP] = _beyond(np.full(len(tissue_fraction_N), mpp), near)
    if card.ranges.tissue_fraction is not None:
        found[_TISSUE] = _beyond(tissue_fraction_N, card.ranges.tissue_fraction)
    for name, trained in card.ranges.quality.items():
        if name in quality:
            found[name] = _beyond(quality[name], trained)
    return found


def _beyond(value_N: NDArray[np.floating[Any]], trained: Range) -> NDArray[np.bool_]:
    # As float64: the range was, and a float32 column would round it to itself.
    exact_N = value_N.astype(np.float64)
    beyond_N: NDArray[np.bool_] = (exact_N < trained.low) | (exact_N > trained.high)
    return beyond_N


def _in_words(flags: Mapping[str, NDArray[np.bool_]], n: int) -> NDArray[np.str_]:
    """Flags of each patch as one text; texts are made once per combination that occurs."""
    flag_NF = np.stack(list(flags.values()), axis=1)
    # Of most patches there is nothing to tell, and sorting all of them would take ten times as long.
    told_M = np.flatnonzero(flag_NF.any(axis=1))
    combination_TF, place_M = np.unique(flag_NF[told_M], axis=0, return_inverse=True)
    names = np.array(list(flags), dtype=np.str_)
    texts = np.array(["", *(_sentence(names[row_F].tolist()) for row_F in combination_TF)], dtype=np.str_)
    place_N = np.zeros(n, np.int64)
    place_N[told_M] = 1 + place_M
    told_N: NDArray[np.str_] = texts[place_N]
    return told_N


def _sentence(names: list[str]) -> str:
    """`["blank", "outside training: a", "outside training: b"]` becomes "blank; outside training: a, b"."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kind, _, what = name.partition(": ")
        kinds.setdefault(kind, []).append(what)
    return "; ".join(f"{kind}: {', '.join(what)}" if any(what) else kind for kind, what in kinds.items())
