"""XML of ASAP, ImageScope and HALO: classes, holes, shapes, and what is refused."""

import logging
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from patching.annotations.base import AbstractAnnotation
from patching.annotations.registry import load_annotation
from patching.annotations.xml_file import read_xml
from patching.errors import AnnotationError
from patching.geometry import Size

SIZE = Size(300, 200)
CLASSES = {"tumor": "tumor", "normal": "normal", "ignore": "ignore"}
Points = list[tuple[Any, Any]]


def box(x0: int, y0: int, x1: int, y1: int) -> Points:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def asap(*annotations: tuple[str, Points], groups: str = "", kind: str = "Polygon") -> str:
    parts = [
        f'<Annotation Name="Annotation {i}" Type="{kind}" PartOfGroup="{group}" Color="#F4FA58"><Coordinates>'
        + "".join(f'<Coordinate Order="{j}" X="{x}" Y="{y}" />' for j, (x, y) in enumerate(points))
        + "</Coordinates></Annotation>"
        for i, (group, points) in enumerate(annotations)
    ]
    return (
        f'<?xml version="1.0"?>\n<ASAP_Annotations>\n<Annotations>{"".join(parts)}</Annotations>'
        f"<AnnotationGroups>{groups}</AnnotationGroups></ASAP_Annotations>"
    )


def region(points: Points, shape: str = "Polygon", negative: int = 0, tag: str = "V", more: str = "") -> str:
    vertices = "".join(f'<{tag} X="{x}" Y="{y}"/>' for x, y in points)
    return (
        f'<Region Type="{shape}" HasEndcaps="0" NegativeROA="{negative}" {more}>'
        f"<Vertices>{vertices}</Vertices><Comments/></Region>"
    )


def layer(name: str, *regions: str, color: int = 65280, attributes: str = "") -> str:
    return (
        f'<Annotation Name="{name}" Visible="True" LineColor="{color}">{attributes}'
        f"<Regions><RegionAttributeHeaders/>{''.join(regions)}</Regions></Annotation>"
    )


def layers(*parts: str) -> str:
    return f"<Annotations>{''.join(parts)}</Annotations>"


def load(folder: Path, content: str, **classes: str) -> AbstractAnnotation:
    path = folder / "slide.xml"
    path.write_text(content, encoding="utf-8")
    return load_annotation(path, label=None, size=SIZE, classes={**CLASSES, **classes})


def share(annotation: AbstractAnnotation, x: int, y: int, extent: int, kind: Any = "tumor") -> float:
    return float(annotation.fractions(np.array([[x, y]]), extent, kind)[0])


def test_asap_holes_are_outlines_of_a_normal_class(tmp_path: Path) -> None:
    content = asap(("_2", box(20, 20, 80, 80)), ("Tumor", box(0, 0, 100, 100)), ("_0", box(40, 40, 60, 60)))
    annotation = load(tmp_path, content, _0="tumor", _2="normal")
    assert share(annotation, 0, 0, 100) == pytest.approx((100**2 - 60**2 + 20**2) / 100**2)
    assert share(annotation, 40, 40, 20) == 1
    assert share(annotation, 20, 20, 20) == 0
    assert len(annotation.outlines()) == 3


def test_an_asap_hole_that_sticks_out_cuts_what_it_meets(tmp_path: Path) -> None:
    content = asap(("normal", box(50, 0, 200, 100)), ("Tumor", box(0, 0, 100, 100)))
    annotation = load(tmp_path, content)
    assert share(annotation, 0, 0, 100) == 0.5
    assert share(annotation, 100, 0, 100) == 0


def test_an_asap_outline_to_ignore_cuts_nothing(tmp_path: Path) -> None:
    annotation = load(tmp_path, asap(("ignore", box(0, 0, 50, 100)), ("Tumor", box(0, 0, 100, 100))))
    assert share(annotation, 0, 0, 100) == 1
    assert share(annotation, 0, 0, 100, "ignore") == 0.5


