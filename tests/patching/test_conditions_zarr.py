"""OME-Zarr as writers write it: old and mixed versions, odd documents, series, levels and chunks that lie."""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, ShardingCodec, TransposeCodec

from patching import Location, Mpp, Size, open_slide
from patching.digests import content_digests
from patching.errors import UnreadableSlideError
from patching.readers.base import AbstractSlide

FULL_CYX = np.random.default_rng(8).integers(1, 60_000, (3, 200, 300)).astype(np.uint16)
CYX = [
    {"name": "c", "type": "channel"},
    *({"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"),
]
Document = dict[str, Any]


def scaled(path: str, y: Any = 0.25, x: Any = 0.5, offset: Any = None) -> Document:
    """A level with a scale for channel, y and x."""
    steps: list[Document] = [{"type": "scale", "scale": [1, y, x]}]
    if offset is not None:
        steps.append({"type": "translation", "translation": [0, *offset]})
    return {"path": path, "coordinateTransformations": steps}


def image(**changes: Any) -> Document:
    """An image of one level, half a micrometre wide and a quarter high; `changes` go to its multiscale."""
    return {"version": "0.4", "axes": CYX, "datasets": [scaled("0")]} | changes


def store(
    path: Path,
    levels: list[NDArray[Any]],
    attributes: Document,
    zarr_format: int = 2,
    chunks: tuple[int, ...] = (2, 48, 64),
    **options: Any,
) -> Path:
    """A group of arrays 0, 1, ... with these attributes."""
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    for number, level in enumerate(levels):
        own = (1,) * (level.ndim - len(chunks)) + chunks[-level.ndim :]
        array = group.create_array(
            str(number), shape=level.shape, chunks=own, dtype=level.dtype, fill_value=0, **options
        )
        array[:] = level
    group.attrs.update(attributes)
    return path


def one(path: Path, zarr_format: int = 2, level: NDArray[Any] = FULL_CYX, **changes: Any) -> Path:
    """An image of one level."""
    return store(path, [level], {"multiscales": [image(**changes)]}, zarr_format)


def whole(slide: AbstractSlide, level: int = 0) -> NDArray[Any]:
    return slide.read_region(Location(0, 0), level, slide.levels[level].size)


def edit(path: Path, change: Callable[[Document], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def as_HWC(image_CYX: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(image_CYX, 0, -1)


# Versions and axes


@pytest.mark.parametrize("version", [None, "0.1", "0.4", 0.4, "0.5", "0.5-dev", "0.6.dev1", "1.0", "latest"])
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("under_ome", [False, True])
def test_an_image_is_known_by_its_structure_not_its_version(
    version: Any, zarr_format: int, under_ome: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    multiscale = image() | {"version": version}
    if version is None:
        del multiscale["version"]
    attributes: Document = {"multiscales": [multiscale]}
    path = store(
        tmp_path / "a.zarr", [FULL_CYX], {"ome": attributes} if under_ome else attributes, zarr_format
    )
    with open_slide(path) as slide:
        assert (slide.size, slide.mpp) == (Size(300, 200), Mpp(0.5, 0.25))
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))
    unknown = version in ("0.5-dev", "0.6.dev1", "1.0", "latest")
    assert (f"version {version} is not known" in caplog.text) == unknown


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        (None, (1, 3, 1, 200, 300)),
        (["t", "c", "z", "y", "x"], (1, 3, 1, 200, 300)),
        (["c", "y", "x"], (3, 200, 300)),
        (["C", "Y", "X"], (3, 200, 300)),
        (["channel", "y", "x"], (3, 200, 300)),
    ],
)
def test_axes_of_the_versions_before_types(axes: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    multiscale = {"version": "0.1" if axes is None else "0.3", "datasets": [{"path": "0"}]}
    multiscale |= {} if axes is None else {"axes": axes}
    path = store(tmp_path / "a.zarr", [FULL_CYX.reshape(shape)], {"multiscales": [multiscale]})
    with open_slide(path) as slide:
        assert (slide.size, slide.channels, slide.mpp) == (Size(300, 200), ("C0", "C1", "C2"), None)
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))


@pytest.mark.parametrize(
    "axes",
    [
        [
            {"name": "lambda", "type": "channel"},
            {"name": "y", "type": "space"},
            {"name": "x", "type": "space"},
        ],
        [
            {"name": "ch", "type": "Channel"},
            {"name": "row", "type": "space"},
            {"name": "column", "type": "space"},
        ],
        [{"name": "0", "type": "channel"}, {"name": "1", "type": "space"}, {"name": "2", "type": "space"}],
        [{"name": "Channel"}, {"name": "Y"}, {"name": "X"}],
        [{"name": "c", "type": None}, {"name": "y", "type": "space"}, {"name": "height", "type": "space"}],
    ],
)
def test_the_type_tells_what_an_axis_of_another_name_is(axes: Any, tmp_path: Path) -> None:
    with open_slide(one(tmp_path / "a.zarr", axes=axes)) as slide:
        assert slide.size == Size(300, 200)
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))


def test_the_order_of_axes_is_theirs_not_the_usual_one(tmp_path: Path) -> None:
    axes = [
        {"name": "x", "type": "space"},
        {"name": "wave", "type": "channel"},
        {"name": "y", "type": "space"},
    ]
    path = one(tmp_path / "a.zarr", level=FULL_CYX.transpose(2, 0, 1), axes=axes)
    with open_slide(path) as slide:
        assert slide.size == Size(300, 200)
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))


