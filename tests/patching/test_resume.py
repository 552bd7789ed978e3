"""What an interrupted run left is used; what is damaged is told; what has no room is not begun."""

import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from patching import PatchStore, disk_space, tiler
from patching.disk_space import Room, room_for
from patching.engine import Folders, SlideTask, run_task
from patching.errors import DiskSpaceError, StoreError
from patching.geometry import Size
from patching.grid import PatchSpec
from patching.manifest import SlideRow
from patching.planning import TileSettings
from patching.store_writer import StoreWriter
from patching.tiler import publish_slide
from patching.verify import verify_store


@pytest.fixture
def task(tmp_path: Path) -> SlideTask:
    """A slide of 12 x 18 patches in 20 shards."""
    image = tmp_path / "slide.tif"
    pixels = np.random.default_rng(5).integers(0, 255, (200, 300, 3), np.uint8)
    tifffile.imwrite(image, pixels, tile=(32, 48), photometric="rgb", compression="zlib")
    settings = TileSettings(
        patch={"size": 16, "downsample": 1}, tissue={"method": "all"}, classes={}, patches_per_shard=11
    )
    folders = Folders(tmp_path / "patches", tmp_path / "overlays", tmp_path / "receipts")
    return SlideTask(SlideRow("s", "p", (image,), label=1), "00", settings, folders)


def content(task: SlideTask) -> dict[str, bytes]:
    folders = (task.folders.stores, task.folders.overlays)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(task.folders.stores.parent)): path.read_bytes() for path in files}


class Interrupted(BaseException):
    """As good as a kill: nothing may catch it."""


def interrupt_after(task: SlideTask, patches: int) -> None:
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        if done >= patches:
            raise Interrupted

    with pytest.raises(Interrupted):
        run_task(task, 2, progress)


def test_a_run_goes_on_inside_a_slide(task: SlideTask) -> None:
    assert run_task(task).error is None
    whole = content(task)
    shutil.rmtree(task.folders.stores)
    shutil.rmtree(task.folders.receipts)
    interrupt_after(task, 100)
    assert not (task.folders.stores / "s.zarr").exists(), "nothing unfinished looks whole"
    log = run_task(task).log
    assert log is not None
    assert log.patches == 12 * 18
    assert log.cut == 12 * 18 - 110, "ten shards lay there"
    assert content(task) == whole
    assert run_task(task).kept


@pytest.mark.parametrize("damage", ["cut", "index", "gone"])
def test_a_shard_that_is_not_whole_is_cut_again(task: SlideTask, damage: str) -> None:
    interrupt_after(task, 100)
    shard = task.folders.stores / ".s.zarr.part/images/c/3/0/0/0"
    data = shard.read_bytes()
    if damage == "gone":
        shard.unlink()
    else:
        shard.write_bytes(data[:-50] if damage == "cut" else data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    assert StoreWriter(task.folders.stores / "s.zarr").missing()[0] == 3
    with pytest.raises(StoreError, match="without 11 of its shards"):
        publish_slide(task.folders.stores / "s.zarr")
    assert run_task(task).error is None
    assert not list(verify_store(task.folders.stores / "s.zarr"))


def test_other_settings_begin_anew(task: SlideTask) -> None:
    interrupt_after(task, 100)
    other = SlideTask(
        task.row, task.fingerprint, task.settings.model_copy(update={"codec": "zstd"}), task.folders
    )
    log = run_task(other).log
    assert log is not None
    assert log.cut == log.patches


def test_every_damage_is_found(task: SlideTask) -> None:
    run_task(task)
    store = task.folders.stores / "s.zarr"
    assert list(verify_store(store)) == []
    shard = store / "images/c/2/0/0/0"
    good = shard.read_bytes()
    for place in (5, len(good) // 2, len(good) - 10):
        shard.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        assert any("22" in problem for problem in verify_store(store)), place
    shard.unlink()
    assert any("shard 2 (patches 22 to 32) is missing" in problem for problem in verify_store(store))
    shard.write_bytes(good)
    chunk = store / "measures/c/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    assert any(problem.startswith("measures") for problem in verify_store(store))
    (store / "zarr.json").unlink()
    assert "not a patch store" in next(verify_store(store))


def test_a_damaged_patch_cannot_be_read(task: SlideTask) -> None:
    run_task(task)
    shard = task.folders.stores / "s.zarr/images/c/0/0/0/0"
    data = bytearray(shard.read_bytes())
    data[10] ^= 1
    shard.write_bytes(data)
    store = PatchStore.open(task.folders.stores / "s.zarr")
    with pytest.raises(StoreError, match=r"s\.zarr"):
        store.read([0])


def test_no_room_is_told_before_anything_is_written(task: SlideTask, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _: usage(10, 5, 20_000))
    with pytest.raises(DiskSpaceError, match="GB free"):
        run_task(task)
    assert not task.folders.stores.exists()


@pytest.mark.skipif(os.name != "posix", reason="limits of a process")
def test_a_full_disk_is_told_and_what_was_written_is_kept(
    task: SlideTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_task(task)
    whole = content(task)
    shutil.rmtree(task.folders.stores)
    shutil.rmtree(task.folders.receipts)
    original, written = tiler.cut_shards, []

    def full(*arguments: Any, progress: Any, **options: Any) -> None:
        def then_full(count: int) -> None:
            written.append(count)
            if len(written) == 5:
                raise OSError(28, "No space left on device")

        original(*arguments, progress=then_full, **options)

    monkeypatch.setattr(tiler, "cut_shards", full)
    with pytest.raises(OSError, match="No space"):
        run_task(task)
    monkeypatch.setattr(tiler, "cut_shards", original)
    log = run_task(task).log
    assert log is not None
    assert log.cut == 12 * 18 - 5 * 11
    assert content(task) == whole


def test_room_is_an_upper_bound() -> None:
    by_downsample = PatchSpec(size=256, downsample=2, stride=128)
    assert room_for(Size(1000, 700), None, by_downsample, 3, "uint16") == Room(12, 12 * 256 * 256 * 3 * 2)
    by_mpp = PatchSpec(size=100, mpp=0.5)
    assert room_for(Size(1000, 700), 0.25, by_mpp, 1, "uint8") == Room(20, 20 * 100 * 100)
    assert room_for(Size(1000, 700), None, by_mpp, 1, "uint8") == Room(0, 0)
