"""OME-Zarr 0.4 and 0.5, whatever the order of the axes, in a folder or at an address."""

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from patching import Location, Mpp, Size, open_slide
from patching.errors import MissingFileError, UnreadableSlideError
from patching.readers.registry import reader_for
from patching.readers.zarr.files import ZarrFiles

EXTENT = {"T": 2, "Z": 3, "C": 4, "Y": 200, "X": 300}
CHUNK = {"T": 1, "Z": 2, "C": 3, "Y": 48, "X": 64}
ORDERS = ["TCZYX", "CYX", "YX", "YXC", "ZXY", "XCYZT"]


def levels_of(axes: str, dtype: str, count: int = 2) -> list[NDArray[Any]]:
    full = np.random.default_rng(5).integers(0, 250, [EXTENT[axis] for axis in axes]).astype(dtype)
    steps = [
        [slice(None, None, 2**level if axis in "YX" else None) for axis in axes] for level in range(count)
    ]
    return [full[tuple(step)] for step in steps]


def write(
    path: Any,
    axes: str,
    levels: list[NDArray[Any]],
    zarr_format: int = 3,
    shards: bool = True,
    **changes: Any,
) -> Any:
    """An OME-Zarr of 0.5 µm per pixel along X and 0.25 along Y; `changes` go to the image's attributes."""
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    unit = {"X": "micrometer", "Y": "nanometer", "Z": "micrometer", "T": "second"}
    kind = {"C": "channel", "T": "time"}
    described = [
        {"name": axis.lower(), "type": kind.get(axis, "space")}
        | ({"unit": unit[axis]} if axis in unit else {})
        for axis in axes
    ]
    datasets = []
    for number, level in enumerate(levels):
        chunks = tuple(min(CHUNK[axis], side) for axis, side in zip(axes, level.shape, strict=True))
        options: dict[str, Any] = (
            {"shards": tuple(2 * side for side in chunks)} if zarr_format == 3 and shards else {}
        )
        array = group.create_array(
            str(number), shape=level.shape, chunks=chunks, dtype=level.dtype, **options
        )
        array[:] = level
        scale = [{"X": 0.5, "Y": 250.0}.get(axis, 1.0) * 2**number for axis in axes]
        datasets.append(
            {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        )
    image: dict[str, Any] = {"multiscales": [{"axes": described, "datasets": datasets}]}
    if zarr_format == 3:
        group.attrs["ome"] = image | {"version": "0.5"} | changes
    else:
        image["multiscales"][0]["version"] = "0.4"
        group.attrs.update(image | changes)
    return path


def as_TZYXC(image: NDArray[Any], axes: str) -> NDArray[Any]:
    missing = [axis for axis in "TZYXC" if axis not in axes]
    full = image.reshape(*image.shape, *[1] * len(missing))
    return full.transpose([[*axes, *missing].index(axis) for axis in "TZYXC"])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("axes", ORDERS)
def test_any_order_of_axes(axes: str, zarr_format: int, tmp_path: Path) -> None:
    levels = levels_of(axes, "uint16")
    path = write(tmp_path / "slide.ome.zarr", axes, levels, zarr_format)
    assert reader_for(path) == "zarr"
    choice = {name: 1 for name in "zt" if name.upper() in axes}
    with open_slide(path, **choice) as slide:
        assert (slide.size, slide.mpp, slide.dtype) == (Size(300, 200), Mpp(0.5, 0.25), np.uint16)
        assert slide.channels == tuple(f"C{channel}" for channel in range(4 if "C" in axes else 1))
        assert not slide.brightfield
        for number, level in enumerate(levels):
            image_TZYXC = as_TZYXC(level, axes)
            expected_HWC = image_TZYXC[choice.get("t", 0), choice.get("z", 0)]
            whole_HWC = slide.read_region(Location(0, 0), number, Size(*expected_HWC.shape[1::-1]))
            np.testing.assert_array_equal(whole_HWC, expected_HWC)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", ">u2"])
@pytest.mark.parametrize("how", ["max", "mean"])
def test_projections(how: str, dtype: str, tmp_path: Path) -> None:
    [level] = levels_of("TCZYX", dtype, 1)
    path = write(tmp_path / "slide.zarr", "TCZYX", [level], 2)
    with open_slide(path, z=how, t=1) as slide:
        region_HWC = slide.read_region(Location(250, 150), 0, Size(50, 50))
        assert slide.dtype.isnative
    stack_ZYXC = as_TZYXC(level, "TCZYX")[1]
    expected_HWC = stack_ZYXC.max(axis=0) if how == "max" else stack_ZYXC.astype(np.float64).mean(axis=0)
    if how == "mean" and dtype != "float32":
        expected_HWC = np.rint(expected_HWC)
    np.testing.assert_array_equal(region_HWC, expected_HWC[150:, 250:].astype(region_HWC.dtype))


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[NDArray[Any]]]:
    levels = levels_of("CYX", "uint16")
    return write(tmp_path_factory.mktemp("zarr") / "slide.zarr", "CYX", levels), levels


