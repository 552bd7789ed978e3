"""What is told of a verdict, and the evidence behind it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.networks.card import (
    AttributeCard,
    DecisionCard,
    ModelCard,
    NormalizationCard,
    Range,
    TissueCard,
    TrainingRanges,
)
from models.networks.decision import told, verdicts
from models.networks.evidence import EVIDENCE, Estimate, Evidence, GroupEvidence, load_evidence, save_evidence
from models.networks.reliability import doubted, notes, weak_groups
from patching.errors import CheckpointError

NORMAL, TUMOR = 0, 1
LITTLE, MUCH = 0, 1
NONE = np.empty(0)


def card(**changes: Any) -> ModelCard:
    fields: dict[str, Any] = {
        "backbone": "resnet10_slim",
        "backbone_settings": {},
        "channels": ("CARS", "SHG"),
        "brightfield": False,
        "classes": ("normal", "tumor"),
        "normalization": NormalizationCard(transform="sqrt", mean=(1, 2), std=(1, 1), raw_std=(1, 1)),
        "test_time_symmetries": False,
        "patch": {"size": 16, "mpp": 1.0},
        "dtype": "uint16",
        "tissue": TissueCard(settings={}, mask_pixels_per_patch=8, minimum_fraction=0.05),
        "attribute": AttributeCard(names=("little tissue", "much tissue"), above=0.4),
        "ranges": TrainingRanges(
            tissue_fraction=Range(low=0.05, high=0.9),
            mpp=Range(low=0.5, high=1.0),
            quality={"focus": Range(low=0.1, high=2), "mean_shg": Range(low=10, high=30)},
        ),
        "threshold": "low",
        "counts": ((9, 1), (1, 9)),
        "alpha": ((0.9, 0.1), (0.1, 0.9)),
        "algorithm": "erm",
        "algorithm_settings": {},
        "train_settings": {},
        "seed": 1,
        "versions": {},
        "fingerprints": {},
    }
    return ModelCard(**(fields | changes))


def evidence(lows: dict[tuple[int, int], float | None]) -> Evidence:
    """Of groups with these lower ends."""
    groups = tuple(
        GroupEvidence(
            label=label,
            attribute=attribute,
            accuracy=Estimate(value=None)
            if low is None
            else Estimate(value=0.95, low=low, high=0.99, level=0.9),
            patches=30,
            patients=4,
        )
        for (label, attribute), low in lows.items()
    )
    return Evidence(
        training="erm-low",
        cohort="toy",
        description="A toy cohort.",
        split="test",
        chosen="by validation",
        patches=120,
        patients=7,
        groups=groups,
        figures={"wga": Estimate(value=0.3, low=0.2, high=0.4, level=0.95)},
        intended_use="Research use only.",
        limits=("Four patients.",),
    )


SOUND = {(NORMAL, LITTLE): 0.8, (NORMAL, MUCH): 0.7, (TUMOR, LITTLE): 0.9, (TUMOR, MUCH): 0.6}


def test_only_the_verdict_that_is_a_weak_groups_error_is_doubted() -> None:
    weak = evidence(SOUND | {(TUMOR, LITTLE): 0.2})
    prediction_N = np.array([NORMAL, NORMAL, TUMOR, TUMOR])
    # At the threshold itself a patch has little tissue.
    tissue_N = np.array([0.4, 0.7, 0.4, 0.7])
    told = notes(card(), weak, prediction_N, tissue_fraction_N=tissue_N)
    assert told.tolist() == ["weak group: tumor and little tissue", "", "", ""]


def test_a_group_is_weak_below_the_bound_or_where_it_is_not_estimable() -> None:
    lows = {(NORMAL, LITTLE): None, (NORMAL, MUCH): 0.5, (TUMOR, LITTLE): 0.499, (TUMOR, MUCH): 0.9}
    assert [(g.label, g.attribute) for g in weak_groups(evidence(lows))] == [(0, 0), (1, 0)]
    assert len(weak_groups(evidence(lows), below=0.6)) == 3


def test_an_unknown_attribute_is_doubted_where_every_value_would_be() -> None:
    prediction_N = np.array([NORMAL, TUMOR])
    one = evidence(SOUND | {(TUMOR, LITTLE): 0.2})
    both = evidence(SOUND | {(TUMOR, LITTLE): 0.2, (TUMOR, MUCH): None})
    assert notes(card(), one, prediction_N).tolist() == ["", ""]
    expected = "weak group: tumor and little tissue, tumor and much tissue"
    assert notes(card(), both, prediction_N).tolist() == [expected, ""]
    given_names = card(attribute=AttributeCard(names=("land", "water"), above=None))
    told = notes(given_names, both, prediction_N, tissue_fraction_N=np.array([0.5, 0.5]))
    assert told.tolist() == ["weak group: tumor and land, tumor and water", ""]


def test_three_classes_are_doubted_by_any_other() -> None:
    three = card(classes=("a", "b", "c"))
    lows = {(label, attribute): 0.9 for label in range(3) for attribute in range(2)}
    weak = evidence(lows | {(0, LITTLE): 0.1, (1, MUCH): 0.1})
    prediction_N = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2])
    tissue_N = np.array([0.1, 0.1, 0.1, 0.8, 0.8, 0.8, np.nan, np.nan, np.nan])
    found = doubted(three, weak, prediction_N, tissue_N)
    assert np.flatnonzero(found["a and little tissue"]).tolist() == [1, 2, 8]
    assert np.flatnonzero(found["b and much tissue"]).tolist() == [3, 5, 8]


def test_what_lies_outside_the_training_is_named_column_by_column() -> None:
    quality = {
        "focus": np.array([0.1, 0.09, 2.0, np.nan], np.float32).astype(np.float64),
        "mean_shg": np.array([10.0, 30.1, 9.9, 20.0]),
        "mean_of_no_range": np.array([-1e9] * 4),
    }
    quality["focus"][0] = 0.1
    told = notes(
        card(),
        None,
        np.array([0, 1, 0, 1]),
        tissue_fraction_N=np.array([0.05, 0.9, 0.91, np.nan]),
        quality=quality,
    )
    assert told.tolist() == [
        "",
        "outside training: focus, mean_shg",
        "outside training: tissue fraction, mean_shg",
        "",
    ]


@pytest.mark.parametrize(
    ("mpp", "outside"), [(0.5, False), (0.496, False), (0.49, True), (1.009, False), (1.02, True)]
)
def test_the_pixel_size_is_compared_with_a_patch_specs_tolerance(mpp: float, outside: bool) -> None:
    told = notes(card(), None, np.array([0, 1]), mpp=mpp)
    assert told.tolist() == (["outside training: µm per pixel"] * 2 if outside else ["", ""])


def test_blank_is_no_variation_or_no_tissue() -> None:
    prediction_N = np.zeros(4, np.int64)
    quality = {"spread_cars": np.array([0.0, 0.0, 0.1, np.nan]), "spread_shg": np.zeros(4)}
    assert notes(card(), None, prediction_N, quality=quality).tolist() == ["blank", "blank", "", ""]
    without = card(tissue=None, ranges=TrainingRanges(tissue_fraction=None, mpp=None, quality={}))
    tissue_N = np.array([0.0, 0.01, 0.05, np.nan])
    assert notes(without, None, prediction_N, tissue_fraction_N=tissue_N).tolist() == ["blank", "", "", ""]
    told = notes(card(), None, prediction_N, tissue_fraction_N=tissue_N).tolist()
    assert told == ["blank; outside training: tissue fraction"] * 2 + ["", ""]


def test_all_kinds_stand_beside_each_other_and_none_for_no_patches() -> None:
    weak = evidence(SOUND | {(NORMAL, LITTLE): None})
    told = notes(
        card(), weak, np.array([TUMOR, NORMAL]), tissue_fraction_N=np.array([0.0, 0.5]), mpp=0.1,
        quality={"spread_shg": np.array([0.0, 1.0])},
    )  # fmt: skip
    assert told.tolist() == [
        "blank; outside training: µm per pixel, tissue fraction; weak group: normal and little tissue",
        "outside training: µm per pixel",
    ]
    assert notes(card(), weak, np.empty(0, np.int64), tissue_fraction_N=NONE).tolist() == []


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.floats(0, 1) | st.just(float("nan")), st.floats(0, 50)), max_size=30
    )
)
def test_every_patch_is_told_of_alone_as_among_others(patches: list[tuple[int, float, float]]) -> None:
    weak = evidence(SOUND | {(TUMOR, LITTLE): 0.2, (NORMAL, MUCH): None})

    def told(rows: list[tuple[int, float, float]]) -> list[str]:
        columns = np.array(rows, np.float64).reshape(-1, 3)
        found = notes(
            card(),
            weak,
            columns[:, 0].astype(np.int64),
            tissue_fraction_N=columns[:, 1],
            quality={"mean_shg": columns[:, 2]},
        )
        return [str(note) for note in found]

    assert told(patches) == [told([patch])[0] for patch in patches]


def test_the_threshold_decides_and_a_tie_goes_to_class_0() -> None:
    logit_N = np.array([-1.4, 0.0, np.finfo(np.float32).eps, 1.4])
    assert told(DecisionCard(), logit_N)[1].tolist() == [0, 0, 1, 1]
    assert told(DecisionCard(threshold=0.7), logit_N)[1].tolist() == [0, 0, 0, 1]


def test_verdicts_of_two_classes_and_of_more() -> None:
    two_N2 = np.array([[0.9, 0.1], [0.5, 0.5], [0.25, 0.75]], np.float32)
    probability_N, prediction_N = verdicts(DecisionCard(), two_N2)
    assert probability_N.tolist() == pytest.approx([0.1, 0.5, 0.75])
    assert (probability_N.dtype, prediction_N.tolist()) == (np.float64, two_N2.argmax(axis=1).tolist())
    three_N3 = np.array([[0.2, 0.4, 0.4], [0.6, 0.3, 0.1]], np.float32)
    probability_N, prediction_N = verdicts(DecisionCard(), three_N3)
    assert (probability_N.round(3).tolist(), prediction_N.tolist()) == ([0.4, 0.6], [1, 0])
    assert verdicts(DecisionCard(), np.empty((0, 3), np.float32))[1].tolist() == []


def test_evidence_comes_back_and_may_be_absent(tmp_path: Path) -> None:
    assert load_evidence(tmp_path, card()) is None
    written = evidence(SOUND | {(TUMOR, LITTLE): None})
    save_evidence(tmp_path / "new", written)
    assert load_evidence(tmp_path / "new", card()) == written
    assert [path.name for path in (tmp_path / "new").iterdir()] == [EVIDENCE]


@pytest.mark.parametrize(
    "change", [{"schema_version": 2}, {"patches": -1}, {"unknown": 1}, {"figures": {"wga": {"value": "NaN"}}}]
)
def test_damaged_evidence_is_told(tmp_path: Path, change: dict[str, Any]) -> None:
    content = evidence(SOUND).model_dump(mode="json")
    (tmp_path / EVIDENCE).write_text(json.dumps(content | change))
    with pytest.raises(CheckpointError, match="remove the file"):
        load_evidence(tmp_path, card())


def test_evidence_of_other_groups_is_told(tmp_path: Path) -> None:
    save_evidence(tmp_path, evidence({(2, 0): 0.5}))
    with pytest.raises(CheckpointError, match="class 2"):
        load_evidence(tmp_path, card())


def test_an_interval_is_whole() -> None:
    with pytest.raises(ValidationError, match="low, high and level"):
        Estimate(value=0.5, low=0.4)
