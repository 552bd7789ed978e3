"""Annotations of every format, with all that it allows: holes that overlap, groups, planes, palettes."""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile
from PIL import Image

_RING: list[list[float]] = [[20, 30], [180, 25], [190, 140], [95.5, 170.25], [15, 120], [20, 30]]
_HOLE: list[list[float]] = [[60, 60], [60, 90], [100, 90], [100, 60], [60, 60]]


def _feature(kind: str, coordinates: list[Any], name: str, color: int) -> dict[str, Any]:
    properties = {"objectType": "annotation", "classification": {"name": name, "colorRGB": color}}
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "id": f"{color}", "geometry": geometry, "properties": properties}


def _geojson() -> bytes:
    circle = [[220 + 30 * np.cos(t), 150 + 30 * np.sin(t)] for t in np.linspace(0, 2 * np.pi, 40)]
    features = [
        _feature("Polygon", [_RING, _HOLE], "Tumor", -3670016),
        _feature("MultiPolygon", [[_RING], [[*circle[:-1], circle[0]]]], "Normal", -1),
        _feature("Point", [5, 6], "Ignore", 7),
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def _asap() -> bytes:
    points = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}" />' for i, (x, y) in enumerate(_RING))
    hole = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}" />' for i, (x, y) in enumerate(_HOLE))
    return (
        '<?xml version="1.0"?><ASAP_Annotations><Annotations>'
        f'<Annotation Name="a" Type="Polygon" PartOfGroup="Tumor" Color="#F4FA58"><Coordinates>{points}'
        f'</Coordinates></Annotation><Annotation Name="b" Type="Spline" PartOfGroup="Normal" Color="#F4FA58">'
        f"<Coordinates>{hole}</Coordinates></Annotation></Annotations><AnnotationGroups>"
        '<Group Name="Tumor" PartOfGroup="None" Color="#00ff00"><Attributes /></Group>'
        '<Group Name="Normal" PartOfGroup="None" Color="#ff0000"><Attributes /></Group>'
        "</AnnotationGroups></ASAP_Annotations>"
    ).encode()


def _aperio() -> bytes:
    points = "".join(f'<Vertex X="{x}" Y="{y}" Z="0" />' for x, y in _RING)
    hole = "".join(f'<V X="{x}" Y="{y}" />' for x, y in _HOLE)
    return (
        '<Annotations MicronsPerPixel="0.25"><Annotation Id="1" Name="Tumor" LineColor="65280"><Regions>'
        f'<Region Id="1" Type="0" NegativeROA="0" Text=""><Vertices>{points}</Vertices></Region>'
        f'<Region Id="2" Type="Polygon" NegativeROA="1" HasEndcaps="0"><Vertices>{hole}</Vertices></Region>'
        "</Regions></Annotation></Annotations>"
    ).encode()


def _mask() -> np.ndarray[Any, np.dtype[np.uint8]]:
    y, x = np.mgrid[:100, :150]
    return np.asarray((x // 20 + y // 25) % 3, np.uint8)


def _mask_png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(_mask()).save(file, "PNG")
    return file.getvalue()


def _mask_tiff() -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, _mask(), tile=(32, 48), compression="zlib")
    return file.getvalue()


def _nested() -> bytes:
    """Child objects, a collection, an ellipse, a class of parts, planes, text for numbers, nothing at all."""
    inner = {"type": "Polygon", "coordinates": [[[str(x), f"{y}".replace(".", ",")] for x, y in _RING]]}
    parent = _feature("Polygon", [_RING, _HOLE, _HOLE, [[0, 0], [70, 70], [0, 70]]], "Tumor", 1)
    parent["geometry"]["plane"] = {"c": -1, "z": 2, "t": 0}
    child = _feature("Polygon", [_HOLE], "Normal", 2)
    child["geometry"]["isEllipse"] = True
    child["properties"]["classification"] = {"names": ["Normal", "Stroma"]}
    collection = {"type": "Feature", "geometry": {"type": "GeometryCollection", "geometries": [inner, inner]}}
    parent["properties"]["childObjects"] = [child, collection, {"type": "Feature", "geometry": None}]
    return json.dumps([parent], indent=1).encode("utf-8-sig")


def _aperio_wide() -> bytes:
    return _aperio().decode().replace("Tumor", "Geschw\xfcr").encode("utf-16")


def _mask_alpha() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.dstack([_mask() * 127, np.full_like(_mask(), 255)])).save(file, "PNG")
    return file.getvalue()


def _mask_palette() -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 3
    image = Image.fromarray(_mask())
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    image.save(file, "PNG", exif=exif)
    return file.getvalue()


def _mask_pyramid() -> bytes:
    file = io.BytesIO()
    options: dict[str, Any] = {"tile": (32, 48), "photometric": "minisblack", "compression": "lzw"}
    with tifffile.TiffWriter(file, ome=True) as tiff:
        tiff.write(_mask(), subifds=1, metadata={"axes": "YX"}, **options)
        tiff.write(_mask()[::2, ::2], subfiletype=1, **options)
    return file.getvalue()


def _mask_fax() -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, _mask() > 0, photometric="miniswhite", rowsperstrip=9)
    return file.getvalue()


DRAWINGS: dict[str, Callable[[], bytes]] = {
    "qupath.geojson": _geojson,
    "asap.xml": _asap,
    "aperio.xml": _aperio,
    "mask.png": _mask_png,
    "mask.tif": _mask_tiff,
    "nested.json": _nested,
    "halo.annotations": _aperio,
    "wide.xml": _aperio_wide,
    "alpha.png": _mask_alpha,
    "palette.png": _mask_palette,
    "pyramid.tiff": _mask_pyramid,
    "fax.tif": _mask_fax,
}
"""A sound file of each: name -> bytes. Their slide is 300 by 200 pixels."""
