"""A network that cannot take the patches says so before anything is trained."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from models.data.dataset import PatchData
from models.networks.backbones.registry import ASSEMBLIES, BACKBONES
from models.networks.patch_sizes import check_patch_size
from models.training.fit import fit, fit_each
from models.training.settings import TrainSettings
from models.training.setup import Setup
from patching.errors import ConfigError

SMALLEST = {"densenet_slim": 29, "densenet121": 29, "efficientnet-b0": 32, "mlp": 28}
"""Of those that do not take any size."""


def check(name: str, height: int, width: int, **settings: Any) -> None:
    check_patch_size(name, settings, height, width, channels=2, n_classes=3)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_takes_tiny_patches_or_says_which_ones_it_takes(name: str) -> None:
    if name not in SMALLEST:
        check(name, 1, 1)
        check(name, 8, 6)
        return
    for height, width in ((1, 1), (8, 16), (SMALLEST[name] - 1,) * 2):
        with pytest.raises(ConfigError, match=f"of {height} x {width} pixels, which the backbone") as caught:
            check(name, height, width)
        assert name in caught.value.has
        assert f"the smallest is {SMALLEST[name]} x {SMALLEST[name]}" in caught.value.needs
    check(name, SMALLEST[name], SMALLEST[name])


def test_the_side_of_a_perceptron_is_the_patches() -> None:
    check("mlp", 16, 16, side=16)
    with pytest.raises(ConfigError, match="side: ") as caught:
        check("mlp", 32, 32, side=16)
    assert "the smallest is 16 x 16" in caught.value.needs


def test_a_size_that_is_found_nowhere() -> None:
    with pytest.raises(ConfigError, match="up to 256 x 256 none"):
        check("mlp", 32, 32, side=300, hidden=[4])


@pytest.mark.parametrize("name", ASSEMBLIES)
def test_an_assembly_takes_what_all_of_its_parts_take(name: str) -> None:
    of = {"of": "densenet_slim", "of_settings": {}}
    check(name, 32, 32, **of)
    with pytest.raises(ConfigError, match="backbone densenet_slim does not take") as caught:
        check(name, 16, 16, **of)
    assert "the smallest is 29 x 29" in caught.value.needs


def test_nothing_random_is_drawn() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    check("efficientnet-b0", 32, 32)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("choose_by", ["validation", "cross_validation"])
def test_a_fit_says_it_before_it_reads_a_patch(
    choose_by: str, quick: TrainSettings, shortcut_data: Callable[..., PatchData], monkeypatch: Any
) -> None:
    data = shortcut_data(8, side=16)
    settings = quick.model_copy(update={"backbone": "densenet_slim", "choose_by": choose_by})
    setup = Setup(data, data, settings, seed=0, quiet=True)
    monkeypatch.setattr(type(data.images), "read", lambda *_: pytest.fail("a patch was read"))
    with pytest.raises(ConfigError, match="16 x 16 pixels"):
        fit(setup, "erm", {"batch_size": 4})
    if choose_by == "validation":
        with pytest.raises(ConfigError, match="16 x 16 pixels"):
            fit_each(setup, "erm", {"batch_size": 4}, {"tissue": data.attribute_N})
