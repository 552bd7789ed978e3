"""What an interrupted run left is used; what is damaged is told; what has no room is not begun."""

import errno
import hashlib
import json
import os
import resource
import shutil
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from patching import PatchStore, disk_space
from patching.disk_space import Room, room_for
from patching.errors import DiskSpaceError, MissingFileError, StoreError
from patching.geometry import Level, Size
from patching.grid import PatchSpec, grid_locations, resolve
from patching.manifest import SlideRow
from patching.store.verify import verify_store
from patching.store.writing import StoreWriter
from patching.tiling import receipts
from patching.tiling.engine import Folders, SlideTask, run_task
from patching.tiling.receipts import key_of, state_of, write_receipt
from patching.tiling.settings import TileSettings
from patching.tiling.tiler import publish_slide


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


def interrupt_after(task: SlideTask, patches: int, threads: int = 1) -> None:
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        if done >= patches:
            raise Interrupted

    with pytest.raises(Interrupted):
        run_task(task, threads, progress)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_run_goes_on_inside_a_slide(task: SlideTask, threads: int) -> None:
    assert run_task(task).error is None
    whole = content(task)
    shutil.rmtree(task.folders.stores)
    shutil.rmtree(task.folders.receipts)
    interrupt_after(task, 100, threads)
    assert not (task.folders.stores / "s.zarr").exists(), "nothing unfinished looks whole"
    log = run_task(task).log
    assert log is not None
    assert log.patches == 12 * 18
    # Ten shards lay there, and as many more as other threads were just finishing.
    assert 12 * 18 - 11 * (10 + threads - 1) <= log.cut <= 12 * 18 - 110
    assert content(task) == whole
    assert run_task(task).kept


@pytest.mark.parametrize("damage", ["cut", "index", "gone"])
def test_a_shard_that_is_not_whole_is_cut_again(task: SlideTask, damage: str) -> None:
    interrupt_after(task, 100)
    shard = task.folders.stores / ".s.zarr.part/images/c.3.0.0.0"
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


