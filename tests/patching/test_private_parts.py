"""What no library promises and we rely on: named here, bounded in pyproject.toml, and tried."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from packaging.requirements import Requirement
from PIL import Image
from tifffile.tifffile import jpeg_decode_colorspace
from zarr.abc.codec import ArrayBytesCodec

import patching
from patching.readers.tiff.checks import checked_pages
from patching.readers.tiff.segments import plain_jpeg

ROOT = Path(patching.__file__).parent.parent
REACHED = {
    ("tifffile", "TiffFile.tiff"): "directories in a circle are followed for ever (readers/tiff/checks.py)",
    ("tifffile", "TiffPage.decode"): "segments that we do not decode ourselves (readers/tiff/segments.py)",
    ("tifffile", "TiffPage.is_jfif"): "JPEG tiles of Aperio get the wrong colors (readers/tiff/segments.py)",
    ("tifffile", "TiffPage.jpegheader"): "JPEG tiles of NDPI cannot be read (readers/tiff/segments.py)",
    ("tifffile", "TiffPage.chunked"): "segments that are not listed go unnoticed (readers/tiff/checks.py)",
    (
        "tifffile",
        "TiffPage.is_subsampled",
    ): "subsampled tiles are taken for plain ones (readers/tiff/plain_bytes.py)",
    ("tifffile", "TiffFrame"): "planes that ImageJ does not list (readers/tiff/planes.py)",
    ("tifffile", "TiffPageSeries.is_truncated"): "the same",
    ("pillow", "ImageFile.tile"): "16-bit color is taken for 8-bit (readers/image/slide.py)",
    (
        "zarr",
        "ArrayBytesCodec._decode_single",
    ): "zarr-python cannot read stores of JPEG (store/jpeg_codec.py)",
}


@pytest.mark.parametrize("package", sorted({package for package, _ in REACHED}))
def test_there_is_an_upper_bound_and_the_pin_is_within(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [bounds] = [Requirement(line) for line in project["dependencies"] if Requirement(line).name == package]
    assert any(part.operator == "<" for part in bounds.specifier), REACHED
    [pin] = re.findall(rf"^{package}==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
    assert pin in bounds.specifier


def test_nothing_else_that_is_private_is_reached() -> None:
    trees = {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for path in Path(patching.__file__).parent.rglob("*.py")
    }
    nodes = [(path, node) for path, tree in trees.items() for node in ast.walk(tree)]
    ours = {node.name for _, node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for path, node in nodes:
        if isinstance(node, ast.Attribute) and re.match("_[^_]|__dict__", node.attr):
            owner = ast.unparse(node.value)
            known = owner in ("self", "cls", "os") or node.attr in ours
            assert known, f"{path.name}:{node.lineno}: {owner}.{node.attr}"


def test_the_layout_of_directories(rgb_tiff: Any) -> None:
    with tifffile.TiffFile(rgb_tiff.path) as tiff:
        layout = tiff.tiff
        assert (layout.tagnosize, layout.tagsize, layout.offsetsize, layout.byteorder) == (2, 12, 4, "<")


@pytest.mark.parametrize("compression", ["jpeg", "lzw"])
def test_what_decode_takes_and_gives(compression: str, rgb_tiff: Any, tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", rgb_tiff.image_HWC, tile=(64, 48), photometric="rgb", compression=compression
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page = tiff.pages.first
        assert page.chunked == (4, 7, 1)
        assert not page.is_subsampled or compression == "jpeg"
        tiff.filehandle.seek(page.dataoffsets[8])
        data = tiff.filehandle.read(page.databytecounts[8])
        tables = (
            {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if compression == "jpeg" else {}
        )
        pixels_DHWS, place, _ = page.decode(data, 8, **tables)
        assert place[2:4] == (64, 48)
        assert pixels_DHWS.shape == (1, 64, 48, 3)
        assert page.decode(None, 8, **tables)[0] is None


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
@pytest.mark.parametrize("jfif", [True, False])
def test_our_color_spaces_are_those_of_tifffile(
    photometric: str, jfif: bool, rgb_tiff: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, rgb_tiff.image_HWC, tile=(64, 48), photometric="rgb", compression="jpeg")
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        page.photometric = tifffile.PHOTOMETRIC[photometric.upper()]
        monkeypatch.setitem(page.__dict__, "is_jfif", jfif)
        stream = plain_jpeg(path, checked_pages(path, tiff, [page])[0])
        assert stream is not None
        spaces = jpeg_decode_colorspace(page.photometric, page.planarconfig, page.extrasamples, jfif)
        assert (stream.colorspace, stream.outcolorspace) == spaces


def test_a_page_that_the_file_does_not_list(rgb_tiff: Any) -> None:
    with tifffile.TiffFile(rgb_tiff.path) as tiff:
        page = tiff.pages.first
        frame = tifffile.TiffFrame(tiff, 3, keyframe=page, dataoffsets=(5,), databytecounts=(7,))
        assert (frame.parent, frame.keyframe, frame.dataoffsets, frame.databytecounts) == (
            tiff,
            page,
            (5,),
            (7,),
        )
        assert tiff.series[0].is_truncated is False


def test_pillow_tells_the_raw_mode(tmp_path: Path) -> None:
    image_HW = np.arange(300 * 200, dtype=np.uint16).reshape(200, 300)
    Image.fromarray(image_HW).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert "16" in image.tile[0][3]


def test_codecs_of_zarr_decode_one_chunk_at_a_time() -> None:
    assert {"_decode_single", "_encode_single"} <= set(dir(ArrayBytesCodec))
