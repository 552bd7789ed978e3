"""Where this benchmark writes; slides and scratch are the tiling benchmark's."""

from benchmarks.tiling.places import OUTPUTS

RESULTS = OUTPUTS / "predict"
