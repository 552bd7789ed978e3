"""Under bf16 only the networks compute in it: every method's objective is fp32."""

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from models.algorithms.registry import ALGORITHMS
from models.data.dataset import PatchData
from models.data.normalization import Normalization
from models.groups import GroupLayout, TrainGroups
from models.metrics.selection import Judge
from models.training.loop import Trainer
from models.training.settings import TrainSettings
from models.training.setup import new_classifier
from tests.models.conftest import bound
from tests.models.newcomers import NEWCOMERS

LAYOUT = GroupLayout(2, 2)


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    """accelerate keeps the precision of a process's first training."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("newcomers")
@pytest.mark.parametrize("name", ALGORITHMS | NEWCOMERS)
def test_objectives_are_fp32_under_bf16(
    name: str,
    shortcut_data: Callable[..., PatchData],
    quick: TrainSettings,
    fresh_accelerate: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = quick.model_copy(update={"mixed_precision": "bf16", "backbone": "resnet10_slim"})
    data = shortcut_data(60)
    normalization = Normalization("none", (400.0,) * 3, (200.0,) * 3, (200.0,) * 3)
    groups = TrainGroups(LAYOUT, data.label_N, data.attribute_N)
    algorithm = bound(name, {"batch_size": 6}, groups, normalization, settings)
    main, *others = (
        new_classifier(normalization, settings, 3, 2, seed, assembly=algorithm.assembly)
        for seed in range(1 + len(algorithm.companions))
    )
    trainer = Trainer(
        main, algorithm, data.labelled, Judge(data, LAYOUT, "auto", 1, 1), settings, 0,
        companions=dict(zip(algorithm.companions, others, strict=True)),
    )  # fmt: skip
    assert trainer.accelerator.mixed_precision == "bf16"
    kinds: list[torch.dtype] = []
    inside: set[torch.dtype] = set()
    objective = algorithm.objective

    def watched(*arguments: object) -> torch.Tensor:
        value = objective(*arguments)  # type: ignore[arg-type]
        kinds.append(value.dtype)
        return value

    def kept(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        inside.add(output.dtype)

    monkeypatch.setattr(algorithm, "objective", watched)
    convolution = next(m for m in main.modules() if isinstance(m, torch.nn.Conv2d))
    convolution.register_forward_hook(kept)
    plans = islice(algorithm.batches(np.random.default_rng(0)), 2)
    with trainer.load.steps(plans, 0) as steps:
        losses = [trainer.step(loaded)["train_loss"] for loaded in steps]
    assert inside == {torch.bfloat16}
    assert set(kinds) == {torch.float32}
    assert np.isfinite(losses).all()
