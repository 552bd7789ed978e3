"""How each peer reads the same patches, as its documentation says; this runs under the peers' interpreter.

Every function prepares and returns the measurement. Imports are inside, because each process has one peer.
"""

import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

Measure = Callable[[], dict[str, Any]]
_BATCH = 64


class Plan:
    """What is to be read: locations, level and sizes of an .npz of `ours.locate`."""

    def __init__(self, place: str, limit: int) -> None:
        found = np.load(place)
        self.locations_N2 = found["locations"][:limit]
        self.level, self.read, self.size = (int(found[name]) for name in ("level", "read", "size"))
        self.mpp = float(found["mpp"])


def openslide_pixels(slide: str, place: str, limit: int, workers: int) -> Measure:
    """OpenSlide, one region a patch, to RGB; more workers through torch's DataLoader."""
    import cv2
    import openslide

    plan, opened = Plan(place, limit), {}

    def read(index: int) -> Any:
        if "slide" not in opened:
            opened["slide"] = openslide.OpenSlide(slide)
        region = opened["slide"].read_region(
            tuple(plan.locations_N2[index].tolist()), plan.level, (plan.read,) * 2
        )
        image_HWC = np.asarray(region.convert("RGB"))
        if plan.read == plan.size:
            return image_HWC
        return cv2.resize(image_HWC, (plan.size,) * 2, interpolation=cv2.INTER_AREA)

    return _timed(lambda: _loaded(read, len(plan.locations_N2), workers))


def tiatoolbox_pixels(slide: str, place: str, limit: int, workers: int) -> Measure:
    """TIAToolbox: read_rect at the wanted µm per pixel; more workers through torch's DataLoader."""
    plan, read = _tiatoolbox(slide, place, limit)
    return _timed(lambda: _loaded(read, len(plan.locations_N2), workers))


def tiatoolbox_zarr(slide: str, place: str, limit: int, workers: int, work: str) -> Measure:
    """TIAToolbox into a zarr array of one patch a chunk, which is one file a patch, zarr's defaults."""
    import zarr

    plan, read = _tiatoolbox(slide, place, limit)
    count, folder = len(plan.locations_N2), Path(work) / f"tiatoolbox-{workers}.zarr"

    def write() -> int:
        shape = (plan.size, plan.size, 3)
        array = zarr.create_array(folder, shape=(count, *shape), chunks=(1, *shape), dtype="uint8")
        for index, image_HWC in enumerate(_images(read, count, workers)):
            array[index] = image_HWC
        return count

    def measure() -> dict[str, Any]:
        shutil.rmtree(folder, ignore_errors=True)
        found = _timed(write)()
        shutil.rmtree(folder)
        return found

    return measure


def lazyslide_pixels(slide: str, place: str, limit: int, workers: int) -> Measure:
    """LazySlide: the given tiles put on the slide, then its dataset through torch's DataLoader."""
    without_cuda()
    from torch.utils.data import DataLoader
    from wsidata import TileSpec, open_wsi
    from wsidata.io import add_tiles

    plan, wsi = Plan(place, limit), open_wsi(slide)
    spec = TileSpec.from_wsidata(wsi, plan.size, mpp=plan.mpp)
    add_tiles(wsi, "tiles", plan.locations_N2, spec, np.zeros(len(plan.locations_N2), np.int64))
    dataset = wsi.ds.tile_images(tile_key="tiles")
    return _timed(
        lambda: sum(
            len(batch["image"]) for batch in DataLoader(dataset, _BATCH, num_workers=workers - 1 and workers)
        )
    )


def trident_pixels(slide: str, place: str, limit: int, workers: int) -> Measure:
    """TRIDENT: its patcher at given coordinates, through its dataset and torch's DataLoader."""
    without_cuda()
    from torch.utils.data import DataLoader
    from trident import OpenSlideWSI, WSIPatcherDataset

    plan = Plan(place, limit)
    wsi = OpenSlideWSI(slide_path=slide, lazy_init=False)
    patcher = wsi.create_patcher(
        plan.size, src_pixel_size=wsi.mpp, dst_pixel_size=plan.mpp, custom_coords=plan.locations_N2
    )
    dataset = WSIPatcherDataset(patcher, None)
    return _timed(
        lambda: sum(
            len(tiles) for tiles, _ in DataLoader(dataset, _BATCH, num_workers=workers - 1 and workers)
        )
    )


def cucim_pixels(slide: str, place: str, limit: int, workers: int) -> Measure:
    """cuCIM: its batch reading on the processor, at the level as it is stored, no resampling."""
    from cucim import CuImage

    plan, image = Plan(place, limit), CuImage(slide)
    locations = plan.locations_N2.tolist()

    def read() -> int:
        regions: Iterable[Any] = image.read_region(
            locations, (plan.read, plan.read), level=plan.level, num_workers=workers, batch_size=_BATCH
        )
        return sum(len(np.asarray(region)) for region in regions)

    return _timed(read)


def _tiatoolbox(slide: str, place: str, limit: int) -> tuple[Plan, Callable[[int], Any]]:
    without_cuda()
    from tiatoolbox.wsicore.wsireader import WSIReader

    plan, opened = Plan(place, limit), {}

    def read(index: int) -> Any:
        if "slide" not in opened:
            opened["slide"] = WSIReader.open(slide)
        location = tuple(plan.locations_N2[index].tolist())
        return opened["slide"].read_rect(location, (plan.size,) * 2, resolution=plan.mpp, units="mpp")

    return plan, read


def without_cuda() -> None:
    """torchvision's wheel wants CUDA's libraries: two operators that its import looks up are never used."""
    import torch

    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou) -> Tensor")


def _loaded(read: Callable[[int], Any], count: int, workers: int) -> int:
    return sum(1 for _ in _images(read, count, workers))


def _images(read: Callable[[int], Any], count: int, workers: int) -> Iterable[Any]:
    """Patches in order; with several workers from processes of a torch DataLoader, one slide handle each."""
    if workers == 1:
        yield from map(read, range(count))
        return
    from torch.utils.data import DataLoader

    for batch in DataLoader(_Dataset(read, count), _BATCH, num_workers=workers, collate_fn=np.stack):
        yield from batch


class _Dataset:
    """What torch calls a map-style dataset."""

    def __init__(self, read: Callable[[int], Any], count: int) -> None:
        self._read, self._count = read, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Any:
        return self._read(index)


def _timed(read: Callable[[], int]) -> Measure:
    def measure() -> dict[str, Any]:
        start = time.perf_counter()
        patches = read()
        return {"seconds": time.perf_counter() - start, "patches": patches}

    return measure