def test_a_stack_of_planes_whose_axis_has_another_name_needs_a_choice(tmp_path: Path) -> None:
    axes = [
        {"name": "depth", "type": "space"},
        {"name": "rows", "type": "space"},
        {"name": "columns", "type": "space"},
    ]
    path = one(tmp_path / "a.zarr", axes=axes)
    with pytest.raises(UnreadableSlideError, match=r"several planes along Z \(3\)"):
        open_slide(path)
    with open_slide(path, z=1) as slide:
        np.testing.assert_array_equal(whole(slide)[..., 0], FULL_CYX[1])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"axes": [{"name": "y", "type": "channel"}, *CYX[1:]]}, "one of both is wrong"),
        ({"axes": [{"name": "c", "type": "space"}, *CYX[1:]]}, "one of both is wrong"),
        (
            {"axes": [{"name": "c", "type": "channel"}, {"name": "d", "type": "channel"}, CYX[2]]},
            "without one Y",
        ),
        ({"axes": [CYX[1], CYX[1], CYX[2]]}, "doubled"),
        ({"axes": CYX[1:]}, r"axes YX for arrays of \[3\] dimensions"),
        ({"axes": [{"name": "angle", "type": "other"}, *CYX[1:]]}, "axes that have a meaning"),
    ],
)
def test_axes_that_contradict_themselves(changes: Document, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableSlideError, match=reason):
        open_slide(one(tmp_path / "a.zarr", **changes))


def test_axes_that_are_not_told_are_asked_for(tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr", [FULL_CYX], {"multiscales": [{"datasets": [{"path": "0"}]}]})
    with pytest.raises(UnreadableSlideError, match="in the column `axes`, for example CYX"):
        open_slide(path)
    with open_slide(path, axes="CYX") as slide:
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))
    flat = store(tmp_path / "b.zarr", [FULL_CYX[0]], {"multiscales": [{"datasets": [{"path": "0"}]}]})
    with open_slide(flat) as slide:
        np.testing.assert_array_equal(whole(slide)[..., 0], FULL_CYX[0])


def test_axes_that_only_later_versions_have_are_refused_not_guessed(tmp_path: Path) -> None:
    multiscale = {"coordinateSystems": [{"name": "physical", "axes": CYX}], "datasets": [{"path": "0"}]}
    path = store(tmp_path / "a.zarr", [FULL_CYX.reshape(1, 3, 1, 200, 300)], {"multiscales": [multiscale]})
    with pytest.raises(
        UnreadableSlideError, match=r"coordinateSystems[\s\S]*export it as version 0\.4 or 0\.5"
    ):
        open_slide(path)


def test_an_array_that_names_its_axes_in_another_order_is_refused(tmp_path: Path) -> None:
    path = one(tmp_path / "a.zarr", 3)
    edit(path / "0" / "zarr.json", lambda told: told.update(dimension_names=["y", "x", "c"]))
    with pytest.raises(UnreadableSlideError, match="axes CYX, which its array 0 calls YXC"):
        open_slide(path)
    edit(path / "0" / "zarr.json", lambda told: told.update(dimension_names=["c", "y", "x"]))
    open_slide(path).close()
    edit(path / "0" / "zarr.json", lambda told: told.update(dimension_names=[None, "y", "x"]))
    open_slide(path).close()


# Pixel size


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("micrometer", 1.0), ("Micrometer", 1.0), ("micrometre", 1.0), ("micron", 1.0), ("microns", 1.0),
        ("um", 1.0), ("\xb5m", 1.0), ("\u03bcm", 1.0), ("nanometer", 1e-3), ("nm", 1e-3), ("millimeter", 1e3),
        ("mm", 1e3),
        ("angstrom", 1e-4), ("meter", 1e6), (" micrometer ", 1.0),
    ],
)  # fmt: skip
def test_units_as_they_are_spelled(unit: str, factor: float, tmp_path: Path) -> None:
    axes = [CYX[0], *({"name": axis, "type": "space", "unit": unit} for axis in "yx")]
    with open_slide(one(tmp_path / "a.zarr", axes=axes)) as slide:
        assert slide.mpp is not None
        assert (slide.mpp.x, slide.mpp.y) == pytest.approx((0.5 * factor, 0.25 * factor))


def test_each_axis_has_a_unit_of_its_own(tmp_path: Path) -> None:
    axes = [CYX[0], CYX[1], {"name": "x", "type": "space", "unit": "nanometer"}]
    with open_slide(one(tmp_path / "a.zarr", axes=axes, datasets=[scaled("0", 0.25, "500")])) as slide:
        assert slide.mpp == Mpp(0.5, 0.25)


NO_UNIT = [CYX[0], {"name": "y", "type": "space"}, CYX[2]]


