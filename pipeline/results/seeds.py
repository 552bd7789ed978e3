"""The seeds of one algorithm pooled, and the check that algorithms were tested on the same patches."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.groups import GroupLayout
from models.metrics.along_attribute import AttributeBins
from models.metrics.intervals import PatientStatistics, PatientSums, patient_statistics
from models.metrics.slopes import slope_statistics
from patching.errors import ArtifactError, ConfigError
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.tested import Tested, base_of, rule_of
from pipeline.training.layout import TISSUE, NamedLayout

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pool:
    """The runs of one algorithm at one threshold, in the order of their seeds.

    Attributes:
        repeated: runs left out because another one has their seed.
    """

    algorithm: str
    runs: tuple[Tested, ...]
    repeated: tuple[Tested, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the trainings, or repeats of the study, ascending."""
        return tuple(run.seed for run in self.runs)

    @property
    def trials(self) -> tuple[int, ...]:
        """Different numbers of candidates that a selection chose from, ascending."""
        return tuple(sorted({number for run in self.runs for number in run.trials}))

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Every run's patches after each other, with `run`, the run's place: a patch's group may differ
        between the repeats of a study, whose thresholds are of each fold."""
        return pd.concat(
            [run.patches.assign(run=place) for place, run in enumerate(self.runs)], ignore_index=True
        )

    def by_run(self, column: str, missing: float) -> NDArray[Any]:
        """A column as [R, N], `missing` where a row is another run's."""
        own_RN = np.arange(len(self.runs))[:, None] == self.rows["run"].to_numpy()
        return np.where(own_RN, self.rows[column].to_numpy(), missing)

    def of(self, seeds: Collection[int]) -> Self:
        """The pool of these seeds alone."""
        return replace(self, runs=tuple(run for run in self.runs if run.seed in seeds))


def pools_of(tested: Sequence[Tested], order: Sequence[str]) -> tuple[Pool, ...]:
    """Pool runs by algorithm, those in `order` first; one run per seed.

    An algorithm that is decided by a rule follows the plain one.

    Raises:
        ArtifactError: the runs are not of the same test patches.
        ConfigError: the seeds of an algorithm were trained with different settings.
    """
    _require_same_patches(tested)
    rank = {name: place for place, name in enumerate(order)}
    names = sorted(
        {run.algorithm for run in tested}, key=lambda name: (rank.get(base_of(name), len(rank)), name)
    )
    return tuple(_pool(name, [run for run in tested if run.algorithm == name]) for name in names)


def _pool(algorithm: str, runs: Sequence[Tested]) -> Pool:
    first: dict[int, Tested] = {}
    for run in runs:
        first.setdefault(run.seed, run)
        _require_same_settings(runs[0], run)
    kept = tuple(first[seed] for seed in sorted(first))
    return Pool(algorithm, kept, tuple(run for run in runs if first[run.seed] is not run))


def _require_same_settings(one: Tested, other: Tested) -> None:
    changed = different(one.shared, other.shared)
    if changed:
        raise ConfigError(
            has=f"{one.name} and {other.name} with different {', '.join(changed)}",
            needs="seeds of one algorithm that were trained alike, or they are no seeds of it",
            do="train them again with the same settings, or compare them apart",
        )


