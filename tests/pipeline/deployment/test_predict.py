"""`evenpatch predict` from the command line: figures, files, what is kept, what fails, exit codes."""

import errno
import json
import os
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from models.data.dataset import MemoryPatches
from models.networks.card import DecisionCard
from models.networks.checkpoint import load_classifier, save_classifier
from models.networks.decision import verdicts
from patching.errors import ConfigError, MemoryShortageError
from patching.grid import PatchSpec
from patching.manifest import SlideRow
from patching.tiling.settings import TileSettings
from pipeline.cli import main
from pipeline.deployment import engines
from pipeline.deployment.network import Compared, Difference, Network
from pipeline.deployment.predicting import PredictSettings
from pipeline.deployment.receipts import is_whole, key_of, write_receipt
from pipeline.locks import Claim, held
from pipeline.look.geojson import write_tiles
from tests.pipeline.deployment.specimens import SIDE, model_card, specimen, stored, write_model, write_slide
from tests.pipeline.rules import BY_TISSUE, RULES


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained model."""
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three slides of different sizes."""
    folder = tmp_path_factory.mktemp("slides")
    write_slide(folder / "first.ome.tif", specimen())
    write_slide(folder / "second.ome.tif", specimen(410, 205, seed=1), mpp=0.47)
    write_slide(folder / "third.ome.tif", specimen(150, 190, seed=2))
    return folder


NAMES = ("first", "second", "third")
TILED = TileSettings(
    patch=PatchSpec(size=SIDE, mpp=1.0),
    tissue={"method": "otsu"},
    classes={},
    minimum_tissue_fraction=0.05,
    codec="none",
)


def predict(*arguments: object) -> int:
    return main(["predict", *map(str, arguments)])


def table(out: Path, slide_id: str) -> pd.DataFrame:
    return pd.read_parquet(out / slide_id / "patches.parquet")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of the slides' folders and the page."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }


@pytest.mark.parametrize(("workers", "rule"), [(1, "plain"), *((3, rule) for rule in RULES)])
def test_probabilities_are_those_of_stored_patches_to_the_bit(
    workers: int, rule: str, slides: Path, tmp_path: Path
) -> None:
    """Whatever the batches: 205 patches of three slides beside each other, or each slide's by themselves."""
    model = write_model(tmp_path / "model", model_card(decision=RULES[rule]))
    assert predict(slides, "--model", model, "--out", tmp_path / "out", "--workers", workers) == 0
    classifier, _ = load_classifier(model)
    torch.set_num_threads(1)
    moved = 0
    for slide in sorted(slides.iterdir()):
        places, images_NHWC = stored(slide, tmp_path, TILED)
        probability_N2 = classifier.predict_patches(MemoryPatches(images_NHWC))
        expected_N, class_N = verdicts(RULES[rule], probability_N2, places["tissue_fraction"])
        found = table(tmp_path / "out", slide.name.partition(".")[0])
        assert len(found) > 3
        pd.testing.assert_frame_equal(found[["x", "y", "tissue_fraction"]], places)
        np.testing.assert_array_equal(found["probability"], expected_N)
        np.testing.assert_array_equal(found["prediction"], class_N)
        np.testing.assert_array_equal(found["attribute"], places["tissue_fraction"] > 0.7)
        assert 0 < class_N.mean() < 1
        moved += int((class_N != probability_N2.argmax(axis=1)).sum())
    assert (moved > 0) == (rule != "plain"), "else the rule would have had nothing to say"


def test_channels_in_another_order_and_more_of_them_change_nothing_but_a_warning(
    model: Path, tmp_path: Path
) -> None:
    image_HWC = specimen()
    mixed_HWC = np.concatenate([image_HWC[..., ::-1], image_HWC[..., :1] * 3], axis=-1)
    write_slide(tmp_path / "plain.tif", image_HWC)
    write_slide(tmp_path / "mixed.tif", mixed_HWC, ("SHG", "CARS", "DAPI"))
    assert predict(tmp_path / "*.tif", "--model", model, "--out", tmp_path / "out") == 0
    plain, mixed = (
        table(tmp_path / "out", name).drop(columns=["slide_id", "patch_id"]) for name in ("plain", "mixed")
    )
    pd.testing.assert_frame_equal(plain, mixed)
    summary = json.loads((tmp_path / "out" / "mixed" / "summary.json").read_text())
    assert summary["warnings"] == ["channels not used by the model: DAPI"]
    assert "of CARS, SHG, 1 µm per pixel" in (tmp_path / "out" / "predictions.html").read_text()


