"""XML of any viewer, read in one pass: few elements, and their points as arrays."""

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, iterparse
from numpy.typing import NDArray

from patching.annotations.base import checked_file, malformed
from patching.errors import AnnotationError
from patching.numbers import number

MAX_DEPTH = 64
MAX_ELEMENTS = 2**21
"""Elements other than points; an outline takes two or three."""
_HEAD = 256
_UTF16 = re.compile(rb"encoding\s*=\s*[\"']utf-?16", re.IGNORECASE)
_SHOWN = 40
_POINTS = frozenset({"Coordinate", "Vertex", "V"})
_UNREADABLE = (ParseError, DefusedXmlException, LookupError, ValueError, OSError)


@dataclass(frozen=True)
class XmlDocument:
    """An XML file without its points, which are arrays here.

    Args:
        root: the root element; tags have no namespace.
        points: element -> (order, x, y) of the points in it, [M, 3] in the file's sequence; order is
            NaN where the file gives none.
    """

    root: Element
    points: dict[Element, NDArray[np.float64]]

    def ring(self, parent: Element, container: str) -> NDArray[np.float64]:
        """Points [M, 2] (x, y) below `parent` in elements named `container`, sorted by their order."""
        parts = [self.points[child] for child in parent.findall(container) if child in self.points]
        point_M3 = np.concatenate([np.zeros((0, 3)), *parts])
        order_M = point_M3[:, 0]
        if not np.isnan(order_M).any():
            point_M3 = point_M3[np.argsort(order_M, kind="stable")]
        return point_M3[:, 1:]


def read_xml(path: Path) -> XmlDocument:
    """Parse a file; points are never held as elements, so that memory stays a few times its size.

    Raises:
        MissingFileError: no such file.
        AnnotationError: not XML, with a document type or entities, nested too deep, with too many
            elements, or with a point whose X or Y is not a number.
    """
    checked_file(path)
    points: dict[Element, array[float]] = {}
    parents: list[Element] = []
    root, elements = Element(""), 0
    for event, element in _events(path):
        if event == "start":
            element.tag = element.tag.rpartition("}")[2]
            root = element if not parents else root
            parents.append(element)
            elements += element.tag not in _POINTS
            if len(parents) > MAX_DEPTH or elements > MAX_ELEMENTS:
                raise malformed(path, f"more than {MAX_DEPTH} levels or {MAX_ELEMENTS} elements")
            continue
        parents.pop()
        if element.tag in _POINTS and parents:
            points.setdefault(parents[-1], array("d")).extend(_point(element, path))
            parents[-1].remove(element)
    return XmlDocument(root, {key: np.array(value).reshape(-1, 3) for key, value in points.items()})


def _events(path: Path) -> Iterator[tuple[str, Element]]:
    try:
        with path.open("rb") as stream:
            yield from iterparse(stream, events=("start", "end"), parser=_parser(path))
    except _UNREADABLE as error:  # of the parser: what its reader raises does not come by here
        raise AnnotationError(
            has=f"{path.name}, which is not plain XML or cannot be read: {type(error).__name__}: {error}",
            needs="well-formed XML without document type and entities",
            do="export the annotation again",
        ) from error


def _point(element: Element, path: Path) -> tuple[float, float, float]:
    order = element.get("Order")
    return (
        float("nan") if order is None else _number(order, path),
        _number(element.get("X", ""), path),
        _number(element.get("Y", ""), path),
    )


def _number(text: str, path: Path) -> float:
    """Some viewers write decimals as their computer's language does: 10,5."""
    if text.isascii() and text.replace(".", "", 1).isdigit():  # most are, and there may be millions
        return float(text)
    value = number(text)
    if value is None:
        raise malformed(path, f"a coordinate {text[:_SHOWN]!r}, which is not a number")
    return value


def _parser(path: Path) -> DefusedXMLParser:
    """A parser for the encoding that the file is in: .NET writes `utf-16` into XML that it saves as UTF-8."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    wrong = b"\0" not in head and _UTF16.search(head.partition(b"?>")[0])
    return DefusedXMLParser(encoding="utf-8" if wrong else None, forbid_dtd=True)
