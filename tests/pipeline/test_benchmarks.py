"""Benchmarks as cohorts: every published layout in miniature, from its files to trained figures."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from PIL.PngImagePlugin import MAX_TEXT_CHUNK, PngInfo

from models.networks.card_file import load_card
from patching.errors import UnreadableSlideError
from patching.store.reading import PatchStore
from pipeline.artifacts import ATTRIBUTES, INDEX, SLIDES, Paths
from pipeline.cli import main
from pipeline.files import read_table, write_json
from pipeline.published.image_files import ImageFiles, squared
from pipeline.published.registry import LAYOUTS, make_benchmark
from pipeline.training.layout import GIVEN, TISSUE, read_layout
from pipeline.training.patches import patch_table

SIDE = 32
SECTIONS = (
    "ingest",
    "tile",
    "split",
    "attribute",
    "train",
    "algorithms",
    "evaluate",
    "report",
    "register",
    "study",
)
SPLIT_SIZES = {0: 24, 1: 12, 2: 12}


def write_image(path: Path, label: int, attribute: int, seed: int, size: tuple[int, int]) -> None:
    """Stripes say the label, brightness says the attribute; `size` is width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 30, (size[1], size[0], 3))
    pixels[:, ::2] += 90 * label
    Image.fromarray((pixels + 60 * attribute).astype(np.uint8)).save(path)


def rows(n_classes: int = 2, n_attributes: int = 2) -> list[tuple[int, int, int, int]]:
    """Number, label, attribute and split of some images; every group is in every split."""
    groups = [(y, a) for y in range(n_classes) for a in range(n_attributes)]
    splits = [split for split, size in SPLIT_SIZES.items() for _ in range(size)]
    return [(n, *groups[n % len(groups)], split) for n, split in enumerate(splits)]


def write_waterbirds(folder: Path) -> dict[str, Any]:
    table = []
    for n, label, attribute, split in rows():
        name = f"{n % 3:03}.Some_Bird/Some_Bird_{n:04}.jpg"
        write_image(folder / name, label, attribute, n, (11, 17))
        table.append((n + 1, name, label, split, attribute, "/o/ocean/1.jpg"))
    columns = ["img_id", "img_filename", "y", "split", "place", "place_filename"]
    pd.DataFrame(table, columns=columns).to_csv(folder / "metadata.csv", index=False)
    names = {"classes": ["landbird", "waterbird"], "attributes": ["land", "water"]}
    return {"layout": "metadata_folder", **names, "attribute_name": "background", "side": SIDE}


def write_celeba(folder: Path) -> dict[str, Any]:
    attributes, parts = [], []
    for n, label, attribute, split in rows():
        name = f"{n + 1:06}.jpg"
        write_image(folder / "img_align_celeba" / name, label, attribute, n, (9, 11))
        attributes.append((name, 1, 2 * label - 1, 2 * attribute - 1))
        parts.append((name, split))
    columns = ["image_id", "Young", "Blond_Hair", "Male"]
    pd.DataFrame(attributes, columns=columns).to_csv(folder / "list_attr_celeba.csv", index=False)
    parted = pd.DataFrame(parts, columns=["image_id", "partition"])
    parted.to_csv(folder / "list_eval_partition.csv", index=False)
    return {"layout": "celeba", "side": SIDE}


def write_cifar10c(folder: Path, *, valid_inside: bool = True) -> dict[str, Any]:
    for n, label, attribute, split in rows(3, 3):
        name = f"{label}/{n}_{label}_{attribute}.png"
        training = "0.5pct/align" if label == attribute else "0.5pct/conflict"
        valid = "0.5pct/valid" if valid_inside else "valid"
        write_image(folder / (training, valid, "test")[split] / name, label, attribute, n, (SIDE, SIDE))
    names = {"classes": ["a", "b", "c"], "attributes": ["fog", "snow", "frost"]}
    return {"layout": "align_conflict", **names, "attribute_name": "corruption", "side": SIDE}


def write_bffhq(folder: Path) -> dict[str, Any]:
    return write_cifar10c(folder, valid_inside=False)


def write_cmnist(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    label_N = np.arange(300) % 10
    gray_NHW = rng.integers(0, 30, (300, SIDE, SIDE)).astype(np.uint8)
    gray_NHW[np.arange(300), label_N % SIDE] = 250
    np.savez(
        folder / "mnist.npz",
        x_train=gray_NHW[:240],
        y_train=label_N[:240].astype(np.uint8),
        x_test=gray_NHW[240:],
        y_test=label_N[240:].astype(np.uint8),
    )
    lines = [f"{digit},{digit / 10},0.5,{1 - digit / 10}" for digit in range(10)]
    (folder / "lff_color_palette.csv").write_text("\n".join(["digit,r,g,b", *lines]) + "\n")
    return {"layout": "colored_mnist", "ratio": 0.5, "validation": 60}


WRITERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "waterbirds": write_waterbirds,
    "celeba": write_celeba,
    "cifar10c": write_cifar10c,
    "bffhq": write_bffhq,
    "cmnist": write_cmnist,
}


