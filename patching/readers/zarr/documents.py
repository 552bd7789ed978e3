"""What the documents of OME-Zarr 0.4 and 0.5 must hold; all else in them is passed over."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from patching.readers.zarr.files import ZarrFiles

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
    """One resolution."""

    path: str
    coordinateTransformations: tuple[Transformation, ...] = ()


class Multiscale(BaseModel):
    """One image in all its resolutions."""

    axes: tuple[Axis, ...]
    datasets: tuple[Dataset, ...]
    coordinateTransformations: tuple[Transformation, ...] = ()
    version: Any = None


class Channel(BaseModel):
    """What a viewer shows of a channel."""

    label: Any = ""
    color: Any = ""


class Omero(BaseModel):
    """What a viewer shows."""

    channels: tuple[Channel, ...] = ()


class Attributes(BaseModel):
    """What a group tells of its images."""

    multiscales: tuple[Multiscale, ...] = ()
    omero: Omero = Omero()
    version: Any = None


class Codec2(BaseModel):
    """A codec of zarr v2."""

    id: str


class Array2(BaseModel):
    """An array of zarr v2."""

    shape: tuple[_Length, ...]
    chunks: tuple[_Length, ...]
    dtype: str
    compressor: Codec2 | None = None
    filters: tuple[Codec2, ...] | None = None


class Inside(BaseModel):
    """Of a codec: those of a shard's chunks and of its index, and the chunks' shape."""

    chunk_shape: tuple[_Length, ...] = ()
    codecs: tuple["Codec3", ...] = ()
    index_codecs: tuple["Codec3", ...] = ()


class Codec3(BaseModel):
    """A codec of zarr v3."""

    name: str
    configuration: Inside | None = None


class Regular(BaseModel):
    """Chunks that are all alike."""

    chunk_shape: tuple[_Length, ...]


class Chunks3(BaseModel):
    """How an array of zarr v3 is cut."""

    configuration: Regular


class Array3(BaseModel):
    """An array of zarr v3."""

    shape: tuple[_Length, ...]
    chunk_grid: Chunks3
    data_type: str
    codecs: tuple[Codec3, ...]


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
