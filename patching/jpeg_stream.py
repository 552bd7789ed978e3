"""JPEG streams as TIFF stores them: tables apart, and the color spaces of both sides known from tags."""

import base64
from dataclasses import dataclass
from typing import Any, Self

import imagecodecs
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class JpegStream:
    """How the streams of one page decode to 8-bit RGB."""

    tables: bytes | None
    """Quantization and Huffman tables that the streams lack."""
    colorspace: int | str | None
    """Of the stream, where its own markers do not tell."""
    outcolorspace: int | str | None

    def decode(self, data: Any, out_HWC: NDArray[Any]) -> bool:
        """Decode into an array; False where the stream is damaged or holds another number of pixels."""
        try:
            imagecodecs.jpeg8_decode(
                data,
                tables=self.tables,
                colorspace=self.colorspace,
                outcolorspace=self.outcolorspace,
                out=out_HWC,
            )
        except (ValueError, imagecodecs.Jpeg8Error):
            return False
        return True

    def to_json(self) -> dict[str, Any]:
        """As a zarr codec's configuration."""
        tables = None if self.tables is None else base64.b64encode(self.tables).decode()
        return {"tables": tables, "colorspace": self.colorspace, "outcolorspace": self.outcolorspace}

    @classmethod
    def from_json(cls, configuration: dict[str, Any]) -> Self:
        """Back from a codec's configuration.

        Raises:
            ValueError: it is none.
        """
        if set(configuration) != {"tables", "colorspace", "outcolorspace"}:
            raise ValueError(f"not a configuration of {NAME}: {', '.join(configuration)}")
        tables, *spaces = (configuration[key] for key in ("tables", "colorspace", "outcolorspace"))
        if not isinstance(tables, str | None) or not all(
            isinstance(space, int | str | None) for space in spaces
        ):
            raise ValueError(f"not a configuration of {NAME}: {configuration}")
        return cls(None if tables is None else base64.b64decode(tables, validate=True), *spaces)


NAME = "evenpatch.jpeg"
"""Name of the zarr codec whose chunks are such streams."""
