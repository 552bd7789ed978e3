"""Part `storage`: random reads against TensorStore alone, and what each codec costs in time and space."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import tensorstore
from numpy.typing import NDArray

from benchmarks.tiling import places
from benchmarks.tiling.contest import Contestant
from benchmarks.tiling.options import Options
from benchmarks.tiling.ours import CASES, tile
from benchmarks.tiling.pixels import slide_of
from patching.store.chunks import Codec
from patching.store.reading import PatchStore

CODECS: tuple[str, ...] = get_args(Codec)
"""Whatever codecs the store has; the one that passes JPEG tiles through is among them."""
_PASSED = "jpeg"
_BATCH, _BATCHES = 64, 100


def run(options: Options) -> None:
    """Reading and writing with every codec."""
    for codec in CODECS:
        options.contest(f"storage/read/{codec}", lambda codec=codec: _readers(options, codec))
    options.contest("storage/write", lambda: _writers(options))


def _readers(options: Options, codec: str) -> list[Contestant]:
    path = places.WORK / "storage" / f"{codec}.zarr"
    path.parent.mkdir(parents=True, exist_ok=True)
    slide, annotation = slide_of("stained", quick=options.quick)
    tile([str(slide)], CASES["aligned"], 2, annotation=str(annotation), codec=codec, keep=str(path))()
    # TensorStore has no such codec.
    names = {"evenpatch": "ours"} | ({} if codec == _PASSED else {"tensorstore": "alone"})
    return [
        Contestant(name, f"benchmarks.tiling.storage:read_{job}", {"path": str(path)}, cores=2)
        for name, job in names.items()
    ]


def _writers(options: Options) -> list[Contestant]:
    """End to end with each codec: the ratio of two is what passing through saves."""
    slide, annotation = slide_of("stained", quick=options.quick)
    common = {"slides": [str(slide)], "patch": CASES["aligned"], "annotation": str(annotation), "workers": 1}
    return [Contestant(codec, "benchmarks.tiling.ours:tile", common | {"codec": codec}) for codec in CODECS]


def read_ours(path: str) -> Callable[[], dict[str, Any]]:
    """Batches of random patches through the project's own reading API."""
    store = PatchStore.open(path)
    return _measured(store.read, len(store))


def read_alone(path: str) -> Callable[[], dict[str, Any]]:
    """The same through TensorStore with nothing around it."""
    kvstore = {"driver": "file", "path": f"{Path(path).resolve() / 'images'}/"}
    array = tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, open=True).result()
    return _measured(lambda index_n: np.asarray(array[index_n].read().result()), int(array.shape[0]))


def _measured(read: Callable[[NDArray[np.int64]], NDArray[Any]], count: int) -> Callable[[], dict[str, Any]]:
    def measure() -> dict[str, Any]:
        rng = np.random.default_rng(0)
        batches = [rng.integers(0, count, _BATCH) for _ in range(_BATCHES)]
        start = time.perf_counter()
        total = sum(len(read(index_n)) for index_n in batches)
        return {"seconds": time.perf_counter() - start, "patches": total}

    return measure
