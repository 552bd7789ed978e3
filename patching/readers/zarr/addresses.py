"""A store that sends what it was asked for, or is an error.

zarr-python takes what arrives: of a chunk of Blosc that is cut off it decodes the first part and leaves the
rest as the memory was, and of a shard's chunk that would lie behind the shard's end it makes fill.
"""

from aiohttp import ClientResponseError
from zarr.abc.store import ByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from patching.readers.zarr.files import is_refusal

_BLOSC_HEADER = 16
_BLOSC_LENGTH = slice(12, 16)


class WholeStore(WrapperStore[Store]):  # type: ignore[misc]  # zarr ships no types
    """Another store, whose answers are checked to be whole.

    Args:
        store: the other one.
        blosc: whether what is stored under a key of chunks is one buffer of Blosc, which tells its length.
    """

    def __init__(self, store: Store, *, blosc: bool) -> None:
        super().__init__(store)
        self._blosc = blosc

    def _with_store(self, store: Store) -> "WholeStore":
        return WholeStore(store, blosc=self._blosc)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """What is stored under a key, or a part of it; None where nothing is.

        Raises:
            ValueError: less, or more, than the part that was asked for.
        """
        try:
            found: Buffer | None = await self._store.get(key, prototype, byte_range)
        except (PermissionError, ClientResponseError) as error:
            # An array's attributes are looked for, and stores that must not be listed refuse what they lack.
            if is_refusal(error) and key.endswith(".zattrs"):
                return None
            raise
        if found is None:
            return None
        if isinstance(byte_range, RangeByteRequest):
            _require(key, len(found), byte_range.end - byte_range.start)
        elif isinstance(byte_range, SuffixByteRequest):
            _require(key, len(found), byte_range.suffix)
        elif self._blosc and byte_range is None and not _is_document(key):
            header = found[:_BLOSC_HEADER].to_bytes()
            _require(key, len(found), int.from_bytes(header[_BLOSC_LENGTH], "little"))
        return found


def _require(key: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise ValueError(f"{key}: {found} bytes instead of {wanted}")


def _is_document(key: str) -> bool:
    return key.rpartition("/")[2] in ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
