"""DeNetDM: a network learns what a deep, biased expert leaves open, and from a shallow, debiased one.

Sreelatha, Kappiyath, Chaudhuri, Dutta, "DeNetDM: Debiasing by Network Depth Modulation", NeurIPS 2024
(arXiv 2403.19863).
"""

from dataclasses import replace

import torch
from pydantic import NonNegativeFloat, PositiveFloat

from models.algorithms.erm import AbstractErm
from models.algorithms.parts.first_model import FirstModel, FirstStage
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch
from models.algorithms.parts.two_stage import TwoStageSettings
from models.groups import TrainLabels
from models.networks.backbones.deep_and_shallow import DeepAndShallow
from models.networks.classifier import Classifier
from models.networks.heads import features_and_logits, head_of
from patching.errors import AlgorithmError


class DenetdmSettings(TwoStageSettings):
    """Settings of DeNetDM."""

    distillation: NonNegativeFloat = 1.0
    """Weight of the distillation from the shallow expert; the authors use 0 on bFFHQ."""
    temperature: PositiveFloat = 2.0
    """T, which divides the logits in the distillation."""


class Denetdm(AbstractErm[DenetdmSettings]):
    """L = CE(f(g(x) + g_deep(x)), y) + distillation T^2 CE(f(g(x)) / T, softmax(teacher(x) / T)).

    The first stage trains a deep and a shallow expert as a product (`depth_experts`). The second trains a
    fresh configured backbone g and its head f, which starts from the experts' head; it ships f(g(x)). g_deep
    is the first stage's deep encoder, so that f(g) need not explain what the bias does; the teacher is its
    shallow expert. Both are frozen, in evaluation mode; the authors leave g_deep's BatchNorm in training
    mode. g_deep and g are both the configured backbone; the authors' differ for Corrupted CIFAR-10 (ResNet-20
    and ResNet-18), and start from other weights. A step of the second stage costs the forward passes of three
    networks and the backward pass of one, which the budget in samples seen counts once.
    """

    settings_type = DenetdmSettings

    def __init__(self, train: TrainLabels, settings: DenetdmSettings, first: FirstModel) -> None:
        super().__init__(train, settings, first)
        self.product = first.classifier

    @classmethod
    def first_stage(cls, settings: DenetdmSettings) -> FirstStage:
        return replace(settings.erm_first, algorithm="depth_experts")

    def begin(self, classifier: Classifier) -> None:
        """Let the head start from the experts'."""
        head_of(classifier.backbone).load_state_dict(self.experts.head.state_dict())

    @property
    def experts(self) -> DeepAndShallow:
        """The first stage's encoders and head."""
        backbone = self.product.eval().backbone
        if isinstance(backbone, DeepAndShallow):
            return backbone
        raise AlgorithmError(
            has=f"DeNetDM with a first model of type {type(backbone).__name__}",
            needs="a deep and a shallow expert",
            do="train with models.training.fit.fit, which does both stages",
        )

    def objective(self, networks: Networks, batch: Batch) -> torch.Tensor:
        """Of the product with the deep expert, and of the distillation from the shallow one."""
        deep_BD, teacher_BK = self._said(batch)
        backbone = networks.classifier.backbone
        features_BD, logits_BK = features_and_logits(networks.main, backbone, batch.images_BCHW)
        product_BK = head_of(backbone)(features_BD.float() + deep_BD)
        distilled_B = distillation(logits_BK.float(), teacher_BK, self.settings.temperature)
        losses_B = self.sample_losses(product_BK, batch) + self.settings.distillation * distilled_B
        return self.loss(losses_B, batch.plan)

    @torch.no_grad()
    def _said(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [B, D] of the deep expert, and logits [B, K] of the shallow one."""
        experts = self.experts
        inputs_BCHW = self.product.normalized(batch.images_BCHW)
        return experts.deep(inputs_BCHW), experts(inputs_BCHW)


def distillation(student_BK: torch.Tensor, teacher_BK: torch.Tensor, temperature: float) -> torch.Tensor:
    """T^2 CE(student / T, softmax(teacher / T)), [B] (Hinton et al. 2015)."""
    target_BK = (teacher_BK / temperature).softmax(dim=1)
    return temperature**2 * torch.nn.functional.cross_entropy(
        student_BK / temperature, target_BK, reduction="none"
    )