@pytest.fixture
def root(tmp_path: Path, repository: Path) -> Path:
    """A repository's root with settings, and no cohort."""
    shutil.copytree(repository / "configs", tmp_path / "configs")
    (tmp_path / "raw").mkdir()
    return tmp_path


def write_cohort(root: Path, section: dict[str, Any]) -> None:
    quick = {"epochs": 1, "backbone": "densenet_slim", "device": "cpu", "minimum_validation_patches": 1}
    content: dict[str, Any] = {name: {} for name in SECTIONS}
    content |= {"description": "Tiny.", "benchmark": {"folder": "raw", **section}, "train": quick}
    content["evaluate"] = {"minimum_patches": 1, "draws": 20}
    (root / "configs" / "cohorts" / "tiny.yaml").write_text(yaml.safe_dump(content))


def evenpatch(root: Path, verb: str, *options: str) -> int:
    return main([verb, "--root", str(root), "--cohort", "tiny", "--log-level", "warning", *options])


@pytest.fixture
def refused(root: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Runs a verb that has to fail in the user's hands, and gives what it says."""

    def run(verb: str) -> str:
        assert evenpatch(root, verb) == 2
        told = capsys.readouterr().err.rstrip()
        assert [line.split(":")[0] for line in told.splitlines()[-3:]] == ["has", "needs", "do"]
        assert not Paths(root, "tiny").index.exists()
        return told

    return run


def test_every_layout_has_a_miniature(root: Path) -> None:
    assert {write(root / "raw")["layout"] for write in WRITERS.values()} == set(LAYOUTS)


@pytest.mark.parametrize("name", WRITERS)
def test_an_import_leaves_what_four_stages_leave(root: Path, name: str) -> None:
    section = WRITERS[name](root / "raw")
    write_cohort(root, section)
    assert evenpatch(root, "import") == 0
    paths = Paths(root, "tiny")
    index = read_table(paths.index, INDEX, "tile")
    assert index[["patch_id", "patient_id"]].nunique().tolist() == [len(index)] * 2
    assert index[["tissue_fraction", "tumor_fraction"]].isna().all(axis=None)
    assert set(read_table(paths.slides, SLIDES, "ingest")["slide_id"]) == {"train", "validation", "test"}
    table = patch_table(paths, GIVEN)
    assert tuple(pd.read_parquet(paths.attribute_table(GIVEN)).columns) == ATTRIBUTES
    assert (table["split"] == table["slide_id"]).all()
    benchmark = make_benchmark({"folder": "raw", **section}, "here").load(root / "raw")
    layout = read_layout(paths, GIVEN)
    assert (layout.classes, layout.attributes) == (benchmark.classes, benchmark.attributes)
    assert (table["group"] == table["label"] * len(layout.attributes) + table["attribute"]).all()
    figures = json.loads(paths.groups.read_text())["thresholds"][GIVEN]
    assert "value" not in figures
    assert len(figures["group_names"]) == len(layout.names) == layout.groups.n_groups
    counts = figures["counts"]
    for split, images in benchmark.splits.items():
        part = table[table["split"] == split]
        assert part["patient_id"].tolist() == images.name_N.tolist()
        assert part["label"].tolist() == images.label_N.tolist()
        assert part["attribute"].tolist() == images.attribute_N.tolist()
        assert counts[split] == images.counts(benchmark.layout).tolist()
        stored_NHWC = PatchStore.open(paths.store(split)).read(part["store_row"])
        assert stored_NHWC.shape[1:] == (benchmark.side, benchmark.side, 3)
        for row in range(0, len(images), 5):
            np.testing.assert_array_equal(stored_NHWC[row], images.images[row])


@pytest.mark.parametrize(("name", "groups", "two"), [("waterbirds", 4, True), ("cifar10c", 9, False)])
def test_train_and_evaluate_run_as_on_slides(
    root: Path, name: str, groups: int, two: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cohort(root, WRITERS[name](root / "raw"))
    assert evenpatch(root, "import") == 0
    run = ("--algorithm", "group_resampling", "--threshold", GIVEN)
    assert evenpatch(root, "train", *run) == 0
    assert evenpatch(root, "evaluate", *run) == 0
    paths = Paths(root, "tiny")
    card = load_card(paths.training(f"group_resampling-{GIVEN}"))
    assert card.classes == read_layout(paths, GIVEN).classes
    assert np.shape(card.counts) == (len(card.classes), groups // len(card.classes))
    folder = paths.evaluation(f"group_resampling-{GIVEN}")
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert predictions["split"].value_counts().to_dict() == {"validation": 12, "test": 12}
    likely = predictions["probability"] > 0.5
    if two:
        assert (likely == (predictions["prediction"] == 1)).all()
    else:
        # Of the predicted class, which has at least its share.
        assert (predictions["probability"] >= 1 / 3).all()
    figures = json.loads((folder / "metrics.json").read_text())["test"]
    assert len(figures["groups"]) == groups
    assert isinstance(figures["auroc"], float) == two
    assert "tissue_fraction" not in figures
    capsys.readouterr()
    assert evenpatch(root, "report") == 2
    assert "a cohort of slides" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["ingest", "study", "register", "report", "select"])
def test_what_is_about_slides_is_refused(refused: Callable[[str], str], root: Path, verb: str) -> None:
    write_cohort(root, write_waterbirds(root / "raw"))
    assert "evenpatch import --cohort tiny" in refused(verb)


def test_stages_of_slides_leave_imported_images_alone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cohort(root, write_waterbirds(root / "raw"))
    assert evenpatch(root, "import") == 0
    before = {
        path: path.stat().st_mtime_ns for path in (root / "data").rglob("*") if ".locks" not in path.parts
    }
    for verb in ("tile", "split", "attribute"):
        assert evenpatch(root, verb) == 2
        assert "evenpatch import --cohort tiny" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_second_import_replaces_the_first(root: Path) -> None:
    section = write_waterbirds(root / "raw")
    write_cohort(root, section)
    assert evenpatch(root, "import") == 0
    paths = Paths(root, "tiny")
    before = {path: path.read_bytes() for path in (paths.index, paths.splits, paths.attribute_table(GIVEN))}
    # As ingest leaves it, of a cohort of slides that had this name before.
    write_json(paths.ingested / "summary.json", {"files": {paths.slides.name: "00000000"}})
    assert evenpatch(root, "import") == 0
    assert evenpatch(root, "verify") == 0
    assert before == {path: path.read_bytes() for path in before}
    write_cohort(root, section | {"side": 16})
    assert evenpatch(root, "import") == 0
    assert PatchStore.open(paths.store("test")).read([0]).shape == (1, 16, 16, 3)


def test_images_become_squares_of_their_middle() -> None:
    pixels_HW = np.repeat(np.arange(0, 200, 20, dtype=np.uint8)[None], 4, axis=0)
    tall = np.asarray(squared(Image.fromarray(pixels_HW), 4))
    # Ten columns of which three are cut off on either side.
    assert tall[0].tolist() == [60, 80, 100, 120]
    assert squared(Image.new("RGB", (178, 218)), 64).size == (64, 64)
    same = Image.fromarray(pixels_HW[:, :4])
    assert squared(same, 4) is same


def test_a_long_strip_is_cut_before_it_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    resize = Image.Image.resize

    def spied(self: Image.Image, size: tuple[int, int], *options: Any, **named: Any) -> Image.Image:
        asked.append(size)
        return resize(self, (1, 1) if max(size) > 512 else size, *options, **named)

    strip = Image.new("L", (1, 20_000))
    monkeypatch.setattr(Image.Image, "resize", spied)
    squared(strip, 512)
    # Scaled first, it would have 5 billion pixels.
    assert asked == [(512, 512)]


def write_sixteen_bits(path: Path) -> None:
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(path)


def write_gif(path: Path) -> None:
    Image.new("RGB", (9, 9)).save(path, format="GIF")


def write_large_text(path: Path) -> None:
    information = PngInfo()
    information.add_text("note", "x" * (4 * MAX_TEXT_CHUNK), zip=True)
    Image.new("RGB", (9, 9)).save(path, pnginfo=information)


@pytest.mark.parametrize("write", [write_sixteen_bits, write_gif, write_large_text])
def test_what_is_no_picture_of_8_bits_is_told(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "image.png"
    write(path)
    with pytest.raises(UnreadableSlideError, match=r"image\.png"):
        ImageFiles([path], 9)[0]


def test_the_layout_of_the_attribute_stage_is_two_by_two(trainable_template: Path) -> None:
    assert read_layout(Paths(trainable_template, "small"), "low") == TISSUE
    assert (TISSUE.groups.n_classes, TISSUE.groups.n_attributes) == (2, 2)


def change_table(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_csv(folder / "metadata.csv")).to_csv(folder / "metadata.csv", index=False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda table: table.drop(columns="place"), "without place; it has img_id"),
        (lambda table: table.assign(y=table["y"] + 1), "the label with the values 1, 2"),
        (lambda table: table.assign(place=None), "the attribute with the values"),
        (lambda table: table.assign(split=0), "no image of the split validation, test"),
        (lambda table: table.assign(split="train"), "the split with the values train"),
        (lambda table: table.assign(img_filename=table["img_filename"].iloc[0]), "48 times"),
        (lambda table: table.assign(img_filename="gone.jpg", y=0).iloc[:1], "no image of the split"),
        (lambda table: table.replace({table["img_filename"].iloc[9]: "gone.jpg"}), "gone.jpg, and 0 more"),
        (lambda table: table.assign(y=["x", *[None] * (len(table) - 1)]), "the label with the values nan, x"),
        (lambda table: table.replace({table["img_filename"].iloc[9]: "../a.jpg"}), "../a.jpg, outside"),
        (lambda table: table.replace({table["img_filename"].iloc[9]: "/etc/a.jpg"}), "/etc/a.jpg, outside"),
        # The same file under two names would be learned from and tested.
        (
            lambda table: table.replace(
                {table["img_filename"].iloc[40]: f"./{table['img_filename'].iloc[0]}"}
            ),
            "2 times",
        ),
    ],
)
def test_a_bad_table_is_told(
    root: Path,
    refused: Callable[[str], str],
    change: Callable[[pd.DataFrame], pd.DataFrame],
    told: str,
) -> None:
    write_cohort(root, write_waterbirds(root / "raw"))
    change_table(root / "raw", change)
    assert told in refused("import")


def test_missing_and_damaged_files_are_told(root: Path, refused: Callable[[str], str]) -> None:
    write_cohort(root, write_waterbirds(root / "raw"))
    image = next((root / "raw").rglob("*.jpg"))
    image.write_bytes(b"no image")
    assert "UnreadableSlideError" in refused("import")
    (root / "raw" / "metadata.csv").write_bytes(b"\xff\xfe\x00")
    assert "needs: a CSV file" in refused("import")
    (root / "raw" / "metadata.csv").unlink()
    assert "metadata.csv" in refused("import")
    shutil.rmtree(root / "raw")
    assert "the benchmark's files" in refused("import")


def test_celebas_two_tables_have_to_agree(root: Path, refused: Callable[[str], str]) -> None:
    write_cohort(root, write_celeba(root / "raw"))
    path = root / "raw" / "list_eval_partition.csv"
    pd.read_csv(path).iloc[1:].to_csv(path, index=False)
    assert "do not list the same images" in refused("import")
    write_celeba(root / "raw")
    path = root / "raw" / "list_attr_celeba.csv"
    pd.read_csv(path).assign(Male=7).to_csv(path, index=False)
    assert "Male with the values 7" in refused("import")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("0.5pct/align/0/900_0_1.png", "equal numbers in align"),
        ("0.5pct/conflict/0/900_1_1.png", "different numbers in conflict"),
        ("test/0/900.png", "<n>_<label>_<attribute>"),
        ("test/0/900_7_1.png", "the label with the values 0, 1, 2, 7"),
    ],
)
def test_a_file_in_the_wrong_folder_is_told(
    root: Path, refused: Callable[[str], str], name: str, told: str
) -> None:
    write_cohort(root, write_cifar10c(root / "raw"))
    write_image(root / "raw" / name, 0, 0, 0, (SIDE, SIDE))
    assert told in refused("import")


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"layout": "civilcomments"}, "which is text"),
        ({"layout": "waterbird"}, "one of colored_mnist, metadata_folder"),
        ({"layout": "celeba", "side": 64, "lable": "Young"}, "did you mean label?"),
        ({"layout": "colored_mnist", "severity": 9}, "severity = 9"),
    ],
)
def test_a_wrong_section_is_told(
    root: Path, refused: Callable[[str], str], section: dict[str, Any], told: str
) -> None:
    write_cohort(root, section)
    assert told in refused("import")


def test_a_cohort_has_slides_or_is_a_benchmark(root: Path, refused: Callable[[str], str]) -> None:
    file = root / "configs" / "cohorts" / "tiny.yaml"
    write_cohort(root, {"layout": "celeba", "side": 64})
    content = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(content | {"manifest": "slides.csv"}))
    assert "only one of them" in refused("import")
    del content["benchmark"]
    file.write_text(yaml.safe_dump(content | {"manifest": "slides.csv"}))
    assert "without `benchmark`" in refused("import")
