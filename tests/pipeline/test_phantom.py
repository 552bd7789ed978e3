"""The phantom stage: files, determinism, settings."""

import csv
import hashlib
import json
from argparse import Namespace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from defusedxml import ElementTree
from shapely import Polygon, box, contains_xy, union_all

from patching.errors import ConfigError
from pipeline.artifacts import Paths
from pipeline.config import Context, load_stage, validated
from pipeline.phantoms.cohort import COLUMNS, PhantomSettings, Slide, draw, scanner_of, slides_of
from pipeline.phantoms.writer import pyramid
from pipeline.stages import phantom
from pipeline.yaml_file import load_yaml

TINY = {"patients": 2, "slides_per_patient": [2, 1], "size": [600, 400], "mpp": 1.0, "workers": 1}
NAMESPACE = {"ome": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}


def cohort(root: Path, repository: Path, **changes: object) -> Context:
    """A folder with configs whose cohort `tiny` overlays the shipped defaults."""
    configs = root / "configs"
    (configs / "cohorts").mkdir(parents=True)
    (configs / "phantom.yaml").write_text((repository / "configs" / "phantom.yaml").read_text())
    stages = ("ingest", "tile", "split", "attribute", "train", "algorithms", "evaluate", "report", "register")
    content = {"manifest": "data/tiny/raw/slides.csv", "description": "tiny", "phantom": TINY | changes}
    (configs / "cohorts" / "tiny.yaml").write_text(yaml.safe_dump(content | {stage: {} for stage in stages}))
    return Context("tiny", Paths(root, "tiny"), configs)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Three slides of two patients, written by one process."""
    repository = Path(__file__).resolve().parents[2]
    context = cohort(tmp_path_factory.mktemp("one"), repository)
    phantom.run(context, Namespace(workers=None))
    return context


def slide_paths(context: Context) -> list[Path]:
    return sorted((context.paths.raw / "slides").iterdir())


def test_manifest_names_every_file(tiny: Context) -> None:
    with (tiny.paths.raw / "slides.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["slide_id"] for row in rows] == ["P000-1", "P000-2", "P001-1"]
    assert [row["patient_id"] for row in rows] == ["P000", "P000", "P001"]
    for row in rows:
        assert row["channels"] == "CARS;TPEF;SHG"
        assert (tiny.paths.raw / row["image"]).is_file()
        assert (tiny.paths.raw / row["annotation"]).is_file()
    assert len({row["site"] for row in rows}) == 2


def test_same_bytes_with_two_workers(tiny: Context, tmp_path: Path, repository: Path) -> None:
    again = cohort(tmp_path, repository)
    phantom.run(again, Namespace(workers=2))
    assert digests(again.paths.raw) == digests(tiny.paths.raw)
    assert len(digests(tiny.paths.raw)) == 7


def test_regenerating_replaces_the_whole_folder(tmp_path: Path, repository: Path) -> None:
    context = cohort(tmp_path, repository, patients=1, slides_per_patient=[1])
    stale = context.paths.raw / "slides" / "old.ome.tif"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"old")
    phantom.run(context, Namespace(workers=None))
    assert [path.name for path in slide_paths(context)] == ["P000-1.ome.tif"]
    assert sorted(path.name for path in context.paths.data.iterdir()) == ["raw"]


def test_seed_patient_and_slide_all_matter(repository: Path) -> None:
    small = {"size": [320, 260]}
    settings = make(repository, seed=1, **small)
    first = draw(settings, Slide(0, 0)).counts_CHW
    assert np.array_equal(first, draw(settings, Slide(0, 0)).counts_CHW)
    for other in (
        draw(make(repository, seed=2, **small), Slide(0, 0)),
        draw(settings, Slide(1, 0)),
        draw(settings, Slide(0, 1)),
    ):
        assert not np.array_equal(first, other.counts_CHW)


def test_a_slide_does_not_depend_on_the_cohort_size(repository: Path) -> None:
    few = make(repository, size=[320, 260])
    many = make(repository, size=[320, 260], patients=50, slides_per_patient=[1])
    assert np.array_equal(draw(few, Slide(1, 0)).counts_CHW, draw(many, Slide(1, 0)).counts_CHW)


def test_the_default_has_one_scanner_and_the_bytes_of_before(repository: Path) -> None:
    settings = make(repository, size=[300, 260], mpp=0.5, patients=44)
    assert settings.columns == COLUMNS
    found = hashlib.sha256(draw(settings, Slide(3, 1)).counts_CHW.tobytes()).hexdigest()
    # Of the version before there was a second scanner.
    assert found == "9ad66d528ba8ec733965727d4f72c178e799d9c30a905b35f19c9f841ad50bb3"


def test_a_second_scanner_tints_and_goes_with_tumor(repository: Path) -> None:
    two = make(repository, scanner_gain=1.6, tumor_share=[0.1, 0.85], size=[320, 260], patients=60)
    scanners = [scanner_of(two, patient) for patient in range(60)]
    assert scanners[1] == "second"
    assert scanners[1::2].count("second") >= 24
    assert scanners[::2].count("second") <= 6
    loose = two.model_copy(update={"scanner_tie": 0.0})
    dealt = [scanner_of(loose, patient) for patient in range(400)]
    assert all(150 < 2 * dealt[start::2].count("second") < 250 for start in (0, 1))
    little, much = (draw(two, Slide(patient, 0)).layout.tumor_HW.mean() for patient in (2, 3))
    assert 2 * little < much
    one = two.model_copy(update={"scanner_gain": 1.0})
    # The same patient, whose tumor is drawn otherwise with one scanner: the light alone is compared.
    light = [draw(each, Slide(1, 0)).counts_CHW.astype(float).mean(axis=(1, 2)) - 100 for each in (two, one)]
    cars, tpef, shg = light[0] / light[1]
    assert tpef > 1.4 * max(cars, shg)


def test_the_scanner_stands_in_the_manifest(tmp_path: Path, repository: Path) -> None:
    context = cohort(tmp_path, repository, scanner_gain=2, slides_per_patient=[1])
    phantom.run(context, Namespace(workers=None))
    with (context.paths.raw / "slides.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == (*COLUMNS, "scanner")
    assert {row["scanner"] for row in rows} <= {"first", "second"}


def test_ome_tiff_reads_back(tiny: Context) -> None:
    with tifffile.TiffFile(slide_paths(tiny)[0]) as tiff:
        assert tiff.is_ome
        (series,) = tiff.series
        assert series.axes == "CYX"
        assert series.dtype == np.uint16
        assert [level.shape for level in series.levels] == [(3, 400, 600), (3, 200, 300), (3, 100, 150)]
        page = tiff.pages[0]
        assert page.is_tiled
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        counts = series.asarray()
        coarse = series.levels[1].asarray()
        xml = ElementTree.fromstring(tiff.ome_metadata)
    pixels = xml.find("ome:Image/ome:Pixels", NAMESPACE)
    assert float(pixels.get("PhysicalSizeX")) == float(pixels.get("PhysicalSizeY")) == 1.0
    assert pixels.get("PhysicalSizeXUnit") == "µm"
    assert (pixels.get("SizeX"), pixels.get("SizeY"), pixels.get("SizeC")) == ("600", "400", "3")
    names = [channel.get("Name") for channel in pixels.findall("ome:Channel", NAMESPACE)]
    assert names == ["CARS", "TPEF", "SHG"]
    # Eight bits would not hold it.
    assert counts.max() > 255
    mean = counts.reshape(3, 200, 2, 300, 2).mean(axis=(2, 4))
    assert np.abs(coarse - mean).max() <= 0.5


def test_nothing_dated_gets_in(tiny: Context) -> None:
    for path in slide_paths(tiny):
        content = path.read_bytes()
        for word in (b"tifffile", b"UUID", b"Creator", str(tiny.paths.root).encode()):
            assert word not in content
        with tifffile.TiffFile(path) as tiff:
            assert not {"DateTime", "Software", "Artist", "HostComputer"} & {
                t.name for t in tiff.pages[0].tags
            }


def test_file_holds_what_was_drawn(tiny: Context) -> None:
    settings = load_stage(tiny.configs, "tiny", "phantom", PhantomSettings)
    slide = slides_of(settings)[-1]
    written = tifffile.imread(tiny.paths.raw / "slides" / f"{slide.slide_id}.ome.tif")
    assert np.array_equal(written, draw(settings, slide).counts_CHW)


def test_outlines_cover_the_tumor(tiny: Context) -> None:
    settings = load_stage(tiny.configs, "tiny", "phantom", PhantomSettings)
    for slide in slides_of(settings):
        path = tiny.paths.raw / "annotations" / f"{slide.slide_id}.geojson"
        features = json.loads(path.read_text(encoding="utf-8"))["features"]
        assert {feature["properties"]["objectType"] for feature in features} == {"annotation"}
        assert {feature["properties"]["classification"]["name"] for feature in features} == {"Tumor"}
        polygons = [Polygon(feature["geometry"]["coordinates"][0]) for feature in features]
        assert all(polygon.is_valid and box(0, 0, 600, 400).covers(polygon) for polygon in polygons)
        x, y = np.meshgrid(np.arange(600) + 0.5, np.arange(400) + 0.5)
        tumor = draw(settings, slide).layout.tumor_HW == 1
        # Centers that lie exactly on the outline may go either way.
        whole = union_all(polygons)
        assert tumor[contains_xy(whole.buffer(-0.01), x, y)].all()
        assert not tumor[~contains_xy(whole.buffer(0.01), x, y)].any()
        assert 0.2 < tumor.mean() < 0.6


@pytest.mark.parametrize("size", [(256, 256), (511, 300), (1025, 700)])
def test_pyramid_halves_odd_sizes_without_loss(size: tuple[int, int]) -> None:
    width, height = size
    levels = pyramid(np.full((3, height, width), 513, np.uint16))
    assert max(levels[-1].shape[1:]) <= 256
    for fine, coarse in pairwise(levels):
        assert coarse.shape == (3, -(-fine.shape[1] // 2), -(-fine.shape[2] // 2))
        assert (coarse == 513).all()


def test_pyramid_rounds_half_up() -> None:
    counts = np.zeros((1, 2, 512), np.uint16)
    counts[0, :, 0] = 1
    counts[0, :, 2:4] = 65535
    coarse = pyramid(counts)[1][0, 0]
    assert coarse[:3].tolist() == [1, 65535, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tie": 1.2},
        {"difficulty": -0.1},
        {"patients": 0},
        {"size": [100, 400]},
        {"size": [400]},
        {"slides_per_patient": []},
        {"slides_per_patient": [0]},
        {"tumor_share": [0.6, 0.4]},
        {"workers": 0},
        {"scanner_gain": 0.5},
        {"scanner_tie": 2},
        {"photons": 0},
        {"mpp": float("nan")},
        {"colour": "red"},
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, repository: Path, wrong: dict[str, object]) -> None:
    context = cohort(tmp_path, repository, **wrong)
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        phantom.run(context, Namespace(workers=None))
    assert not context.paths.data.exists()


def test_wrong_workers_on_the_command_line(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(ConfigError, match="workers"):
        phantom.run(cohort(tmp_path, repository), Namespace(workers=0))


def make(repository: Path, **changes: object) -> PhantomSettings:
    return validated(
        PhantomSettings, load_yaml(repository / "configs" / "phantom.yaml") | TINY | changes, "test"
    )