@pytest.mark.parametrize(
    "changes",
    [
        {"axes": NO_UNIT},
        {"axes": [CYX[0], CYX[1] | {"unit": None}, CYX[2]]},
        {"axes": [CYX[0], CYX[1] | {"unit": "pixel"}, CYX[2]]},
        {"axes": [CYX[0], CYX[1] | {"unit": 3}, CYX[2]]},
        {"axes": [CYX[0], CYX[1] | {"unit": "second"}, CYX[2]]},
        {"datasets": [{"path": "0"}]},
        {"datasets": [{"path": "0", "coordinateTransformations": None}]},
        {"datasets": [{"path": "0", "coordinateTransformations": []}]},
        {"datasets": [{"path": "0", "coordinateTransformations": [{"type": "identity"}]}]},
        {"datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "path": "scales"}]}]},
        {"datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.25, 0.5]}]}]},
        {"datasets": [{"path": "0", "coordinateTransformations": [{"type": "affine", "affine": [[1]]}]}]},
        {"datasets": [scaled("0", 0.0)]},
        {"datasets": [scaled("0", -0.25)]},
        {"datasets": [scaled("0", None)]},
        {"datasets": [scaled("0", float("nan"))]},
        {"datasets": [scaled("0", float("inf"))]},
        {"datasets": [scaled("0", "0.25 or so")]},
        {"datasets": [scaled("0", True)]},
    ],
)
def test_what_tells_no_length_is_no_pixel_size(
    changes: Document, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_slide(one(tmp_path / "a.zarr", **changes)) as slide:
        assert slide.mpp is None
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))
    assert "a.zarr: no pixel size" in caplog.text


@pytest.mark.parametrize(("y", "x"), [("0.25", "0.5"), ("0,25", "5e-1"), (".25", "0.5 ")])
def test_numbers_as_text(y: str, x: str, tmp_path: Path) -> None:
    with open_slide(one(tmp_path / "a.zarr", datasets=[scaled("0", y, x)])) as slide:
        assert slide.mpp == Mpp(0.5, 0.25)


def test_transformations_of_all_levels_come_on_top(tmp_path: Path) -> None:
    above = [
        {"type": "scale", "scale": [1, 0.5, 4]},
        {"type": "translation", "translation": [0, 900.0, -70.0]},
    ]
    levels = [FULL_CYX, FULL_CYX[:, ::2, ::2]]
    datasets = [scaled("0", 0.5, 0.125), scaled("1", 1.0, 0.25, (0.25, 0.0625))]
    multiscale = image(datasets=datasets, coordinateTransformations=above)
    with open_slide(store(tmp_path / "a.zarr", levels, {"multiscales": [multiscale]})) as slide:
        assert slide.mpp == Mpp(0.5, 0.25)
        assert len(slide.levels) == 2


# Levels


def pyramid(
    tmp_path: Path, second: Document, level: NDArray[Any] | None = None, first: Document | None = None
) -> Path:
    """Full resolution, and a second level, by default of each second pixel."""
    levels = [FULL_CYX, FULL_CYX[:, ::2, ::2] if level is None else level]
    multiscale = image(datasets=[scaled("0") if first is None else first, second])
    return store(tmp_path / "a.zarr", levels, {"multiscales": [multiscale]})


@pytest.mark.parametrize(
    "second",
    [
        {"path": "1"},
        scaled("1", 0.5, 1.0),
        scaled("1", 0.5, 1.0, (0, 0)),
        scaled("1", 0.5, 1.0, (0.125, 0.25)),
        scaled("1", 0.5, 1.0, (0.25, 0.5)),
        scaled("1", 0.501, 0.999),
        scaled("1", float("nan"), 1.0),
    ],
)
def test_levels_that_lie_where_their_shape_says(second: Document, tmp_path: Path) -> None:
    with open_slide(pyramid(tmp_path, second)) as slide:
        assert [level.downsample for level in slide.levels] == [1.0, 2.0]
        np.testing.assert_array_equal(whole(slide, 1), as_HWC(FULL_CYX[:, ::2, ::2]))


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (scaled("1", 0.25, 0.5), "said to be 1 times as large along X, not 2 times"),
        (scaled("1", 0.5, 0.5), "said to be 1 times as large along X, not 2 times"),
        (scaled("1", 1.0, 1.0), "said to be 4 times as large along Y, not 2 times"),
        (scaled("1", 0.5, 1.0, (0, 40.0)), "said to begin 79.5 pixels off along X"),
        (scaled("1", 0.5, 1.0, (-3.0, 0)), "said to begin -12.5 pixels off along Y"),
        (scaled("1", 0.5, 1.0, (0.75, 0)), "said to begin 2.5 pixels off along Y"),
    ],
)
def test_levels_whose_transformations_contradict_their_shape_are_left_out(
    second: Document, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_slide(pyramid(tmp_path, second)) as slide:
        assert [level.downsample for level in slide.levels] == [1.0]
    assert "level 1 is left out" in caplog.text
    assert reason in caplog.text


def test_levels_of_a_slide_on_a_stage_lie_beside_each_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A translation to the stage's place counts where all levels have it, and moves a level that lacks it."""
    at_stage = scaled("0", 0.25, 0.5, (10_000, -7000))
    with open_slide(
        pyramid(tmp_path, scaled("1", 0.5, 1.0, (10_000.125, -6999.75)), first=at_stage)
    ) as slide:
        assert len(slide.levels) == 2
    shutil.rmtree(tmp_path / "a.zarr")
    with open_slide(pyramid(tmp_path, scaled("1", 0.5, 1.0), first=at_stage)) as slide:
        assert len(slide.levels) == 1
    assert "said to begin" in caplog.text


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_the_finest_level_is_level_0_wherever_it_stands(
    order: tuple[int, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    levels = [FULL_CYX[:, :: 2**number, :: 2**number] for number in order]
    datasets = [scaled(str(at), 0.25 * 2**number, 0.5 * 2**number) for at, number in enumerate(order)]
    path = store(tmp_path / "a.zarr", levels, {"multiscales": [image(datasets=datasets)]})
    with open_slide(path) as slide:
        assert (slide.size, slide.mpp) == (Size(300, 200), Mpp(0.5, 0.25))
        assert [level.downsample for level in slide.levels] == [1.0, 2.0, 4.0]
        for number in range(3):
            np.testing.assert_array_equal(
                whole(slide, number), as_HWC(FULL_CYX[:, :: 2**number, :: 2**number])
            )
    assert f"the finest level is not the first, but {order.index(0)}" in caplog.text


@pytest.mark.parametrize(
    ("level", "reason"),
    [
        (FULL_CYX[:, ::2, ::2].astype(np.uint8), "pixels of uint8, not uint16"),
        (FULL_CYX[:2, ::2, ::2], "2 planes along C, not 3"),
        (FULL_CYX[:, ::2, :], "300 x 100 pixels are not 300 x 200"),
        (FULL_CYX[:, :, ::3], "100 x 200 pixels are not 300 x 200"),
    ],
)
def test_levels_of_another_kind_are_left_out_and_told(
    level: NDArray[Any], reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_slide(pyramid(tmp_path, {"path": "1"}, level)) as slide:
        assert len(slide.levels) == 1
    assert reason in caplog.text


# Channels


@pytest.mark.parametrize(
    "omero",
    [
        None,
        3,
        {},
        {"channels": None},
        {"channels": "RGB"},
        {"channels": [None, None, None]},
        {"channels": [{"label": None, "color": None}] * 3},
        {"channels": [{"window": {"min": None, "max": float("nan")}, "active": None}] * 3},
        {"channels": [{"label": "CARS"}]},
        {"channels": [{"label": "CARS"}] * 3},
    ],
)
def test_what_viewers_are_told_may_be_anything(omero: Any, tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr", [FULL_CYX], {"multiscales": [image()], "omero": omero})
    with open_slide(path) as slide:
        assert (slide.channels, slide.kind) == (("C0", "C1", "C2"), "intensity")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("labels", [("Red", "Green", "Blue"), ("R", "G", "B"), (" red", "green ", "BLUE")])
def test_colors_by_name_are_transmitted_light(dtype: str, labels: tuple[str, ...], tmp_path: Path) -> None:
    omero = {"channels": [{"label": label} for label in labels]}
    path = store(tmp_path / "a.zarr", [FULL_CYX.astype(dtype)], {"multiscales": [image()], "omero": omero})
    with open_slide(path) as slide:
        assert (slide.channels, slide.brightfield) == (("R", "G", "B"), True)
        assert slide.background == np.iinfo(dtype).max


@pytest.mark.parametrize(
    ("dtype", "colors", "kind"),
    [
        ("uint8", ("FF0000", "00ff00", "0000FF"), "brightfield"),
        ("uint8", ("#FF0000", "#00FF00", "#0000FF"), "brightfield"),
        ("uint16", ("FF0000", "00FF00", "0000FF"), "intensity"),
        ("uint8", ("0000FF", "00FF00", "FF0000"), "intensity"),
    ],
)
def test_colors_alone_are_a_guess_that_is_told(
    dtype: str, colors: tuple[str, ...], kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Converters draw any three channels without colors in red, green and blue."""
    omero = {"channels": [{"label": f"Channel {n}", "color": color} for n, color in enumerate(colors)]}
    path = store(tmp_path / "a.zarr", [FULL_CYX.astype(dtype)], {"multiscales": [image()], "omero": omero})
    with open_slide(path) as slide:
        assert slide.kind == kind
    told = {"brightfield": "taken for transmitted light", "intensity": "taken for intensities"}[kind]
    assert told in caplog.text
    with open_slide(path, kind="brightfield") as slide:
        assert (slide.channels, slide.kind) == (("R", "G", "B"), "brightfield")


@pytest.mark.parametrize(
    ("dtype", "labels", "told"),
    [
        ("uint8", None, True),
        ("uint8", ("0", "1", "2"), True),
        ("float32", ("Red", "Green", "Blue"), True),
        ("uint16", None, False),
        ("uint8", ("SHG", "TPEF", "CARS"), False),
        ("uint8", ("Red", "Green", "Blue"), False),
    ],
)
def test_three_channels_that_may_be_colors_and_are_taken_for_signals_are_told(
    dtype: str, labels: tuple[str, ...] | None, told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    omero = {"omero": {"channels": [{"label": label} for label in labels]}} if labels else {}
    path = store(tmp_path / "a.zarr", [FULL_CYX.astype(dtype)], {"multiscales": [image()]} | omero)
    with open_slide(path) as slide:
        assert slide.brightfield == (labels == ("Red", "Green", "Blue") and dtype == "uint8")
    assert ("taken for intensities" in caplog.text) == told


# Several images

OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
LABEL_CYX, MACRO_CYX = FULL_CYX[:, :40, :60], FULL_CYX[:, :90, :50]


def container(
    path: Path, zarr_format: int, paths: list[str], described: bool = True, listed: bool = True
) -> Path:
    """As bioformats2raw writes a slide: here its label comes first, then the slide, then a macro picture."""
    at_root: Document = {"bioformats2raw.layout": 3}
    of_ome: Document = {"series": paths} if listed else {}
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    ome = root.create_group("OME")
    if zarr_format == 3:
        at_root, of_ome = {"ome": at_root | {"version": "0.5"}}, {"ome": of_ome | {"version": "0.5"}}
    root.attrs.update(at_root)
    ome.attrs.update(of_ome)
    images = [LABEL_CYX, FULL_CYX, MACRO_CYX]
    for name, level in zip(paths, images, strict=True):
        own = {"multiscales": [{"axes": [{"name": axis} for axis in "cyx"], "datasets": [{"path": "0"}]}]}
        store(
            path / name, [level], {"ome": own | {"version": "0.5"}} if zarr_format == 3 else own, zarr_format
        )
    if described:
        told = "".join(
            f'<Image Name="{name}"><Pixels SizeX="{level.shape[2]}" SizeY="{level.shape[1]}" PhysicalSizeX='
            f'"{x}" PhysicalSizeY="{y}" PhysicalSizeYUnit="nm">'
            + "".join(f'<Channel Name="{channel}"/>' for channel in channels)
            + "</Pixels></Image>"
            for name, level, x, y, channels in (
                ("label image", images[0], 9, 9000, ("Red", "Green", "Blue")),
                ("the slide", images[1], 0.5, 250, ("CARS", "TPEF", "SHG")),
                ("macro image", images[2], 20, 20_000, ("Red", "Green", "Blue")),
            )
        )
        (path / "OME" / "METADATA.ome.xml").write_text(f'<OME xmlns="{OME}">{told}</OME>')
    return path


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("paths", [["0", "1", "2"], ["2", "0", "1"], ["pictures/label", "b", "c"]])
def test_the_largest_image_of_a_container_is_the_slide(
    zarr_format: int, paths: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = container(tmp_path / "a.zarr", zarr_format, paths)
    with open_slide(path) as slide:
        assert (slide.size, slide.mpp) == (Size(300, 200), Mpp(0.5, 0.25))
        assert (slide.channels, slide.kind) == (("CARS", "TPEF", "SHG"), "intensity")
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))
    assert (
        "3 images; number 1 (the slide) is read, of 0 (label image), 1 (the slide), 2 (macro image)"
        in caplog.text
    )


@pytest.mark.parametrize(
    ("series", "expected_CYX"),
    [
        (0, LABEL_CYX),
        ("label image", LABEL_CYX),
        (2, MACRO_CYX),
        ("macro image", MACRO_CYX),
        ("x/1", FULL_CYX),
    ],
)
def test_an_image_of_a_container_by_its_number_name_or_path(
    series: Any, expected_CYX: NDArray[Any], tmp_path: Path
) -> None:
    with open_slide(container(tmp_path / "a.zarr", 2, ["x/0", "x/1", "x/2"]), series=series) as slide:
        np.testing.assert_array_equal(whole(slide), as_HWC(expected_CYX))


@pytest.mark.parametrize("series", [3, 17, -1, "overview"])
def test_an_image_that_is_not_there_is_refused(series: Any, tmp_path: Path) -> None:
    with pytest.raises(
        UnreadableSlideError, match=r"3 images, 0 \(label image\), 1 \(the slide\).*`series` asks for"
    ):
        open_slide(container(tmp_path / "a.zarr", 2, ["0", "1", "2"]), series=series)
    with pytest.raises(UnreadableSlideError, match=r"1 image, 0 \(\), where `series` asks for"):
        open_slide(one(tmp_path / "b.zarr"), series=series)


@pytest.mark.parametrize(("described", "listed"), [(True, False), (False, True), (False, False)])
def test_images_of_a_container_that_tells_less(described: bool, listed: bool, tmp_path: Path) -> None:
    path = container(tmp_path / "a.zarr", 2, ["0", "1", "2"], described, listed)
    with open_slide(path) as slide:
        assert slide.size == Size(300, 200)
        assert slide.mpp == (Mpp(0.5, 0.25) if described else None)
        assert slide.channels == (("CARS", "TPEF", "SHG") if described else ("C0", "C1", "C2"))


def test_a_description_of_other_images_tells_nothing(tmp_path: Path) -> None:
    """OME-XML whose image has another size, and OME-XML of another number of images."""
    path = container(tmp_path / "a.zarr", 2, ["0", "1", "2"])
    xml = path / "OME" / "METADATA.ome.xml"
    text = xml.read_text()
    xml.write_text(text.replace('SizeX="300"', 'SizeX="301"'))
    with open_slide(path) as slide:
        assert (slide.size, slide.mpp) == (Size(300, 200), None)
    xml.write_text(
        text.replace("<Image", "<Image Name=''/><Image", 1).replace("<Image Name=''/>", "<Image/>", 1)
    )
    with open_slide(path) as slide:
        assert (slide.mpp, slide.channels) == (None, ("C0", "C1", "C2"))
    xml.write_text('<!DOCTYPE a [<!ENTITY b "c">]><OME/>')
    with pytest.raises(UnreadableSlideError, match=r"METADATA\.ome\.xml"):
        open_slide(path)


def test_the_first_of_several_multiscales_is_the_image(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As the specification says; they lie in one group, so that none is a label of a slide."""
    levels = [LABEL_CYX, FULL_CYX]
    multiscales = [image(name="small"), image(name="large", datasets=[scaled("1", 1.0, 2.0)])]
    path = store(tmp_path / "a.zarr", levels, {"multiscales": multiscales})
    with open_slide(path) as slide:
        assert (slide.size, slide.mpp) == (Size(60, 40), Mpp(0.5, 0.25))
    assert "2 images; number 0 (small) is read, of 0 (small), 1 (large)" in caplog.text
    for series in (1, "large"):
        with open_slide(path, series=series) as slide:
            assert (slide.size, slide.mpp) == (Size(300, 200), Mpp(2.0, 1.0))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_other_groups_are_refused_with_the_way_to_an_image(zarr_format: int, tmp_path: Path) -> None:
    def group(attributes: Document) -> Path:
        told = {"ome": attributes | {"version": "0.5"}} if zarr_format == 3 else attributes
        return store(tmp_path / "a.zarr", [], told, zarr_format)

    for attributes, example in [
        ({"plate": {"wells": [{"path": "B/3"}, {"path": "C/1"}]}}, r"slide\.ome\.zarr/B/3/0"),
        ({"bioformats2raw.layout": 3, "plate": {"wells": [{"path": "B/3"}]}}, r"slide\.ome\.zarr/B/3/0"),
        ({"well": {"images": [{"path": "7"}]}}, r"slide\.ome\.zarr/7"),
        ({"plate": None}, r"slide\.ome\.zarr/0"),
        ({"labels": ["nuclei"]}, "without `multiscales`, but with `labels`"),
        ({"multiscales": [image()], "image-label": {"version": "0.4"}}, "a label image"),
    ]:
        with pytest.raises(UnreadableSlideError, match=example):
            open_slide(group(attributes))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_level_by_itself_is_no_image(zarr_format: int, tmp_path: Path) -> None:
    with pytest.raises(UnreadableSlideError, match="name the folder that it lies in"):
        open_slide(one(tmp_path / "a.zarr", zarr_format) / "0")


@pytest.mark.parametrize("series", [["../b"], ["/etc"], [3], "0", [["0"]]])
def test_series_that_lead_elsewhere_are_refused(series: Any, tmp_path: Path) -> None:
    path = container(tmp_path / "a.zarr", 2, ["0", "1", "2"], described=False)
    edit(path / "OME" / ".zattrs", lambda told: told.update(series=series))
    with pytest.raises(UnreadableSlideError, match=r"outside of it|other than paths"):
        open_slide(path)


def test_further_images_in_a_group_of_a_container_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = container(tmp_path / "a.zarr", 2, ["0", "1", "2"])
    edit(path / "1" / ".zattrs", lambda told: told["multiscales"].append(told["multiscales"][0]))
    with open_slide(path) as slide:
        assert slide.size == Size(300, 200)
    assert "a.zarr/1: 1 more images in its group are left out" in caplog.text


# Documents


@pytest.mark.parametrize(
    "ome", [{}, {"version": "0.5"}, {"version": "0.5", "multiscales": []}, {"omero": {"channels": []}}]
)
def test_an_image_beside_an_empty_ome_is_found(ome: Document, tmp_path: Path) -> None:
    path = one(tmp_path / "a.zarr", 3)
    edit(path / "zarr.json", lambda told: told["attributes"].update(ome=ome))
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_slash_at_the_end_of_an_address_means_nothing(zarr_format: int, tmp_path: Path) -> None:
    path = one(tmp_path / "a.zarr", zarr_format)
    memory = f"memory://slash-{zarr_format}.zarr"
    store(memory, [FULL_CYX], {"multiscales": [image()]}, zarr_format)  # type: ignore[arg-type]
    for address in (f"file://{path}/", f"{memory}/", f"{memory}//"):
        with open_slide(address) as slide:
            np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))


@pytest.mark.parametrize("last", ["Alpha", "a", "alpha "])
def test_transparency_is_no_signal(last: str, tmp_path: Path) -> None:
    omero = {"channels": [{"label": label} for label in ("Red", "Green", "Blue", last)]}
    level = np.concatenate([FULL_CYX, FULL_CYX[:1]]).astype(np.uint8)
    path = store(tmp_path / "a.zarr", [level], {"multiscales": [image()], "omero": omero})
    with pytest.raises(UnreadableSlideError, match="transparency, no signal"):
        open_slide(path)


@pytest.mark.parametrize("fill", ["0", [0], 1.5])
def test_what_only_lax_readers_read_says_what_to_correct(fill: Any, tmp_path: Path) -> None:
    path = one(tmp_path / "a.zarr")
    edit(path / "0" / ".zarray", lambda told: told.update(fill_value=fill))
    with pytest.raises(UnreadableSlideError, match=r"fill_value[\s\S]*correct in the array's document"):
        open_slide(path)


def test_pixels_in_another_order_or_with_other_bytes(tmp_path: Path) -> None:
    told: Document = {"multiscales": [image()]}
    for number, (zarr_format, options) in enumerate(
        [
            (2, {"order": "F"}),
            (3, {"filters": [TransposeCodec(order=(2, 0, 1))]}),
            (3, {"serializer": BytesCodec(endian="big")}),
            (3, {"filters": [TransposeCodec(order=(1, 2, 0))], "shards": (2, 96, 128)}),
        ]
    ):
        path = store(tmp_path / f"{number}.zarr", [FULL_CYX], told, zarr_format, **options)
        for address in (path, f"file://{path}"):
            with open_slide(address) as slide:
                np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (".zattrs", {"multiscales": [image(name=None, type=None, metadata=None)]}),
        (".zattrs", {"multiscales": [image()], "omero": {"rdefs": None, "version": float("nan")}}),
        (".zattrs", {"multiscales": [image(coordinateTransformations=None)]}),
        (".zattrs", {"multiscales": [image(datasets=[scaled("0") | {"path": 0}])]}),
        ("0/.zarray", {"fill_value": None}),
        ("0/.zarray", {"filters": []}),
        ("0/.zarray", {"dimension_separator": "."}),
    ],
)
def test_documents_that_are_odd_but_right(name: str, change: Document, tmp_path: Path) -> None:
    path = one(tmp_path / "a.zarr")
    edit(path / name, lambda told: told.update(change))
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))


