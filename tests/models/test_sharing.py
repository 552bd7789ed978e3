"""Steps in parts: every group and role evenly, and the same gradient."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch, BatchPlan
from models.algorithms.registry import ALGORITHMS
from models.data.dataset import PatchData
from models.data.normalization import Normalization
from models.groups import GroupLayout, TrainGroups
from models.networks.batchnorm import sees_single_values
from models.training.fit import fit
from models.training.loading import Sharing
from models.training.processes import check_divisible
from models.training.settings import TrainSettings
from models.training.setup import Setup, new_classifier
from patching.errors import AlgorithmError, ConfigError
from tests.models.conftest import bound
from tests.models.newcomers import NEWCOMERS

pytestmark = pytest.mark.usefixtures("newcomers")

MakeData = Callable[..., PatchData]
LAYOUT = GroupLayout(2, 2)
METHODS = ALGORITHMS | NEWCOMERS
THREE = Normalization("none", (0.0,) * 3, (1.0,) * 3, (1.0,) * 3)
ADDITIVE = [name for name, kind in METHODS.items() if kind.additive and not kind.companions]


def groups() -> TrainGroups:
    group_N = np.random.default_rng(1).permutation(np.repeat(np.arange(4), (61, 7, 5, 47)))
    return TrainGroups(LAYOUT, group_N // 2, group_N % 2)


def deal(plan: BatchPlan, strata_N: Any, processes: int, micro_batch: int | None) -> list[list[Any]]:
    return [Sharing(strata_N, rank, processes, micro_batch).parts(plan) for rank in range(processes)]


@pytest.mark.parametrize("name", ["erm", "gerne", "gerne_unknown", "reweight", "subg"])
@pytest.mark.parametrize(("processes", "micro_batch"), [(1, 7), (2, None), (3, None), (3, 4), (2, 1)])
def test_every_sample_is_dealt_once_and_groups_evenly(
    name: str, processes: int, micro_batch: int | None
) -> None:
    algorithm = bound(name, {"batch_size": 13}, groups())
    strata_N = algorithm.strata_N
    for plan in islice(algorithm.batches(np.random.default_rng(2)), 10):
        hands = deal(plan, strata_N, processes, micro_batch)
        counts = {len(parts) for parts in hands}
        assert len(counts) == 1
        every_N = np.concatenate([rows_M for parts in hands for rows_M in parts])
        assert sorted(every_N.tolist()) == list(range(len(plan)))
        stratum_N = strata_N[plan.indices_N]
        for each in (
            [np.concatenate(parts) for parts in hands],
            [rows_M for parts in hands for rows_M in parts],
        ):
            table = np.array([np.bincount(stratum_N[rows_M], minlength=4) for rows_M in each])
            assert np.ptp(table, axis=0).max() <= 1
            assert np.ptp(table.sum(axis=1)) <= 1
        if micro_batch and micro_batch > 1:
            assert max(len(rows_M) for parts in hands for rows_M in parts) <= micro_batch


def test_roles_are_dealt_evenly_too() -> None:
    algorithm = bound("gerne", {"batch_size": 32}, groups())
    plan = next(algorithm.batches(np.random.default_rng(0)))
    served = [
        (plan.weights_RN[:, parts[0]] != 0).sum(axis=1) for parts in deal(plan, algorithm.strata_N, 2, None)
    ]
    assert np.abs(served[0] - served[1]).max() <= 4
    assert min(served[0].min(), served[1].min()) > 10


def test_pseudo_groups_are_dealt_evenly() -> None:
    algorithm = bound("gerne_unknown", {"batch_size": 8}, groups())
    assert len(np.unique(algorithm.strata_N)) == 4


def test_one_process_keeps_the_order_of_the_plan() -> None:
    plan = BatchPlan(np.array([5, 0, 3]), np.full((1, 3), 1 / 3))
    (rows_M,) = Sharing(np.array([1, 0, 0, 0, 0, 1])).parts(plan)
    assert rows_M.tolist() == [0, 1, 2]


def test_fewer_samples_than_processes_are_told() -> None:
    plan = BatchPlan(np.arange(2), np.full((1, 2), 0.5))
    with pytest.raises(AlgorithmError, match="3 processes"):
        Sharing(np.zeros(2, np.int64), 0, 3).parts(plan)


def gradient(
    algorithm: AbstractAlgorithm[Any, Any], networks: Networks, batches: list[Batch]
) -> torch.Tensor:
    """Summed over the batches, which are parts of one step."""
    networks.train_mode()
    for parameter in networks.parameters():
        parameter.grad = None
    for batch in batches:
        algorithm.descend(
            lambda batch=batch: algorithm.objective(networks, algorithm.prepared(batch)),
            networks.parameters(),
            torch.Tensor.backward,
        )
    return torch.cat([p.grad.flatten() for p in networks.parameters() if p.grad is not None])


def made(data: PatchData, backbone: str, assembly: str | None = None, **changes: Any) -> Networks:
    settings = TrainSettings(backbone=backbone, **changes)
    normalization = Normalization("none", (400.0,) * 3, (200.0,) * 3, (200.0,) * 3)
    classifier = new_classifier(normalization, settings, data.images.channels, 2, 0, assembly=assembly)
    return Networks(classifier, classifier, batch_norm=settings.batch_norm)


def first_batch(algorithm: AbstractAlgorithm[Any, Any], data: PatchData) -> Batch:
    plan = next(algorithm.batches(np.random.default_rng(3)))
    images = torch.from_numpy(data.images.read(plan.indices_N).astype(np.float32)).permute(0, 3, 1, 2)
    return Batch(images, torch.from_numpy(data.label_N[plan.indices_N]), plan, 0.1, mixing_seed=5)


@pytest.mark.parametrize("policy", ["frozen", "separate"])
def test_gerne_in_parts_has_the_gradient_of_the_whole_step(shortcut_data: MakeData, policy: str) -> None:
    """Nested and independent; a net with frozen BatchNorm, and one without for separate passes."""
    data = shortcut_data(120)
    known = TrainGroups(LAYOUT, data.label_N, data.attribute_N)
    net = {"backbone": "resnet10_slim"} if policy == "frozen" else {
        "backbone": "mlp", "backbone_settings": {"side": 32}
    }  # fmt: skip
    networks = made(data, batch_norm=policy, **net)
    for draws in ("nested", "independent"):
        algorithm = bound("gerne", {"batch_size": 11, "draws": draws}, known)
        whole = first_batch(algorithm, data)
        expected = gradient(algorithm, networks, [whole])
        positions = Sharing(algorithm.strata_N, micro_batch=5).parts(whole.plan)
        assert len(positions) > 4
        found = gradient(algorithm, networks, [whole.rows(rows_M) for rows_M in positions])
        assert float((found - expected).norm() / expected.norm()) < 1e-6
        assert float((gradient(algorithm, networks, [whole.rows(positions[0])]) - expected).norm()) > 1e-3


@pytest.mark.parametrize("name", ADDITIVE)
def test_every_additive_method_is_the_sum_of_its_parts(name: str, shortcut_data: MakeData) -> None:
    """Who cannot compute a step in parts has to say `additive = False`."""
    data = shortcut_data(120)
    networks = made(data, "resnet10_slim", ALGORITHMS[name].assembly, batch_norm="frozen")
    known = TrainGroups(LAYOUT, data.label_N, data.attribute_N)
    algorithm = bound(name, {"batch_size": 9}, known, networks.classifier.normalization)
    whole = first_batch(algorithm, data)
    expected = gradient(algorithm, networks, [whole])
    positions = Sharing(algorithm.strata_N, micro_batch=4).parts(whole.plan)
    found = gradient(algorithm, networks, [whole.rows(rows_M) for rows_M in positions])
    assert float((found - expected).norm() / expected.norm()) < 1e-5


class Whole(AbstractAlgorithm[TrainGroups, Any]):
    additive = False


class Beside(AbstractAlgorithm[TrainGroups, Any]):
    companions = ("biased",)


@pytest.mark.parametrize(("kind", "why"), [(Whole, "sum over samples"), (Beside, "biased")])
def test_methods_that_need_their_batch_in_one_piece_are_refused(
    kind: type[AbstractAlgorithm[Any, Any]], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TrainSettings()
    check_divisible("it", kind, whole)
    with pytest.raises(ConfigError, match=f"{why}.*micro_batch: 8"):
        check_divisible("it", kind, whole.model_copy(update={"micro_batch": 8}))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=f"{why}.*2 process"):
        check_divisible("it", kind, whole)
    check_divisible("erm", ALGORITHMS["erm"], whole)


@pytest.mark.parametrize(
    ("own", "algorithm", "batch_size", "refused"),
    [
        ({"micro_batch": 1}, "erm", 2, True),
        # A sample of each role in every part, and each role by itself.
        ({"micro_batch": 2, "batch_norm": "separate"}, "gerne", 4, True),
        ({"micro_batch": 2}, "gerne", 4, False),
        ({"micro_batch": 2}, "erm", 4, False),
        ({"micro_batch": 1, "batch_norm": "frozen"}, "erm", 4, False),
    ],
)
def test_a_pass_that_batch_norm_cannot_normalize_is_refused(
    shortcut_data: MakeData, own: dict[str, Any], algorithm: str, batch_size: int, refused: bool
) -> None:
    settings = TrainSettings(
        epochs=0.1, device="cpu", minimum_validation_patches=1, augmentation="none", backbone="resnet10_slim"
    ).model_copy(update=own)
    data = shortcut_data(40, side=16)
    setup = Setup(data, shortcut_data(24, seed=1, side=16), settings, seed=0, quiet=True)
    algorithm_settings = {"batch_size": batch_size} | ({"beta": 0.2} if algorithm == "gerne" else {})
    if not refused:
        assert fit(setup, algorithm, algorithm_settings).history
        return
    told = rf"one sample .micro_batch: {own['micro_batch']}, steps of \d+., of whose 16 x 16 pixels"
    with pytest.raises(ConfigError, match=told) as caught:
        fit(setup, algorithm, algorithm_settings)
    assert "raise micro_batch" in caught.value.do


def test_maps_of_several_pixels_need_one_sample_alone() -> None:
    network = new_classifier(THREE, TrainSettings(backbone="resnet10_slim"), 3, 2, seed=0).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert sees_single_values(network, torch.ones(1, 3, 32, 32))
    assert not sees_single_values(network, torch.ones(1, 3, 48, 64))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not [hook for module in network.modules() for hook in module._forward_pre_hooks]
    # Any other device stands for a GPU, to which training has brought the network by then.
    assert sees_single_values(network.to("meta"), torch.ones(1, 3, 32, 32))
