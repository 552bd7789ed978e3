"""Requests that a served model must answer, and such as it must refuse."""

import base64
import io
import json
import struct
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from pipeline.tracking.cells import PatchForm, encode_patch

JSON = "application/json"
Request = tuple[str, bytes]
"""Content type and body of a POST to /invocations."""


def good(form: PatchForm, seed: int) -> Request:
    """One patch of noise, as .npy or as PNG where PNG can hold it, with a tissue fraction."""
    rng = np.random.default_rng(seed)
    patch_HWC = _noise(form, rng)
    png = seed % 2 == 1 and form.shape[-1] <= 4 and form.dtype in (np.uint8, np.uint16)
    cell = bytes(imagecodecs.png_encode(patch_HWC)) if png else encode_patch(patch_HWC)
    return _table([[_text(cell), float(rng.random())]])


def malformed(form: PatchForm, number: int, *, by_tissue: bool) -> tuple[str, Request]:
    """A request that is to be refused, of one of its kinds in turn; the same number gives the same bytes.

    Args:
        form: of the model's patches.
        number: of the request.
        by_tissue: whether the model's decision needs the tissue fraction.
    """
    kinds = _kinds(form, np.random.default_rng(number))
    if by_tissue:
        cell = _text(encode_patch(_noise(form, np.random.default_rng(number))))
        kinds += [("no tissue", _table([[cell]], ("patch",))), ("a null as tissue", _table([[cell, None]]))]
    return kinds[number % len(kinds)]


def _kinds(form: PatchForm, rng: np.random.Generator) -> list[tuple[str, Request]]:
    """By name, what makes a request that is none."""
    honest = _text(encode_patch(_noise(form, rng)))
    other_size, other_type = np.zeros((3, 5, 2), form.dtype), np.zeros(form.shape, np.int8)
    cells = {
        "a number as a patch": 7,
        "a null as a patch": None,
        "no base64": "***",
        "noise as a patch": _text(rng.bytes(200)),
        "a patch cut off": _text(_cut(form, rng)),
        "a damaged header": _text(_damaged(form, rng)),
        "a pickle": _text(_pickled()),
        "a bomb": _text(_bomb()),
        "another size": _text(encode_patch(other_size)),
        "another type": _text(encode_patch(other_type)),
    }
    return [
        ("no body", (JSON, b"")),
        ("no JSON", (JSON, b"{" + rng.bytes(40))),
        ("no object", (JSON, b"[1, 2]")),
        ("no known key", (JSON, b'{"patches": []}')),
        ("no table", (JSON, b'{"dataframe_split": 3}')),
        ("other columns", _table([[honest]], ("picture",))),
        ("a ragged table", _table([[honest], [honest, 0.3, 1]])),
        ("tissue beyond 1", _table([[honest, 1.5]])),
        ("tissue in words", _table([[honest, "much"]])),
        ("another content type", ("image/png", _bomb())),
        *((name, _table([[cell, 0.5]])) for name, cell in cells.items()),
    ]


def _noise(form: PatchForm, rng: np.random.Generator) -> NDArray[Any]:
    return (rng.random(form.shape) * 200).astype(form.dtype)


def _text(cell: bytes) -> str:
    return base64.b64encode(cell).decode()


def _table(rows: list[list[Any]], columns: tuple[str, ...] = ("patch", "tissue_fraction")) -> Request:
    return JSON, json.dumps({"dataframe_split": {"columns": columns, "data": rows}}).encode()


def _cut(form: PatchForm, rng: np.random.Generator) -> bytes:
    cell = encode_patch(_noise(form, rng))
    return cell[: int(rng.integers(1, len(cell)))]


def _damaged(form: PatchForm, rng: np.random.Generator) -> bytes:
    """A flipped header."""
    cell = bytearray(encode_patch(_noise(form, rng)))
    cell[10:40] = rng.bytes(30)
    return bytes(cell)


def _pickled() -> bytes:
    """A .npy file that holds a pickle."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def _bomb() -> bytes:
    """A PNG that promises 100,000 pixels a side."""
    cell = bytearray(imagecodecs.png_encode(np.zeros((8, 8, 3), np.uint8)))
    cell[16:24] = struct.pack(">II", 100_000, 100_000)
    return bytes(cell)
