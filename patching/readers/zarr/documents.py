"""What the documents of OME-Zarr 0.1 to 0.5 must hold; all else in them is passed over."""

from typing import Annotated, Any, TypeVar

from pydantic import AliasPath, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from patching.readers.zarr.files import ZarrFiles

SHARDING = "sharding_indexed"
_Length = Annotated[int, Field(ge=0, lt=2**62)]
_Item = TypeVar("_Item")


def _listed(value: Any) -> Any:
    """Writers leave a list out, or write null."""
    return () if value is None else value


def _named(value: Any) -> Any:
    """Axes of version 0.3 are names."""
    return {"name": value} if isinstance(value, str) else value


_Many = Annotated[tuple[_Item, ...], BeforeValidator(_listed)]


class Axis(BaseModel):
    """An axis of the image."""

    name: Any = None
    type: Any = None
    unit: Any = None


class Transformation(BaseModel):
    """From an array's pixels to a physical place."""

    type: Any = None
    scale: Any = None
    translation: Any = None


class Dataset(BaseModel):
    """One resolution of an image."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    path: str
    transformations: _Many[Transformation] = Field((), alias="coordinateTransformations")


class Multiscale(BaseModel):
    """One image in all its resolutions."""

    axes: tuple[Annotated[Axis, BeforeValidator(_named)], ...] | None = None
    datasets: tuple[Dataset, ...]
    transformations: _Many[Transformation] = Field((), alias="coordinateTransformations")
    systems: Any = Field(None, alias="coordinateSystems")
    version: Any = None
    name: Any = None


class Attributes(BaseModel):
    """What a group tells of its images."""

    multiscales: tuple[Multiscale, ...]


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
    separator: Any = Field(None, alias="dimension_separator")

    def names(self) -> tuple[str, ...]:
        """Of all codecs, in the order in which pixels go through them."""
        return tuple(codec.id for codec in (*(self.filters or ()), self.compressor) if codec is not None)

    def outer(self) -> tuple[str, ...]:
        """Of the codecs of what is stored under one key."""
        return self.names()


class Array3(BaseModel):
    """An array of zarr v3."""

    shape: tuple[_Length, ...]
    chunk: tuple[_Length, ...] = Field(
        validation_alias=AliasPath("chunk_grid", "configuration", "chunk_shape")
    )
    data_type: str
    codecs: tuple[Codec, ...]
    dimension_names: Any = None
    encoding: Any = Field(None, validation_alias=AliasPath("chunk_key_encoding", "name"))
    separator: Any = Field(
        None, validation_alias=AliasPath("chunk_key_encoding", "configuration", "separator")
    )

    def names(self) -> tuple[str, ...]:
        """Of all codecs, those in shards too."""
        return tuple(name for codec in self.codecs for name in codec.names())

    def outer(self) -> tuple[str, ...]:
        """Of the codecs of what is stored under one key, without those in shards."""
        return tuple(codec.name for codec in self.codecs)


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
