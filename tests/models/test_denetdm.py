"""DeNetDM: both stages computed by hand, what is handed over, and what is shipped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.algorithms.denetdm import Denetdm, distillation
from models.algorithms.parts.first_model import FirstModel
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch, BatchPlan
from models.data.dataset import PatchData
from models.data.normalization import Normalization
from models.groups import TrainLabels
from models.networks.backbones.deep_and_shallow import DeepAndShallow
from models.networks.backbones.registry import make_backbone
from models.networks.classifier import Classifier
from models.networks.heads import head_of
from models.training.fit import fit
from models.training.making import make_algorithm
from models.training.settings import TrainSettings
from models.training.setup import Setup
from patching.errors import AlgorithmError
from tests.models.conftest import first_model

MakeData = Callable[..., PatchData]
LABELS = TrainLabels(2, np.array([0, 1, 0]))
MLP: dict[str, Any] = {"side": 2, "hidden": [3]}


def classifier(name: str, settings: dict[str, Any]) -> Classifier:
    """Its pixels are halved."""
    return Classifier(make_backbone(name, 1, 2, settings), Normalization("none", (0.0,), (2.0,), (1.0,)))


@pytest.fixture
def experts() -> Classifier:
    torch.manual_seed(0)
    return classifier("deep_and_shallow", {"of": "mlp", "of_settings": MLP})


@pytest.fixture
def student() -> Classifier:
    torch.manual_seed(7)
    return classifier("mlp", MLP)


def batch() -> Batch:
    images_BCHW = 3 * torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    plan = BatchPlan(np.arange(3), np.array([[0.5, 0.3, 0.2]]))
    return Batch(images_BCHW, torch.tensor([0, 1, 0]), plan, 0.0, 0)


def second_stage(experts: Classifier, **settings: float) -> Denetdm:
    first = FirstModel(experts, np.zeros((3, 2), np.float32), np.zeros(3, bool))
    made = make_algorithm("denetdm", settings, LABELS, first)
    assert isinstance(made, Denetdm)
    return made


def weighted(losses_B: torch.Tensor) -> float:
    return (torch.tensor([0.5, 0.3, 0.2]) * losses_B).sum().item()


def test_the_first_stage_trains_the_product(experts: Classifier) -> None:
    network = experts.train().backbone
    assert isinstance(network, DeepAndShallow)
    loss = make_algorithm("depth_experts", {}, LABELS).objective(Networks(experts, experts), batch())
    inputs = batch().images_BCHW / 2
    shallow_BK, deep_BK = network.head(network.shallow(inputs)), network.head(network.deep(inputs))
    # A product of experts: log-probabilities add up, and are normalized again.
    summed_BK = shallow_BK.log_softmax(dim=1) + deep_BK.log_softmax(dim=1) - network.head.bias
    expected_B = -summed_BK.log_softmax(dim=1)[torch.arange(3), batch().label_B]
    assert loss.item() == pytest.approx(weighted(expected_B), rel=1e-5)


def test_distillation_is_computed_by_hand() -> None:
    student_BK, teacher_BK = torch.tensor([[0.0, 2 * np.log(3)]]), torch.tensor([[2 * np.log(4), 0.0]])
    # At T = 2 the student says 1/4, 3/4 and the teacher 4/5, 1/5.
    by_hand = 4 * (0.8 * np.log(4) + 0.2 * np.log(4 / 3))
    assert distillation(student_BK, teacher_BK, 2.0).tolist() == pytest.approx([by_hand])


def test_the_second_stage_is_computed_from_its_parts(experts: Classifier, student: Classifier) -> None:
    teacher, network = experts.backbone, student.backbone
    assert isinstance(teacher, DeepAndShallow)
    found = second_stage(experts, distillation=0.5, temperature=3.0).objective(
        Networks(student, student), batch()
    )
    inputs = batch().images_BCHW / 2
    hidden_BD = torch.relu(network.get_submodule("hidden_0.0")(inputs.flatten(1)))
    head = head_of(network)
    product_BK = head(hidden_BD + teacher.deep(inputs))
    teacher_BK = teacher.head(teacher.shallow(inputs))
    losses_B = torch.nn.functional.cross_entropy(product_BK, batch().label_B, reduction="none")
    losses_B = losses_B + 0.5 * distillation(head(hidden_BD), teacher_BK, 3.0)
    assert found.item() == pytest.approx(weighted(losses_B), rel=1e-5)
    torch.autograd.backward(found)
    assert all(p.grad is not None for p in student.parameters())
    assert all(p.grad is None for p in experts.parameters())
    assert not experts.training


def test_without_expert_and_teacher_it_is_erm(experts: Classifier, student: Classifier) -> None:
    assert isinstance(experts.backbone, DeepAndShallow)
    with torch.no_grad():
        for parameter in experts.backbone.deep.parameters():
            parameter.zero_()
    networks = Networks(student, student)
    found = second_stage(experts, distillation=0.0).objective(networks, batch())
    torch.testing.assert_close(found, make_algorithm("erm", {}, LABELS).objective(networks, batch()))


def test_needs_experts_as_its_first_model(student: Classifier) -> None:
    first = first_model(LABELS.label_N, 2)
    made = make_algorithm("denetdm", {}, LABELS, first)
    with pytest.raises(AlgorithmError, match="deep and a shallow"):
        made.objective(Networks(student, student), batch())


@pytest.mark.parametrize("backbone", ["resnet10_slim", "mlp"])
def test_ships_the_configured_backbone(
    shortcut_data: MakeData, quick: TrainSettings, tmp_path: Path, backbone: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    own: dict[str, Any] = {"side": 16} if backbone == "mlp" else {"planes": [4, 4, 8, 8]}
    settings = quick.model_copy(update={"backbone": backbone, "backbone_settings": own})
    heads, original = [], Denetdm.begin

    def begin(self: Denetdm, fresh: Classifier) -> None:
        before = head_of(fresh.backbone).weight.clone()
        original(self, fresh)
        heads.append((before, self.experts.head.weight, head_of(fresh.backbone).weight.clone()))

    monkeypatch.setattr(Denetdm, "begin", begin)
    train, validation = shortcut_data(24, side=16), shortcut_data(12, seed=9, side=16)
    setup = Setup(train, validation, settings, seed=0, working_folder=tmp_path, quiet=True)
    result = fit(setup, "denetdm", {"batch_size": 4})
    assert result.backbone == (backbone, own)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["denetdm-0", "denetdm-first-0"]
    ((before, theirs, after),) = heads
    assert torch.equal(after, theirs)
    assert not torch.equal(before, theirs)
