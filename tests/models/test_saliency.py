"""Where a network's answer comes from: every backbone has a layer or says that it has none; both maps find a
planted place; MONAI's own occlusion gives the same numbers."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from models.data.normalization import Normalization
from models.networks.backbones.registry import ASSEMBLIES, BACKBONES, make_backbone
from models.networks.classifier import Classifier, log_odds, to_tensor
from models.networks.saliency.gradcam import GradCams
from models.networks.saliency.occlusion import corners, occlude
from models.networks.saliency.spatial import LAYERS, spatial_layers

SIDE, WIDE = 32, 96


class BrightSpot(nn.Module):
    """Logits that are the means of both channels, behind a convolution that keeps places."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 4, stride=4, bias=False)
        self.conv.weight.data.zero_()
        for channel in range(2):
            self.conv.weight.data[channel, channel] = 1 / 16

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.conv(images_BCHW).mean(dim=(2, 3)))


def classifier_of(backbone: nn.Module, channels: int, *, symmetries: bool = False) -> Classifier:
    normalization = Normalization("none", (0.0,) * channels, (1.0,) * channels, (1.0,) * channels)
    return Classifier(backbone, normalization, test_time_symmetries=symmetries).eval()


def spot() -> NDArray[np.uint16]:
    """Class 1 speaks in rows 4 to 7 and columns 20 to 27, class 0 in rows 24 to 27 and columns 0 to 3."""
    image_HWC = np.zeros((SIDE, SIDE, 2), np.uint16)
    image_HWC[4:8, 20:28, 1] = 800
    image_HWC[24:28, 0:4, 0] = 500
    return image_HWC


def test_every_backbone_has_a_row() -> None:
    assert set(LAYERS) == set(BACKBONES)


def kinds() -> list[tuple[str, dict[str, Any]]]:
    plain: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in BACKBONES]
    parts = [("resnet10_slim", {}), ("mlp", {"side": WIDE})]
    return plain + [(name, {"of": of, "of_settings": own}) for name in ASSEMBLIES for of, own in parts]


@pytest.mark.parametrize(("name", "settings"), kinds())
def test_the_layer_is_the_last_that_has_places(name: str, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layers = spatial_layers(name, settings)
    made = settings or ({"side": WIDE} if name == "mlp" else {})
    backbone = make_backbone(name, 2, 2, made).eval()
    sizes: list[tuple[str, torch.Size]] = []
    for module, each in backbone.named_modules():
        each.register_forward_hook(lambda _m, _i, out, module=module: sizes.append((module, out.shape)))
    backbone(torch.rand(1, 2, WIDE, WIDE))
    with_places = [module for module, shape in sizes if len(shape) == 4 and shape[2] * shape[3] > 1]
    convolutions = [module for module, each in backbone.named_modules() if isinstance(each, nn.Conv2d)]
    assert bool(layers) == bool(convolutions)
    if layers:
        # Behind the last of them nothing but activations keeps the places.
        behind = with_places[with_places.index(layers[-1]) + 1 :]
        kinds_behind = [type(backbone.get_submodule(each)).__name__ for each in behind]
        assert not {"Conv2d", "BatchNorm2d"} & set(kinds_behind)
        map_hw = GradCams(classifier_of(backbone, 2), layers).of(np.tile(spot(), (3, 3, 1)), 1)
        assert map_hw.shape[0] == map_hw.shape[1] > 1
        assert np.isfinite(map_hw).all()
        assert (map_hw >= 0).all()


def test_grad_cam_finds_what_speaks_for_each_class() -> None:
    classifier = classifier_of(BrightSpot(), 2)
    cams = GradCams(classifier, ["conv"])
    tumor_hw, normal_hw = (cams.of(spot(), towards) for towards in (1, 0))
    expected_hw = np.zeros((8, 8))
    expected_hw[1, 5:7] = 1
    np.testing.assert_allclose(tumor_hw / tumor_hw.max(), expected_hw)
    expected_hw = np.zeros((8, 8))
    expected_hw[6, 0] = 1
    np.testing.assert_allclose(normal_hw / normal_hw.max(), expected_hw)
    assert not classifier.backbone.conv._forward_hooks, "the network that is used is left as it was"


def test_symmetries_are_turned_back() -> None:
    """The spot's place is the same whatever the view, so that the mean over views is one view's map."""
    one, eight = (
        GradCams(classifier_of(BrightSpot(), 2, symmetries=each), ["conv"]).of(spot(), 1)
        for each in (False, True)
    )
    np.testing.assert_allclose(one, eight, atol=1e-6)


def test_covering_a_place_takes_away_what_it_says() -> None:
    found = occlude(classifier_of(BrightSpot(), 2), spot(), np.array([0, 0]), window=8, step=8)
    assert found.whole == pytest.approx((800 * 32 - 500 * 16) / SIDE**2)
    change_PQ = np.zeros((4, 4))
    # The spot of class 1 lies half in each of two windows.
    change_PQ[0, 2], change_PQ[0, 3], change_PQ[3, 0] = 12.5, 12.5, -500 * 16 / SIDE**2
    np.testing.assert_allclose(found.change_PQ, change_PQ, atol=1e-4)
    assert found.map_HW.shape == (SIDE, SIDE)
    assert found.map_HW[2, 30] == pytest.approx(12.5, abs=1e-4)
    # Background that is brighter than nothing says something itself.
    lit = occlude(classifier_of(BrightSpot(), 2), spot(), np.array([0, 300]), window=8, step=8)
    assert lit.change_PQ[2, 2] == pytest.approx(-300 * 64 / SIDE**2, abs=1e-4)


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
def test_monai_gives_the_same_map_where_it_can() -> None:
    from monai.visualize import OcclusionSensitivity

    torch.manual_seed(1)
    classifier = classifier_of(make_backbone("resnet10_slim", 2, 2), 2)
    image_HWC = np.random.default_rng(2).poisson(40, (SIDE, SIDE, 2)).astype(np.uint16)
    own = occlude(classifier, image_HWC, np.array([7, 7]), window=8, step=4)
    theirs = OcclusionSensitivity(
        classifier, mask_size=8, mode=7.0, overlap=0.5, activate=False, verbose=False
    )
    with torch.inference_mode():
        logits_1KHW, _ = theirs(to_tensor(image_HWC[None], torch.device("cpu")))
    log_odds_HW = (logits_1KHW[0, 1] - logits_1KHW[0, 0]).numpy()
    np.testing.assert_allclose(own.whole - own.map_HW, log_odds_HW, atol=1e-4)
    assert own.map_HW.std() > 1e-3
    assert own.whole == pytest.approx(float(log_odds(classifier.predict_logits(iter([image_HWC[None]])))[0]))


@pytest.mark.parametrize(
    ("side", "window", "step"), [(50, 12, 6), (64, 16, 8), (16, 4, 2), (9, 9, 4), (31, 4, 7)]
)
def test_windows_cover_the_whole_patch(side: int, window: int, step: int) -> None:
    found = corners(side, window, step)
    covered = np.zeros(side, bool)
    for first in found:
        covered[first : first + window] = True
    assert covered.all()
    assert found[-1] == side - window