@given(
    left=st.integers(-80, 320),
    top=st.integers(-80, 220),
    width=st.integers(1, 200),
    height=st.integers(1, 150),
    level=st.integers(0, 1),
)
@settings(max_examples=40, deadline=None)
def test_regions(pyramid: Any, left: int, top: int, width: int, height: int, level: int) -> None:
    path, levels = pyramid
    with open_slide(path) as slide:
        region_HWC = slide.read_region(Location(left << level, top << level), level, Size(width, height))
    padded_CHW = np.pad(levels[level], ((0, 0), (600, 600), (600, 600)))
    expected_CHW = padded_CHW[:, top + 600 : top + 600 + height, left + 600 : left + 600 + width]
    np.testing.assert_array_equal(region_HWC, np.moveaxis(expected_CHW, 0, -1))


def test_each_chunk_is_decoded_once(pyramid: Any) -> None:
    path, _ = pyramid
    with open_slide(path) as slide:
        places = np.array([(x, y) for y in (0, 20, 40, 90) for x in (0, 40, 80)])
        slide.expect(0, places, Size(70, 60))
        for x, y in places.tolist():
            slide.read_region(Location(x, y), 0, Size(70, 60))
        # 4 rows by 3 columns of chunks, for channels 0 to 2 and for channel 3.
        assert slide.segments_decoded == 4 * 3 * 2


RGB_COLORS = ("FF0000", "00FF00", "0000FF")


@pytest.mark.parametrize(
    ("labels", "colors", "dtype", "brightfield"),
    [
        (("Red", "Green", "Blue"), ("", "", ""), "uint8", True),
        (("r", "g", "b"), ("", "", ""), "uint16", True),
        (("Red", "Green", "Blue"), ("", "", ""), "float32", False),
        (("Channel 0", "Channel 1", "Channel 2"), RGB_COLORS, "uint16", False),
        (("Channel 0", "Channel 1", "Channel 2"), RGB_COLORS, "uint8", True),
        (("", "", ""), RGB_COLORS, "uint8", True),
        (("mCherry", "GFP", "DAPI"), RGB_COLORS, "uint8", False),
        (("0", "1", "2"), RGB_COLORS[::-1], "uint8", False),
    ],
)
def test_brightfield(
    labels: tuple[str, ...], colors: tuple[str, ...], dtype: str, brightfield: bool, tmp_path: Path
) -> None:
    channels = [{"label": label, "color": color} for label, color in zip(labels, colors, strict=True)]
    level = np.zeros((3, 200, 300), dtype)
    path = write(tmp_path / "slide.zarr", "CYX", [level], omero={"channels": channels})
    with open_slide(path) as slide:
        assert slide.brightfield == brightfield
        if labels[0] == "mCherry":
            assert slide.channels == labels


def test_a_pyramid_along_z_keeps_the_levels_that_fit(tmp_path: Path) -> None:
    levels = [np.zeros((4, 200, 300), np.uint8), np.zeros((2, 100, 150), np.uint8)]
    with open_slide(write(tmp_path / "slide.zarr", "ZYX", levels), z=3) as slide:
        assert len(slide.levels) == 1


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address of a server for it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield tmp_path, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_addresses(zarr_format: int, served: tuple[Path, str], request: pytest.FixtureRequest) -> None:
    folder, address = served
    levels = levels_of("CYX", "uint8")
    # Python's server knows no ranges of bytes, which shards need.
    write(folder / "slide.zarr", "CYX", levels, zarr_format, shards=False)
    memory = f"memory://{request.node.name}/slide.zarr"
    write(memory, "CYX", levels, zarr_format)
    for url in (f"{address}/slide.zarr", f"file://{folder}/slide.zarr", memory):
        with open_slide(url) as slide:
            region_HWC = slide.read_region(Location(100, 60), 1, Size(50, 40))
            np.testing.assert_array_equal(region_HWC, levels[1][:, 30:70, 50:100].transpose(1, 2, 0))
        assert len(ZarrFiles(url).documents(["0", "1"])) == (3 if zarr_format == 3 else 6)


