"""Tiling: patches, masks, annotations and locations agree to the pixel; finished work is kept."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image

from patching.digests import fingerprint
from patching.errors import MissingFileError, SlideError
from patching.manifest import SlideRow
from patching.store.reading import PatchStore
from patching.survey.quality import full_scale, measure_quality
from patching.tiling.engine import Folders, SlideTask, remove_strangers, run_task, tile_cohort
from patching.tiling.settings import TileSettings

CLASSES = {"tumor": "tumor", "ignore": "ignore"}
CELL = 16


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "patches", tmp_path / "overlays", tmp_path / "receipts")


@pytest.fixture(scope="module")
def checkerboard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """304 x 208, cells of 16: channel 0 is a checkerboard of signal, channels 1 and 2 hold x and y.

    The tumor is the left 13 cells but for a hole, as GeoJSON; the lower right is to be ignored.
    """
    folder = tmp_path_factory.mktemp("checkerboard")
    y, x = np.mgrid[:208, :304]
    signal = ((x // CELL + y // CELL) % 2 * 1000).astype(np.uint16)
    image = np.stack([signal, x.astype(np.uint16), y.astype(np.uint16)])
    names = {"axes": "CYX", "Channel": {"Name": ["SIGNAL", "X", "Y"]}}
    pixel = {
        "PhysicalSizeX": 0.25,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.25,
        "PhysicalSizeYUnit": "µm",
    }
    with tifffile.TiffWriter(folder / "board.ome.tif", ome=True) as tiff:
        options = {"tile": (64, 48), "compression": "zlib", "photometric": "minisblack"}
        tiff.write(image, subifds=1, metadata=names | pixel, **options)
        half = image.reshape(3, 104, 2, 152, 2).mean(axis=(2, 4)).astype(np.uint16)
        tiff.write(half, subfiletype=1, **options)
    tumor = shapely.box(0, 0, 208, 208).difference(shapely.box(48, 48, 80, 64))
    regions = {"Tumor": tumor, "Ignore": shapely.box(208, 112, 304, 208)}
    features = [
        {
            "type": "Feature",
            "geometry": json.loads(shapely.to_geojson(region)),
            "properties": {"classification": {"name": name}},
        }
        for name, region in regions.items()
    ]
    (folder / "board.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return {"image": np.moveaxis(image, 0, -1), "folder": folder}


def task_of(checkerboard: dict[str, Any], folders: Folders, **settings: Any) -> SlideTask:
    folder = checkerboard["folder"]
    row = SlideRow("board", "p1", (folder / "board.ome.tif",), annotation=folder / "board.geojson")
    content = {
        "patch": {"size": 32, "downsample": 1},
        "tissue": {"method": "signal", "channel": "SIGNAL"},
        "mask_pixels_per_patch": 32,
        "classes": CLASSES,
        "label": {"tau": 0.5, "negative": 0.05},
    }
    return SlideTask(row, fingerprint(row.images), TileSettings(**(content | settings)), folders)


def test_patches_lie_where_their_locations_say(checkerboard: dict[str, Any], folders: Folders) -> None:
    task = task_of(checkerboard, folders, patch={"size": 32, "downsample": 1, "stride": 24})
    assert run_task(task).error is None
    store = PatchStore.open(folders.stores / "board.zarr")
    assert len(store) > 50
    for (x, y), patch in zip(store.locations, store.read(np.arange(len(store))), strict=True):
        np.testing.assert_array_equal(patch, checkerboard["image"][y : y + 32, x : x + 32])


def test_fractions_and_labels_agree_to_the_pixel(checkerboard: dict[str, Any], folders: Folders) -> None:
    """Off-grid patches against counting pixels at level 0."""
    assert (
        run_task(task_of(checkerboard, folders, patch={"size": 30, "downsample": 1, "stride": 17})).error
        is None
    )
    store = PatchStore.open(folders.stores / "board.zarr")
    tissue = checkerboard["image"][..., 0] > 0
    tumor = np.zeros(tissue.shape, bool)
    tumor[:, :208] = True
    tumor[48:64, 48:80] = False
    np.testing.assert_array_equal(store.tissue, tissue)
    table = store.table
    for (x, y), tissue_fraction, tumor_fraction, label in zip(
        table.locations_N2, table.tissue_fraction_N, table.tumor_fraction_N, table.label_N, strict=True
    ):
        place = (slice(y, y + 30), slice(x, x + 30))
        assert tissue_fraction == pytest.approx(tissue[place].mean(), abs=1e-9)
        assert tumor_fraction == pytest.approx(tumor[place].mean(), abs=1e-9)
        assert label == int(tumor_fraction >= 0.5)
    grid = 17 * np.stack(np.meshgrid(np.arange(17), np.arange(11)), -1).reshape(-1, 2)
    in_ignored = (np.clip(grid[:, 0] + 30 - 208, 0, 30) * np.clip(grid[:, 1] + 30 - 112, 0, 30)) > 450
    between = [0.05 < tumor[y : y + 30, x : x + 30].mean() < 0.5 for x, y in grid]
    assert store.attributes.dropped["ignored"] == in_ignored.sum()
    assert store.attributes.dropped["ambiguous_label"] == (np.array(between) & ~in_ignored).sum()
    assert len(store) + sum(store.attributes.dropped.values()) == len(grid)


@pytest.mark.parametrize(
    ("mpp", "extent", "level"), [(0.25, 32, 0), (0.5, 64, 1), (0.75, 96, 1), (0.4, 51, 0)]
)
def test_three_resolutions_see_the_same_places(
    checkerboard: dict[str, Any], folders: Folders, mpp: float, extent: int, level: int
) -> None:
    """The mean of a patch's x and y channels is the center of the pixels it covers."""
    settings = {"patch": {"size": 32, "mpp": mpp}, "tissue": {"method": "all"}}
    assert run_task(task_of(checkerboard, folders, **settings)).error is None
    store = PatchStore.open(folders.stores / "board.zarr")
    assert store.attributes.extent == extent
    assert store.attributes.mpp == pytest.approx(mpp, rel=0.01)
    centers = store.read(np.arange(len(store)))[..., 1:].mean(axis=(1, 2))
    np.testing.assert_allclose(centers, store.locations + (extent - 1) / 2, atol=0.8 * (level + 1))


