"""What the documents of OME-Zarr 0.4 and 0.5 must hold; all else in them is passed over."""

from typing import Annotated, Any, TypeVar

from pydantic import AliasPath, BaseModel, Field, ValidationError

from patching.readers.zarr.files import ZarrFiles

SHARDING = "sharding_indexed"
_Length = Annotated[int, Field(ge=0, lt=2**62)]


class Axis(BaseModel):
    """An axis of the image."""

    name: Any
    unit: Any = ""


class Transformation(BaseModel):
    """From an array's pixels to a physical place."""

    type: Any = None
    scale: tuple[float, ...] = ()


class Dataset(BaseModel):
    """One resolution of an image."""

    path: str
    transformations: tuple[Transformation, ...] = Field((), alias="coordinateTransformations")


class Multiscale(BaseModel):
    """One image in all its resolutions."""

    axes: tuple[Axis, ...]
    datasets: tuple[Dataset, ...]
    transformations: tuple[Transformation, ...] = Field((), alias="coordinateTransformations")
    version: Any = None


class Channel(BaseModel):
    """What a viewer shows of a channel."""

    label: Any = ""
    color: Any = ""


class Attributes(BaseModel):
    """What a group tells of its images."""

    multiscales: tuple[Multiscale, ...]
    channels: tuple[Channel, ...] = Field((), validation_alias=AliasPath("omero", "channels"))


class Codec(BaseModel):
    """A codec; of one that makes shards, the chunks inside, their codecs and those of the index."""

    name: str
    chunk_shape: tuple[_Length, ...] = Field((), validation_alias=AliasPath("configuration", "chunk_shape"))
    codecs: tuple["Codec", ...] = Field((), validation_alias=AliasPath("configuration", "codecs"))
    index_codecs: tuple["Codec", ...] = Field((), validation_alias=AliasPath("configuration", "index_codecs"))

    def names(self) -> tuple[str, ...]:
        """Its own, and where it makes shards those of all codecs inside, at any depth."""
        inside = (*self.codecs, *self.index_codecs) if self.name == SHARDING else ()
        return (self.name, *(name for codec in inside for name in codec.names()))


class OldCodec(BaseModel):
    """A codec of zarr v2."""

    id: str


class Array2(BaseModel):
    """An array of zarr v2."""

    shape: tuple[_Length, ...]
    chunk: tuple[_Length, ...] = Field(alias="chunks")
    data_type: str = Field(alias="dtype")
    compressor: OldCodec | None = None
    filters: tuple[OldCodec, ...] | None = None

    def names(self) -> tuple[str, ...]:
        """Of all codecs."""
        return tuple(codec.id for codec in (self.compressor, *(self.filters or ())) if codec is not None)


class Array3(BaseModel):
    """An array of zarr v3."""

    shape: tuple[_Length, ...]
    chunk: tuple[_Length, ...] = Field(
        validation_alias=AliasPath("chunk_grid", "configuration", "chunk_shape")
    )
    data_type: str
    codecs: tuple[Codec, ...]

    def names(self) -> tuple[str, ...]:
        """Of all codecs."""
        return tuple(name for codec in self.codecs for name in codec.names())


_Kind = TypeVar("_Kind", bound=BaseModel)


def parsed(files: ZarrFiles, kind: type[_Kind], content: object) -> _Kind:
    """A document, checked.

    Raises:
        UnreadableSlideError: it does not hold what it must.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise files.refusal(f"malformed documents: {error}") from error
