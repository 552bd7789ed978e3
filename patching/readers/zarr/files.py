"""The JSON documents of a zarr hierarchy, from a folder or from any address that fsspec knows."""

import json
import zlib
from copy import copy
from lzma import LZMAError
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
from aiohttp import ClientError, ClientResponseError
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from patching.damage import Foreign, in_words
from patching.errors import UnreadableSlideError

Source = Path | str
"""A file or folder, or an address such as s3://bucket/slide.ome.zarr."""
# Of what fsspec knows, only stores of files: others run commands on hosts, or unpack what they download.
_PROTOCOLS = ("file", "http", "https", "s3", "gs", "gcs", "az", "abfs", "memory")
_LARGEST_DOCUMENT = 16 * 2**20
_ABSENT = (404, 410)  # what an HTTP server answers for what it does not have
_REFUSED = (401, 403)
_NAMES = (".zgroup", ".zattrs", ".zarray", "zarr.json")


def is_url(source: Source) -> bool:
    """Whether this is an address instead of a path."""
    return isinstance(source, str) and "://" in source


def plain_address(source: Source) -> str:
    """An address without a slash at its end: stores would look for names after two."""
    return str(source).rstrip("/")


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


# Two decoders of chunks have errors that derive from no other.
fetched = Foreign(_unreachable, (ClientError, zlib.error, LZMAError))
"""For what reads from a folder or an address."""


class ZarrFiles:
    """Reads documents under one root.

    Raises:
        UnreadableSlideError: an address of another protocol or chained by `::`, or fsspec lacks its package.
    """

    def __init__(self, source: Source) -> None:
        self.source: object = source
        self.root: str
        """As fsspec names it."""
        _require_plain(source)
        distant = isinstance(source, str) and is_url(source)
        address = plain_address(source) if distant else str(Path(source).resolve())
        try:
            self._system, self.root = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError, OSError) as error:
            raise UnreadableSlideError(
                has=f"{source}: {error}",
                needs="an address that fsspec can open",
                do="install the package that the message names, or copy the slide to a folder",
            ) from error

    def inside(self, folder: str) -> "ZarrFiles":
        """The documents under a folder of this root."""
        self.require_inside(folder)
        files = copy(self)
        files.source, files.root = f"{self.source}/{folder}", f"{self.root}/{folder}"
        return files

    def require_inside(self, path: str) -> None:
        """Refuse a path that leads out of this root."""
        if ".." in path.split("/") or path.startswith("/") or "://" in path or "\\" in path:
            raise self.refusal(f"a path {path!r}, which leads outside of it")

    @property
    def folder(self) -> Path | None:
        """Where the root lies on this machine, None where it does elsewhere."""
        local = isinstance(self._system, LocalFileSystem)
        return Path(self.root) if local else None

    def has(self, name: str) -> bool:
        """Whether anything is stored under a name; False where the store refuses to tell.

        Raises:
            UnreadableSlideError: the connection fails.
        """
        try:
            return bool(fetched(f"{self.source}: {name}", self._system.exists, f"{self.root}/{name}"))
        except UnreadableSlideError as error:
            if is_refusal(error.__cause__):
                return False
            raise

    def text(self, name: str, *, optional: bool = False) -> bytes | None:
        """Content of a document, or None where there is none.

        Args:
            name: below the root.
            optional: None, too, where the store refuses it. Stores that must not be listed, as most public
                ones on S3, answer so for what they do not have.

        Raises:
            UnreadableSlideError: too large, refused, or the connection fails.
        """
        where = f"{self.source}: {name}"
        try:
            with fetched(where, self._system.open, f"{self.root}/{name}", "rb") as file:
                content: bytes = fetched(where, file.read, _LARGEST_DOCUMENT + 1)
        except UnreadableSlideError as error:
            cause = _answer(error.__cause__) or error.__cause__
            if _is_absence(cause) or (optional and self.folder is None and is_refusal(cause)):
                return None
            if isinstance(cause, ClientError):
                raise _unreachable(where, in_words(cause)) from error
            raise
        if len(content) > _LARGEST_DOCUMENT:
            raise self.refusal(f"{name} of more than {_LARGEST_DOCUMENT} bytes")
        return content

    def document(self, name: str, *, optional: bool = False) -> dict[str, Any] | None:
        """A document as JSON, or None where there is none; args as for `text`."""
        content = self.text(name, optional=optional)
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
        found = {name: self.text(name, optional=True) for name in names}
        return [name.encode() + b"\n" + content for name, content in found.items() if content is not None]

    def refusal(
        self, has: str, do: str = "copy it again from its source, or export it anew"
    ) -> UnreadableSlideError:
        """An error about this hierarchy's documents."""
        return UnreadableSlideError(
            has=f"{self.source}: {has}", needs="an OME-Zarr image as versions 0.1 to 0.5 describe it", do=do
        )


def _answer(cause: BaseException | None) -> ClientError | None:
    """What a server answered: fsspec calls a document absent that one refuses, or fails, to send."""
    answered = cause.__cause__ if isinstance(cause, FileNotFoundError) else None
    return answered if isinstance(answered, ClientError) else None


def _is_absence(cause: BaseException | None) -> bool:
    if isinstance(cause, ClientResponseError):
        return cause.status in _ABSENT
    return isinstance(cause, FileNotFoundError | NotADirectoryError)


def is_refusal(cause: BaseException | None) -> bool:
    """Whether a store must not tell what it has, or has not."""
    if isinstance(cause, ClientResponseError):
        return cause.status in _REFUSED
    return isinstance(cause, PermissionError)