def test_addresses_that_lead_nowhere(served: tuple[Path, str]) -> None:
    _, address = served
    for url, reason in [
        (f"{address}/absent.zarr", "no zarr group"),
        ("memory://absent.zarr", "no zarr group"),
        ("http://127.0.0.1:9/slide.zarr", "127.0.0.1"),
        ("nosuch://slide.zarr", "the protocol nosuch"),
        ("ssh://host/slide.zarr", "the protocol ssh"),
        ("reference://slide.zarr", "the protocol reference"),
        (f"simplecache::{address}/absent.zarr", "chained addresses"),
        (f"zip://slide.zarr::{address}/slides.zip", "chained addresses"),
        (f"file://{address}::memory://a.zarr", "chained addresses"),
        ("s3://bucket/slide.zarr", "s3fs"),
    ]:
        with pytest.raises(UnreadableSlideError, match=reason):
            open_slide(url)


def change(path: Path, edit: dict[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | edit))


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"compressor": {"id": "pickle"}}, "codec pickle"),
        ({"filters": [{"id": "json2"}]}, "codec json2"),
        ({"dtype": "|O"}, "type |O"),
        ({"dtype": [["a", "<u2"]]}, r"malformed|type"),
        ({"chunks": [4, 40_000, 40_000]}, "a chunk of 11.9 GiB"),
        ({"chunks": [4, 0, 40]}, "in chunks of"),
        ({"shape": [2**40, 200, 300]}, "at most 1048576 planes"),
        ({"shape": [200, 300], "chunks": [50, 50]}, r"of \[2\] dimensions"),
        ({"shape": "abc"}, "malformed"),
    ],
)
def test_arrays_that_are_refused(edit: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = write(tmp_path / "slide.zarr", "CYX", levels_of("CYX", "uint16", 1), 2)
    change(path / "0" / ".zarray", edit)
    with pytest.raises(UnreadableSlideError, match=reason):
        open_slide(path)


@pytest.mark.parametrize("outer", [[], [{"name": "transpose", "configuration": {"order": [0, 1, 2]}}]])
def test_codecs_of_shards_in_shards_are_looked_at(outer: list[Any], tmp_path: Path) -> None:
    path = write(tmp_path / "slide.zarr", "CYX", levels_of("CYX", "uint16", 1))
    codecs: list[dict[str, Any]] = [{"name": "bytes"}, {"name": "numcodecs.pickle"}]
    for _ in range(2):
        inside = {"chunk_shape": [1, 10, 10], "codecs": codecs}
        codecs = [*outer, {"name": "sharding_indexed", "configuration": inside}]
    change(path / "0" / "zarr.json", {"codecs": codecs})
    with pytest.raises(UnreadableSlideError, match=r"codec numcodecs\.pickle instead of"):
        open_slide(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"multiscales": []}, "without `multiscales`"),
        ({"multiscales": [], "plate": {}}, "with `plate`\n.*\n.*slide.ome.zarr/0"),
        ({"multiscales": 3}, "malformed"),
        ({"multiscales": [{"axes": ["y", "x"], "datasets": []}]}, "without levels"),
        ({"multiscales": [{"axes": ["y", 3], "datasets": []}]}, "malformed"),
        ({"multiscales": [{"axes": [{"name": "y"}, {"name": "z"}], "datasets": []}]}, "axes YZ"),
        (
            {"multiscales": [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "../a"}]}]},
            "outside",
        ),
        (
            {"multiscales": [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "9"}]}]},
            "no 9/zarr.json",
        ),
    ],
)
def test_images_that_are_refused(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = write(tmp_path / "slide.zarr", "CYX", levels_of("CYX", "uint16", 1), **changes)
    with pytest.raises(UnreadableSlideError, match=reason):
        open_slide(path)


def test_folders_that_are_no_image(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSlideError, match="no zarr group"):
        open_slide(tmp_path)
    with pytest.raises(MissingFileError):
        open_slide(tmp_path / "absent.zarr")


def test_a_damaged_chunk_is_told_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    path = write(tmp_path / "slide.zarr", "CYX", levels_of("CYX", "uint16", 1), 2)
    (path / "0" / "0.0.0").write_bytes(b"no chunk")
    (path / "0" / "0.0.1").unlink()
    with open_slide(path) as slide:
        assert not slide.read_region(Location(64, 0), 0, Size(10, 10))[..., :3].any()
        with pytest.raises(UnreadableSlideError, match=r"slide\.zarr"):
            slide.read_region(Location(0, 0), 0, Size(10, 10))


def test_several_planes_need_a_choice(tmp_path: Path) -> None:
    path = write(tmp_path / "slide.zarr", "TCZYX", levels_of("TCZYX", "uint16", 1))
    with pytest.raises(
        UnreadableSlideError, match=r"axes TCZYX of 2x4x3x200x300, with several planes along Z \(3\)"
    ):
        open_slide(path, t=0)
    shutil.rmtree(path)
