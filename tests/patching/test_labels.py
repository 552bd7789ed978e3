"""The label rule at its borders."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from patching.annotations.base import AbstractAnnotation
from patching.annotations.registry import load_annotation
from patching.geometry import Size
from patching.tiling.labels import Judgement, LabelRule


def test_both_borders_belong_to_a_label() -> None:
    rule = LabelRule(tau=0.5, negative=0.05)
    fractions = np.array([0, 0.05, 0.0500001, 0.4999, 0.5, 1])
    assert rule.labels(fractions).tolist() == [0, 0, -1, -1, 1, 1]


def test_any_overlap_can_be_tumor() -> None:
    assert LabelRule(tau=1e-9, negative=0).labels(np.array([0, 0.001])).tolist() == [0, 1]


def test_an_empty_band_is_refused() -> None:
    with pytest.raises(ValidationError, match="must lie under tau"):
        LabelRule(tau=0.3, negative=0.3)


@pytest.mark.parametrize("rule", [{"rule": "whole"}, {"center": 0}, {"center": 1.1}, {"centre": 0.5}])
def test_a_wrong_setting_is_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LabelRule.model_validate(rule)


def left_part(folder: Path, kind: str, width: int) -> AbstractAnnotation:
    """Tumor from x = 0 to `width` of a slide of 300 x 200, the lowest 40 rows ignored."""
    if kind == "mask":
        value = np.zeros((200, 300), np.uint8)
        value[:, :width], value[160:] = 2, 1
        Image.fromarray(value).save(folder / "left.png")
        path, classes = folder / "left.png", {"1": "ignore", "2": "tumor"}
    else:
        path, classes = folder / "left.geojson", {"Tumor": "tumor", "Ignore": "ignore"}
        boxes = {"Tumor": (0, 0, width, 160), "Ignore": (0, 160, 300, 200)}
        path.write_text(json.dumps([outline(name, box) for name, box in boxes.items()]))
    return load_annotation(path, label=None, size=Size(300, 200), classes=classes)


def outline(name: str, box: tuple[int, int, int, int]) -> dict[str, object]:
    x0, y0, x1, y1 = box
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": name}}}


PATCHES = np.array([[0, 0], [100, 0], [200, 0], [0, 100]])
"""Of 100 px: with tumor up to x = 130 these have the fractions 1, 0.3, 0, 0.6."""


@pytest.mark.parametrize("kind", ["mask", "geojson"])
@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ({}, [1, -1, 0, 1]),
        ({"tau": 0.7}, [1, -1, 0, -1]),
        ({"rule": "any"}, [1, 1, 0, 1]),
        # The middle of 50 px of the second patch has 5 of 50 columns, of the fourth 35 of 50 rows.
        ({"rule": "center"}, [1, -1, 0, 1]),
        ({"rule": "center", "tau": 0.1}, [1, 1, 0, 1]),
        ({"rule": "center", "tau": 0.71}, [1, -1, 0, -1]),
        ({"rule": "center", "center": 0.3}, [1, 0, 0, 1]),
        ({"rule": "center", "center": 1}, [1, -1, 0, 1]),
    ],
)
def test_every_rule(tmp_path: Path, kind: str, settings: dict[str, object], labels: list[int]) -> None:
    found = LabelRule.model_validate(settings).judge(left_part(tmp_path, kind, 130), PATCHES, 100)
    assert found.label_N.tolist() == labels
    assert found.label_N.dtype == np.int8
    # Fractions are of the whole patch whatever decides the label.
    assert found.tumor_fraction_N == pytest.approx([1, 0.3, 0, 0.6])
    assert found.ignored_fraction_N.tolist() == [0, 0, 0, 0.4]


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        ({}, -1),
        ({"tau": 0.3}, 1),
        ({"rule": "any"}, 1),
        ({"rule": "center"}, -1),
        ({"rule": "center", "center": 0.3}, 0),
    ],
)
def test_the_example_of_the_documentation(tmp_path: Path, settings: dict[str, object], label: int) -> None:
    found = LabelRule.model_validate(settings).judge(
        left_part(tmp_path, "geojson", 30), np.array([[0, 0]]), 100
    )
    assert (found.tumor_fraction_N.tolist(), found.label_N.tolist()) == ([0.3], [label])


def test_the_central_region_is_in_the_middle_of_an_odd_patch(tmp_path: Path) -> None:
    # Of a patch of 33 px at 10, the middle of 16.5 px begins at 18.25.
    annotation = left_part(tmp_path, "geojson", 26)
    edge = (26 - 18.25) / 16.5
    for tau, label in ((edge - 1e-6, 1), (edge + 1e-6, -1)):
        found = LabelRule(rule="center", tau=tau).judge(annotation, np.array([[10, 0]]), 33)
        assert found.label_N.tolist() == [label]


@given(st.lists(st.floats(0, 1), max_size=9), st.floats(0, 0.4), st.floats(0.41, 1))
def test_fraction_and_a_center_of_all_judge_as_labels(
    fractions: list[float], negative: float, tau: float
) -> None:
    class Given(AbstractAnnotation):
        def fractions(self, locations_N2, extent, kind="tumor"):  # type: ignore[no-untyped-def]
            return np.array(fractions)

        def outlines(self, kind="tumor"):  # type: ignore[no-untyped-def]
            return ()

    rule = LabelRule(tau=tau, negative=negative)
    corners = np.zeros((len(fractions), 2), np.int64)
    found: Judgement = rule.judge(Given(), corners, 64)
    np.testing.assert_array_equal(found.label_N, rule.labels(np.array(fractions)))
    whole = LabelRule(rule="center", center=1, tau=tau, negative=negative).judge(Given(), corners, 64)
    np.testing.assert_array_equal(whole.label_N, found.label_N)