def test_padded_patches_count_only_the_slide(checkerboard: dict[str, Any], folders: Folders) -> None:
    settings = {"patch": {"size": 100, "downsample": 1, "edge": "pad"}, "tissue": {"method": "all"}}
    everything = {"label": {"tau": 1e-6, "negative": 0, "ignore": 1}, "minimum_tissue_fraction": 0}
    run_task(task_of(checkerboard, folders, **settings, **everything))
    table = PatchStore.open(folders.stores / "board.zarr").table
    corner = table.locations_N2.tolist().index([300, 200])
    assert table.tissue_fraction_N[corner] == pytest.approx(4 * 8 / 1e4)
    assert table.tissue_fraction_N[0] == 1


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    return {name: digest for name, digest in digests.items() if "/logs/" not in name}  # logs tell times


def test_the_same_bytes_from_one_and_from_two_processes(checkerboard: dict[str, Any], tmp_path: Path) -> None:
    found = []
    for workers in (1, 2):
        folders = Folders(*(tmp_path / str(workers) / name for name in ("patches", "overlays", "receipts")))
        tasks = [task_of(checkerboard, folders)]
        twin = SlideRow("twin", "p2", tasks[0].row.images, label=1)
        tasks.append(SlideTask(twin, tasks[0].fingerprint, tasks[0].settings, folders))
        missing = SlideRow("missing", "p3", (tmp_path / "none.tif",), label=1)
        tasks.append(SlideTask(missing, "00", tasks[0].settings, folders))
        outcomes = {outcome.slide_id: outcome for outcome in tile_cohort(tasks, workers)}
        assert isinstance(outcomes["missing"].error, MissingFileError)
        assert "no file" in outcomes["missing"].error.has
        assert outcomes["board"].error is outcomes["twin"].error is None
        found.append(digest(tmp_path / str(workers)))
    assert found[0] == found[1]
    assert any("board.zarr/images/c.0" in name for name in found[0])
    assert "overlays/twin.jpg" in found[0]


def test_finished_slides_are_kept_and_changed_ones_are_not(
    checkerboard: dict[str, Any], folders: Folders
) -> None:
    task = task_of(checkerboard, folders)
    assert not run_task(task).kept
    assert run_task(task).kept
    changed = [
        SlideTask(task.row, "another", task.settings, folders),
        task_of(checkerboard, folders, minimum_tissue_fraction=0.3),
        SlideTask(
            SlideRow("board", "p1", task.row.images, label=1), task.fingerprint, task.settings, folders
        ),
    ]
    for other in changed:
        assert not run_task(other).kept
        assert run_task(other).kept


