"""Names and places that others rely on: whatever moves behind them, they hold."""

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

NAMES = [
    "models.algorithms.gerne.beta_bounds",
    "models.algorithms.gerne.extrapolated_distribution",
    "models.groups.conditional_distribution",
    "models.groups.GroupLayout",
    "models.groups.TrainGroups",
    "models.groups.TrainLabels",
    "models.metrics.group_metrics",
    "patching.Location",
    "patching.Mpp",
    "patching.PatchStore",
    "patching.Size",
    "patching.open_slide",
    "patching.errors.AlgorithmError",
    "patching.errors.BetaBoundsError",
    "patching.errors.ConfigError",
    "patching.errors.EvenpatchError",
    "patching.errors.GroupError",
    "patching.errors.MissingMppError",
    "patching.errors.StoreError",
    "patching.errors.UnreadableSlideError",
    "patching.geometry.Level",
    "patching.geometry.Location",
    "patching.geometry.Mpp",
    "patching.geometry.Size",
    "patching.tissue.registry.make_detector",
    "pipeline.cli.main",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_where_it_was(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert callable(getattr(import_module(module), attribute))


def test_alpha_beta_and_the_extrapolated_distribution() -> None:
    from models.algorithms.gerne import beta_bounds, extrapolated_distribution
    from models.groups import conditional_distribution

    alpha_KA = conditional_distribution([[3, 1], [1, 3]])
    assert alpha_KA.tolist() == [[0.75, 0.25], [0.25, 0.75]]
    assert beta_bounds(alpha_KA, c=0.5) == (-1.0, 5.0)
    assert extrapolated_distribution(alpha_KA, c=0.5, beta=1.0).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_metrics_of_groups() -> None:
    from models.metrics import group_metrics

    found = group_metrics(label=[0, 0, 1, 1], prediction=[0, 1, 1, 1], group=[0, 1, 3, 3], n_groups=4)
    assert found.count_G.tolist() == [1, 1, 0, 2]
    assert found.wga == 0.0
    assert found.gba == pytest.approx(2 / 3)


def test_a_slide_tells_what_it_is_and_a_detector_finds_its_tissue(tmp_path: Path) -> None:
    from patching import Location, Mpp, Size, open_slide
    from patching.tissue.registry import make_detector

    image_HWC = np.full((40, 60, 3), 240, np.uint8)
    image_HWC[10:30, 5:45] = (150, 90, 140)
    Image.fromarray(image_HWC).save(tmp_path / "slide.png")
    with open_slide([tmp_path / "slide.png"], channels=None) as slide:
        assert slide.size == slide.levels[0].size == Size(60, 40)
        assert (slide.brightfield, slide.dtype, slide.mpp) == (True, np.uint8, None)
        assert len(slide.channels) == 3
        read_HWC = slide.read_region(Location(5, 10), 0, Size(40, 20))
        assert np.array_equal(read_HWC, image_HWC[10:30, 5:45])
        detector = make_detector("otsu")
        mask_HW = detector.detect(image_HWC, Mpp(0.5, 0.5), brightfield=True, channels=slide.channels)
    assert mask_HW.shape == (40, 60)
    assert mask_HW.dtype == np.bool_


def test_columns_of_a_stores_table() -> None:
    from patching import PatchStore
    from patching.store.reading import PatchTable

    columns = ["locations_N2", "tissue_fraction_N", "tumor_fraction_N", "label_N", "covered_fraction_N"]
    assert list(PatchTable.__dataclass_fields__) == columns
    assert {"open", "images", "table", "locations", "read"} <= set(dir(PatchStore))


def test_the_command_line_is_a_module_too() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith("evenpatch ")


def test_every_output_has_its_place() -> None:
    from pipeline.artifacts import Paths

    paths = Paths(Path(), "mine")
    assert [
        each.as_posix()
        for each in (
            paths.raw,
            paths.slides,
            paths.ingest_excluded,
            paths.store("s1"),
            paths.index,
            paths.overlays,
            paths.splits,
            paths.attribute_table("low"),
            paths.groups,
            paths.histogram,
            paths.training("gerne-low"),
            paths.evaluation("gerne-low"),
            paths.report,
            paths.tracked,
            paths.study,
            paths.trials("tune", "gerne-low"),
            paths.results,
        )
    ] == [
        "data/mine/raw",
        "data/mine/cohort/slides.csv",
        "data/mine/cohort/excluded.csv",
        "data/mine/patches/s1.zarr",
        "data/mine/patches/index.parquet",
        "data/mine/overlays",
        "data/mine/splits.csv",
        "data/mine/attributes/tables/low.parquet",
        "data/mine/attributes/groups.json",
        "data/mine/attributes/histogram.csv",
        "outputs/mine/train/gerne-low",
        "outputs/mine/evaluate/gerne-low",
        "outputs/mine/report/report.html",
        "outputs/mine/track/runs.json",
        "outputs/mine/study",
        "outputs/mine/tune/gerne-low",
        "outputs/mine/compare",
    ]


def test_mlflow_has_its_file_and_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.tracking.connection import model_name, tracking_uri

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path.resolve() / 'mlflow.db'}"
    assert model_name("mine") == "evenpatch-mine"


def test_zarr_finds_the_codec_of_jpeg_chunks() -> None:
    (found,) = entry_points(group="zarr.codecs", name="evenpatch.jpeg")
    assert found.load().__name__ == "JpegCodec"
