"""Small slides of two modalities and an untrained model for them: 32 px patches at 1 µm per pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile
import torch
from numpy.typing import NDArray

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
from models.networks.checkpoint import save_classifier
from models.networks.classifier import Classifier
from patching.manifest import SlideRow
from patching.store.reading import PatchStore
from patching.tiling.engine import run_task
from patching.tiling.settings import TileSettings
from patching.tiling.task import Folders, SlideTask

CHANNELS = ("CARS", "SHG")
SIDE = 32


def specimen(width: int = 330, height: int = 270, seed: int = 0, channels: int = 2) -> NDArray[np.uint16]:
    """An ellipse of textured tissue, left of the middle, in noise; [H, W, C]."""
    rng = np.random.default_rng(seed)
    y_H1, x_1W = np.ogrid[:height, :width]
    inside_HW = ((x_1W - width * 0.4) / (width * 0.35)) ** 2 + ((y_H1 - height / 2) / (height * 0.4)) ** 2 < 1
    light_HWC = 40 + 500 * inside_HW[..., None] * (1 + np.arange(channels) / 3)
    image_HWC: NDArray[np.uint16] = rng.poisson(light_HWC, (height, width, channels)).astype(np.uint16)
    return image_HWC


def write_slide(
    path: Path,
    image_HWC: NDArray[Any],
    channels: tuple[str, ...] = CHANNELS,
    mpp: float | None = 0.5,
) -> Path:
    """Tiled OME-TIFF with a level of a quarter of the pixels."""
    pixel = {} if mpp is None else {f"PhysicalSize{axis}": mpp for axis in "XY"}
    pixel |= {} if mpp is None else {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    options = {"tile": (64, 48), "compression": "zlib", "photometric": "minisblack"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        planes_CHW = np.moveaxis(image_HWC, -1, 0)
        metadata = {"axes": "CYX", "Channel": {"Name": list(channels)}, **pixel}
        tiff.write(planes_CHW, subifds=1, metadata=metadata, **options)
        tiff.write(np.ascontiguousarray(planes_CHW[:, ::2, ::2]), subfiletype=1, **options)
    return path


def model_card(**changes: Any) -> ModelCard:
    """Trained on tissue of 1 µm per pixel."""
    numbers = (100.0, 150.0)
    card = ModelCard(
        backbone="resnet10_slim",
        backbone_settings={},
        channels=CHANNELS,
        brightfield=False,
        classes=("non-tumor", "tumor"),
        normalization=NormalizationCard(transform="sqrt", mean=(20.0, 25.0), std=(5.0, 6.0), raw_std=numbers),
        test_time_symmetries=False,
        patch={"size": SIDE, "mpp": 1.0},
        dtype="uint16",
        tissue=TissueCard(settings={"method": "otsu"}, mask_pixels_per_patch=16, minimum_fraction=0.05),
        attribute=AttributeCard(names=("little tissue", "much tissue"), above=0.7),
        ranges=TrainingRanges(
            tissue_fraction=Range(low=0.1, high=1.0),
            mpp=Range(low=1.0, high=1.0),
            quality={"mean_cars": Range(low=0.0, high=1000.0), "mean_shg": Range(low=0.0, high=500.0)},
        ),
        threshold="low",
        counts=((9, 1), (1, 9)),
        alpha=((0.9, 0.1), (0.1, 0.9)),
        algorithm="erm",
        algorithm_settings={},
        train_settings={},
        seed=3,
        versions={},
        fingerprints={},
    )
    return card.model_copy(update=changes)


def write_model(folder: Path, card: ModelCard | None = None) -> Path:
    """Weights that were drawn, and the card."""
    card = card or model_card()
    torch.manual_seed(5)
    told = card.normalization
    normalization = Normalization(told.transform, told.mean, told.std, told.raw_std)
    network = make_backbone("resnet10_slim", len(card.channels), len(card.classes))
    save_classifier(folder, Classifier(network, normalization).eval(), card)
    return folder


def stored(slide: Path, folder: Path, settings: TileSettings) -> tuple[pd.DataFrame, NDArray[Any]]:
    """Places and pixels of a slide's patches as tiling stores them."""
    row = SlideRow(slide.name.partition(".")[0], "p", (slide,), label=1)
    task = SlideTask(row, "0" * 64, settings, Folders(folder, folder / "overlays", folder / "receipts"))
    assert run_task(task).error is None
    store = PatchStore.open(folder / f"{row.slide_id}.zarr")
    places = pd.DataFrame(store.table.locations_N2, columns=["x", "y"])
    places["tissue_fraction"] = store.table.tissue_fraction_N
    return places, store.read(np.arange(len(places)))
