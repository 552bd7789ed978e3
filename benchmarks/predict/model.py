"""Untrained slim networks in folders as trainings leave them, and one that needs nothing of ours to run."""

import warnings
from pathlib import Path

import torch
from torch import nn

from benchmarks.tiling import places
from models.data.normalization import Normalization
from models.networks.backbones.registry import make_backbone
from models.networks.card import (
    AttributeCard,
    ModelCard,
    NormalizationCard,
    Range,
    TissueCard,
    TrainingRanges,
)
from models.networks.checkpoint import load_classifier, save_classifier
from models.networks.classifier import Classifier
from patching.survey.quality import quality_names
from pipeline.phantoms.optics import CHANNELS as PHANTOM

BACKBONE = "resnet10_slim"
CHANNELS = {"stained": ("R", "G", "B"), "zlib": PHANTOM, "phantom": PHANTOM}
"""By kind of slide."""
_PATCHES = {
    "stained": {"size": 256, "mpp": 0.5},
    "zlib": {"size": 256, "mpp": 0.5},
    "phantom": {"size": 64, "mpp": 1.0},
}


def model_folder(kind: str, *, quality: bool) -> Path:
    """A model for slides of a kind.

    Args:
        kind: of slides.
        quality: whether the quality of patches is compared with the training's, as it is unless tiling was
            told to leave it out.
    """
    folder = places.WORK / "models" / f"{kind}{'-quality' * quality}"
    write_model(folder, model_card(kind, quality=quality))
    return folder


def write_model(folder: Path, card: ModelCard) -> None:
    """Weights that were drawn, and the card."""
    torch.manual_seed(7)
    told = card.normalization
    normalization = Normalization(told.transform, told.mean, told.std, told.raw_std)
    network = make_backbone(card.backbone, len(card.channels), len(card.classes))
    save_classifier(folder, Classifier(network, normalization).eval(), card)


def exported(folder: Path) -> Path:
    """The same network for an interpreter without our packages: uint8 [B, H, W, C] to probability [B, K]."""
    classifier, card = load_classifier(folder)
    side = int(card.patch["size"])
    example_BHWC = torch.zeros(4, side, side, len(card.channels), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=1024)
    path = folder / "network.pt2"
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No complete tensor found")
        program = torch.export.export(_FromPixels(classifier), (example_BHWC,), dynamic_shapes=({0: batch},))
        torch.export.save(program, path)
    return path


class _FromPixels(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self._classifier = classifier

    def forward(self, images_BHWC: torch.Tensor) -> torch.Tensor:
        """Probabilities."""
        return self._classifier.averaged(images_BHWC.permute(0, 3, 1, 2).float()).softmax(dim=1)


def model_card(kind: str, *, quality: bool) -> ModelCard:
    """Ranges so wide that no patch gets a note."""
    channels, patch = CHANNELS[kind], _PATCHES[kind]
    stained = kind == "stained"
    mean, std = (160.0, 45.0) if stained else (14.0, 6.0)
    told = {
        "mean": (mean,) * len(channels),
        "std": (std,) * len(channels),
        "raw_std": (100.0,) * len(channels),
    }
    resolution = Range(low=float(patch["mpp"]), high=float(patch["mpp"]))
    names = quality_names(channels) if quality else ()
    return ModelCard(
        backbone=BACKBONE,
        backbone_settings={},
        channels=channels,
        brightfield=stained,
        classes=("non-tumor", "tumor"),
        normalization=NormalizationCard(transform="none" if stained else "sqrt", **told),
        test_time_symmetries=False,
        patch=patch,
        dtype="uint8" if stained else "uint16",
        tissue=TissueCard(
            settings={"method": "otsu"},
            mask_pixels_per_patch=32 if kind == "phantom" else 16,
            minimum_fraction=0.01,
        ),
        attribute=AttributeCard(names=("little tissue", "much tissue"), above=0.6),
        ranges=TrainingRanges(
            tissue_fraction=Range(low=0, high=1),
            mpp=resolution,
            quality={name: Range(low=-1e9, high=1e9) for name in names},
        ),
        threshold="low",
        counts=((9, 1), (1, 9)),
        alpha=((0.9, 0.1), (0.1, 0.9)),
        algorithm="erm",
        algorithm_settings={},
        train_settings={},
        seed=7,
        versions={},
        fingerprints={},
    )
