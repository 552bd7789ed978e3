"""JSON that tells whether it still is what was written: a checksum stands among its keys."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import google_crc32c

from patching.errors import ArtifactError

CHECKSUM = "checksum"


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping with the checksum of the rest as its last key.

    >>> sealed({"kept": 3})
    {'kept': 3, 'checksum': '6c3be77f'}

    Raises:
        ValueError: a figure is NaN or infinite, for which JSON has no word.
    """
    plain = {key: value for key, value in content.items() if key != CHECKSUM}
    return {**plain, CHECKSUM: checksum(_text(plain).encode())}


def unsealed(text: bytes, mapping: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> dict[str, Any]:
    """The content of JSON text, without its checksum, which earlier versions and other programs do not write.

    Args:
        text: of the file.
        mapping: makes mappings of what was parsed.

    Raises:
        ValueError: no JSON mapping, or another one than was written.
    """
    return opened(parsed(text, mapping))


def parsed(text: bytes, mapping: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> dict[str, Any]:
    """The content of JSON text with its checksum, which is still to be compared (`opened`).

    Raises:
        ValueError: no JSON mapping.
    """
    try:
        content = json.loads(text, object_hook=mapping)
    except RecursionError as error:
        raise ValueError(str(error)) from error
    if not isinstance(content, dict):
        raise ValueError(f"a {type(content).__name__} at the top, and no mapping")
    return content


def opened(content: dict[str, Any]) -> dict[str, Any]:
    """A parsed mapping without its checksum.

    Raises:
        ValueError: it is another one than was written.
    """
    told = content.pop(CHECKSUM, None)
    if told is not None and told != checksum(_text(content).encode()):
        raise ValueError("its checksum is of another content")
    return content


class HandOver(dict[str, Any]):
    """A mapping that a stage wrote, and of which a key that is missing is told with file and stage.

    Args:
        content: of the mapping.
        path: of the file.
        stage: that wrote it.
    """

    def __init__(self, content: Mapping[str, Any], path: str, stage: str) -> None:
        super().__init__(content)
        self._path, self._stage = path, stage

    def __missing__(self, key: str) -> NoReturn:
        raise damaged(self._path, self._stage, f"no {key!r} where one belongs")


def damaged(path: Path | str, stage: str, what: str) -> ArtifactError:
    """The error for an output of a stage that is not what the stage wrote.

    Args:
        path: of the file.
        stage: that wrote it, and writes it anew.
        what: was found.
    """
    return ArtifactError(
        has=f"{path}, which is damaged ({what})",
        needs="the file as it was written",
        do=f"run `evenpatch {stage}` again",
    )


def checksum(content: bytes) -> str:
    """CRC-32C: a flipped bit never gives the same one, other damage hardly ever."""
    return f"{google_crc32c.value(content):08x}"


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
