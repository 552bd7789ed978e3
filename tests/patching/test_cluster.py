"""The same task list on a dask cluster gives the same bytes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from patching.errors import ConfigError, MissingFileError
from patching.manifest import SlideRow
from patching.tiling.cluster import connected, tile_on
from patching.tiling.engine import EngineSettings, Folders, SlideTask, tile_cohort
from patching.tiling.settings import TileSettings


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with connected(EngineSettings(engine="dask"), workers=2) as client:
        yield client


def tasks_in(folder: Path, image: Path, patches_per_shard: int = 7) -> list[SlideTask]:
    settings = TileSettings(
        patch={"size": 16, "downsample": 1},
        tissue={"method": "all"},
        classes={},
        patches_per_shard=patches_per_shard,
    )
    folders = Folders(folder / "patches", folder / "overlays", folder / "receipts")
    rows = [SlideRow(name, "p1", (image,), label=1) for name in ("a", "b")]
    rows.append(SlideRow("gone", "p1", (image.with_name("none.tif"),), label=1))
    return [SlideTask(row, "00", settings, folders) for row in rows]


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and "logs" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(5).integers(0, 255, (200, 300, 3), np.uint8)
    tifffile.imwrite(tmp_path / "slide.tif", pixels, tile=(32, 48), photometric="rgb")
    return tmp_path / "slide.tif"


class Counting:
    """A client that counts."""

    def __init__(self, client: Any) -> None:
        self.client, self.tasks = client, 0

    def submit(self, *arguments: Any, **options: Any) -> Any:
        self.tasks += 1
        return self.client.submit(*arguments, **options)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_slide_of_few_shards_is_one_task(client: Any, tmp_path: Path, image: Path) -> None:
    written: list[int] = []
    list(tile_cohort(tasks_in(tmp_path / "here", image, 54), 1))
    counting = Counting(client)
    there = list(tile_on(counting, tasks_in(tmp_path / "there", image, 54), written.append))
    assert content(tmp_path / "here") == content(tmp_path / "there")
    assert counting.tasks == len(there) == 3
    assert written == [12 * 18] * 2, "four shards each"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_worker_keeps_freed_memory() -> None:
    code = """
import resource, numpy as np
from patching.tiling.process_setup import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(2**20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
keep_freed_memory()
faults()
print(first, faults())
"""
    dask_s = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    run = subprocess.run([sys.executable, "-c", code], env=dask_s, capture_output=True, text=True, check=True)
    first, then = (int(word) for word in run.stdout.split())
    assert first > 50 * 200
    assert then < 50


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_cluster_writes_what_this_process_writes(client: Any, tmp_path: Path, image: Path) -> None:
    written: list[int] = []
    here = {o.slide_id: o for o in tile_cohort(tasks_in(tmp_path / "here", image), 1)}
    there = {o.slide_id: o for o in tile_on(client, tasks_in(tmp_path / "there", image), written.append)}
    assert content(tmp_path / "here") == content(tmp_path / "there")
    assert isinstance(there["gone"].error, MissingFileError)
    assert set(there) == {"a", "b", "gone"}
    patches = (200 // 16) * (300 // 16)
    assert sum(written) == 2 * patches
    assert max(written) == 4 * 7, "a slide is cut in pieces of four shards"
    log = there["a"].log
    assert log is not None
    assert (log.patches, log.cut) == (patches, patches)
    assert here["a"].log is not None
    # Pieces begin and end within tiles, which both decode.
    assert log.segments_decoded["cut"] >= 7 * 6
    again = list(tile_on(client, tasks_in(tmp_path / "there", image)))
    assert sorted(outcome.slide_id for outcome in again if outcome.kept) == ["a", "b"]


def test_no_scheduler_is_told() -> None:
    settings = EngineSettings(engine="dask", address="tcp://127.0.0.1:1")
    with pytest.raises(ConfigError, match="no dask scheduler"), connected(settings, 1, timeout_seconds=1):
        pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its sockets
def test_slurm_settings_reach_the_job_script() -> None:
    from dask_jobqueue import SLURMCluster

    from patching.tiling.cluster import slurm_cluster

    settings = {"cores": 4, "memory": "16GB", "queue": "short", "walltime": "02:00:00"}
    with slurm_cluster(settings) as cluster:
        assert isinstance(cluster, SLURMCluster)
        script = cluster.job_script()
    for line in ("#SBATCH -p short", "#SBATCH --cpus-per-task=4", "#SBATCH --mem=15G", "-t 02:00:00"):
        assert line in script
    with pytest.raises(ConfigError, match="SLURM settings"):
        slurm_cluster({"cors": 4})