def test_asap_groups_inherit_and_a_circle_ends(tmp_path: Path) -> None:
    groups = (
        '<Group Name="ductal" PartOfGroup="invasive" Color="#fff"><Attributes/></Group>'
        '<Group Name="invasive" PartOfGroup="Tumor"/><Group Name="Tumor" PartOfGroup="None"/>'
        '<Group Name="a" PartOfGroup="b"/><Group Name="b" PartOfGroup="a"/>'
    )
    annotation = load(tmp_path, asap(("ductal", box(0, 0, 50, 50)), groups=groups))
    assert share(annotation, 0, 0, 50) == 1
    annotation = load(tmp_path, asap(("ductal", box(0, 0, 50, 50)), groups=groups), invasive="ignore")
    assert share(annotation, 0, 0, 50, "ignore") == 1
    with pytest.raises(AnnotationError, match="'a' or 'b' or 'Annotation 0'"):
        load(tmp_path, asap(("a", box(0, 0, 50, 50)), groups=groups))


@pytest.mark.parametrize("group", ["None", ""])
def test_asap_without_a_group_goes_by_its_name(tmp_path: Path, group: str) -> None:
    content = asap((group, box(0, 0, 50, 50)))
    with pytest.raises(AnnotationError, match="'unclassified' or 'Annotation 0'"):
        load(tmp_path, content)
    assert share(load(tmp_path, content.replace("Annotation 0", "Tumor")), 0, 0, 50) == 1
    assert share(load(tmp_path, content, unclassified="tumor"), 0, 0, 50) == 1


def test_asap_points_go_by_their_order_and_may_have_a_decimal_comma(tmp_path: Path) -> None:
    shuffled = [(2, ("60,5", 90)), (0, (10, 20)), (3, (10, 90)), (1, ("60.5", 20)), (10, (10, 50))]
    points = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in shuffled)
    content = asap(("Tumor", [])).replace(
        "<Coordinates></Coordinates>", f"<Coordinates>{points}</Coordinates>"
    )
    assert share(load(tmp_path, content), 0, 0, 100) == pytest.approx(50.5 * 70 / 100**2)
    bare = asap(("Tumor", box(10, 20, 60, 90))).replace(" Order=", " Other=")
    assert share(load(tmp_path, bare), 0, 0, 100) == pytest.approx(50 * 70 / 100**2)


@pytest.mark.parametrize("kind", ["Spline", "Rectangle", "polygon"])
def test_asap_types_with_area(tmp_path: Path, kind: str) -> None:
    assert share(load(tmp_path, asap(("Tumor", box(0, 0, 50, 50)), kind=kind)), 0, 0, 50) == 1


