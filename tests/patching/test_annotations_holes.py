"""A hole is a hole: the same drawing encloses the same area in every format, whatever its rings do."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from patching.annotations.base import AbstractAnnotation
from patching.annotations.registry import load_annotation
from patching.errors import AnnotationError
from patching.geometry import Size

SIZE = Size(300, 200)
CLASSES = {"Tumor": "tumor", "Normal": "normal", "Artefact": "ignore"}
Ring = list[tuple[float, float]]


@dataclass(frozen=True)
class Region:
    """One outline and what is to be left out of it."""

    shell: Ring
    holes: tuple[Ring, ...] = ()


def box(x0: float, y0: float, x1: float, y1: float) -> Ring:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


SHELL = box(20, 20, 220, 160)  # 200 x 140
WHOLE = 28_000
HOLE = box(40, 40, 80, 100)  # 40 x 60
WIDE = box(40, 40, 140, 140)  # 100 x 100
ISLAND = box(60, 60, 90, 90)  # 30 x 30
BOW_TIE = [(20.0, 20.0), (220, 160), (220, 20), (20, 160)]
SPIKED = [(40.0, 40.0), (80, 40), (80, 100), (80, 190), (80, 100), (40, 100)]


def one(*holes: Ring, around: Ring = SHELL) -> tuple[Region, ...]:
    return (Region(around, holes),)


AROUND = "a hole larger than its outline"
"""In ASAP, where holes are outlines of normal tissue, this is tissue around a tumor."""
DRAWINGS: dict[str, tuple[tuple[Region, ...], float]] = {
    "a hole": (one(HOLE), WHOLE - 2400),
    "none": (one(), WHOLE),
    "a hole over a lobe of an outline that crosses itself": (
        one(box(10, 10, 130, 170), around=BOW_TIE),
        7000 - 70,
    ),
    "the same hole twice": (one(HOLE, HOLE), WHOLE - 2400),
    "the same hole from another corner": (one(HOLE, HOLE[2:] + HOLE[:2]), WHOLE - 2400),
    "holes that overlap": (one(box(40, 40, 100, 100), box(80, 60, 140, 140)), WHOLE - 3600 - 4800 + 800),
    "three holes over one place": (
        one(box(40, 40, 100, 100), box(50, 40, 110, 100), box(60, 40, 120, 100)),
        WHOLE - 80 * 60,
    ),
    "a hole in a hole": (one(WIDE, ISLAND), WHOLE - 10_000),
    "holes side by side": (one(HOLE, box(80, 40, 120, 100)), WHOLE - 4800),
    "a hole at the border": (one(box(20, 40, 60, 100)), WHOLE - 2400),
    "a hole elsewhere": (one(box(230, 20, 280, 90)), WHOLE),
    "a hole that sticks out": (one(box(180, 100, 260, 190)), WHOLE - 40 * 60),
    "a hole that cuts in two": (one(box(100, 0, 120, 200)), WHOLE - 20 * 140),
    "a hole as large as its outline": (one(SHELL), 0),
    AROUND: (one(box(0, 0, 300, 200)), 0),
    "two holes that cover their outline": (one(box(0, 0, 130, 200), box(120, 0, 300, 200)), 0),
    "a hole that crosses itself": (one([(40, 40), (100, 100), (100, 40), (40, 100)]), WHOLE - 1800),
    "a hole without area": (one([(40, 40), (60, 60), (80, 80)]), WHOLE),
    "a hole with a spike": (one(SPIKED), WHOLE - 2400),
    "an outline with a spike": (one(HOLE, around=[*SHELL[:3], (220, 190), *SHELL[2:]]), WHOLE - 2400),
    "points drawn twice": (one([p for p in HOLE for _ in (0, 1)], around=SHELL + SHELL[-1:]), WHOLE - 2400),
    "the other way round": (one(HOLE, around=SHELL[::-1]), WHOLE - 2400),
    "both the other way round": (one(HOLE[::-1], around=SHELL[::-1]), WHOLE - 2400),
    "an outline that crosses itself": (one(box(30, 85, 50, 95), around=BOW_TIE), WHOLE / 2 - 200),
    "an outline drawn twice": (one(HOLE) * 2, WHOLE - 2400),
    "an island": ((Region(SHELL, (WIDE,)), Region(ISLAND)), WHOLE - 10_000 + 900),
    "an island in two holes": (
        (Region(SHELL, (box(40, 40, 100, 140), box(90, 40, 140, 140))), Region(box(80, 60, 110, 90))),
        WHOLE - 10_000 + 900,
    ),
    "a hole in an island": (
        (Region(SHELL, (WIDE,)), Region(ISLAND, (box(70, 70, 80, 80),))),
        WHOLE - 10_000 + 800,
    ),
    "outlines apart": (
        (Region(box(20, 20, 100, 160), (HOLE,)), Region(box(120, 20, 220, 160))),
        25_200 - 2400,
    ),
}


def feature(geometry: Mapping[str, Any], name: str = "Tumor", **more: Any) -> dict[str, Any]:
    properties = {"objectType": "annotation", "classification": {"name": name}, **more}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def polygon(region: Region, *, closed: bool = True) -> dict[str, Any]:
    rings = [[*ring, ring[0]] if closed else ring for ring in (region.shell, *region.holes)]
    return {"type": "Polygon", "coordinates": rings}


def polygons(regions: tuple[Region, ...]) -> Any:
    return {"type": "FeatureCollection", "features": [feature(polygon(region)) for region in regions]}


def open_rings(regions: tuple[Region, ...]) -> Any:
    return [feature(polygon(region, closed=False)) for region in regions]


def multipolygon(regions: tuple[Region, ...]) -> Any:
    parts = [polygon(region)["coordinates"] for region in regions]
    return [feature({"type": "MultiPolygon", "coordinates": parts})]


def collection(regions: tuple[Region, ...]) -> Any:
    inner = {"type": "GeometryCollection", "geometries": [polygon(region) for region in regions]}
    return feature({"type": "GeometryCollection", "geometries": [inner]})


def nested(regions: tuple[Region, ...]) -> Any:
    children: list[dict[str, Any]] = []
    for region in regions[::-1]:
        children = [feature(polygon(region), childObjects=children, isLocked=True)]
    return children


def features_of_their_own(regions: tuple[Region, ...]) -> Any:
    shells = [feature(polygon(Region(region.shell))) for region in regions]
    return shells + [feature(polygon(Region(hole)), "Normal") for r in regions for hole in r.holes]


def points(ring: Ring, tag: str) -> str:
    return "".join(f'<{tag} Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate(ring))


def asap(regions: tuple[Region, ...]) -> str:
    holes = [("Normal", hole) for region in regions for hole in region.holes]
    body = "".join(
        f'<Annotation Type="Polygon" PartOfGroup="{name}"><Coordinates>{points(ring, "Coordinate")}'
        "</Coordinates></Annotation>"
        for name, ring in [*holes, *(("Tumor", region.shell) for region in regions)]
    )
    return f"<ASAP_Annotations><Annotations>{body}</Annotations></ASAP_Annotations>"


def layer(regions: tuple[Region, ...], shape: str, tag: str) -> str:
    rings = [(0, region.shell) for region in regions] + [(1, hole) for r in regions for hole in r.holes]
    body = "".join(
        f'<Region Type="{shape}" NegativeROA="{negative}"><Vertices>{points(ring, tag)}</Vertices></Region>'
        for negative, ring in rings
    )
    return f'<Annotations><Annotation Name="Tumor"><Regions>{body}</Regions></Annotation></Annotations>'


def halo(regions: tuple[Region, ...]) -> str:
    return layer(regions, "Polygon", "V")


def imagescope(regions: tuple[Region, ...]) -> str:
    return layer(regions, "0", "Vertex")


WRITERS: dict[str, tuple[Callable[[tuple[Region, ...]], Any], ...]] = {
    "slide.geojson": (polygons, open_rings, multipolygon, collection, nested, features_of_their_own),
    "slide.xml": (asap, halo, imagescope),
}


def load(folder: Path, name: str, content: Any, classes: Mapping[str, str] = CLASSES) -> AbstractAnnotation:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return load_annotation(path, label=None, size=SIZE, classes=classes)


def area(annotation: AbstractAnnotation) -> float:
    grid_N2 = np.stack(np.meshgrid(np.arange(0, 300, 20), np.arange(0, 200, 20)), -1).reshape(-1, 2)
    found = float(annotation.fractions(grid_N2, 20).sum() * 20**2)
    # Nothing counts twice: what does is cut off at the whole in a small patch, but not in one of everything.
    assert annotation.fractions(np.array([[0, 0]]), 300)[0] * 300**2 == pytest.approx(found, abs=1e-3)
    return found


def inside(regions: tuple[Region, ...]) -> bool:
    """Whether every hole lies in a larger outline: elsewhere tumor wins over normal features."""
    return all(
        shapely.Polygon(r.shell).buffer(0).covers(shapely.Polygon(hole)) and hole != r.shell
        for r in regions
        for hole in r.holes
    )


CASES = [
    (name, write, drawing)
    for name, writers in WRITERS.items()
    for write in writers
    for drawing, (regions, _) in DRAWINGS.items()
    if write is not features_of_their_own or inside(regions)
    if write is not asap or drawing != AROUND
]


@pytest.mark.parametrize(("name", "write", "drawing"), CASES)
def test_the_same_drawing_has_the_same_area(
    name: str, write: Callable[[tuple[Region, ...]], Any], drawing: str, tmp_path: Path
) -> None:
    regions, wanted = DRAWINGS[drawing]
    assert area(load(tmp_path, name, write(regions))) == pytest.approx(wanted, abs=1e-6)


def test_most_drawings_can_be_features_of_their_own() -> None:
    assert sum(write is features_of_their_own for _, write, _ in CASES) > len(DRAWINGS) / 2


@pytest.mark.parametrize(
    ("normal", "classes", "wanted", "told"),
    [
        (HOLE, {}, WHOLE - 2400, False),
        (box(180, 100, 260, 190), {}, WHOLE, True),
        (box(0, 0, 300, 200), {}, WHOLE, False),
        (SHELL, {}, WHOLE, True),
        (box(230, 20, 280, 90), {}, WHOLE, False),
        (box(220, 20, 280, 90), {}, WHOLE, False),
        (HOLE, {"Tumor": "tumor", "*": "normal"}, WHOLE, True),
    ],
    ids=["inside", "sticks out", "around", "equal", "elsewhere", "beside", "one of all others"],
)
def test_where_normal_features_only_overlap_tumor_wins_and_it_is_told(
    normal: Ring,
    classes: dict[str, str],
    wanted: float,
    told: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    content = [feature(polygon(Region(SHELL))), feature(polygon(Region(normal)), "Normal")]
    assert area(load(tmp_path, "slide.geojson", content, classes or CLASSES)) == pytest.approx(wanted)
    assert ("in common with tumor" in caplog.text) == told


@pytest.mark.parametrize(
    ("name", "write"), [("a.geojson", features_of_their_own), ("a.xml", asap), ("a.xml", halo)]
)
def test_a_hole_over_two_outlines_cuts_both(
    name: str, write: Callable[[tuple[Region, ...]], Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # 120 and 100 wide, 20 of them in common; the hole of 60 x 60 lies over both, an island in it.
    left, right, hole = box(20, 20, 140, 160), box(120, 20, 220, 160), box(100, 40, 160, 100)
    annotation = load(
        tmp_path, name, write((Region(left, (hole,)), Region(right), Region(box(110, 50, 120, 60))))
    )
    assert area(annotation) == WHOLE - 3600 + 100
    # Of two outlines over each other, it lies inside one and over the border of the other.
    annotation = load(tmp_path, name, write((Region(SHELL, (hole,)), Region(box(130, 20, 220, 160)))))
    assert area(annotation) == WHOLE - 3600
    assert "in common" not in caplog.text


def test_cells_in_tumor_are_no_holes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for kind in ("detection", "cell", "tile", "PathDetectionObject"):
        cell = feature(polygon(Region(HOLE)), "Normal", objectType=kind)
        assert area(load(tmp_path, "slide.geojson", [feature(polygon(Region(SHELL))), cell])) == WHOLE
    assert not caplog.text


def test_normal_layers_inside_tumor_are_holes_in_halo_and_imagescope(tmp_path: Path) -> None:
    for shape, tag in (("Polygon", "V"), ("0", "Vertex")):
        normal = layer(one(around=HOLE), shape, tag).replace('"Tumor"', '"Normal"')
        content = layer(one(), shape, tag).replace("</Annotations>", "") + normal.replace("<Annotations>", "")
        assert area(load(tmp_path, "slide.xml", content)) == WHOLE - 2400


def test_tumor_inside_normal_tissue_of_asap_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert area(load(tmp_path, "slide.xml", asap(DRAWINGS[AROUND][0]))) == WHOLE
    assert "take" not in caplog.text
    assert area(load(tmp_path, "slide.xml", asap(one(box(10, 10, 190, 190))))) == 30 * 140
    assert "normal tissue take 85 % of the area outlined as tumor" in caplog.text


def test_an_island_to_ignore_stays_in_its_hole(tmp_path: Path) -> None:
    regions = (Region(SHELL, (WIDE,)), Region(ISLAND))
    content = halo(regions).replace('NegativeROA="0"', 'NegativeROA="0" Text=""')
    first, second, rest = content.split('Text=""', 2)
    annotation = load(tmp_path, "slide.xml", f'{first}Text="Tumor"{second}Text="Artefact"{rest}')
    assert area(annotation) == WHOLE - 10_000
    assert annotation.fractions(np.array([[60, 60]]), 30, "ignore").tolist() == [1]


def test_rings_that_enclose_nothing_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    line: Ring = [(40, 40), (60, 60), (80, 80)]
    content = [feature(polygon(Region(line))), feature(polygon(Region(SHELL, (line,))))]
    assert area(load(tmp_path, "slide.geojson", content)) == WHOLE
    assert caplog.text.count("encloses nothing") == 2


def test_a_long_hole_given_twice_is_cut_once(tmp_path: Path) -> None:
    # Each of its 4,000 edges meets its copy: more than an outline may cross itself.
    circle = [(120 + 50 * float(np.cos(a)), 90 + 50 * float(np.sin(a))) for a in np.linspace(0, 6.28, 4000)]
    annotation = load(tmp_path, "slide.geojson", polygons(one(circle, circle)))
    assert area(annotation) == pytest.approx(WHOLE - shapely.Polygon(circle).area, abs=1e-3)


def test_holes_that_cross_without_end_are_refused_in_seconds(tmp_path: Path) -> None:
    teeth = np.arange(0, 300, 0.25)
    comb = [(0.0, 0.0), *((float(x), float(y)) for x in teeth for y in ((0, 190) if x % 0.5 else (190, 0)))]
    across = [(y * 1.5, x / 1.6) for x, y in comb]
    start = time.perf_counter()
    with pytest.raises(AnnotationError, match="cross"):
        load(tmp_path, "slide.geojson", polygons(one(comb, across)))
    assert time.perf_counter() - start < 10


def comb(teeth: int) -> Ring:
    """Teeth from a spine on the left to the right."""
    y = np.linspace(5, 195, 2 * teeth + 1).tolist()
    ring: Ring = [(10, y[0])]
    for low, high, following in zip(y[:-2:2], y[1:-1:2], y[2::2], strict=True):
        ring += [(280, low), (280, high), (20, high), (20, following)]
    return [*ring, (10, y[-1])]


@pytest.mark.parametrize(
    ("name", "write"), [("a.geojson", features_of_their_own), ("a.xml", asap), ("a.xml", imagescope)]
)
@pytest.mark.parametrize(("teeth", "refused"), [(20, False), (700, True)])
def test_outlines_that_cross_without_end_are_refused_in_seconds(
    name: str, write: Callable[[tuple[Region, ...]], Any], teeth: int, refused: bool, tmp_path: Path
) -> None:
    along = comb(teeth)
    across = [(y * 1.4, x / 1.5) for x, y in along]
    start = time.perf_counter()
    if refused:
        with pytest.raises(AnnotationError, match="cross each other more than 200000 times"):
            load(tmp_path, name, write(one(across, around=along)))
    else:
        load(tmp_path, name, write(one(across, around=along)))
    assert time.perf_counter() - start < 10


def test_repaired_holes_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load(tmp_path, "slide.geojson", polygons(one(HOLE, HOLE)))
    assert "repaired" in caplog.text


@pytest.mark.parametrize("step", [0, 0.01], ids=["copies", "all different"])
def test_thousands_of_outlines_over_each_other_are_united_in_seconds(step: float, tmp_path: Path) -> None:
    # Each meets each: sixteen million pairs, or twenty-five.
    angle_M = np.linspace(0, 2 * np.pi, 30)[:-1]
    circle_M2 = np.stack([60 * np.cos(angle_M) + 100, 60 * np.sin(angle_M) + 90], -1)
    moved = [circle_M2 + np.array([step * i, 0]) for i in range(5000)]
    parts = [[ring_M2.tolist()] for ring_M2 in moved]
    content = [feature({"type": "MultiPolygon", "coordinates": parts})]
    start = time.perf_counter()
    annotation = load(tmp_path, "slide.geojson", content)
    assert time.perf_counter() - start < 8
    swept = shapely.convex_hull(shapely.MultiPoint(np.concatenate([moved[0], moved[-1]])))
    assert area(annotation) == pytest.approx(swept.area, rel=1e-4)


def test_outlines_alone_and_together_are_all_there(tmp_path: Path) -> None:
    alone = [Region(box(x, y, x + 3, y + 3)) for x in range(0, 200, 5) for y in range(0, 150, 5)]
    # Within one patch of the grid, where an area counted twice is not cut off at the whole.
    together = [Region(box(210, 20, 215, 30)), Region(box(212, 25, 217, 35))]
    annotation = load(tmp_path, "slide.geojson", polygons((*alone, *together)))
    assert area(annotation) == pytest.approx(40 * 30 * 9 + 2 * 50 - 15)
