"""Which state of a training is kept: the validation split's rule."""

import logging
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.dataset import PatchData
from models.groups import GroupLayout
from models.metrics import group_metrics

logger = logging.getLogger(__name__)

SelectionRule = Literal["worst_group", "group_balanced", "worst_class", "average"]
FIGURES: dict[SelectionRule, str] = {
    "worst_group": "validation_wga",
    "group_balanced": "validation_gba",
    "worst_class": "validation_worst_class",
    "average": "validation_average",
}


class Score(NamedTuple):
    """Compared in this order; greater is better. An undefined figure loses against every other."""

    figure: float
    group_balanced: float
    negative_loss: float


class Judge:
    """Turns logits of the validation split into figures, and figures into a score.

    Args:
        validation: the validation split.
        layout: of its groups.
        rule: the figure that decides; ties go to group-balanced accuracy, then to the lower loss.
        minimum: groups with fewer validation patches are left out of every minimum and mean over groups.
        smoothing: validations whose figures are averaged.
    """

    def __init__(
        self, validation: PatchData, layout: GroupLayout, rule: SelectionRule, minimum: int, smoothing: int
    ) -> None:
        self._label_N = validation.label_N
        self._group_N = layout.group(validation.label_N, validation.attribute_N)
        self._rule, self._smoothing, self._minimum = rule, smoothing, max(minimum, 1)
        count_G = np.bincount(self._group_N, minlength=layout.n_groups)
        self._usable_G = count_G >= self._minimum
        for name, count in zip(layout.names, count_G, strict=True):
            if count < self._minimum:
                logger.warning(
                    "selection ignores group %s: %d validation patches, below %d", name, count, self._minimum
                )

    def figures(self, logits_NK: NDArray[np.float32]) -> dict[str, float]:
        """Figures of one validation.

        Returns:
            validation_wga, _gba, _average, _worst_class, _loss (mean over groups), and _accuracy_g<group>
            for every group; NaN where not estimable.
        """
        metrics = group_metrics(
            self._label_N,
            logits_NK.argmax(axis=1),
            self._group_N,
            len(self._usable_G),
            minimum_patches=self._minimum,
        )
        return {
            "validation_wga": metrics.wga,
            "validation_gba": metrics.gba,
            "validation_average": metrics.average,
            "validation_worst_class": metrics.worst_class,
            "validation_loss": self._loss(logits_NK),
            **{f"validation_accuracy_g{g}": float(accuracy) for g, accuracy in enumerate(metrics.accuracy_G)},
        }

    def score(self, history: Sequence[Mapping[str, float]]) -> Score:
        """Score of the last row of `history`, its figures averaged over the last few validations."""
        rows = history[-self._smoothing :]
        keys = FIGURES[self._rule], "validation_gba", "validation_loss"
        figure, gba, loss = (float(np.mean([row[key] for row in rows])) for key in keys)
        return Score(*(-np.inf if np.isnan(value) else value for value in (figure, gba, -loss)))

    def _loss(self, logits_NK: NDArray[np.float32]) -> float:
        losses_N = torch.nn.functional.cross_entropy(
            torch.from_numpy(logits_NK).double(), torch.tensor(self._label_N), reduction="none"
        ).numpy()
        means = [losses_N[self._group_N == g].mean() for g in np.flatnonzero(self._usable_G)]
        return float(np.mean(means)) if means else float(losses_N.mean())
