"""The classifier: raw patches in, probabilities out."""

from typing import Any

import numpy as np
import pytest
import torch

from models.data.dataset import MemoryPatches
from models.data.normalization import Normalization, Transform
from models.networks.backbones.registry import make_backbone
from models.networks.classifier import Classifier


def classifier(transform: Transform = "none", *, test_time_symmetries: bool = False) -> Classifier:
    torch.manual_seed(0)
    normalization = Normalization(transform, (100.0, 20.0), (500.0, 400.0), (500.0, 400.0))
    return Classifier(
        make_backbone("densenet_slim", 2, 3), normalization, test_time_symmetries=test_time_symmetries
    )


def patches(n: int = 7, dtype: Any = np.uint16) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 255, (n, 32, 32, 2)).astype(dtype)


@pytest.mark.parametrize(
    ("transform", "function"), [("none", np.abs), ("sqrt", np.sqrt), ("log1p", np.log1p)]
)
def test_normalizes_raw_pixels_itself(transform: Transform, function: Any) -> None:
    model, raw_NHWC = classifier(transform).eval(), patches()
    normalized_NHWC = (function(raw_NHWC.astype(np.float64)) - [100, 20]) / [500, 400]
    images_BCHW = torch.from_numpy(normalized_NHWC.transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        expected = model.backbone(images_BCHW).softmax(dim=1).numpy()
    np.testing.assert_allclose(model.predict_proba(raw_NHWC), expected, atol=1e-5)


def test_negative_counts_after_augmentation_are_no_nan() -> None:
    logits_BK = classifier("sqrt")(torch.full((2, 2, 32, 32), -5.0))
    assert torch.isfinite(logits_BK).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_probabilities_do_not_depend_on_the_batch(dtype: Any) -> None:
    model, raw_NHWC = classifier(), patches(7, dtype)
    whole = model.predict_proba(raw_NHWC)
    assert (whole.shape, whole.dtype) == ((7, 3), np.float32)
    np.testing.assert_allclose(whole.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(model.predict_proba(raw_NHWC, batch_size=2), whole, atol=1e-6)
    np.testing.assert_allclose(model.predict_patches(MemoryPatches(raw_NHWC), 3), whole, atol=1e-6)


def test_prediction_leaves_mode_and_buffers_alone() -> None:
    model = classifier().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.predict_proba(patches())
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_no_patches_give_no_probabilities() -> None:
    assert classifier().predict_proba(patches(0)).shape == (0, 3)


def test_test_time_symmetries_make_predictions_invariant() -> None:
    raw_NHWC = patches(3)
    turned_NHWC = np.rot90(raw_NHWC[:, :, ::-1], axes=(1, 2)).copy()
    plain, averaged = classifier(), classifier(test_time_symmetries=True)
    assert np.abs(plain.predict_proba(turned_NHWC) - plain.predict_proba(raw_NHWC)).max() > 1e-4
    np.testing.assert_allclose(
        averaged.predict_proba(turned_NHWC), averaged.predict_proba(raw_NHWC), atol=1e-6
    )
    views = [np.rot90(view, k, axes=(1, 2)) for view in (raw_NHWC, raw_NHWC[:, :, ::-1]) for k in range(4)]
    expected = np.mean([plain.predict_proba(view.copy()) for view in views], axis=0)
    np.testing.assert_allclose(averaged.predict_proba(raw_NHWC), expected, atol=1e-6)
