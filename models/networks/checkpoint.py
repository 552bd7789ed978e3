"""A trained classifier on disk: weights in safetensors, everything else in JSON, no pickle."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from models.data.normalization import Normalization
from models.networks.backbones.registry import make_backbone
from models.networks.card import ModelCard
from models.networks.card_file import CARD, WEIGHTS, card_and_weights, card_bytes, unusable
from models.networks.classifier import Classifier
from patching.sealing import checksum


def save_classifier(folder: Path, classifier: Classifier, card: ModelCard) -> None:
    """Write model.safetensors and model.json into `folder`, each whole or not at all.

    The card comes last: where it is, the weights are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.detach().cpu().contiguous() for key, value in classifier.state_dict().items()}
    # Not `save_file`: its files are readable by their owner alone.
    content = save(weights)
    _write(folder / WEIGHTS, content)
    _write(folder / CARD, card_bytes(card, checksum(content)))


def load_classifier(folder: Path) -> tuple[Classifier, ModelCard]:
    """Rebuild the classifier from model.json and fill it with model.safetensors; eval mode, on the CPU.

    Raises:
        CheckpointError: a file is missing or damaged, or both are not of the same model.
    """
    card, content = card_and_weights(folder)
    backbone = make_backbone(card.backbone, len(card.channels), len(card.classes), card.backbone_settings)
    scale = card.normalization
    normalization = Normalization(scale.transform, scale.mean, scale.std, scale.raw_std)
    classifier = Classifier(backbone, normalization, test_time_symmetries=card.test_time_symmetries)
    weights = _tensors(folder / WEIGHTS, content)
    try:
        classifier.load_state_dict(weights)
    except RuntimeError as error:
        raise unusable(folder / WEIGHTS, error) from error
    return classifier.eval(), card


def _tensors(path: Path, content: bytes) -> dict[str, torch.Tensor]:
    try:
        weights: dict[str, torch.Tensor] = load(content)
    except SafetensorError as error:
        raise unusable(path, error) from error
    return weights


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
