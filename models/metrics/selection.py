"""Which state of a training is kept: the best by the validation split's rule, or one fixed before."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.data.dataset import LabelledPatches, PatchData
from models.groups import GroupLayout
from models.metrics.accuracy import group_metrics, patients_per_group
from patching.errors import ConfigError

logger = logging.getLogger(__name__)

Regime = Literal["known", "validation_only", "nowhere"]
"""Where the attribute is known: in training and validation, in validation alone, or in neither."""
SelectionRule = Literal["auto", "worst_group", "group_balanced", "worst_class", "class_balanced", "average"]
"""`auto`: worst_group where attributes are known in validation, else worst_class."""
FIGURES: dict[SelectionRule, str] = {
    "worst_group": "validation_wga",
    "group_balanced": "validation_gba",
    "worst_class": "validation_worst_class",
    "class_balanced": "validation_class_balanced",
    "average": "validation_average",
}
OF_GROUPS: tuple[SelectionRule, ...] = ("worst_group", "group_balanced")
"""Rules that need attributes in validation."""
ChooseBy = Literal["auto", "validation", "last", "cross_validation"]
"""What chooses the state and the candidate. `auto`: validation if it has patients enough, else nothing does:
the last step of the first candidate."""
LAST = math.inf
"""As the number of the validation whose state is kept."""


@dataclass(frozen=True)
class Choice:
    """What chose the state and the candidate.

    Attributes:
        by: `last` if nothing did.
        why: in words, without a full stop.
    """

    by: Literal["validation", "last", "cross_validation"]
    why: str

    @property
    def told(self) -> str:
        """Choice and reason, in words that go on a sentence."""
        by = {
            "validation": "step and candidate chosen by the validation patients",
            "last": "the last step of the first candidate, chosen by nothing",
            "cross_validation": "step and candidate chosen by cross-validation",
        }
        return f"{by[self.by]} ({self.why})"


class Score(NamedTuple):
    """Compared in this order; greater is better. An undefined figure loses against every other."""

    figure: float
    group_balanced: float
    negative_loss: float


class Judge:
    """Turns logits of the validation split into figures, and figures into a score.

    Args:
        patches: the validation split; where its attributes are not known, without them.
        layout: of its groups.
        rule: the figure that decides; ties go to group-balanced accuracy (class-balanced where there are
            no groups), then to the lower loss.
        minimum: groups with fewer validation patches are left out of every minimum and mean over groups.
        smoothing: validations whose figures are averaged.
        choose_by: `auto` leaves out groups of few patients too, and fixes the last state where a label has no
            group left. `validation` asks for no patients, `last` and `cross_validation` for nothing.
        minimum_patients: for `auto`. Where patients are not known, it is not asked for.
        kept: number of the validation, from 1, whose state is kept; with `cross_validation`, which found it.

    Attributes:
        choice: what chooses the state.

    Raises:
        ConfigError: a rule over groups, and patches without attributes.
    """

    def __init__(
        self,
        patches: PatchData | LabelledPatches,
        layout: GroupLayout,
        rule: SelectionRule,
        minimum: int,
        smoothing: int,
        *,
        choose_by: ChooseBy = "validation",
        minimum_patients: int = 1,
        kept: float = LAST,
    ) -> None:
        self.patches = patches
        self.rule = resolved_rule(rule, grouped=isinstance(patches, PatchData))
        self._label_N = patches.label_N
        self._smoothing, self._minimum = smoothing, max(minimum, 1)
        self._grouped = isinstance(patches, PatchData)
        self._layout, self._group_N = _groups(patches, layout)
        count_G = np.bincount(self._group_N, minlength=self._layout.n_groups)
        self._usable_G = count_G >= self._minimum
        self._warn(count_G, ~self._usable_G, f"patches, below {self._minimum}")
        self.kept, self._minimum_patients = kept, 1
        self.choice = choice_of(patches, layout, choose_by, minimum_patients)
        if choose_by == "auto" and self.choice.by == "validation" and patches.patient_N is not None:
            patients_G = patients_per_group(self._group_N, self._layout.n_groups, patches.patient_N)
            few_G = self._usable_G & (patients_G < minimum_patients)
            self._warn(patients_G, few_G, f"patients, below {minimum_patients}")
            self._minimum_patients, self._usable_G = minimum_patients, self._usable_G & ~few_G

    def figures(self, logits_NK: NDArray[np.float32]) -> dict[str, float]:
        """Figures of one validation.

        Returns:
            validation_wga, _gba, _average, _worst_class, _class_balanced, _loss (mean over groups), and
            _accuracy_g<group> for every group; NaN where not estimable, or where attributes are not known.
        """
        prediction_N = logits_NK.argmax(axis=1)
        metrics = group_metrics(
            self._label_N,
            prediction_N,
            self._group_N,
            self._layout.n_groups,
            patient=self.patches.patient_N,
            minimum_patches=self._minimum,
            minimum_patients=self._minimum_patients,
        )
        right_N = prediction_N == self._label_N
        of_class = [float(right_N[self._label_N == y].mean()) for y in np.unique(self._label_N)]
        figures = {
            "validation_wga": metrics.wga if self._grouped else np.nan,
            "validation_gba": metrics.gba if self._grouped else np.nan,
            "validation_average": metrics.average,
            "validation_worst_class": metrics.worst_class,
            "validation_class_balanced": float(np.mean(of_class)) if of_class else np.nan,
            "validation_loss": self._loss(logits_NK),
        }
        if self._grouped:
            figures |= {f"validation_accuracy_g{g}": float(a) for g, a in enumerate(metrics.accuracy_G)}
        return figures

    def score(self, history: Sequence[Mapping[str, float]]) -> Score:
        """Score of the last row of `history`, its figures averaged over the last few validations."""
        rows = history[-self._smoothing :]
        balanced = "validation_gba" if self._grouped else "validation_class_balanced"
        keys = FIGURES[self.rule], balanced, "validation_loss"
        figure, gba, loss = (float(np.mean([row[key] for row in rows])) for key in keys)
        return Score(*(-np.inf if np.isnan(value) else value for value in (figure, gba, -loss)))

    def prefers(self, history: Sequence[Mapping[str, float]], best_step: int) -> bool:
        """Whether the state of the last row is kept in place of that of `best_step`."""
        if self.choice.by != "validation":
            return len(history) <= self.kept
        return self.score(history) > self.score([row for row in history if row["step"] <= best_step])

    def short(self, row: Mapping[str, float]) -> str:
        """A validation in a few words, for the progress bar."""
        names = ("wga", "gba") if self._grouped else ("worst_class", "class_balanced")
        return "validation " + "  ".join(f"{name} {row[f'validation_{name}']:.3f}" for name in names)

    def _warn(self, count_G: NDArray[np.int64], small_G: NDArray[np.bool_], below: str) -> None:
        small = np.flatnonzero(small_G)
        for g in small[:4]:
            logger.warning(
                "selection ignores group %s: %d validation %s", self._layout.names[g], count_G[g], below
            )
        if len(small) > 4:
            logger.warning("selection ignores %d more groups for that reason", len(small) - 4)

    def _loss(self, logits_NK: NDArray[np.float32]) -> float:
        losses_N = torch.nn.functional.cross_entropy(
            torch.from_numpy(logits_NK).double(), torch.tensor(self._label_N), reduction="none"
        ).numpy()
        means = [losses_N[self._group_N == g].mean() for g in np.flatnonzero(self._usable_G)]
        return float(np.mean(means)) if means else float(losses_N.mean())


def choice_of(
    patches: PatchData | LabelledPatches, layout: GroupLayout, choose_by: ChooseBy, minimum_patients: int
) -> Choice:
    """What chooses the state and the candidate, by the patients of the patches to choose by (see `Judge`)."""
    if choose_by != "auto":
        return Choice(choose_by, f"choose_by: {choose_by}")
    if patches.patient_N is None:
        return Choice("validation", "whose patients are not known")
    own, group_N = _groups(patches, layout)
    patients_G = patients_per_group(group_N, own.n_groups, patches.patient_N)
    most_K = patients_G.reshape(own.n_classes, own.n_attributes).max(axis=1)
    if most_K.min() >= minimum_patients:
        return Choice(
            "validation", f"every label has a group of at least {minimum_patients} validation patients"
        )
    label = int(most_K.argmin())
    of = f"the largest group of label {label}" if own.n_attributes > 1 else f"label {label}"
    asked = f"fewer than minimum_validation_patients: {minimum_patients}"
    return Choice("last", f"{of} has {most_K[label]} validation patient(s), {asked}")


def _groups(
    patches: PatchData | LabelledPatches, layout: GroupLayout
) -> tuple[GroupLayout, NDArray[np.int64]]:
    """The groups, and the number of every patch's; without attributes, every class is a group."""
    if isinstance(patches, PatchData):
        return layout, layout.group(patches.label_N, patches.attribute_N)
    return GroupLayout(layout.n_classes, 1), patches.label_N


def resolved_rule(rule: SelectionRule, *, grouped: bool) -> SelectionRule:
    """The rule behind `auto`, checked against what is known of the patches to choose by.

    Raises:
        ConfigError: a rule over groups, and patches without attributes.
    """
    if rule == "auto":
        return "worst_group" if grouped else "worst_class"
    if rule in OF_GROUPS and not grouped:
        raise ConfigError(
            has=f"selection: {rule}, and patches to choose by without attributes (attributes: nowhere, "
            "first_judged_on: training, or cross_validation where training attributes are not known)",
            needs="a rule that needs no attributes",
            do="set selection to auto, worst_class, class_balanced or average",
        )
    return rule
