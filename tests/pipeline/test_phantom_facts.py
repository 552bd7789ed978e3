"""What the phantom is for: tissue area tempts, brightness does not tell, texture does."""

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from pipeline.config import validated
from pipeline.phantoms.cohort import PhantomSettings, Slide, draw, slides_of
from pipeline.phantoms.texture import NORMAL, TUMOR, textures
from pipeline.yaml_file import load_yaml

PATCH = 64  # pixels of 1 µm
WIDTH, HEIGHT = 704, 512
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Patches:
    """One value per patch; `brightness` [N, 3] is the mean of each channel over tissue."""

    patient: NDArray[np.int64]
    label: NDArray[np.int64]
    tissue: Values
    brightness: Values
    order: Values

    @property
    def group(self) -> NDArray[np.int64]:
        return 2 * self.label + (self.tissue > 0.55)


def patches_of(repository: Path, **changes: object) -> Patches:
    """Patches of six small patients, drawn at 1 µm, straight from the arrays."""
    small = {"patients": 6, "slides_per_patient": [1], "size": [WIDTH, HEIGHT], "mpp": 1.0}
    settings = validated(
        PhantomSettings, load_yaml(repository / "configs" / "phantom.yaml") | small | changes, "test"
    )
    rows = [row for slide in slides_of(settings) for row in slide_rows(settings, slide)]
    patient, label, tissue, order, *brightness = (np.array(column) for column in zip(*rows, strict=True))
    return Patches(patient, label, tissue, np.stack(brightness, axis=1), order)


def slide_rows(settings: PhantomSettings, slide: Slide) -> Iterator[tuple[float, ...]]:
    """Patient, label, tissue fraction, collagen order and mean brightness of every clear-cut patch."""
    drawing = draw(settings, slide)
    counts = drawing.counts_CHW.astype(np.float64) - 100
    for y in range(0, HEIGHT, PATCH):
        for x in range(0, WIDTH, PATCH):
            here = np.s_[y : y + PATCH, x : x + PATCH]
            tissue, tumor = drawing.tissue_HW[here], drawing.layout.tumor_HW[here].mean()
            if tissue.mean() < 0.05 or 0.05 < tumor < 0.95:
                continue
            means = counts[:, *here][:, tissue].mean(axis=1)
            yield slide.patient, int(tumor > 0.5), tissue.mean(), collagen_order(counts[2][here]), *means


def collagen_order(shg_HW: Values) -> float:
    """Coherence of the structure tensor, 0 (all directions alike) to 1 (parallel fibers)."""
    smooth = ndimage.gaussian_filter(shg_HW, 1.0)
    dx, dy = ndimage.sobel(smooth, 1), ndimage.sobel(smooth, 0)
    xx, yy, xy = (dx * dx).mean(), (dy * dy).mean(), (dx * dy).mean()
    return float(np.hypot(xx - yy, 2 * xy) / (xx + yy))


@pytest.fixture(scope="module")
def tied(repository: Path) -> Patches:
    return patches_of(repository)


@pytest.fixture(scope="module")
def loose(repository: Path) -> Patches:
    return patches_of(repository, tie=0.0)


def held_out(patches: Patches, features: Values) -> Values:
    """Logistic regression's probability of tumor for patients it has not seen."""
    model = LogisticRegression(C=100)
    return cross_val_predict(
        model, features, patches.label, groups=patches.patient, cv=GroupKFold(4), method="predict_proba"
    )[:, 1]


def test_tissue_area_alone_reaches_a_high_average_and_no_worst_group(tied: Patches) -> None:
    right = (held_out(tied, tied.tissue[:, None]) > 0.5) == tied.label
    by_group = [right[tied.group == group].mean() for group in range(4)]
    assert right.mean() >= 0.85
    assert min(by_group) <= 0.15
    assert by_group[0] >= 0.9
    assert by_group[3] >= 0.9


def test_every_group_has_members_in_most_patients(tied: Patches) -> None:
    for group in range(4):
        members = tied.group == group
        assert members.mean() >= 0.01
        assert len(np.unique(tied.patient[members])) >= 4


def test_without_the_tie_tissue_area_tells_nothing(loose: Patches) -> None:
    assert 0.4 < roc_auc_score(loose.label, loose.tissue) < 0.6


def test_full_tie_leaves_no_conflicting_territory(repository: Path) -> None:
    patches = patches_of(repository, tie=1.0, patients=2)
    assert roc_auc_score(patches.label, patches.tissue) > 0.98


def test_brightness_alone_does_not_separate(loose: Patches) -> None:
    score = held_out(loose, np.log(loose.brightness))
    assert 0.35 < roc_auc_score(loose.label, score) < 0.65


def test_collagen_order_tells_the_classes_apart(repository: Path) -> None:
    patches = patches_of(repository, tie=0.0, difficulty=0.0, patients=3)
    dense = patches.tissue > 0.6
    assert roc_auc_score(1 - patches.label[dense], patches.order[dense]) > 0.75


def test_difficulty_one_makes_the_textures_equal(repository: Path) -> None:
    assert textures(0.0) == (NORMAL, TUMOR)
    normal, tumor = textures(1.0)
    assert astuple(normal) == pytest.approx(astuple(tumor))
    patches = patches_of(repository, tie=0.0, difficulty=1.0, patients=3)
    dense = patches.tissue > 0.6
    assert 0.3 < roc_auc_score(1 - patches.label[dense], patches.order[dense]) < 0.7