def test_a_group_may_lack_its_own_document(tmp_path: Path) -> None:
    path = one(tmp_path / "a.zarr")
    (path / ".zgroup").unlink()
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))


def test_consolidated_documents_that_are_stale_do_not_count(tmp_path: Path) -> None:
    path = one(tmp_path / "a.zarr")
    edit(path / ".zattrs", lambda told: told["multiscales"][0].update(datasets=[scaled("0", 9.0, 9.0)]))
    zarr.consolidate_metadata(path)
    edit(path / ".zattrs", lambda told: told["multiscales"][0].update(datasets=[scaled("0")]))
    with open_slide(path) as slide:
        assert slide.mpp == Mpp(0.5, 0.25)


def test_a_byte_order_mark_before_a_document_is_passed_over(tmp_path: Path) -> None:
    path = one(tmp_path / "a.zarr")
    (path / ".zattrs").write_bytes(b"\xef\xbb\xbf" + (path / ".zattrs").read_bytes())
    with open_slide(path) as slide:
        assert slide.mpp == Mpp(0.5, 0.25)


@pytest.mark.parametrize("codec", ["lz4", "lzma", "zlib", "bz2", "zstd", "gzip", "blosc"])
def test_every_codec_that_is_listed_is_read(codec: str, tmp_path: Path) -> None:
    compressors = numcodecs.get_codec({"id": codec})
    path = store(tmp_path / "a.zarr", [FULL_CYX], {"multiscales": [image()]}, compressors=compressors)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"compressor": {"id": "imagecodecs_jpeg2k"}},
            r"codec imagecodecs_jpeg2k[\s\S]*export it with one of",
        ),
        ({"dtype": "<M8[ns]"}, "pixels of type"),
        ({"dtype": "|b1"}, "pixels of type"),
        ({"dtype": "<c8"}, "pixels of type"),
        ({"dtype": "bfloat16"}, "pixels of type bfloat16"),
        ({"dimension_separator": "-"}, "the separator '-'"),
    ],
)
def test_arrays_that_cannot_be_read_are_not_called_damaged(
    change: Document, reason: str, tmp_path: Path
) -> None:
    path = one(tmp_path / "a.zarr")
    edit(path / "0" / ".zarray", lambda told: told.update(change))
    with pytest.raises(UnreadableSlideError, match=reason):
        open_slide(path)


