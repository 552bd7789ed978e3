"""A slide is read as the model was trained, or not at all."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.networks.card import Range
from models.networks.fitting import channel_order, fitted_spec, survey_settings, trained_spec
from patching.errors import ChannelError, CheckpointError, MissingMppError, SlideError
from patching.geometry import Level, Mpp, Size
from patching.grid import PatchSpec, resolve
from tests.pipeline.deployment.specimens import model_card

SEEN = Range(low=0.48, high=0.5)
SPEC = PatchSpec(size=32, downsample=2.0, edge="pad")


def square(mpp: float) -> Mpp:
    return Mpp(mpp, mpp)


def test_a_slide_within_the_range_is_read_as_trained() -> None:
    for mpp in (0.24, 0.245, 0.25, 0.2475 * 0.9625, 0.2524):
        assert fitted_spec(SPEC, SEEN, square(mpp)).spec is SPEC


def test_a_finer_one_is_resampled_to_the_nearest_end_and_a_coarser_one_too() -> None:
    fine = fitted_spec(SPEC, SEEN, square(0.12)).spec
    assert (fine.mpp, fine.downsample, fine.edge) == (0.48, None, "pad")
    coarse = fitted_spec(SPEC, SEEN, square(0.46)).spec
    assert (coarse.mpp, coarse.downsample) == (0.5, None)


def test_one_that_would_have_to_be_enlarged_is_refused() -> None:
    with pytest.raises(SlideError, match=r"0\.6 µm(.|\n)*0\.5 or less"):
        fitted_spec(SPEC, SEEN, square(0.6))
    with pytest.raises(SlideError, match="up-sampling"):
        fitted_spec(PatchSpec(size=32, mpp=1.0), None, square(1.02))


def test_pixels_that_are_not_square_are_told_where_the_spec_takes_them() -> None:
    fitted = fitted_spec(SPEC, SEEN, Mpp(0.22, 0.27))
    assert fitted.spec is SPEC
    assert fitted.warnings == ("pixels are not square: 0.22 x 0.27 µm",)
    assert fitted_spec(SPEC, SEEN, square(0.245)).warnings == ()


def test_without_a_pixel_size_it_is_refused_unless_the_training_had_none() -> None:
    for spec, seen in ((SPEC, SEEN), (PatchSpec(size=32, mpp=1.0), None)):
        with pytest.raises(MissingMppError, match="--mpp"):
            fitted_spec(spec, seen, None)
    for mpp in (None, square(0.3)):
        fitted = fitted_spec(SPEC, None, mpp)
        assert fitted.spec is SPEC
        assert "nobody knows" in fitted.warnings[0]


@given(
    st.floats(0.05, 3),
    st.floats(0.1, 2),
    st.floats(1, 1.5),
    st.floats(1, 8),
    st.sampled_from([1.0, 2.0, 4.0]),
)
def test_patches_always_come_to_a_resolution_of_the_training(
    mpp: float, low: float, spread: float, downsample: float, step: float
) -> None:
    """On a pyramid, within the tolerance and half a pixel of the level a side; and never enlarged."""
    seen, spec = Range(low=low, high=low * spread), PatchSpec(size=64, downsample=downsample)
    try:
        fitted = fitted_spec(spec, seen, square(mpp)).spec
    except SlideError:
        assert mpp > seen.high
        return
    levels = [Level(Size(4000, 3000), 1.0), Level(Size(round(4000 / step), round(3000 / step)), step)]
    assume(fitted.size * (fitted.mpp or 1) / mpp < 8000)
    sampling = resolve(fitted, levels, square(mpp))
    reached = mpp * sampling.downsample
    slack = 1 + spec.tolerance + 1 / sampling.read
    assert seen.low / slack <= reached <= seen.high * slack
    assert sampling.read >= fitted.size


def test_channels_are_found_by_name() -> None:
    assert channel_order(("CARS", "SHG"), ("SHG", "DAPI", "CARS")) == (2, 0)
    assert channel_order(("R", "G", "B"), ("Red", "green", "B")) == (0, 1, 2)
    with pytest.raises(ChannelError, match="needs: TPEF"):
        channel_order(("CARS", "TPEF", "SHG"), ("C0", "CARS", "SHG"))


def test_another_overlap_replaces_the_step_of_the_training() -> None:
    card = model_card(patch={"size": 32, "mpp": 1.0, "stride": 24})
    assert trained_spec(card).step == 24
    assert trained_spec(card, overlap=0.75).step == 8
    assert trained_spec(card, overlap=0.0).step == 32


def test_a_model_of_imported_images_knows_no_slides() -> None:
    with pytest.raises(CheckpointError, match="imported images"):
        survey_settings(model_card(tissue=None), SPEC)