def test_a_receipt_tells_length_and_end_of_every_file(task: SlideTask) -> None:
    assert run_task(task).error is None
    store, overlay, receipt = task.folders.of("s")
    files = json.loads(receipt.read_bytes())["files"]
    there = sorted(path for path in store.rglob("*") if path.is_file())
    assert list(files) == [*(path.relative_to(store).as_posix() for path in there), "overlay"]
    for (length, checksum), path in zip(files.values(), [*there, overlay], strict=True):
        assert length == path.stat().st_size
        assert checksum == google_crc32c.value(path.read_bytes()[-(2**16) :])
    assert files["overlay"][0] > 2**16, "of which only the end counts"


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
    shard = store / "images/c.2.0.0.0"
    good = shard.read_bytes()
    for place in (5, len(good) // 2, len(good) - 10):
        shard.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        assert any("22" in problem for problem in verify_store(store)), place
    shard.unlink()
    assert any("shard 2 (patches 22 to 32) is missing" in problem for problem in verify_store(store))
    shard.write_bytes(good)
    for name in ("locations", "measures", "quality", "tissue", "thumbnail"):
        chunk = next((store / name).glob("c.*"))
        content_of = chunk.read_bytes()
        chunk.unlink()
        assert [problem.split(":")[0] for problem in verify_store(store)] == [name]
        chunk.write_bytes(content_of)
    chunk = store / "measures/c.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    assert any(problem.startswith("measures") for problem in verify_store(store))
    (store / "zarr.json").unlink()
    assert "not a patch store" in next(verify_store(store))


def test_a_damaged_patch_cannot_be_read(task: SlideTask) -> None:
    run_task(task)
    shard = task.folders.stores / "s.zarr/images/c.0.0.0.0"
    data = bytearray(shard.read_bytes())
    data[10] ^= 1
    shard.write_bytes(data)
    store = PatchStore.open(task.folders.stores / "s.zarr")
    with pytest.raises(StoreError, match=r"s\.zarr"):
        store.read([0])
    shard.unlink()
    with pytest.raises(StoreError, match=r"s\.zarr"):
        PatchStore.open(store.path).read([0])


def test_no_room_is_told_before_anything_is_written(task: SlideTask, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _: usage(10, 5, 20_000))
    with pytest.raises(DiskSpaceError, match="GB free"):
        run_task(task)
    assert not task.folders.stores.exists()


@contextmanager
def files_of_at_most(most: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes; Python ignores the signal that tells it."""
    before, hardest = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hardest))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hardest))


@pytest.mark.parametrize("most", [100, 900, 5000, 9000, 40_000])
def test_what_cannot_be_written_is_told(task: SlideTask, most: int) -> None:
    """As on a full disk: files may grow to so many bytes only, wherever in a slide that happens."""
    with files_of_at_most(most), pytest.raises(OSError) as told:  # noqa: PT011 - judged below
        run_task(task)
    assert isinstance(told.value, DiskSpaceError) or told.value.errno == errno.EFBIG
    assert not (task.folders.stores / "s.zarr").exists()


def test_a_lost_receipt_of_a_published_store_costs_nothing(task: SlideTask) -> None:
    """As after a kill between the store's rename and the last receipt."""
    run_task(task)
    key = key_of(task)
    write_receipt(task, key, whole=False)
    assert state_of(task, key) == "published"
    assert run_task(task).kept
    assert state_of(task, key) == "whole"


def test_a_lost_overlay_is_drawn_again(task: SlideTask) -> None:
    interrupt_after(task, 100)
    overlay = task.folders.overlays / "s.jpg"
    overlay.unlink()
    assert run_task(task).error is None
    assert overlay.is_file()


def test_a_slide_exchanged_between_two_runs_is_not_mixed(task: SlideTask) -> None:
    interrupt_after(task, 100)
    path = Path(task.row.images[0])
    pixels = np.random.default_rng(6).integers(0, 255, (200, 300, 3), np.uint8)
    tifffile.imwrite(path, pixels, tile=(32, 48), photometric="rgb", compression="zlib")
    log = run_task(task).log
    assert log is not None
    assert log.cut == log.patches
    store = PatchStore.open(task.folders.stores / "s.zarr")
    np.testing.assert_array_equal(store.read([0])[0], pixels[:16, :16])


def test_a_copied_slide_is_known_by_what_it_holds(task: SlideTask, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(task.row.images[0])
    task = replace(task, fingerprint=hashlib.sha256(path.read_bytes()).hexdigest())
    run_task(task)
    os.utime(path, ns=(1, 1))
    assert run_task(task).kept, "as after `cp -r` of the project"
    # Of the times that were kept then, nothing need be read.
    monkeypatch.setattr(receipts, "fingerprint", None)
    assert run_task(task).kept


@pytest.mark.parametrize("when", ["whole", "begun"])
def test_a_slide_of_the_same_size_that_was_exchanged_is_another(task: SlideTask, when: str) -> None:
    path = Path(task.row.images[0])
    task = replace(task, fingerprint=hashlib.sha256(path.read_bytes()).hexdigest())
    tifffile.imwrite(path, np.zeros((200, 300, 3), np.uint8), tile=(32, 48), photometric="rgb")
    zeros = path.read_bytes()
    tifffile.imwrite(path, np.ones((200, 300, 3), np.uint8), tile=(32, 48), photometric="rgb")
    task = replace(task, fingerprint=hashlib.sha256(path.read_bytes()).hexdigest())
    run_task(task) if when == "whole" else interrupt_after(task, 100)
    assert path.stat().st_size == len(zeros)
    path.write_bytes(zeros)
    assert [run_task(task).kept for _ in range(2)] == [False, True]
    assert not PatchStore.open(task.folders.stores / "s.zarr").read([0]).any()
    # The first one again, with another time: it is not what lies in the store.
    tifffile.imwrite(path, np.ones((200, 300, 3), np.uint8), tile=(32, 48), photometric="rgb")
    os.utime(path, ns=(1, 1))
    assert not run_task(task).kept
    assert PatchStore.open(task.folders.stores / "s.zarr").read([0]).all()


def test_another_external_mask_is_another_task(task: SlideTask, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    mask = tmp_path / "masks" / "s.png"
    settings = task.settings.model_copy(update={"tissue": {"method": "external", "folder": str(mask.parent)}})
    other = replace(task, settings=settings)
    assert isinstance(run_task(other).error, MissingFileError)
    for right in (150, 90):
        values: NDArray[np.uint8] = np.zeros((200, 300), np.uint8)
        values[:, :right] = 255
        Image.fromarray(values).save(mask)
        log = run_task(other).log
        assert log is not None
        assert log.patches == 12 * -(-right // 16)
    assert run_task(other).kept


def test_room_is_told_in_patches_and_bytes() -> None:
    by_downsample = PatchSpec(size=256, downsample=2, stride=129)
    assert room_for(Size(1000, 700), None, by_downsample, 3, "uint16") == Room(12, 12 * 256 * 256 * 3 * 2)
    assert room_for(Size(1000, 700), None, PatchSpec(size=100, mpp=0.5), 1, "uint8") == Room(0, 0)


@given(
    size=st.builds(Size, st.integers(1, 3000), st.integers(1, 3000)),
    side=st.integers(16, 300),
    downsample=st.floats(1, 7),
    edge=st.sampled_from(["drop", "pad", "shift"]),
)
def test_room_is_an_upper_bound(size: Size, side: int, downsample: float, edge: str) -> None:
    spec = PatchSpec(size=side, downsample=downsample, edge=edge)
    sampling = resolve(spec, [Level(size, 1.0)], None)
    patches = len(grid_locations(size, sampling.extent, sampling.stride, spec.edge))
    assert patches <= room_for(size, None, spec, 3, "uint8").patches
