"""Where the model of a run comes from."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.networks.card import AttributeCard, TissueCard
from patching.errors import CheckpointError, RegistryError
from pipeline.config import Context
from pipeline.deployment.model import find_model
from pipeline.tracking.connection import connect
from tests.pipeline.deployment.specimens import model_card, write_model


@pytest.fixture
def root(
    tracked_cohort: Context, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Folder of a registry with three versions of a model, of which a test may change the names."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path_factory.mktemp("registry")
    shutil.copy(tracked_cohort.paths.root / "mlflow.db", folder)
    return folder


def test_an_alias_is_followed_to_a_version_which_is_fetched_once(root: Path, tmp_path: Path) -> None:
    client, name = connect(root), "evenpatch-toy"
    client.set_registered_model_alias(name, "trial", "2")
    by_alias = find_model(f"models:/{name}@trial", root, tmp_path)
    assert (by_alias.name, by_alias.version) == (name, "2")
    marked = by_alias.folder / "marked"
    marked.touch()
    by_version = find_model(f"models:/{name}/2", root, tmp_path)
    assert by_version == by_alias
    assert marked.exists()
    client.set_registered_model_alias(name, "trial", "1")
    other = find_model(f"models:/{name}@trial", root, tmp_path)
    assert other.version == "1"
    assert other.digest != by_alias.digest


def test_an_address_without_name_is_fetched_too(root: Path, tmp_path: Path) -> None:
    version = connect(root).get_model_version("evenpatch-toy", "1")
    found = find_model(version.source, root, tmp_path)
    assert found.digest == find_model("models:/evenpatch-toy/1", root, tmp_path).digest
    assert found.version == ""


def test_a_registry_that_was_begun_anew_gives_its_own_first_version(root: Path, tmp_path: Path) -> None:
    client, name, digests = connect(root), "begun-anew", []
    for number in ("1", "2"):
        known = client.get_model_version("evenpatch-toy", number)
        client.create_registered_model(name)
        client.create_model_version(name, known.source, run_id=known.run_id)
        digests.append(find_model(f"models:/{name}/1", root, tmp_path).digest)
        client.delete_registered_model(name)
    assert digests[0] != digests[1]


def test_an_address_that_moves_is_followed_each_time(root: Path, tmp_path: Path) -> None:
    client, name = connect(root), "moving"
    client.create_registered_model(name)
    for number in ("1", "2"):
        known = client.get_model_version("evenpatch-toy", number)
        client.create_model_version(name, known.source, run_id=known.run_id)
        latest = find_model(f"models:/{name}/latest", root, tmp_path)
        assert latest.digest == find_model(f"models:/evenpatch-toy/{number}", root, tmp_path).digest
    client.delete_registered_model(name)


@pytest.mark.parametrize(
    "uri", ["models:/evenpatch-toy@nobody", "models:/evenpatch-toy/99", "models:/none/1"]
)
def test_what_the_registry_does_not_know_is_told(uri: str, root: Path, tmp_path: Path) -> None:
    with pytest.raises(RegistryError):
        find_model(uri, root, tmp_path)
    assert not list(tmp_path.iterdir())


def test_files_that_are_gone_are_told(root: Path, tmp_path: Path) -> None:
    client, name = connect(root), "evenpatch-gone"
    client.create_registered_model(name)
    client.create_model_version(name, str(tmp_path / "nowhere"))
    with pytest.raises(RegistryError, match="the files of models:/evenpatch-gone/1"):
        find_model(f"models:/{name}/1", root, tmp_path / "kept")


@pytest.mark.parametrize(
    ("uri", "meant"), [("model:/a@champion", "models:/a@champion"), ("run:/1/m", "runs:/1/m")]
)
def test_a_slip_in_an_address_is_told(uri: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"did you mean {meant}"):
        find_model(uri, tmp_path, tmp_path / "kept")


def test_no_registry_is_made_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(RegistryError, match="--root"):
        find_model("models:/evenpatch-toy@champion", tmp_path, tmp_path / "kept")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_mlflow_or_of_a_training(tmp_path: Path) -> None:
    write_model(tmp_path / "own" / "artifacts", model_card(versions={"numpy": "0.1", "evenpatch-none": "1"}))
    found = find_model(str(tmp_path / "own"), tmp_path, tmp_path)
    assert found.folder == tmp_path / "own" / "artifacts"
    assert (found.name, found.version, found.evidence) == ("own", "", None)
    (changed,) = found.changed_versions
    assert changed.endswith("trained with 0.1")
    with pytest.raises(CheckpointError, match=r"without model\.json"):
        find_model(str(tmp_path), tmp_path, tmp_path)


def test_a_model_of_three_classes_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "own", model_card(classes=("a", "b", "c")))
    with pytest.raises(CheckpointError, match="3 classes"):
        find_model(str(tmp_path / "own"), tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"patch": {"size": 32}}, "exactly one of mpp"),
        ({"patch": {"mpp": 1.0}}, "size"),
        ({"dtype": "uint17"}, "uint17"),
        (
            {
                "tissue": TissueCard(
                    settings={"method": "guess"}, mask_pixels_per_patch=16, minimum_fraction=0
                )
            },
            "guess",
        ),
        ({"tissue": None}, "imported images"),
    ],
)
def test_what_every_slide_would_fail_for_is_told_at_once(
    changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    write_model(tmp_path / "own", model_card(**changes))
    with pytest.raises(CheckpointError, match=told):
        find_model(str(tmp_path / "own"), tmp_path, tmp_path)


def test_a_model_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    assert find_model("own", tmp_path, tmp_path).folder == tmp_path / "own"


def test_without_a_threshold_on_tissue_there_are_no_parts_of_it(tmp_path: Path) -> None:
    names = ("little tissue", "much tissue")
    for above, parts in ((0.7, names), (None, ())):
        write_model(tmp_path / "own", model_card(attribute=AttributeCard(names=names, above=above)))
        assert find_model(str(tmp_path / "own"), tmp_path, tmp_path).layout.attributes == parts


def test_the_verb_imports_neither_what_scores_nor_what_one_detector_needs() -> None:
    heavy = ("sklearn", "skimage", "scipy", "mlflow", "matplotlib")
    code = f"import sys, pipeline.stages.predict; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