def different(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of the settings that are not the same in both."""
    return sorted(key for key in {**one, **other} if one.get(key) != other.get(key))


def trained_alike(tested: Sequence[Tested]) -> tuple[Tested, ...]:
    """The runs without the seeds trained otherwise than the first run of their algorithm and threshold.

    Those are logged with what differs: they may be left over from earlier settings.
    """
    first: dict[tuple[str, str], Tested] = {}
    kept = []
    for run in tested:
        own = first.setdefault((run.algorithm, run.threshold), run)
        changed = different(own.shared, run.shared)
        changed += ["candidates"] if own.candidates != run.candidates else []
        if changed:
            logger.warning(
                "%s is left out: trained with other %s than %s", run.name, ", ".join(changed), own.name
            )
        else:
            kept.append(run)
    return tuple(kept)


def _require_same_patches(tested: Sequence[Tested]) -> None:
    """Every run on the same patches of the same groups; of a study, repeat by repeat.

    A decision that could not be fitted in some repeats is set against the others in those that both have.
    """
    references: dict[int, Tested] = {}
    for run in tested:
        place = run.seed if run.source == "study" else 0
        changed = _other_patches(references.setdefault(place, run), run)
        if changed:
            raise _not_the_same(f"{references[place].name} and {run.name}: {changed}")
    by_name: dict[str, set[int]] = {}
    for run in tested:
        if rule_of(run.algorithm) is None:
            by_name.setdefault(run.algorithm, set()).add(run.seed)
    repeats = {name: sorted(seeds) for name, seeds in by_name.items()}
    if tested[0].source == "study" and len({tuple(seeds) for seeds in repeats.values()}) > 1:
        raise _not_the_same("; ".join(f"{name}: repeats {seeds}" for name, seeds in repeats.items()))


def _other_patches(one: Tested, other: Tested) -> str:
    """What differs between the patches of two runs, in words; empty where nothing does."""
    first, second = (run.patches[["patch_id", "label", "group"]] for run in (one, other))
    both = first.merge(second, on="patch_id", how="outer", suffixes=("", "_other"), indicator=True)
    sides = both["_merge"].value_counts()
    shared = both[both["_merge"] == "both"]
    moved = shared[(shared["label"] != shared["label_other"]) | (shared["group"] != shared["group_other"])]
    counts = (
        (int(sides["left_only"]), "patches only in the first"),
        (int(sides["right_only"]), "only in the second"),
        (len(moved), f"of another label or group, as {moved['patch_id'].iloc[0] if len(moved) else ''}"),
    )
    return ", ".join(f"{count} {words}" for count, words in counts if count)


def _not_the_same(has: str) -> ArtifactError:
    return ArtifactError(
        has=has,
        needs="the same test patches with the same label and group in every run",
        do="evaluate all of them on the present split, or compare them apart",
    )


def layout_of(tested: Sequence[Tested]) -> NamedLayout:
    """Classes and attribute values, from g = label * A + attribute of every test patch."""
    if tested[0].source == "study":
        return TISSUE
    rows = pd.concat([run.patches for run in tested])
    labelled = rows[rows["label"] > 0]
    sizes = (labelled["group"] - labelled["attribute"]) // labelled["label"]
    n_attributes = int(sizes.max()) if len(sizes) else int(rows["attribute"].max()) + 1
    n_classes = int(max(rows["label"].max(), rows["prediction"].max())) + 1
    return NamedLayout(
        tuple(f"label {y}" for y in range(max(n_classes, 2))),
        tuple(f"attribute {a}" for a in range(n_attributes)),
    )


def bins_of(tested: Sequence[Tested], layout: GroupLayout) -> AttributeBins | None:
    """Bins of the tissue fraction, of one width; none where patches have none."""
    known = all(np.isfinite(run.patches["tissue_fraction"].to_numpy(np.float64)).all() for run in tested)
    return AttributeBins(layout.n_classes) if known else None


def is_ranked(tested: Sequence[Tested], layout: GroupLayout) -> bool:
    """Whether the AUROC is told: of two classes with probabilities."""
    return layout.n_classes == 2 and all("probability" in run.patches for run in tested)


def statistics_of(
    pool: Pool, layout: GroupLayout, bins: AttributeBins | None, settings: BootstrapSettings, *, ranked: bool
) -> dict[str, PatientSums]:
    """Per-patient sums over groups, over classes, and over bins and slopes of the tissue fraction."""
    rows, prediction_RN = pool.rows, pool.by_run("prediction", -1)
    probability_RN = pool.by_run("probability", np.nan) if ranked else None
    minimum = settings.minimums(len(pool.runs))

    def over(group: Any, n_groups: int, probability: NDArray[Any] | None = None) -> PatientStatistics:
        return patient_statistics(
            rows["label"],
            prediction_RN,
            group,
            rows["patient_id"],
            n_groups,
            probability=probability,
            # Of a study, every fold has a network of its own.
            network=rows.get("fold"),
            **minimum,
        )

    found: dict[str, PatientSums] = {
        "groups": over(rows["group"], layout.n_groups, probability_RN),
        "classes": over(rows["label"], layout.n_classes),
    }
    if bins is not None:
        tissue = rows["tissue_fraction"]
        found["bins"] = over(bins.numbers(rows["label"], tissue), len(bins))
        found["slopes"] = slope_statistics(
            rows["label"], prediction_RN, tissue, rows["patient_id"], layout.n_classes, **minimum
        )
    return found