# Chunks


@pytest.mark.parametrize(
    ("zarr_format", "encoding"),
    [
        (2, {"name": "v2", "separator": "."}),
        (2, {"name": "v2", "separator": "/"}),
        (3, {"name": "default", "separator": "/"}),
        (3, {"name": "default", "separator": "."}),
        (3, {"name": "v2", "separator": "."}),
        (3, {"name": "v2", "separator": "/"}),
    ],
)
def test_chunks_are_found_however_they_are_called(zarr_format: int, encoding: Any, tmp_path: Path) -> None:
    levels, told = [FULL_CYX], {"multiscales": [image()]}
    path = store(tmp_path / "a.zarr", levels, told, zarr_format, chunk_key_encoding=encoding)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))


def say_dots(told: Document) -> None:
    told.pop("dimension_separator", None)


def say_slashes(told: Document) -> None:
    told["dimension_separator"] = "/"


def say_v2(told: Document) -> None:
    told["chunk_key_encoding"] = {"name": "v2", "configuration": {"separator": "/"}}


def say_c_dots(told: Document) -> None:
    told["chunk_key_encoding"] = {"name": "default", "configuration": {"separator": "."}}


@pytest.mark.parametrize(
    ("zarr_format", "separator", "lie"),
    [(2, "/", say_dots), (2, ".", say_slashes), (3, "/", say_v2), (3, "/", say_c_dots)],
)
@pytest.mark.parametrize("partly", [False, True])
def test_chunks_under_other_names_than_said_are_an_error(
    zarr_format: int, separator: str, lie: Callable[[Document], None], partly: bool, tmp_path: Path
) -> None:
    """Else all, or some, of the image would be taken for missing."""
    encoding: Any = {"name": "v2" if zarr_format == 2 else "default", "separator": separator}
    levels, told = [FULL_CYX], {"multiscales": [image()]}
    path = store(tmp_path / "a.zarr", levels, told, zarr_format, chunk_key_encoding=encoding)
    edit(path / "0" / (".zarray" if zarr_format == 2 else "zarr.json"), lie)
    if partly:
        zarr.open_array(path / "0", mode="r+")[:, :48, :64] = 7
    with pytest.raises(UnreadableSlideError, match=r"chunks called as .* would be taken for missing"):
        open_slide(path)


