"""What every HTML page of evenpatch shares: escaping templates, and pictures that lie in the page itself."""

import base64
import hashlib
import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from patching.resample import shrunk
from pipeline.files import NOT_ESTIMABLE
from pipeline.look.numbers import exact, plain
from pipeline.look.uris import data_uri
from pipeline.look.words import WORDS


def make_environment(*rooms: str) -> Environment:
    """Templates of a package and those that all pages share: escaped, and an unknown name is an error.

    Args:
        rooms: packages with a folder `templates` of their own, as `pipeline.report`.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(room) for room in (*rooms, "pipeline.look")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"NOT_ESTIMABLE": NOT_ESTIMABLE, "WORDS": WORDS}
    environment.filters |= {"coded": coded, "plain": plain, "exact": exact}
    environment.tests["nan"] = lambda value: value is None or math.isnan(value)
    return environment


def coded(sentence: str) -> Markup:
    """A sentence, escaped, whose parts in backticks are set as code.

    >>> coded("run `a < b` now")
    Markup('run <code>a &lt; b</code> now')
    """
    marks = (Markup("{}"), Markup("<code>{}</code>"))
    return Markup("").join(marks[place % 2].format(part) for place, part in enumerate(sentence.split("`")))


@dataclass(frozen=True)
class Script:
    """A script of a page: its text, and the digest by which the page's policy lets it, and no other, run."""

    text: Markup
    digest: str


def script(name: str, room: str = "pipeline.look") -> Script:
    """A script of ours among a room's templates."""
    text = files(room).joinpath(f"templates/{name}").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Script(Markup(text), digest)  # noqa: S704


def jpeg_uri(image_HWC: NDArray[np.uint8], quality: int = 85) -> Markup:
    """An 8-bit RGB picture as a JPEG data URI."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image_HWC, cv2.COLOR_RGB2BGR), options)
    return data_uri("jpeg", encoded.tobytes())


def small_picture(path: Path, side: int, quality: int = 80) -> Markup:
    """An RGB picture in a JPEG file as a data URI of at most `side` pixels a side."""
    image_HWC = np.asarray(imagecodecs.jpeg8_decode(path.read_bytes()), np.uint8)
    return jpeg_uri(shrunk(image_HWC[..., :3], side), quality)