@pytest.mark.parametrize("kind", ["Dot", "PointSet", "None", "Measurement"])
def test_asap_types_without_area_are_told(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    annotation = load(tmp_path, asap(("nobody's", box(0, 0, 50, 50)), ("", [(1, 1)]), kind=kind))
    assert annotation.outlines() == ()
    assert f"2 x {kind}" in caplog.text


def test_an_asap_polygon_of_two_points_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = asap(("Tumor", box(0, 0, 50, 50)), ("Tumor", [(0, 0), (90, 90)]))
    assert share(load(tmp_path, content), 0, 0, 50) == 1
    assert "1 x Polygon" in caplog.text


def test_asap_below_another_root_and_in_a_namespace(tmp_path: Path) -> None:
    content = asap(("Tumor", box(0, 0, 50, 50)))
    bare = content[: content.index("<AnnotationGroups>")].replace("<ASAP_Annotations>\n", "")
    assert share(load(tmp_path, bare), 0, 0, 50) == 1
    spaced = content.replace("<ASAP_Annotations>", '<ASAP_Annotations xmlns="http://a.b/c">')
    assert share(load(tmp_path, spaced), 0, 0, 50) == 1


@pytest.mark.parametrize("tag", ["V", "Vertex"])
def test_holes_of_a_layer_cut_that_layer_only(tmp_path: Path, tag: str) -> None:
    hole = region(box(20, 20, 80, 80), negative=1, tag=tag)
    island = region(box(40, 40, 60, 60), tag=tag)
    content = layers(
        layer("Tumor", hole, island, region(box(0, 0, 100, 100), tag=tag)),
        layer("Ignore", region(box(0, 0, 100, 100), tag=tag)),
    )
    annotation = load(tmp_path, content)
    assert share(annotation, 0, 0, 100) == pytest.approx((100**2 - 60**2 + 20**2) / 100**2)
    assert share(annotation, 0, 0, 100, "ignore") == 1


def test_a_hole_as_large_as_its_region_leaves_nothing(tmp_path: Path) -> None:
    regions = region(box(0, 0, 50, 50)), region(box(0, 0, 50, 50), negative=1)
    annotation = load(tmp_path, layers(layer("Tumor", *regions)))
    assert annotation.outlines() == ()


@pytest.mark.parametrize(
    ("shape", "tag", "points", "wanted"),
    [
        ("Rectangle", "V", [(90, 80), (10, 20)], 80 * 60),
        ("Ellipse", "V", [(90, 80), (10, 20)], np.pi * 40 * 30),
        ("1", "Vertex", box(10, 20, 90, 80), 80 * 60),
        ("1", "Vertex", [(50, 0), (100, 50), (50, 100), (0, 50)], 5000),
        ("2", "Vertex", [(10, 20), (90, 80)], np.pi * 40 * 30),
        ("2", "Vertex", [(50, 20), (90, 50), (50, 80), (10, 50)], np.pi * 40 * 30),
        ("0", "Vertex", [*box(10, 20, 90, 80), (10, 20)], 80 * 60),
    ],
)
def test_shapes_of_regions(tmp_path: Path, shape: str, tag: str, points: Points, wanted: float) -> None:
    annotation = load(tmp_path, layers(layer("Tumor", region(points, shape, tag=tag))))
    assert share(annotation, 0, 0, 100) == pytest.approx(wanted / 100**2, abs=1 / 1024)


def test_what_imagescope_names_a_shape_wins_over_its_number(tmp_path: Path) -> None:
    oval = region([(50, 20), (90, 50), (50, 80), (10, 50)], "0", tag="Vertex", more='GeoShape="Ellipse"')
    annotation = load(tmp_path, layers(layer("Tumor", oval)))
    assert share(annotation, 0, 0, 100) == pytest.approx(np.pi * 0.12, abs=1 / 1024)


def test_rulers_and_crumbs_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    without = [
        *(region([(0, 0), (9, 9)], shape) for shape in ("Ruler", "Pin", "3", "4", "5")),
        region([(0, 0), (9, 9)], "0"),
        region([(0, 0)], "Rectangle", negative=1),
    ]
    annotation = load(tmp_path, layers(layer("nobody's", *without), layer("empty")))
    assert annotation.outlines() == ()
    for told in ("2 x ruler", "1 x pin", "1 x arrow", "1 x points", "1 x polygon", "1 x rectangle"):
        assert told in caplog.text


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (layer("Layer 1", region(box(0, 0, 50, 50), more='Text="margin"')), "margin"),
        (layer("Layer 1", region(box(0, 0, 50, 50), more='Text="margin"')), "Layer 1"),
        (
            layer(
                "",
                region(box(0, 0, 50, 50)),
                attributes='<Attributes><Attribute Name="Description" Id="0" Value="margin"/></Attributes>',
            ),
            "margin",
        ),
        (
            layer(
                "",
                region(box(0, 0, 50, 50)),
                attributes='<Attributes><Attribute Name="margin" Id="0" Value=""/></Attributes>',
            ),
            "margin",
        ),
        (layer("", region(box(0, 0, 50, 50)), color=255), "#ff0000"),
        (layer("", region(box(0, 0, 50, 50)), color=16711680), "#0000FF"),
        (layer("", region(box(0, 0, 50, 50))), "unclassified"),
    ],
)
def test_whatever_names_a_region(tmp_path: Path, content: str, name: str) -> None:
    assert share(load(tmp_path, layers(content), **{name: "tumor"}), 0, 0, 50) == 1
    assert share(load(tmp_path, layers(content), **{"*": "tumor"}), 0, 0, 50) == 1
    with pytest.raises(AnnotationError, match=f"(?i){name}"):
        load(tmp_path, layers(content))


