"""Checkpoints: everything comes back, nothing is pickled."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.data.normalization import Normalization
from models.networks.backbones.registry import make_backbone
from models.networks.card import AttributeCard, ModelCard, NormalizationCard, Range, TrainingRanges
from models.networks.card_file import CARD, WEIGHTS, load_card
from models.networks.checkpoint import load_classifier, save_classifier
from models.networks.classifier import Classifier
from patching.errors import CheckpointError


def card(**changes: Any) -> ModelCard:
    content: dict[str, Any] = {
        "backbone": "densenet_slim",
        "backbone_settings": {"dropout_prob": 0.1},
        "channels": ("CARS", "TPEF", "SHG"),
        "classes": ("non-tumor", "tumor"),
        "normalization": NormalizationCard(
            transform="sqrt", mean=(1.5, 2.5, 3.5), std=(0.1, 0.2, 0.3), raw_std=(4.0, 5.0, 6.0)
        ),
        "test_time_symmetries": True,
        "patch": {"size": 32, "mpp": 1.0},
        "dtype": "uint16",
        "brightfield": False,
        "tissue": {"settings": {"method": "otsu"}, "mask_pixels_per_patch": 16, "minimum_fraction": 0.01},
        "attribute": AttributeCard(names=("little tissue", "much tissue"), above=0.45),
        "ranges": TrainingRanges(
            tissue_fraction=Range(low=0.02, high=0.98), mpp=Range(low=1.0, high=1.0), quality={}
        ),
        "threshold": "low",
        "counts": ((40, 10), (5, 45)),
        "alpha": ((0.8, 0.2), (0.1, 0.9)),
        "algorithm": "gerne",
        "algorithm_settings": {"c": 0.5, "beta": 1.5},
        "train_settings": {},
        "seed": 3,
        "versions": {"torch": "2"},
        "fingerprints": {"splits.csv": "ab"},
    }
    return ModelCard.model_validate(content | changes)


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Classifier]:
    backbone = make_backbone("densenet_slim", 3, 2, {"dropout_prob": 0.1})
    normalization = Normalization("sqrt", (1.5, 2.5, 3.5), (0.1, 0.2, 0.3), (4.0, 5.0, 6.0))
    classifier = Classifier(backbone, normalization, test_time_symmetries=True)
    save_classifier(tmp_path / "run", classifier, card())
    return tmp_path / "run", classifier


def test_comes_back_with_the_same_predictions(trained: tuple[Path, Classifier]) -> None:
    folder, classifier = trained
    loaded, found = load_classifier(folder)
    assert found == card()
    assert not loaded.training
    assert loaded.normalization == classifier.normalization
    patches_NHWC = np.random.default_rng(0).integers(0, 4000, (5, 32, 32, 3), np.uint16)
    np.testing.assert_array_equal(loaded.predict_proba(patches_NHWC), classifier.predict_proba(patches_NHWC))


def test_files_are_whole_and_readable_by_others(trained: tuple[Path, Classifier]) -> None:
    folder, _ = trained
    assert sorted(path.name for path in folder.iterdir()) == [CARD, WEIGHTS]
    assert (folder / WEIGHTS).stat().st_mode == (folder / CARD).stat().st_mode


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
@pytest.mark.parametrize("damage", ["missing", "cut", "foreign"])
def test_refuses_damaged_files(trained: tuple[Path, Classifier], name: str, damage: str) -> None:
    path = trained[0] / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-40] if damage == "cut" else b"\x80\x04}q\x00.")
    with pytest.raises(CheckpointError, match=re.escape(name)):
        load_classifier(trained[0])


@pytest.mark.parametrize(
    "change", [{"backbone": "resnet10_slim", "backbone_settings": {}}, {"classes": ("a",)}]
)
def test_refuses_a_card_of_another_model(trained: tuple[Path, Classifier], change: dict[str, Any]) -> None:
    (trained[0] / CARD).write_text(card(**change).model_dump_json())
    with pytest.raises(CheckpointError):
        load_classifier(trained[0])


def test_nothing_in_the_project_pickles(repository: Path) -> None:
    unsafe = re.compile(
        r"^\s*(import|from) (pickle|joblib|dill|cloudpickle)\b|torch\.(load|save)\(|allow_pickle=True"
    )
    sources = [
        path for room in ("patching", "models", "pipeline") for path in (repository / room).rglob("*.py")
    ]
    found = [path for path in sources if any(unsafe.search(line) for line in path.read_text().splitlines())]
    assert sources
    assert not found


@pytest.mark.parametrize(
    ("schema", "advice"),
    [
        (1, "evenpatch tile"),
        (2, "evenpatch tile"),
        (3, "`evenpatch train` again"),
        (5, "version of evenpatch"),
    ],
)
def test_a_card_of_another_schema_is_refused_with_what_to_do(
    trained: tuple[Path, Classifier], schema: int, advice: str
) -> None:
    folder, _ = trained
    path = folder / CARD
    path.write_text(path.read_text().replace('"schema_version": 4', f'"schema_version": {schema}'))
    with pytest.raises(CheckpointError, match=f"schema {schema}") as caught:
        load_card(folder)
    assert advice in str(caught.value)
