"""Spoiled annotations end in an error of evenpatch, and random rings enclose what they should."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from defusedxml.ElementTree import fromstring, tostring
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
MASKS = (".png", ".tif", ".tiff")


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_spoiled_annotation_is_read_or_refused(name: str, tmp_path: Path) -> None:
    sound, path = DRAWINGS[name](), tmp_path / name
    path.write_bytes(sound)
    annotation(path, np.random.default_rng(0))
    text = path.suffix not in MASKS
    refused = 0
    for seed in range(SPOILED):
        rng = np.random.default_rng([7, seed])
        path.write_bytes(mutated(sound, [range(min(512, len(sound)))], rng, text=text)[0])
        try:
            annotation(path, rng)
        except EvenpatchError:
            refused += 1
    assert refused > 0


ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, "", "x", "Tumor", [], {}, [[]], [[[]]], {"type": "Polygon"}, [1, 2], "1,5",
)  # fmt: skip
ODD_TEXT = ("", "0", "-1", "1e308", "x", "Tumor", "nan", "1,5", "Polygon", "999999999999")


def other_json(content: Any, rng: np.random.Generator) -> Any:
    """The same with one value, anywhere, exchanged, dropped or doubled."""
    content = json.loads(json.dumps(content))
    places: list[tuple[Any, Any]] = []
    waiting = [content]
    while waiting:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        places += [(node, key) for key in keys]
        waiting += [node[key] for key in keys]
    node, key = places[int(rng.integers(len(places)))]
    how = rng.integers(4)
    if how == 0:
        del node[key]
    elif how == 1 and isinstance(node, list):
        node.insert(key, node[key])
    else:
        node[key] = ODD[int(rng.integers(len(ODD)))]
    return content


def other_xml(content: bytes, rng: np.random.Generator) -> bytes:
    """The same with one attribute or element, anywhere, exchanged, dropped or doubled."""
    root = fromstring(content)
    parents = [(parent, child) for parent in root.iter() for child in parent]
    parent, child = parents[int(rng.integers(len(parents)))]
    how, names = rng.integers(4), sorted(child.attrib)
    if how == 0:
        parent.remove(child)
    elif how == 1:
        parent.append(child)
    elif how == 2 or not names:
        child.tag = ("Region", "Annotation", "V", "Coordinates", "Group", "x")[int(rng.integers(6))]
    else:
        child.set(names[int(rng.integers(len(names)))], ODD_TEXT[int(rng.integers(len(ODD_TEXT)))])
    return tostring(root)


@pytest.mark.parametrize("name", [name for name in DRAWINGS if Path(name).suffix not in MASKS])
def test_an_annotation_of_another_structure_is_read_or_refused(name: str, tmp_path: Path) -> None:
    sound, path = DRAWINGS[name](), tmp_path / name
    ends = set()
    for seed in range(SPOILED):
        rng = np.random.default_rng([8, seed])
        if path.suffix in (".xml", ".annotations"):
            path.write_bytes(other_xml(sound, rng))
        else:
            path.write_text(json.dumps(other_json(json.loads(sound), rng)))
        try:
            annotation(path, rng)
            ends.add("read")
        except EvenpatchError as error:
            ends.add(type(error).__name__)
    assert ends == {"read", "AnnotationError"}


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
