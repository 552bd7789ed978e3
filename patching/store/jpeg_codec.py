"""A zarr v3 codec whose chunks are the slide's own JPEG streams, found by its entry point (`zarr.codecs`).

Only decoding exists: a pixel that was encoded again would not be the slide's pixel any more.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from zarr.abc.codec import ArrayBytesCodec

from patching.jpeg_stream import NAME, JpegStream


@dataclass(frozen=True)
class JpegCodec(ArrayBytesCodec):
    """From a JPEG stream to a chunk [1, H, W, 3] of uint8."""

    stream: JpegStream
    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """From the array's metadata."""
        return cls(JpegStream.from_json(data["configuration"]))

    def to_dict(self) -> dict[str, Any]:
        """For the array's metadata."""
        return {"name": NAME, "configuration": self.stream.to_json()}

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        patch_1HWC = np.empty(chunk_spec.shape, np.uint8)
        if not self.stream.decode(chunk_bytes.to_bytes(), patch_1HWC[0]):
            raise ValueError(f"a JPEG stream that is not of {chunk_spec.shape}")
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(patch_1HWC)

    async def _encode_single(self, chunk_array: Any, chunk_spec: Any) -> Any:
        raise NotImplementedError(f"{NAME} holds a slide's own streams: pixels cannot be written through it")

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Unknown, as for every compressor."""
        raise NotImplementedError
