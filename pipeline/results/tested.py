"""Test predictions of a training or repeat, its validation patches, and what methods are called."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from models.networks.card import DecisionCard
from patching.errors import ArtifactError

Source = Literal["split", "study"]
NEEDED = ("patch_id", "label", "attribute", "group", "prediction")
KNOWN = ("patient_id", "slide_id", "store_row", "tissue_fraction", "tumor_fraction")
OWN = ("probability", "logit", "fold")
"""Columns that predictions may have: P(label = 1) as it is told, the network's log-odds, a study's fold."""
DecidedRule = Literal["threshold", "by_attribute", "by_tissue"]
"""Rules of models.networks.card that differ from the plain one."""
CONTROL: DecidedRule = "by_tissue"
"""The rule that tells a better representation from a moved threshold."""
ITS_CARD = "card"
"""In place of a rule: what a training's own card decides, where no name above says it."""
_MARK = "+"
_TITLES = {
    "threshold": "{}, moved threshold",
    "by_attribute": "{}, decided by attribute",
    "by_tissue": "{}, decided by tissue",
    ITS_CARD: "{}, as its card decides",
}


@dataclass(frozen=True)
class Tested:
    """Test predictions of one training, or of one repeat of a study.

    Attributes:
        name: of the run or repeat, for messages.
        source: `split`, one training on one split; `study`, one repeat of a cross-validation.
        seed: of the training; of a study, its repeat.
        trials: candidates that each selection chose from, those of a search included, ascending; empty where
            that was not recorded.
        record: run.json, settings and seeds of the training; empty for a study, or where there is none.
        oracle: figures selected on the test patches, by name; no estimate of anything.
        patches: NEEDED, KNOWN of the index (NaN where it has none) and of OWN what there is; in the order of
            patch_id, so that runs pair row by row.
        validation: the same of the patches that the state was chosen on; of a study, of every fold's, so
            that a patch occurs in several. Empty where predictions hold none.
        above: of a study, the threshold's value in every fold.
        decision: of the model's own card, where it is another than the plain one; predictions and
            probabilities of `patches` and `validation` are the plain ones all the same.
    """

    name: str
    source: Source
    algorithm: str
    threshold: str
    seed: int
    trials: tuple[int, ...]
    record: Mapping[str, Any]
    oracle: Mapping[str, Any]
    patches: pd.DataFrame
    validation: pd.DataFrame = field(default_factory=pd.DataFrame)
    above: Mapping[int, float] = field(default_factory=dict)
    decision: DecisionCard | None = None

    @cached_property
    def shared(self) -> dict[str, Any]:
        """Settings, and fingerprints of the data, that the seeds of an algorithm must share.

        Without the settings that selection chooses for each seed anew.
        """
        settings = self.record.get("algorithm_settings", {})
        tried = {key for trial in self.record.get("trials", ()) for key in trial.get("override", {})}
        own = {key: value for key, value in settings.items() if key not in tried}
        return {**self.record.get("train_settings", {}), **own, **self.record.get("fingerprints", {})}

    @property
    def as_decided(self) -> str:
        """The name that it has among methods where its own card decides."""
        if self.decision is None:
            return self.algorithm
        rule = ITS_CARD if self.decision.rule == "plain" else self.decision.rule
        return decided_name(self.algorithm, rule)

    @property
    def candidates(self) -> list[str]:
        """What selection chose from, in words."""
        return sorted(str(trial.get("override")) for trial in self.record.get("trials", ()))


def joined(name: str, table: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """Predictions with patient and tissue fraction; unique patches in the order of patch_id.

    Raises:
        ArtifactError: patches that are not of the index, or not once.
    """
    known = index.reindex(columns=["patch_id", *KNOWN])
    own = table[[*NEEDED, *(column for column in OWN if column in table)]]
    joined = own.merge(known, on="patch_id", how="left", validate="m:1")
    strange = joined["patch_id"][joined["patient_id"].isna()]
    if not strange.empty:
        raise ArtifactError(
            has=f"{name}: {len(strange)} predictions for patches not in the index, as {strange.iloc[0]}",
            needs="predictions of this cohort's present patches",
            do="evaluate again, or give the run's own --cohort",
        )
    if joined.empty or joined["patch_id"].duplicated().any():
        raise ArtifactError(
            has=f"{name} with {len(joined)} test predictions for {joined['patch_id'].nunique()} patches",
            needs="one prediction of every test patch",
            do="name each run or study cell once, and evaluate again where that is not it",
        )
    return _numbers(name, joined).sort_values("patch_id", ignore_index=True)


def _numbers(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """The table with whole numbers where they belong, and probabilities from 0 to 1."""
    columns = [*NEEDED[1:], *(column for column in ("probability",) if column in table)]
    read = table[columns].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    missing = ~np.isfinite(read)
    lacking = ", ".join(column for column in columns if missing[column].any())
    told = read.filter(["probability"])
    outside = (told < 0) | (told > 1)
    wrong, what = (
        (missing, f"without a number in {lacking}") if lacking else (outside, "told outside of 0 to 1")
    )
    count = int(wrong.any(axis=1).sum())
    if count:
        raise ArtifactError(
            has=f"{name}: {count} of {len(table)} predictions {what}",
            needs="a number for every patch: what a network says nothing of cannot be counted",
            do="look whether the training diverged (outputs/<cohort>/train), then train and evaluate again",
        )
    return table.assign(**read).astype(dict.fromkeys(NEEDED[1:], np.int64))


def decided_name(algorithm: str, rule: str) -> str:
    """The name of an algorithm whose logits are decided by a rule."""
    return f"{algorithm}{_MARK}{rule}"


def base_of(algorithm: str) -> str:
    """The algorithm without a rule.

    >>> base_of("erm+by_tissue"), base_of("erm")
    ('erm', 'erm')
    """
    return algorithm.partition(_MARK)[0]


def rule_of(algorithm: str) -> str | None:
    """The rule in the name; none where the method is decided plainly.

    >>> rule_of("erm+by_tissue"), rule_of("erm")
    ('by_tissue', None)
    """
    return algorithm.partition(_MARK)[2] or None


def decided_title(title: str, rule: str | None) -> str:
    """A printed name with the rule in words.

    >>> decided_title("ERM", "by_tissue"), decided_title("ERM", None)
    ('ERM, decided by tissue', 'ERM')
    """
    return title if rule is None else _TITLES.get(rule, f"{{}}, {rule}").format(title)
