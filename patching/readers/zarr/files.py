"""The JSON documents of a zarr hierarchy, from a folder or from any address that fsspec knows."""

import json
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
from aiohttp import ClientError

from patching.damage import Foreign
from patching.errors import UnreadableSlideError

Source = Path | str
"""A file or folder, or an address such as s3://bucket/slide.ome.zarr."""
# Of what fsspec knows, only stores of files: others run commands on hosts, or unpack what they download.
_PROTOCOLS = ("file", "http", "https", "s3", "gs", "gcs", "az", "abfs", "memory")
_LARGEST_DOCUMENT = 16 * 2**20
_NAMES = (".zgroup", ".zattrs", ".zarray", "zarr.json")


def is_url(source: Source) -> bool:
    """Whether this is an address instead of a path."""
    return isinstance(source, str) and "://" in source


def _require_plain(source: Source) -> None:
    if isinstance(source, str) and is_url(source):
        protocol = source.split("://")[0]
        if protocol not in _PROTOCOLS or "::" in source:
            raise UnreadableSlideError(
                has=f"{source}: {'chained addresses' if '::' in source else f'the protocol {protocol}'}",
                needs=f"one address of {', '.join(_PROTOCOLS)}",
                do="correct the column `image`, or copy the slide to a folder",
            )


def _unreachable(source: Source, what: str) -> UnreadableSlideError:
    return UnreadableSlideError(
        has=f"{source}: {what}",
        needs="a whole OME-Zarr image that can be reached",
        do="copy it again from its source, or try again",
    )


fetched = Foreign(_unreachable, (ClientError,))
"""For what reads from a folder or an address."""


class ZarrFiles:
    """Reads documents under one root.

    Raises:
        UnreadableSlideError: an address of another protocol or chained by `::`, or fsspec lacks its package.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        _require_plain(source)
        address = source if isinstance(source, str) and is_url(source) else str(Path(source).resolve())
        try:
            self._system, self._root = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError, OSError) as error:
            raise UnreadableSlideError(
                has=f"{source}: {error}",
                needs="an address that fsspec can open",
                do="install the package that the message names, or copy the slide to a folder",
            ) from error

    def text(self, name: str) -> bytes | None:
        """Content of a document, or None where there is none.

        Raises:
            UnreadableSlideError: too large, or the connection fails.
        """
        where = f"{self.source}: {name}"
        try:
            with fetched(where, self._system.open, f"{self._root}/{name}", "rb") as file:
                content: bytes = fetched(where, file.read, _LARGEST_DOCUMENT + 1)
        except UnreadableSlideError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                return None
            raise
        if len(content) > _LARGEST_DOCUMENT:
            raise self.refusal(f"{name} of more than {_LARGEST_DOCUMENT} bytes")
        return content

    def document(self, name: str) -> dict[str, Any] | None:
        """A document as JSON, or None where there is none."""
        content = self.text(name)
        if content is None:
            return None
        try:
            parsed = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self.refusal(f"{name}: {error}") from error
        if not isinstance(parsed, dict):
            raise self.refusal(f"{name}: {type(parsed).__name__} instead of an object")
        return parsed

    def documents(self, folders: list[str]) -> list[bytes]:
        """Contents of the documents that describe the root and its arrays, for a fingerprint."""
        names = [f"{folder}/{name}".lstrip("/") for folder in ["", *folders] for name in _NAMES]
        found = {name: self.text(name) for name in names}
        return [name.encode() + b"\n" + content for name, content in found.items() if content is not None]

    def refusal(self, has: str) -> UnreadableSlideError:
        """An error about this hierarchy's documents."""
        return UnreadableSlideError(
            has=f"{self.source}: {has}",
            needs="an OME-Zarr image of version 0.4 or 0.5",
            do="copy it again from its source, or export it anew",
        )