def test_a_damaged_store_or_lost_overlay_is_made_again(
    checkerboard: dict[str, Any], folders: Folders
) -> None:
    task = task_of(checkerboard, folders)
    run_task(task)
    whole = digest(folders.stores)
    shard = next((folders.stores / "board.zarr/images").glob("c.*"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    assert not run_task(task).kept
    assert digest(folders.stores) == whole
    (folders.receipts / "board.json").write_bytes(b"\xff{")
    assert not run_task(task).kept
    assert run_task(task).kept
    (folders.overlays / "board.jpg").unlink()
    assert not run_task(task).kept
    assert (folders.overlays / "board.jpg").is_file()


def test_a_failing_slide_leaves_no_outputs(checkerboard: dict[str, Any], folders: Folders) -> None:
    task = task_of(checkerboard, folders)
    run_task(task)
    coarse = task_of(checkerboard, folders, patch={"size": 32, "mpp": 0.1})
    outcome = run_task(coarse)
    assert type(outcome.error) is SlideError
    assert not any(
        path.is_file() for folder in (folders.stores, folders.overlays) for path in folder.rglob("*")
    )
    assert not list(folders.receipts.rglob("*.json"))


def test_strangers_and_halves_are_removed(folders: Folders) -> None:
    for name in ("a.zarr", "b.zarr", ".a.zarr.part", ".b.zarr.part"):
        (folders.stores / name / "images").mkdir(parents=True)
    (folders.stores / "index.parquet").touch()
    folders.overlays.mkdir()
    for name in ("a.jpg", "b.jpg", ".b.jpg.part"):
        (folders.overlays / name).touch()
    remove_strangers(folders, {"a"})
    assert sorted(path.name for path in folders.stores.iterdir()) == [
        ".a.zarr.part",
        "a.zarr",
        "index.parquet",
    ]
    assert [path.name for path in folders.overlays.iterdir()] == ["a.jpg"]


def test_settings_refuse_what_they_do_not_know() -> None:
    good: dict[str, Any] = {
        "patch": {"size": 8, "downsample": 1},
        "tissue": {"method": "all"},
        "classes": {1: "tumor"},
    }
    assert TileSettings(**good).classes == {"1": "tumor"}
    for wrong in (
        {"tissue": {"method": "none"}},
        {"tissue": {"channel": "SHG"}},
        {"tissue": {"method": "signal", "chanel": "SHG"}},
        {"mask_pixels_per_patch": 4},
        {"classes": {"Tumor": "cancer"}},
        {"codec": "png"},
        {"workers": 2},
    ):
        with pytest.raises(ValueError, match="validation error"):
            TileSettings(**(good | wrong))


@pytest.mark.real_data
def test_a_real_aperio_slide(real_data: Path, folders: Folders) -> None:
    image = real_data / "wsi-scanners" / "CMU-1-Small-Region.svs"
    settings = TileSettings(patch={"size": 224, "mpp": 0.5}, tissue={"method": "otsu"}, classes={})
    task = SlideTask(SlideRow("cmu", "p", (image,), label=0), fingerprint([image]), settings, folders)
    assert run_task(task).error is None
    store = PatchStore.open(folders.stores / "cmu.zarr")
    assert 60 < len(store) < 100
    assert store.attributes.channels == ("R", "G", "B")
    assert store.attributes.dropped["no_tissue"] > 20
    with Image.open(folders.overlays / "cmu.jpg") as picture:
        assert picture.height > picture.width > 600


@pytest.mark.parametrize(("side", "factor"), [(600, 1), (640, 1), (1000, 2), (1281, 2)])
def test_the_stored_thumbnail_is_means_over_whole_pixels(
    tmp_path: Path, folders: Folders, side: int, factor: int
) -> None:
    y, x = np.mgrid[: side // 2, :side]
    image = np.stack([x % 256, y % 256, (x + y) % 199], axis=-1).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb")
    settings = TileSettings(patch={"size": 64, "downsample": 1}, tissue={"method": "all"}, classes={})
    row = SlideRow("a", "p", (tmp_path / "a.tif",), label=1)
    assert run_task(SlideTask(row, "00", settings, folders)).error is None
    thumbnail = PatchStore.open(folders.stores / "a.zarr").thumbnail
    assert max(thumbnail.shape) == min(640, side // factor)
    if side <= 1280:
        height = side // 2 // factor * factor
        blocks = image[:height].reshape(height // factor, factor, side // factor, factor, 3)
        np.testing.assert_allclose(thumbnail[: height // factor], blocks.mean(axis=(1, 3)), atol=0.5)


@pytest.mark.parametrize("codec", ["blosc-lz4", "zstd", "none"])
@pytest.mark.parametrize("size", [48, 40])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_quality_is_that_of_the_stored_patches(
    dtype: str, size: int, codec: Any, tmp_path: Path, folders: Folders
) -> None:
    """On patches that compress, whose bytes are written over their pixels."""
    y_H1, x_1W = np.mgrid[:192, :288]
    planes = [y_H1 // 16 * 9 + 20, x_1W // 24 * 12 + 5, (x_1W // 16 + y_H1 // 16) * 6]
    image_HWC = np.stack(planes, axis=-1).astype(dtype)
    tifffile.imwrite(tmp_path / "s.tif", image_HWC, photometric="rgb", tile=(48, 48), compression="zlib")
    settings = TileSettings(
        patch={"size": size, "downsample": 48 / size}, tissue={"method": "all"}, classes={}, codec=codec
    )
    row = SlideRow("s", "p", (tmp_path / "s.tif",), label=1)
    assert run_task(SlideTask(row, "f", settings, folders)).error is None
    store = PatchStore.open(folders.stores / "s.zarr")
    patches_NHWC = store.read(np.arange(len(store)))
    assert len(patches_NHWC) == 24
    for patch_HWC, quality_Q in zip(patches_NHWC, store.quality, strict=True):
        expected_Q = measure_quality(
            patch_HWC, brightfield=store.attributes.brightfield, detector_maximum=full_scale(patch_HWC.dtype)
        )
        np.testing.assert_array_equal(quality_Q, expected_Q)
