"""The attribute: a patch's tissue fraction, binarized by a threshold; and how it goes with the label."""

from collections.abc import Mapping
from typing import Any, Self, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.data.splitting import SPLITS, TRAIN
from models.groups import GroupLayout, conditional_distribution, require_every_group
from patching.errors import EmptyGroupError

LAYOUT = GroupLayout(n_classes=2, n_attributes=2)


class ThresholdRule(BaseModel):
    """One threshold: a quantile of the training patches' tissue fraction, or a number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantile: float | None = Field(default=None, gt=0, lt=1)
    value: float | None = Field(default=None, ge=0, lt=1)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.quantile is None) == (self.value is None):
            raise ValueError("give quantile or value, and only one of them")
        return self

    def threshold(self, tissue_fraction_N: ArrayLike) -> float:
        """The number above which the attribute is 1, from the training patches' tissue fractions."""
        if self.quantile is not None:
            return float(np.quantile(np.asarray(tissue_fraction_N), self.quantile))
        return cast(float, self.value)

    @property
    def how(self) -> str:
        """How the threshold was made, in words."""
        if self.value is not None:
            return "fixed number"
        return f"{self.quantile:g} quantile of the training patients' patches"


def attribute_table(
    patches: pd.DataFrame, rules: Mapping[str, ThresholdRule]
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Attribute and group of every patch at every threshold, with the association figures.

    Args:
        patches: columns patch_id, patient_id, label, tissue_fraction, split.
        rules: thresholds by name.

    Returns:
        the long table patch_id, threshold, attribute, group; and per threshold: value, how,
        group_names, counts {split: [K][A]}, patients {split: [K][A]}, alpha [K][A] of train,
        p_attribute {split: [K][A] or null}, cramers_v {split: number or null}.

    Raises:
        EmptyGroupError: a group without training patches.
    """
    tables, figures, unusable = [], {}, []
    training = patches[patches["split"] == TRAIN]
    for name, rule in rules.items():
        value = rule.threshold(training["tissue_fraction"])
        attribute_N = (patches["tissue_fraction"].to_numpy() > value).astype(np.int64)
        group_N = LAYOUT.group(patches["label"].to_numpy(), attribute_N)
        columns = {"patch_id": patches["patch_id"], "threshold": name}
        tables.append(pd.DataFrame(columns | {"attribute": attribute_N, "group": group_N}))
        try:
            association = _association(patches, attribute_N, group_N)
        except EmptyGroupError as error:
            unusable.append(_unusable(name, rule, value, training, error))
            continue
        figures[name] = {"value": value, "how": rule.how} | association
    if unusable:
        raise EmptyGroupError(
            has="; ".join(each.has for each in unusable),
            needs=unusable[0].needs,
            do="; ".join(dict.fromkeys(each.do for each in unusable)),
        )
    return pd.concat(tables, ignore_index=True), figures


def _unusable(
    name: str, rule: ThresholdRule, value: float, training: pd.DataFrame, error: EmptyGroupError
) -> EmptyGroupError:
    """The error of a threshold that leaves a group empty: why, and what would not."""
    fraction_N = training["tissue_fraction"].to_numpy(np.float64)
    why, do = "", [error.do]
    if (fraction_N <= value).all():
        most = fraction_N.max()
        share = 100 * (fraction_N == most).mean()
        why = f", which none is above: {share:.0f} % of the training patches "
        why += "are full of tissue" if most == 1 else f"have the most, {most:.4g}"
        if most == 1:
            do.insert(0, "raise `tile.mask_pixels_per_patch`, so that fewer patches count as full")
    if (better := _usable(rule, value, training)) is not None:
        do.insert(0, f"set `attribute.thresholds.{name}.{better}")
    has = f"threshold {name} at tissue fraction {value:.4g}{why}: {error.has}"
    return EmptyGroupError(has=has, needs=error.needs, do=", or ".join(do))


def _usable(rule: ThresholdRule, value: float, training: pd.DataFrame) -> str | None:
    """The nearest setting in hundredths that leaves no group of training patches empty, if there is one."""
    ends = training.groupby("label")["tissue_fraction"].agg(["min", "max"])
    if len(ends) < LAYOUT.n_classes:
        return None
    low, high = float(ends["min"].max()), float(ends["max"].min())
    share_Q = np.arange(1, 100) / 100
    value_Q = share_Q if rule.value is not None else np.quantile(training["tissue_fraction"], share_Q)
    asked = value if rule.quantile is None else rule.quantile
    for number in np.argsort(np.abs(share_Q - asked), kind="stable"):
        if low <= value_Q[number] < high:
            told = f" (tissue fraction {value_Q[number]:.4g})" if rule.value is None else ""
            return f"{'quantile' if rule.value is None else 'value'}` to {share_Q[number]:g}{told}"
    return None


def cramers_v(counts_KA: ArrayLike) -> float:
    """Cramér's V of a table of counts, 0 (independent) to 1 (tied); NaN where a margin is empty."""
    counts = np.asarray(counts_KA, dtype=np.float64)
    rows_K1, columns_1A = counts.sum(axis=1, keepdims=True), counts.sum(axis=0, keepdims=True)
    if not (rows_K1.all() and columns_1A.all()):
        return float(np.nan)
    total = counts.sum()
    expected = rows_K1 * columns_1A / total
    chi2 = ((counts - expected) ** 2 / expected).sum()
    return float(np.sqrt(chi2 / (total * (min(counts.shape) - 1))))


def tissue_histogram(patches: pd.DataFrame, bins: int) -> pd.DataFrame:
    """Patches by tissue fraction and label: columns low, high (of a bin on [0, 1]), label, count."""
    edges = np.linspace(0, 1, bins + 1).round(6)
    parts = []
    for label in range(LAYOUT.n_classes):
        counts, _ = np.histogram(patches.loc[patches["label"] == label, "tissue_fraction"], bins=edges)
        parts.append(pd.DataFrame({"low": edges[:-1], "high": edges[1:], "label": label, "count": counts}))
    return pd.concat(parts, ignore_index=True)


def _association(
    patches: pd.DataFrame, attribute_N: NDArray[np.int64], group_N: NDArray[np.int64]
) -> dict[str, Any]:
    counts, patients, p_attribute, association = {}, {}, {}, {}
    for split in SPLITS:
        chosen_N = (patches["split"] == split).to_numpy()
        part = patches[chosen_N]
        counts_KA = LAYOUT.counts(part["label"].to_numpy(), attribute_N[chosen_N])
        if split == TRAIN:
            require_every_group(counts_KA)
        by_group = part["patient_id"].groupby(group_N[chosen_N]).nunique()
        patients_KA = by_group.reindex(range(LAYOUT.n_groups), fill_value=0).to_numpy()
        counts[split] = counts_KA.tolist()
        patients[split] = patients_KA.reshape(counts_KA.shape).tolist()
        whole = counts_KA.sum(axis=1).all()
        p_attribute[split] = conditional_distribution(counts_KA).tolist() if whole else None
        strength = cramers_v(counts_KA)
        association[split] = None if np.isnan(strength) else strength
    return {
        "group_names": list(LAYOUT.names),
        "counts": counts,
        "patients": patients,
        "alpha": p_attribute[TRAIN],
        "p_attribute": p_attribute,
        "cramers_v": association,
    }