def test_the_text_of_a_region_wins_over_its_layer(tmp_path: Path) -> None:
    regions = region(box(0, 0, 50, 50), more='Text="normal"'), region(box(50, 0, 100, 50))
    annotation = load(tmp_path, layers(layer("Tumor", *regions)))
    assert annotation.fractions(np.array([[0, 0], [50, 0]]), 50).tolist() == [0, 1]


@pytest.mark.parametrize("suffix", [".xml", ".annotations", ".XML"])
def test_the_content_and_not_the_suffix_tells_the_dialect(tmp_path: Path, suffix: str) -> None:
    for content in (asap(("Tumor", box(0, 0, 50, 50))), layers(layer("Tumor", region(box(0, 0, 50, 50))))):
        path = tmp_path / f"slide{suffix}"
        path.write_text(content)
        annotation = load_annotation(path, label=None, size=SIZE, classes=CLASSES)
        assert share(annotation, 0, 0, 100) == 0.25


@pytest.mark.parametrize("content", [asap(), layers(), layers(layer("Tumor"))])
def test_a_file_without_outlines_means_no_tumor(tmp_path: Path, content: str) -> None:
    assert share(load(tmp_path, content), 0, 0, 50) == 0


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "0 bytes"),
        ("no XML", "not plain XML"),
        ("<Annotations>", "not plain XML"),
        ('<?xml version="1.0" encoding="klingon"?><Annotations/>', "not plain XML"),
        (f'{BOMB}<Annotations Name="&b;"/>', "DTDForbidden"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><Annotations/>', "DTDForbidden"),
        ("<a>" * 100 + "</a>" * 100, "64 levels"),
        ("<annotation><object/></annotation>", "root element <annotation>"),
        ('<V X="1" Y="1"/>', "root element <V>"),
        (asap(("Tumor", box(300, 0, 400, 90))), "wholly outside"),
        (asap(("Tumor", box(0, 0, 9, 9)), kind="Blob"), "type 'Blob'"),
        (asap(("Tumor", [(0, 0), (9, 0), ("1,000.5", 9)])), "'1,000.5', which is not a number"),
        (asap(("Tumor", [(0, 0), (9, 0), ("", 9)])), "'', which is not a number"),
        (asap(("Tumor", [(0, 0), (9, 0), ("nan", 9)])), "'nan', which is not a number"),
        (asap(("Tumor", [(0, 0), (9, 0), ("1e300", 9)])), "on no slide"),
        (layers(layer("Tumor", region(box(0, 0, 9, 9), "Blob"))), "type 'Blob'"),
        (layers(layer("Tumor", region([(0, 0), ("inf", 9)], "Ellipse"))), "'inf', which is not a number"),
        (layers(layer("Tumor", region([(0, 0), ("-1e99", 9)], "Rectangle"))), "on no slide"),
    ],
)
def test_bad_xml_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        load(tmp_path, content)


def test_too_many_elements_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patching.annotations.xml_file.MAX_ELEMENTS", 20)
    load(tmp_path, asap(("Tumor", box(0, 0, 9, 9) * 20)))
    with pytest.raises(AnnotationError, match="20 elements"):
        load(tmp_path, layers(*[layer("Tumor")] * 20))


def test_points_are_held_as_arrays(tmp_path: Path) -> None:
    path = tmp_path / "long.xml"
    path.write_text(asap(("Tumor", [(i % 300, i % 7) for i in range(50_000)])))
    tracemalloc.start()
    document = read_xml(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * path.stat().st_size
    assert document.ring(next(document.root.iter("Annotation")), "Coordinates").shape == (50_000, 2)


def test_a_broken_outline_is_repaired_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        annotation = load(tmp_path, asap(("Tumor", [(0, 0), (100, 100), (100, 0), (0, 100)])))
    assert share(annotation, 0, 0, 100) == pytest.approx(0.5)
    assert "repaired" in caplog.text