@pytest.mark.parametrize("name", ["suffix", "", 3, ["default"], {}])
def test_keys_of_an_unknown_encoding_are_refused(name: Any, tmp_path: Path) -> None:
    path = one(tmp_path / "a.zarr", 3)
    edit(path / "0" / "zarr.json", lambda told: told.update(chunk_key_encoding={"name": name}))
    with pytest.raises(UnreadableSlideError, match="keys of the encoding"):
        open_slide(path)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("fill", ["NaN", "Infinity", -7.5, 0.0])
def test_no_fill_value_is_a_pixel(zarr_format: int, fill: Any, tmp_path: Path) -> None:
    """Whatever it is, a chunk that is not stored holds background and is not covered."""
    level_CYX = FULL_CYX.astype(np.float32) / 7
    path = one(tmp_path / "a.zarr", zarr_format, level_CYX)
    edit(
        path / "0" / (".zarray" if zarr_format == 2 else "zarr.json"),
        lambda told: told.update(fill_value=fill),
    )
    for name in ("0.1.2", "1.1.2") if zarr_format == 2 else ("c/0/1/2", "c/1/1/2"):
        (path / "0" / name).unlink()
    expected_HW = np.ones((200, 300), bool)
    expected_HW[48:96, 128:192] = False
    for address in (path, f"file://{path}"):
        covered_HW = np.zeros((200, 300), bool)
        with open_slide(address) as slide:
            region_HWC = slide.read_region(Location(0, 0), 0, slide.size, covered=covered_HW)
        np.testing.assert_array_equal(covered_HW, expected_HW)
        np.testing.assert_array_equal(region_HWC, as_HWC(level_CYX) * expected_HW[..., None])


