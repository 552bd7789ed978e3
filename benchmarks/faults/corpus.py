"""The files that are mutated: every real one, and annotations and manifests of every format."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from benchmarks.faults.microscopes import NAMES, written

CYCLE = ("slide",) * 9 + ("picture",) * 10 + ("annotation",) * 4 + ("manifest",) + ("microscope",) * 9
"""Kinds of thirty-three cases in a row."""
_SLIDES = ("wsi-scanners", "shg-he-pairs", "shg-pl-pyfibre", "breast-pshg-tma")
_SLIDE_SUFFIXES = (".svs", ".ndpi", ".qptiff", ".tif")
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
_HEADER = 512
_LONGEST_VALUE = 4096


@dataclass(frozen=True)
class Source:
    """A sound file to be spoiled."""

    name: str
    kind: str
    """slide, picture, annotation, manifest or microscope."""
    read: Callable[[], bytes]

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix


class Corpus:
    """All sources by kind, each in a fixed order.

    Args:
        data: folder of the real cohorts.
    """

    def __init__(self, data: Path) -> None:
        slides = [path for folder in _SLIDES for path in sorted((data / folder).iterdir())]
        self._sources = {
            "slide": [_file(path, "slide", data) for path in slides if path.suffix in _SLIDE_SUFFIXES],
            "picture": [
                _file(path, "picture", data)
                for path in sorted(data.rglob("*"))
                if path.suffix in _PICTURE_SUFFIXES
            ],
            "annotation": [Source(name, "annotation", write) for name, write in _ANNOTATIONS.items()],
            "manifest": [_file(path, "manifest", data) for path in sorted(data.rglob("slides.csv"))]
            + [Source("full.csv", "manifest", lambda: _FULL_MANIFEST.encode())],
            "microscope": [Source(name, "microscope", partial(written, name)) for name in NAMES],
        }

    def source(self, case: int) -> Source:
        """The file that case number `case` spoils."""
        turn, place = divmod(case, len(CYCLE))
        kind = CYCLE[place]
        before = CYCLE[:place].count(kind)
        sources = self._sources[kind]
        return sources[(turn * CYCLE.count(kind) + before) % len(sources)]


def sensitive(source: Source, data: bytes) -> list[range]:
    """Byte ranges that tell how to read the rest: a TIFF's directories and values, else the first bytes."""
    ranges = [range(min(_HEADER, len(data)))]
    if source.kind == "microscope":
        # Lists of what is in the file lie before or behind the pixels.
        edge = min(4 * _HEADER, len(data))
        return [*ranges, range(edge), range(len(data) - edge, len(data))]
    return ranges + list(_directories(data)) if source.kind == "slide" else ranges


@lru_cache(maxsize=4)
def _directories(data: bytes) -> tuple[range, ...]:
    found: list[range] = []
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            for page in [p for top in tiff.pages for p in [top, *(getattr(top, "pages", None) or ())]]:
                tags = page.aspage().tags
                found.append(range(page.offset, page.offset + 20 * len(tags)))
                found += [
                    range(tag.valueoffset, tag.valueoffset + min(tag.valuebytecount, _LONGEST_VALUE))
                    for tag in tags
                ]
    except tifffile.TiffFileError:
        return ()
    return tuple(part for part in found if len(part) and part.stop <= len(data))


def _file(path: Path, kind: str, data: Path) -> Source:
    return Source(path.relative_to(data).as_posix(), kind, path.read_bytes)


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


_ANNOTATIONS: dict[str, Callable[[], bytes]] = {
    "qupath.geojson": _geojson,
    "asap.xml": _asap,
    "aperio.xml": _aperio,
    "mask.png": _mask_png,
    "mask.tif": _mask_tiff,
}
_FULL_MANIFEST = """slide_id,patient_id,image,channels,annotation,label,mpp,split,site
s1,p1,a.ome.tif,SHG;TPEF;CARS,a.geojson,,0.25,train,Jena
s2,p2,b1.tif;b2.tif,"C,1;C2",,1,0.5,validation,"Jena, old"
s3,p3,../c.svs,,c.xml,0,,test,
"""
