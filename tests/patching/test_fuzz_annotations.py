"""Spoiled annotations end in an error of evenpatch, and random rings enclose what they should."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.faults.drawings import DRAWINGS
from benchmarks.faults.exercise import annotation
from benchmarks.faults.mutations import mutated
from patching.annotations.registry import load_annotation
from patching.errors import EvenpatchError
from patching.geometry import Size

SPOILED = 60


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_spoiled_annotation_is_read_or_refused(name: str, tmp_path: Path) -> None:
    sound, path = DRAWINGS[name](), tmp_path / name
    path.write_bytes(sound)
    annotation(path, np.random.default_rng(0))
    text = path.suffix not in (".png", ".tif", ".tiff")
    refused = 0
    for seed in range(SPOILED):
        rng = np.random.default_rng([7, seed])
        path.write_bytes(mutated(sound, [range(min(512, len(sound)))], rng, text=text)[0])
        try:
            annotation(path, rng)
        except EvenpatchError:
            refused += 1
    assert refused > 0


def inside(ring_M2: NDArray[Any], point_N2: NDArray[Any]) -> NDArray[np.bool_]:
    """Which points a ring goes around an odd number of times."""
    start_M12, stop_M12 = ring_M2[:, None], np.roll(ring_M2, -1, axis=0)[:, None]
    x, y = point_N2.T
    spans_MN = (start_M12[..., 1] <= y) != (stop_M12[..., 1] <= y)
    rise_M1 = np.where(start_M12[..., 1] == stop_M12[..., 1], 1, stop_M12[..., 1] - start_M12[..., 1])
    at_MN = start_M12[..., 0] + (y - start_M12[..., 1]) * (stop_M12 - start_M12)[..., 0] / rise_M1
    return np.asarray((spans_MN & (at_MN > x)).sum(axis=0) % 2 == 1)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), corners=st.integers(3, 9), holes=st.integers(0, 5))
def test_random_rings_enclose_the_shell_less_all_holes(
    seed: int, corners: int, holes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    rings = [rng.integers(0, (300, 200), (corners, 2)).astype(float) for _ in range(1 + holes)]
    # Now and then a hole twice, or one that is the outline itself.
    rings += [rings[int(rng.integers(len(rings)))] for _ in range(int(rng.integers(2)))]
    geometry = {"type": "Polygon", "coordinates": [ring.tolist() for ring in rings]}
    path = tmp_path_factory.mktemp("rings") / "a.geojson"
    path.write_text(json.dumps({"type": "Feature", "properties": {}, "geometry": geometry}))
    found = load_annotation(path, label=None, size=Size(300, 200), classes={"*": "tumor"})
    point_N2 = rng.uniform(0, (300, 200), (400, 2))
    cut_N = np.any([np.zeros(len(point_N2), bool), *(inside(ring, point_N2) for ring in rings[1:])], axis=0)
    side = 0.1
    fraction_N = found.fractions(point_N2 - side / 2, side)
    away_N = (fraction_N < 1e-6) | (fraction_N > 1 - 1e-6)  # from every edge
    assert away_N.mean() > 0.9
    wanted_N = inside(rings[0], point_N2) & ~cut_N
    np.testing.assert_array_equal(fraction_N[away_N] > 0.5, wanted_N[away_N])
