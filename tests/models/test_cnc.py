"""CnC: sets of anchors, positives and negatives, and the contrastive loss by hand."""

import math
from itertools import islice

import numpy as np
import pytest
import torch

from models.algorithms.cnc import Cnc, CncSettings
from models.algorithms.erm import Erm
from models.algorithms.parts.first_model import FirstModel
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch, BatchPlan
from models.groups import TrainLabels
from patching.errors import AlgorithmError
from tests.models.conftest import first_model

LABEL_N = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2]
SAID_N = [0, 0, 0, 1, 1, 2, 1, 1, 0, 1, 0, 2, 1, 2, 2]
TINY = CncSettings(anchors=1, positives=2, negatives=1, temperature=0.5)


def made(settings: CncSettings, label: list[int] = LABEL_N, said: list[int] = SAID_N, k: int = 3) -> Cnc:
    labels = TrainLabels(k, np.array(label))
    untrained = first_model(labels.label_N, k)
    logits_NK = np.eye(k, dtype=np.float32)[said]
    return Cnc(labels, settings, FirstModel(untrained.classifier, logits_NK, untrained.unseen_N))


def test_the_contrastive_loss_by_hand() -> None:
    """tau = 1/2. First side: the anchor's similarities / tau are 2 and 0 with the positives, 0 with the
    negative: log(e^2 + 1 + 1) - (2 + 0) / 2. Second side: the first positive's are 2 with the anchor and -2
    with its negative: log(e^2 + e^-2) - 2."""
    features_BD = torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.0, 5.0], [0.0, 2.0], [-4.0, 0.0]])
    expected = (math.log(math.e**2 + 2) - 1) + (math.log(math.e**2 + math.e**-2) - 2)
    assert made(TINY).contrastive_loss(features_BD).item() == pytest.approx(expected, abs=1e-6)


def test_sets_are_averaged_and_do_not_mix() -> None:
    cnc = made(TINY)
    features_BD = torch.randn(10, 4, generator=torch.Generator().manual_seed(3))
    each = [cnc.contrastive_loss(part).item() for part in features_BD.split(5)]
    assert cnc.contrastive_loss(features_BD).item() == pytest.approx(sum(each) / 2, abs=1e-6)
    assert abs(each[0] - each[1]) > 0.01


def test_it_pulls_by_the_label_and_pushes_by_the_prediction() -> None:
    features_BD = torch.tensor(
        [[1.0, 0.2], [0.3, 1.0], [0.1, 1.0], [1.0, 0.0], [0.0, 1.0]], requires_grad=True
    )
    made(TINY).contrastive_loss(features_BD).backward()
    gradient_BD = features_BD.grad
    assert gradient_BD is not None
    anchor_D = features_BD[0].detach()
    assert (gradient_BD[2] @ anchor_D).item() < 0, "descent moves the second positive towards the anchor"
    assert gradient_BD[3, 1].item() > 0, "and turns the negative from it"


def test_a_set_holds_what_its_parts_promise() -> None:
    settings = CncSettings(batch_size=8, anchors=2, positives=3, negatives=2)
    cnc = made(settings)
    assert (cnc.set_size, cnc.sets, cnc.samples_per_step) == (9, 2, 18)
    label_N, said_N = np.array(LABEL_N), np.array(SAID_N)
    classes = []
    for plan in islice(cnc.batches(np.random.default_rng(0)), 30):
        for set_M in plan.indices_N.reshape(2, 9):
            anchors, positives, negatives, others = np.split(set_M, [2, 5, 7])
            y = label_N[anchors[0]]
            classes.append(y)
            assert (label_N[anchors] == y).all()
            assert (said_N[anchors] == y).all()
            assert (label_N[positives] == y).all()
            assert (said_N[positives] != y).all()
            assert (label_N[negatives] != y).all()
            assert (said_N[negatives] == y).all()
            assert (label_N[others] != y).all()
            assert (said_N[others] == said_N[positives[0]]).all()
    assert np.bincount(classes).tolist() == [20, 20, 20]


def test_where_a_kind_is_missing_the_class_stands_in() -> None:
    # Class 1 is never missed, and nothing else is taken for class 0.
    cnc = made(CncSettings(), label=[0, 0, 0, 1, 1], said=[0, 0, 1, 1, 1], k=2)
    assert cnc.kinds.positives(1).tolist() == [3, 4]
    assert cnc.kinds.negatives(0, 0).tolist() == [3, 4]
    assert cnc.kinds.negatives(1, 1).tolist() == [2]
    assert next(cnc.batches(np.random.default_rng(0))).indices_N.size == cnc.samples_per_step


@pytest.mark.parametrize("said", [[0, 0, 1, 1], [1, 1, 0, 0]])
def test_a_first_model_of_one_kind_of_answer_is_told(said: list[int]) -> None:
    with pytest.raises(AlgorithmError, match="right about"):
        made(CncSettings(), label=[0, 0, 1, 1], said=said, k=2)


@pytest.mark.parametrize("contrast", [0.0, 0.75, 1.0])
def test_the_objective_is_a_mean_of_both_losses(contrast: float) -> None:
    """At 0 it is ERM's."""
    cnc = made(TINY.model_copy(update={"contrast": contrast, "batch_size": 2}))
    classifier = cnc.first.classifier.eval()
    plan = BatchPlan(np.array([0, 3, 4, 8, 6]), np.full((1, 5), 0.2))
    images_BCHW = torch.randn(5, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    batch = Batch(images_BCHW, torch.from_numpy(np.array(LABEL_N)[plan.indices_N]), plan, 0.0, 0)
    networks = Networks(classifier, classifier)
    erm = Erm(cnc.train, Erm.settings_type()).objective(networks, batch).item()
    features: list[torch.Tensor] = []
    linear = [m for m in classifier.modules() if isinstance(m, torch.nn.Linear)][-1]
    handle = linear.register_forward_hook(lambda _m, inputs, _o: features.append(inputs[0]))
    classifier(images_BCHW)
    handle.remove()
    contrasted = cnc.contrastive_loss(features[0]).item()
    expected = contrast * contrasted + (1 - contrast) * erm
    assert cnc.objective(networks, batch).item() == pytest.approx(expected, rel=1e-5)
    assert not cnc.additive
