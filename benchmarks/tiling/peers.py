"""Part `peers`: other tools on the same patches, in turns with evenpatch. They only read; one also writes."""

import shutil
from pathlib import Path
from typing import Any

from benchmarks.tiling import places
from benchmarks.tiling.contest import Contestant
from benchmarks.tiling.options import Options, tell
from benchmarks.tiling.pixels import contestants, place_of, slide_of

_JOBS = "benchmarks.tiling.peer_jobs"
PEERS = {
    "OpenSlide": "openslide_pixels",
    "cuCIM": "cucim_pixels",
    "TRIDENT": "trident_pixels",
    "LazySlide": "lazyslide_pixels",
    "TIAToolbox": "tiatoolbox_pixels",
    "TIAToolbox into zarr": "tiatoolbox_zarr",
}
_WITHOUT_RESAMPLING = ("cuCIM",)


def run(options: Options) -> None:
    """Peers and ours on the stained slide, each case and number of workers."""
    python = options.peers_python
    if python is None or not Path(python).is_file():
        tell("peers: left out: give --peers-python, see docs/benchmarks.md")
        return
    for case in options.cases:
        for workers in options.workers:
            options.contest(
                f"peers/{case}/{workers}",
                lambda case=case, workers=workers: _field(options, python, case, workers),
            )


def _field(options: Options, python: str, case: str, workers: int) -> list[Contestant]:
    slide, annotation = slide_of("stained", quick=options.quick)
    limit = 100 if options.quick else options.peer_patches
    common: dict[str, Any] = {
        "slide": str(slide),
        "place": str(place_of(slide, annotation, case)),
        "limit": limit,
        "workers": workers,
    }
    scratch = places.WORK / "peers"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    peers = [
        Contestant(
            name,
            f"{_JOBS}:{job}",
            common | ({"work": str(scratch)} if job == "tiatoolbox_zarr" else {}),
            workers,
            python,
            options.peers_path,
        )
        for name, job in PEERS.items()
        if case != "fractional" or name not in _WITHOUT_RESAMPLING
    ]
    return [*contestants(options, "stained", case, workers), *peers]
