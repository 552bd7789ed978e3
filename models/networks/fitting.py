"""How a slide must be read for a model to see what it was trained on: pure arithmetic on its card."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.networks.card import ModelCard, Range
from patching.errors import ChannelError, CheckpointError, MissingMppError, SlideError
from patching.geometry import Mpp
from patching.grid import PatchSpec
from patching.readers.base import AbstractSlide
from patching.readers.naming import called_rgb
from patching.survey.settings import SurveySettings

_UNKNOWN = "the model was trained without pixel sizes: nobody knows whether this slide's resolution is right"


@dataclass(frozen=True)
class FittedSpec:
    """The patch spec for one slide, and what is to be told of it."""

    spec: PatchSpec
    warnings: tuple[str, ...] = ()


def trained_spec(card: ModelCard, overlap: float | None = None) -> PatchSpec:
    """The patch spec of the training, with another overlap where one is given."""
    trained = PatchSpec.model_validate(card.patch)
    if overlap is None:
        return trained
    return PatchSpec.model_validate(trained.model_dump() | {"stride": None, "overlap": overlap})


def fitted_spec(trained: PatchSpec, seen: Range | None, mpp: Mpp | None) -> FittedSpec:
    """The patch spec that gives a slide's patches a resolution the model was trained on.

    A spec in µm is taken as it is. One in level-0 pixels is, where what it comes to lies within the range of
    the training (and the spec's tolerance); else patches are resampled to the nearer end of that range.

    Example: trained at `downsample=2` on slides of 0.24 to 0.25 µm, which makes 0.48 to 0.50 µm a pixel. A
    slide of 0.245 µm is read at `downsample=2`, one of 0.12 µm at `mpp=0.48`, one of 0.46 µm at `mpp=0.5`.

    Args:
        trained: the training's spec.
        seen: µm per pixel of the training's patches; None where no slide told its pixel size.
        mpp: the slide's pixel size at level 0.

    Raises:
        MissingMppError: the model knows µm, and the slide does not.
        SlideError: the slide is coarser than all that the model was trained on.
    """
    if trained.mpp is None and seen is None:
        return FittedSpec(trained, (_UNKNOWN,))
    if mpp is None:
        raise MissingMppError(
            has="a slide without pixel size",
            needs=f"its µm per pixel at level 0: the model was trained at {_told(trained, seen)}",
            do="give `--mpp`, or fill the column `mpp` of slides.csv",
        )
    spec = trained if trained.mpp is not None or seen is None else _within(trained, seen, mpp)
    if spec.mpp is not None and mpp.mean > spec.mpp * (1 + spec.tolerance):
        raise SlideError(
            has=f"a slide of {mpp.mean:.4g} µm per pixel",
            needs=f"{spec.mpp:.4g} or less, which the model was trained at: up-sampling is refused",
            do="scan it finer, take a model of this resolution, or give `--mpp` where the file errs",
        )
    # In µm the spec itself refuses them.
    skewed = spec.mpp is None and not mpp.square
    return FittedSpec(spec, (f"pixels are not square: {mpp.x:.4g} x {mpp.y:.4g} µm",) if skewed else ())


def _within(trained: PatchSpec, seen: Range, mpp: Mpp) -> PatchSpec:
    """The spec itself, or one in µm at the nearer end of the range."""
    reached = mpp.mean * (trained.downsample or 1.0)
    low, high = seen.low * (1 - trained.tolerance), seen.high * (1 + trained.tolerance)
    if low <= reached <= high:
        return trained
    nearest = seen.low if reached < low else seen.high
    return PatchSpec.model_validate(trained.model_dump() | {"downsample": None, "mpp": nearest})


def _told(trained: PatchSpec, seen: Range | None) -> str:
    if seen is None:
        return f"{trained.mpp:.4g}"
    return f"{seen.low:.4g}" if seen.low == seen.high else f"{seen.low:.4g} to {seen.high:.4g}"


def channel_order(wanted: Sequence[str], found: Sequence[str]) -> tuple[int, ...]:
    """Number of the slide's channel for each of the model's.

    Names must be the same; red, green and blue may be words or letters.

    Example: of ("CARS", "SHG"), a slide of ("SHG", "DAPI", "CARS") gives (2, 0).

    Raises:
        ChannelError: the slide lacks one.
    """
    if called_rgb(wanted) and called_rgb(found):
        return (0, 1, 2)
    if missing := [name for name in wanted if name not in found]:
        raise ChannelError(
            has=f"the channels {', '.join(found)}",
            needs=f"{', '.join(missing)}: the model was trained on {', '.join(wanted)}",
            do="name the slide's channels in their order with `--channels`, or in the column `channels` of "
            "slides.csv",
        )
    return tuple(list(found).index(name) for name in wanted)


def require_kind(card: ModelCard, slide: AbstractSlide) -> None:
    """Check that the slide's pixels are of the model's kind.

    Raises:
        ChannelError: transmitted light where the model knows intensities, or the other way round; or another
            type of numbers.
    """
    kinds = ("intensities, such as fluorescence", "red, green and blue of transmitted light")
    if slide.brightfield != card.brightfield:
        raise ChannelError(
            has=f"{slide}: {kinds[slide.brightfield]}",
            needs=f"{kinds[card.brightfield]}, which the model was trained on",
            do="declare it if the slide is of that kind (`--kind`, or the column `kind` of a slides.csv), or "
            "take a model of this kind of slides; docs/readers.md says how files are understood",
        )
    if str(slide.dtype) != card.dtype:
        raise ChannelError(
            has=f"{slide}: pixels in {slide.dtype}",
            needs=f"{card.dtype}, which the model was trained on",
            do=f"export the slide in {card.dtype} with the intensities of the training's slides; to stretch "
            "them to the other type's range would change what the model sees",
        )


def survey_settings(card: ModelCard, spec: PatchSpec) -> SurveySettings:
    """How the training's slides were surveyed, with a slide's own spec.

    Raises:
        CheckpointError: the model was trained on images that were imported.
    """
    if card.tissue is None:
        raise CheckpointError(
            has="a model trained on imported images, which tell nothing of tissue and grid",
            needs="a model trained on slides",
            do="train on slides, or serve this model for patches (docs/serving.md)",
        )
    settings: dict[str, Any] = card.tissue.settings
    return SurveySettings(
        patch=spec,
        tissue=settings,
        mask_pixels_per_patch=card.tissue.mask_pixels_per_patch,
        minimum_tissue_fraction=card.tissue.minimum_fraction,
        minimum_covered_fraction=card.tissue.minimum_covered_fraction,
    )
