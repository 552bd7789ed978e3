"""From slides to patches: readers, tissue, annotations, tiling, the patch store.

The public names below are imported at first use: decoders and stores take most of a second to load.
May enter at this level: what several rooms need, without pixels of its own. Never torch, monai or mlflow.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patching.geometry import Location as Location
    from patching.geometry import Mpp as Mpp
    from patching.geometry import Size as Size
    from patching.readers.registry import open_slide as open_slide
    from patching.store.reading import PatchStore as PatchStore

_HOME = {
    "Location": "patching.geometry",
    "Mpp": "patching.geometry",
    "PatchStore": "patching.store.reading",
    "Size": "patching.geometry",
    "open_slide": "patching.readers.registry",
}
__all__ = ["Location", "Mpp", "PatchStore", "Size", "open_slide"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'patching' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