def test_a_coarse_level_without_a_chunk_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = pyramid(tmp_path, scaled("1", 0.5, 1.0))
    for chunk in (path / "1").glob("[0-9]*"):
        chunk.unlink()
    with open_slide(path) as slide:
        assert len(slide.levels) == 1
    assert "level 1 is left out: not one chunk of it is stored" in caplog.text


@pytest.mark.parametrize("gone", [["2.1.2"], ["0.1.2", "1.1.2", "2.1.2"]])
def test_chunks_of_some_channels_that_are_not_stored_are_told(
    gone: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The place is not covered, as where none is stored; but a writer may have left zeros out."""
    path = store(tmp_path / "a.zarr", [FULL_CYX], {"multiscales": [image()]}, chunks=(1, 48, 64))
    for name in gone:
        (path / "0" / name).unlink()
    expected_HW = np.ones((200, 300), bool)
    expected_HW[48:96, 128:192] = False
    covered_HW = np.zeros((200, 300), bool)
    with open_slide(path) as slide:
        for _ in range(2):
            slide.read_region(Location(0, 0), 0, slide.size, covered=covered_HW)
    np.testing.assert_array_equal(covered_HW, expected_HW)
    assert caplog.text.count("chunks of some channels are not stored") == (1 if len(gone) == 1 else 0)


def test_an_array_without_a_chunk_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = one(tmp_path / "a.zarr")
    for chunk in (path / "0").glob("[0-9]*"):
        chunk.unlink()
    open_slide(path).close()
    assert "not one chunk of 0 is stored" in caplog.text


@pytest.mark.parametrize("instead", ["folder", "link"])
@pytest.mark.parametrize(
    ("zarr_format", "shards", "name"),
    [(2, None, "0.1.2"), (3, None, "c/0/1/2"), (3, (2, 96, 128), "c/0/0/1")],
)
def test_a_chunk_that_is_there_and_cannot_be_read_is_no_absence(
    zarr_format: int, shards: Any, name: str, instead: str, tmp_path: Path
) -> None:
    """As links to an annex, or to a disk, that was not copied along."""
    told: Document = {"multiscales": [image()]}
    path = store(tmp_path / "a.zarr", [FULL_CYX], told, zarr_format, shards=shards)
    chunk = path / "0" / name
    content = chunk.read_bytes()
    chunk.unlink()
    place = Location(140, 50)
    with open_slide(path) as slide:
        slide.read_region(place, 0, Size(20, 20))
    if instead == "folder":
        chunk.mkdir()
    else:
        chunk.symlink_to(tmp_path / "annex")
    with (
        open_slide(path) as slide,
        pytest.raises(UnreadableSlideError, match="no file, but a folder or a link"),
    ):
        slide.read_region(place, 0, Size(20, 20))
    if instead == "link":
        (tmp_path / "annex").write_bytes(content)
        with open_slide(path) as slide:
            np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["0/0.0.0", "0", ".zattrs"])
def test_what_must_not_be_read_is_no_absence(name: str, tmp_path: Path) -> None:
    path = one(tmp_path / "a.zarr")
    (path / name).chmod(0)
    with pytest.raises(UnreadableSlideError, match=r"[Pp]ermission"), open_slide(path) as slide:
        whole(slide)


# Addresses


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """A server of a folder: its address, and what to answer for a path instead of the file."""
    answers: dict[str, int] = {}

    class Moody(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def send_head(self) -> Any:
            if self.path in answers:
                self.send_error(answers[self.path])
                return None
            return super().send_head()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Moody, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", answers
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
@pytest.mark.parametrize("name", [".zattrs", "0/.zarray", "0/0.1.1"])
def test_what_a_server_refuses_is_no_absence(
    status: int, name: str, served: tuple[str, dict[str, int]], tmp_path: Path
) -> None:
    address, answers = served
    one(tmp_path / "a.zarr")
    with open_slide(f"{address}/a.zarr") as slide:
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))
    answers[f"/a.zarr/{name}"] = status
    with pytest.raises(UnreadableSlideError, match=str(status)), open_slide(f"{address}/a.zarr") as slide:
        whole(slide)


@pytest.mark.parametrize(
    ("zarr_format", "separator", "lie"), [(2, "/", say_dots), (2, ".", say_slashes), (3, "/", say_c_dots)]
)
def test_chunks_under_other_names_are_an_error_at_an_address_too(
    zarr_format: int,
    separator: str,
    lie: Callable[[Document], None],
    served: tuple[str, dict[str, int]],
    tmp_path: Path,
) -> None:
    """Though it cannot be listed."""
    address, _ = served
    encoding: Any = {"name": "v2" if zarr_format == 2 else "default", "separator": separator}
    levels, told = [FULL_CYX], {"multiscales": [image()]}
    path = store(tmp_path / "a.zarr", levels, told, zarr_format, chunk_key_encoding=encoding)
    open_slide(f"{address}/a.zarr").close()
    edit(path / "0" / (".zarray" if zarr_format == 2 else "zarr.json"), lie)
    with pytest.raises(UnreadableSlideError, match=r"chunks called as .* would be taken for missing"):
        open_slide(f"{address}/a.zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_store_that_refuses_what_it_has_not_is_read(
    zarr_format: int, served: tuple[str, dict[str, int]], tmp_path: Path
) -> None:
    """As public buckets that must not be listed; a chunk that is refused stays an error."""
    address, answers = served
    path = container(tmp_path / "a.zarr", zarr_format, ["0", "1", "2"], listed=False)
    shutil.rmtree(path / "OME")
    there = {f"/{file.relative_to(tmp_path)}" for file in path.rglob("*") if file.is_file()}
    names = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
    folders = ["", "OME/", *(f"{number}/{inside}" for number in range(4) for inside in ("", "0/"))]
    wanted = {f"/a.zarr/{folder}{name}" for folder in folders for name in (*names, "METADATA.ome.xml")}
    answers |= dict.fromkeys(wanted - there, 403)
    with open_slide(f"{address}/a.zarr") as slide:
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))
    assert content_digests(f"{address}/a.zarr") == content_digests(f"file://{path}")
    answers["/a.zarr/1/0/" + ("0.1.1" if zarr_format == 2 else "c/0/1/1")] = 403
    with open_slide(f"{address}/a.zarr") as slide, pytest.raises(UnreadableSlideError, match="403"):
        whole(slide)


def test_what_a_server_has_not_is_an_absence(served: tuple[str, dict[str, int]], tmp_path: Path) -> None:
    address, answers = served
    path = one(tmp_path / "a.zarr")
    (path / ".zgroup").unlink()
    answers["/a.zarr/zarr.json"] = 410
    with open_slide(f"{address}/a.zarr") as slide:
        assert slide.mpp == Mpp(0.5, 0.25)


@pytest.mark.parametrize("codec", ["blosc", "zlib", "lzma", "zstd", "none"])
@pytest.mark.parametrize("kept", [0.0, 0.4, 0.97])
def test_chunks_that_are_cut_off_are_an_error_at_an_address_too(
    codec: str, kept: float, tmp_path: Path
) -> None:
    compressors = (
        None
        if codec == "none"
        else numcodecs.get_codec({"id": codec, "clevel": 1} if codec == "blosc" else {"id": codec})
    )
    path = store(tmp_path / "a.zarr", [FULL_CYX], {"multiscales": [image()]}, compressors=compressors)
    with open_slide(f"file://{path}") as slide:
        np.testing.assert_array_equal(whole(slide), as_HWC(FULL_CYX))
    chunk = path / "0" / "0.0.0"
    content = chunk.read_bytes()
    chunk.write_bytes(content[: int(len(content) * kept)])
    for address in (path, f"file://{path}"):
        with pytest.raises(UnreadableSlideError, match=r"a\.zarr"), open_slide(address) as slide:
            whole(slide)


@pytest.mark.parametrize("damage", ["cut", "empty", "beyond"])
def test_shards_that_are_damaged_are_an_error_at_an_address_too(damage: str, tmp_path: Path) -> None:
    inside = ShardingCodec(chunk_shape=(1, 50, 50), codecs=(BytesCodec(),), index_codecs=(BytesCodec(),))
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    array = group.create_array(
        "0", shape=(3, 200, 300), chunks=(3, 200, 300), dtype="uint16", serializer=inside, compressors=None
    )
    array[:] = FULL_CYX
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image()]}
    shard = tmp_path / "a.zarr" / "0" / "c" / "0" / "0" / "0"
    content, entries = shard.read_bytes(), 3 * 4 * 6
    first = len(content) - 16 * entries
    beyond = (10**7).to_bytes(8, "little") + content[first + 8 :]
    shard.write_bytes(
        {"cut": content[: len(content) // 2], "empty": b"", "beyond": content[:first] + beyond}[damage]
    )
    for address in (tmp_path / "a.zarr", f"file://{tmp_path}/a.zarr"):
        with pytest.raises(UnreadableSlideError, match=r"a\.zarr"), open_slide(address) as slide:
            slide.read_region(Location(0, 0), 0, Size(50, 50))


def test_an_address_is_known_by_all_that_describes_its_images(tmp_path: Path) -> None:
    path = container(tmp_path / "a.zarr", 2, ["0", "1", "2"])
    before = content_digests(f"file://{path}")
    edit(path / "2" / ".zattrs", lambda told: told.update(added=1))
    after = content_digests(f"file://{path}")
    edit(path / "1" / "0" / ".zarray", lambda told: told.update(fill_value=9))
    assert len({*before, *after, *content_digests(f"file://{path}")}) == 3
