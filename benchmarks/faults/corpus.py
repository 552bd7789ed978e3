"""The files that are mutated: every real one, and annotations and manifests of every format."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import tifffile

from benchmarks.faults.drawings import DRAWINGS
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
        only: the one kind to be spoiled; None is all, in the order of CYCLE.
    """

    def __init__(self, data: Path, only: str | None = None) -> None:
        self._cycle = CYCLE if only is None else (only,)
        slides = [path for folder in _SLIDES for path in sorted((data / folder).iterdir())]
        self._sources = {
            "slide": [_file(path, "slide", data) for path in slides if path.suffix in _SLIDE_SUFFIXES],
            "picture": [
                _file(path, "picture", data)
                for path in sorted(data.rglob("*"))
                if path.suffix in _PICTURE_SUFFIXES
            ],
            "annotation": [Source(name, "annotation", write) for name, write in DRAWINGS.items()],
            "manifest": [_file(path, "manifest", data) for path in sorted(data.rglob("slides.csv"))]
            + [Source("full.csv", "manifest", lambda: _FULL_MANIFEST.encode())],
            "microscope": [Source(name, "microscope", partial(written, name)) for name in NAMES],
        }

    def source(self, case: int) -> Source:
        """The file that case number `case` spoils."""
        turn, place = divmod(case, len(self._cycle))
        kind = self._cycle[place]
        before = self._cycle[:place].count(kind)
        sources = self._sources[kind]
        return sources[(turn * self._cycle.count(kind) + before) % len(sources)]


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


_FULL_MANIFEST = """slide_id,patient_id,image,channels,annotation,label,mpp,split,site
s1,p1,a.ome.tif,SHG;TPEF;CARS,a.geojson,,0.25,train,Jena
s2,p2,b1.tif;b2.tif,"C,1;C2",,1,0.5,validation,"Jena, old"
s3,p3,../c.svs,,c.xml,0,,test,
"""