def test_a_slide_that_fails_stops_no_other_and_the_exit_code_tells(
    model: Path, slides: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {
        "no-mpp": write_slide(tmp_path / "no-mpp.tif", specimen(), mpp=None),
        "coarse": write_slide(tmp_path / "coarse.tif", specimen(), mpp=1.2),
        "unnamed": write_slide(tmp_path / "unnamed.tif", specimen(), ("CARS", "TPEF")),
        "bytes": write_slide(tmp_path / "bytes.tif", (specimen() // 8).astype(np.uint8)),
        "cut": write_slide(tmp_path / "cut.tif", specimen()),
    }
    whole = bad["cut"].read_bytes()
    bad["cut"].write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "out"
    assert predict(*bad.values(), slides, "--model", model, "--out", out) == 3
    failed = json.loads((out / "run.json").read_text())["slides"]["failed"]
    told = {
        "no-mpp": "give `--mpp`",
        "coarse": "up-sampling is refused",
        "unnamed": "needs SHG",
        "bytes": "needs uint16",
        "cut": "cut.tif",
    }
    assert set(failed) == set(told)
    for name, words in told.items():
        assert words in failed[name]
        assert not (out / name).exists()
        assert name in (out / "predictions.html").read_text()
    assert {path.name for path in out.iterdir() if path.is_dir()} == {".receipts", "first", "second", "third"}
    capsys.readouterr()
    assert predict(bad["coarse"], "--model", model, "--out", tmp_path / "none") == 2
    assert "1 of 1 slides failed" in capsys.readouterr().err


def test_the_budget_is_kept(model: Path, slides: Path, tmp_path: Path) -> None:
    coarse = write_slide(tmp_path / "coarse.tif", specimen(), mpp=1.2)
    arguments = (coarse, slides, "--model", model, "--out", tmp_path / "out", "--error-budget")
    assert predict(*arguments, 0.25) == 3
    assert predict(*arguments, 0.24) == 2


def test_what_is_whole_is_kept_and_the_rest_done_again(model: Path, slides: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = (slides, "--model", model, "--out", out)
    assert predict(*arguments) == 0
    before, times = contents(out), {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    # As a run leaves it that was killed while it wrote.
    (out / "second" / "patches.parquet").write_bytes(b"damaged")
    (out / ".third.part").mkdir()
    (out / ".third.part" / "patches.parquet").write_bytes(b"half")
    (out / ".receipts" / "third.json").unlink()
    assert predict(*arguments) == 0
    assert contents(out) == before
    kept = json.loads((out / "run.json").read_text())["slides"]
    assert (kept["predicted"], kept["kept"]) == (2, 1)
    again = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert [path.parent.name for path in times if times[path] == again[path]] == ["first"]


def test_a_damaged_receipt_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    write_receipt(tmp_path, "first", "key")
    assert is_whole(tmp_path, "first", "key")
    receipt = tmp_path / ".receipts" / "first.json"
    whole = receipt.read_bytes()
    for damage in (b"", whole[:20], whole.replace(b"key", b"kez"), b"[]"):
        receipt.write_bytes(damage)
        assert not is_whole(tmp_path, "first", "key")


def test_another_model_and_other_settings_are_done_again(slides: Path, tmp_path: Path) -> None:
    out, first = tmp_path / "out", slides / "first.ome.tif"
    model = write_model(tmp_path / "model")
    predict(first, "--model", model, "--out", out)
    plain = table(out, "first")
    predict(first, "--model", model, "--out", out, "--symmetries")
    symmetric = table(out, "first")
    assert not np.array_equal(plain["probability"], symmetric["probability"])
    write_model(model, replace_card := model_card(test_time_symmetries=True))
    predict(first, "--model", model, "--out", out)
    assert replace_card.test_time_symmetries
    np.testing.assert_array_equal(table(out, "first")["probability"], symmetric["probability"])


def test_a_finer_slide_is_resampled_to_the_resolution_of_the_training(tmp_path: Path) -> None:
    """Trained at full resolution on slides of 1 µm; one of 0.25 µm is area-averaged by 4."""
    model = write_model(tmp_path / "model", model_card(patch={"size": SIDE, "downsample": 1.0}))
    image_HWC = specimen(260, 220, seed=3)
    write_slide(tmp_path / "right.tif", image_HWC, mpp=1.0)
    write_slide(tmp_path / "fine.tif", image_HWC.repeat(4, axis=0).repeat(4, axis=1), mpp=0.25)
    assert predict(tmp_path / "*.tif", "--model", model, "--out", tmp_path / "out") == 0
    right, fine = (table(tmp_path / "out", name) for name in ("right", "fine"))
    assert fine["extent"].unique().tolist() == [4 * SIDE]
    both = right.merge(fine.assign(x=fine["x"] // 4, y=fine["y"] // 4), on=["x", "y"])
    assert len(both) > 10
    np.testing.assert_allclose(both["probability_x"], both["probability_y"], atol=1e-6)


def test_a_table_without_labels_and_one_with(model: Path, slides: Path, tmp_path: Path) -> None:
    rows = "slide_id,image,channels,mpp,label\nA,first.ome.tif,CARS;SHG,0.5,\nB,third.ome.tif,,,1\n"
    (slides / "slides.csv").write_text(rows)
    out = tmp_path / "out"
    assert predict(slides / "slides.csv", "--model", model, "--out", out) == 0
    assert "label" not in table(out, "A")
    assert table(out, "B")["label"].unique().tolist() == [1]
    assert list(json.loads((out / "score.json").read_text())["slides"]) == ["B"]
    (slides / "slides.csv").unlink()


@pytest.mark.parametrize("budget", ["nan", "-0.1", "1.5"])
def test_a_share_that_is_none_is_refused_before_anything_is_read(
    budget: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        predict("nothing.tif", "--model", "nowhere", "--out", tmp_path / "out", "--error-budget", budget) == 2
    )
    assert "a share from 0 to 1" in capsys.readouterr().err


def test_a_folder_that_is_not_ours_is_left_alone(
    model: Path, slides: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "thesis.tex").write_text("years of work")
    assert predict(slides / "first.ome.tif", "--model", model, "--out", tmp_path) == 2
    assert "which no prediction wrote" in capsys.readouterr().err
    assert (tmp_path / "first" / "thesis.tex").read_text() == "years of work"


def test_hidden_files_of_others_are_left_alone(model: Path, slides: Path, tmp_path: Path) -> None:
    strange = [tmp_path / name for name in (".bashrc.old", ".film.part", ".keep.old/a")]
    for path in strange:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    assert predict(slides / "first.ome.tif", "--model", model, "--out", tmp_path) == 0
    assert [path.read_text() for path in strange] == ["mine"] * 3


def test_a_link_to_nowhere_inside_a_slide_stops_no_other(model: Path, slides: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.zarr").mkdir()
    (tmp_path / "torn.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    (tmp_path / "torn.zarr" / "0").symlink_to(tmp_path / "nowhere")
    torn, out = tmp_path / "torn.zarr", tmp_path / "out"
    assert predict(torn, slides / "first.ome.tif", "--model", model, "--out", out) == 3
    assert set(json.loads((out / "run.json").read_text())["slides"]["failed"]) == {"torn"}


def test_what_lies_beside_a_mirax_file_is_its_slide(tmp_path: Path) -> None:
    row = SlideRow("m", "m", (tmp_path / "m.mrxs",))
    (tmp_path / "m").mkdir()
    (tmp_path / "m.mrxs").touch()
    keys = []
    for content in ("", "a", "ab"):
        (tmp_path / "m" / "Data0000.dat").write_text(content)
        keys.append(key_of(row, "digest", PredictSettings(), model_card()))
    assert len(set(keys)) == 3


def test_a_folder_that_was_moved_behind_a_link_is_left_there(
    model: Path, slides: Path, tmp_path: Path
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    arguments = (slides / "first.ome.tif", "--model", model, "--out", out)
    assert predict(*arguments) == 0
    (out / "first").rename(elsewhere)
    (out / "first").symlink_to(elsewhere)
    before = contents(elsewhere)
    for changed in ("--symmetries", "--no-symmetries"):
        assert predict(*arguments, changed) == 0
        assert not (out / "first").is_symlink()
    assert contents(elsewhere) == before
    assert sorted(path.name for path in out.glob(".*")) == [".lock", ".receipts"]


def test_a_slide_called_like_a_file_of_the_run_is_refused(
    model: Path, slides: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json.tif").write_bytes((slides / "first.ome.tif").read_bytes())
    assert predict(tmp_path / "run.json.tif", "--model", model, "--out", tmp_path / "out") == 2
    assert "a slide called run.json" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_told(
    model: Path, slides: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert predict(slides, "--model", model, "--out", tmp_path / "file" / "out") == 2
    assert "choose another folder" in capsys.readouterr().err


def test_a_slide_without_tissue_is_predicted_with_no_patch(model: Path, tmp_path: Path) -> None:
    write_slide(tmp_path / "empty.tif", np.full((200, 300, 2), 40, np.uint16))
    write_slide(tmp_path / "small.tif", specimen(300, 50))
    assert predict(tmp_path / "*.tif", "--model", model, "--out", tmp_path / "out") == 0
    for name, told in (("empty", "no tissue found"), ("small", "smaller than a patch")):
        assert table(tmp_path / "out", name).empty
        warnings = json.loads((tmp_path / "out" / name / "summary.json").read_text())["warnings"]
        assert told in warnings[-1], "after what detection warned of"


def test_notes_and_overlap(model: Path, slides: Path, tmp_path: Path) -> None:
    """SHG of this tissue is brighter than what the model was trained on."""
    out = tmp_path / "out"
    assert predict(slides / "first.ome.tif", "--model", model, "--out", out, "--overlap", 0.5) == 0
    found = table(out, "first")
    assert found["x"].drop_duplicates().sort_values().diff().dropna().unique().tolist() == [SIDE]
    much = found[found["tissue_fraction"] == 1]
    assert much["note"].unique().tolist() == ["outside training: mean_shg"]


def test_two_runs_keep_out_of_each_others_way(
    model: Path, slides: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with held([Claim(tmp_path / ".lock", "")], "predict"):
        assert predict(slides, "--model", model, "--out", tmp_path) == 2
    assert f"process {os.getpid()}" in capsys.readouterr().err


def test_a_full_disk_is_told_and_what_is_whole_is_kept(
    model: Path,
    slides: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(path: Path, *_: object) -> None:
        if path.parent.name == ".second.part":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_tiles(*_, path)  # type: ignore[arg-type]

    monkeypatch.setattr("pipeline.deployment.outputs.write_tiles", lambda tiles, path: full(path, tiles))
    assert predict(slides, "--model", model, "--out", tmp_path, "--workers", 1) == 2
    assert "no space left" in capsys.readouterr().err
    assert not (tmp_path / "second").exists()
    assert not list(tmp_path.glob(".*.part"))
    monkeypatch.undo()
    assert predict(slides, "--model", model, "--out", tmp_path) == 0
    assert json.loads((tmp_path / "run.json").read_text())["slides"]["kept"] == 1


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_files(model: Path, slides: Path, tmp_path: Path) -> None:
    coarse = write_slide(tmp_path / "coarse.tif", specimen(), mpp=1.2)
    how = ("--model", model, "--precision", "bf16")
    assert predict(coarse, slides, *how, "--out", tmp_path / "here") == 3
    there = ("--out", tmp_path / "there", "--engine", "dask", "--workers", 2)
    assert predict(coarse, slides, *how, *there) == 3
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    patches = sum(len(table(tmp_path / "there", name)) for name in ("first", "second", "third"))
    told = json.loads((tmp_path / "there" / "run.json").read_text())["difference"]
    assert told["compared"] == patches  # of every slide the first batch is
    assert 0 < told["largest"] < 0.05


@pytest.mark.slow
def test_a_process_for_each_gpu_gives_the_same_files(
    model: Path, slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two that are not there: their processes see none, and compute on processors.
    monkeypatch.setattr(engines, "usable_gpus", lambda _: ["-1", "-1"])
    coarse = write_slide(tmp_path / "coarse.tif", specimen(), mpp=1.2)
    assert predict(coarse, slides, "--model", model, "--out", tmp_path / "several") == 3
    told = json.loads((tmp_path / "several" / "run.json").read_text())
    monkeypatch.undo()
    assert predict(coarse, slides, "--model", model, "--out", tmp_path / "one") == 3
    assert contents(tmp_path / "several") == contents(tmp_path / "one")
    assert told["slides"]["predicted"] == 3
    assert set(told["slides"]["failed"]) == {"coarse"}
    assert told["throughput"]["patches"] == sum(len(table(tmp_path / "one", name)) for name in NAMES)


@pytest.mark.parametrize(
    ("given", "settings", "expected"),
    [("", {}, ["0", "1", "2"]), ("4,2,7", {}, ["4", "2", "7"]), ("", {"device": "cpu"}, []),
     ("", {"runtime": "onnx"}, [])],
)  # fmt: skip
def test_which_gpus_may_be_used(
    given: str, settings: dict[str, Any], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert engines.usable_gpus(PredictSettings(**settings)) == expected


def test_each_process_sees_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    free = get_context("spawn").SimpleQueue()
    for name in ("3", "5"):
        free.put(name)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setattr(engines, "start_worker", lambda _: None)
    for expected in ("3", "5"):
        engines.take_gpu(free, 20)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == expected


def test_a_faster_network_is_compared_by_what_the_decision_makes_of_it() -> None:
    difference = Difference("a network", BY_TISSUE)
    exact_N2, found_N2 = two_classes(0.55, 0.55), two_classes(0.56, 0.56)
    # Log-odds of 0.2 and 0.24: only where the tissue's offset is near -0.15 does 0.51 lie between them.
    tissue_N = np.array([0.42, 1.0])
    difference.add(exact_N2, found_N2, tissue_N)
    exact_N, found_N = (verdicts(BY_TISSUE, each_N2, tissue_N)[0] for each_N2 in (exact_N2, found_N2))
    assert difference.found.largest == pytest.approx(np.abs(exact_N - found_N).max())
    assert difference.found.flips == ((exact_N > 0.51) != (found_N > 0.51)).sum() == 1


def test_bfloat16_tells_what_it_changes(model: Path, slides: Path, tmp_path: Path) -> None:
    first, out = slides / "first.ome.tif", tmp_path / "out"
    predict(first, "--model", model, "--out", tmp_path / "exact")
    assert predict(first, "--model", model, "--out", out, "--precision", "bf16") == 0
    exact, found = table(tmp_path / "exact", "first"), table(out, "first")
    told = json.loads((out / "run.json").read_text())["difference"]
    assert told["compared"] == len(found)  # one batch, the first, holds them all
    changed = (exact["probability"] - found["probability"]).abs().max()
    assert 0 < changed < 0.05
    assert told["largest"] == pytest.approx(changed)


def test_a_probability_that_is_no_number_is_no_verdict(slides: Path, tmp_path: Path) -> None:
    """Weights that overflow: every probability is NaN, which no threshold exceeds."""
    model, out = write_model(tmp_path / "model"), tmp_path / "out"
    classifier, card = load_classifier(model)
    with torch.no_grad():
        next(classifier.backbone.parameters()).fill_(1e38)
    save_classifier(model, classifier, card)
    assert predict(slides / "first.ome.tif", "--model", model, "--out", out) == 2
    assert not (out / "first").exists()
    assert "without a probability" in json.loads((out / "run.json").read_text())["slides"]["failed"]["first"]


def test_a_gpu_without_room_is_told() -> None:
    def full(_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nsee docs")

    network = Network(full, torch.device("cpu"), SIDE)
    (buffer,) = network.buffers(1, (SIDE, SIDE, 2), np.dtype(np.uint16))
    with pytest.raises(MemoryShortageError, match=r"Tried to allocate 2 GiB(.|\n)*--device cpu"):
        network(buffer, np.ones(1))


def two_classes(*tumor: float) -> np.ndarray[Any, Any]:
    return np.stack([1 - np.array(tumor), tumor], axis=1).astype(np.float32)


@pytest.mark.parametrize("exact", [0.25, float("nan")])
def test_what_is_no_number_differs_as_much_as_can_be(exact: float) -> None:
    difference = Difference("a network", DecisionCard(), allowed=0.5)
    difference.add(two_classes(0.25), two_classes(0.5), np.ones(1))
    assert difference.found == Compared("a network", patches=1, flips=0, largest=pytest.approx(0.25))
    with pytest.raises(ConfigError, match="are 1 off"):
        difference.add(two_classes(0.5, exact), two_classes(0.5, float("nan")), np.ones(2))


def test_onnx_runtime_gives_nearly_the_same(model: Path, slides: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    first = slides / "first.ome.tif"
    for symmetries in ("--symmetries", "--no-symmetries"):
        out = tmp_path / symmetries
        predict(first, "--model", model, "--out", out / "torch", symmetries)
        assert predict(first, "--model", model, "--out", out / "onnx", symmetries, "--runtime", "onnx") == 0
        exact, found = (table(out / name, "first")["probability"] for name in ("torch", "onnx"))
        np.testing.assert_allclose(found, exact, atol=1e-5)
