"""Every real file opens with the right size, channels and pixel size, or is refused for the right reason."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile
from numpy.typing import NDArray

from patching import Location, Size, open_slide
from patching.errors import ChannelError, UnreadableSlideError
from patching.readers.base import AbstractSlide
from patching.readers.registry import reader_for

pytestmark = pytest.mark.real_data
RGB = ("R", "G", "B")


@dataclass(frozen=True)
class Expected:
    name: str
    reader: str
    size: tuple[int, int]
    channels: tuple[str, ...]
    mpp: float | None = None
    levels: int = 1
    dtype: str = "uint8"
    brightfield: bool = False
    how: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([self.name, *map(str, self.how.values())])


OPENS = [
    Expected("wsi-scanners/CMU-1-Small-Region.svs", "tiff", (2220, 2967), RGB, 0.499, brightfield=True),
    Expected(
        "wsi-scanners/TCGA-CR-7395-01A-01-TS1.svs", "tiff", (4443, 3567), RGB, levels=2, brightfield=True
    ),
    Expected("wsi-scanners/test3-DAPI-2-(387).ndpi", "openslide", (3968, 4864), RGB, 0.2282, levels=7),
    Expected("wsi-scanners/test3-TRITC 2 (560).ndpi", "openslide", (3968, 4864), RGB, 0.2282, levels=7),
    Expected("wsi-scanners/small_vectra.qptiff", "tiff", (1920, 1440), ("DAPI", "FITC", "Cy3"), 0.4965),
    Expected("wsi-scanners/OS-1-detail.ome.tif", "tiff", (1101, 1101), RGB, 0.2271, brightfield=True),
    Expected("wsi-scanners/OS-2-ndpi.ome.tif", "tiff", (2202, 2202), RGB, 0.2271, brightfield=True),
    Expected("wsi-scanners/OS-2-vsi.ome.tif", "tiff", (1445, 1445), RGB, 0.3461, brightfield=True),
    Expected("shg-he-pairs/2B_D9_ROI1_HE.tif", "tiff", (512, 512), RGB, brightfield=True),
    Expected("shg-he-pairs/2B_D9_ROI1_SHG.tif", "tiff", (512, 512), ("C0",)),
    Expected("shg-he-pairs/2B_D9_ROI2_HE.tif", "tiff", (512, 512), RGB, brightfield=True),
    Expected("shg-he-pairs/2B_D9_ROI2_SHG.tif", "tiff", (512, 512), ("C0",)),
    Expected("shg-he-pairs/2B_H9_SHG1.tif", "tiff", (512, 512), ("C0",)),
    Expected("shg-he-pairs/SHG_1B-a1.tif", "tiff", (512, 384), ("C0",)),
    Expected("shg-he-pairs/SHG_1B-a5.tif", "tiff", (512, 384), ("C0",)),
    Expected("shg-pl-pyfibre/test-pyfibre-shg-Stack.tif", "tiff", (200, 200), RGB, dtype="float64"),
    Expected(
        "shg-pl-pyfibre/test-pyfibre-shg-Stack.tif",
        "tiff",
        (200, 200),
        ("C0",),
        dtype="float64",
        how={"axes": "YXZ", "z": "mean"},
    ),
    Expected(
        "shg-pl-pyfibre/test-pyfibre-pl-Stack.tif",
        "tiff",
        (200, 200),
        ("C0", "C1"),
        dtype="uint16",
        how={"axes": "CZYX", "z": "mean"},
    ),
    Expected(
        "shg-pl-pyfibre/test-pyfibre-pl-shg-Stack.tif",
        "tiff",
        (200, 200),
        ("C0", "C1", "C2"),
        dtype="uint16",
        how={"axes": "CZYX", "z": 2},
    ),
]
REFUSED = {
    "wsi-scanners/broken.svs": "no known format",
    "shg-pl-pyfibre/test-pyfibre-pl-Stack.tif": "axes QSYX of 2x3x200x200, with several planes along Q",
    "shg-pl-pyfibre/test-pyfibre-pl-shg-Stack.tif": "axes QSYX of 3x3x200x200, with several planes along Q",
}
SAME_IN_BOTH = ["CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs", "test3-DAPI-2-(387).ndpi",
                "test3-TRITC 2 (560).ndpi"]  # fmt: skip


def documented(expected: Expected) -> str:
    """The file's line in docs/readers.md."""
    how = ", ".join(f"`{name}: {value}`" for name, value in expected.how.items())
    width, height = expected.size
    kind = "brightfield" if expected.brightfield else "intensities"
    return (
        f"| `{expected.name}` | {how} | {expected.reader} | {width} × {height} | {expected.levels} "
        f"| {', '.join(expected.channels)} | {expected.dtype} | {expected.mpp or 'none'} | {kind} |"
    )


def test_the_table_of_the_documentation(repository: Path) -> None:
    text = (repository / "docs" / "readers.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| `") and "/" in line.split("|")[1]]
    opened = [documented(expected) for expected in OPENS]
    refused = [f"| `{name}` | refused: {reason} |" for name, reason in REFUSED.items()]
    assert lines == opened + refused


def test_the_table_is_complete(real_data: Path) -> None:
    kinds = {".svs", ".ndpi", ".qptiff", ".tif"}
    listed = {expected.name for expected in OPENS} | set(REFUSED)
    for folder in ("wsi-scanners", "shg-he-pairs", "shg-pl-pyfibre"):
        found = {f"{folder}/{path.name}" for path in (real_data / folder).iterdir() if path.suffix in kinds}
        assert found == {name for name in listed if name.startswith(folder)}


@pytest.mark.parametrize("expected", OPENS, ids=str)
def test_opens(expected: Expected, real_data: Path) -> None:
    path = real_data / expected.name
    assert reader_for(path) == expected.reader
    with open_slide(path, **expected.how) as slide:
        assert slide.size == Size(*expected.size)
        assert slide.channels == expected.channels
        assert len(slide.levels) == expected.levels
        assert slide.dtype == expected.dtype
        assert slide.brightfield == expected.brightfield
        found = None if slide.mpp is None else slide.mpp.mean
        assert found == (None if expected.mpp is None else pytest.approx(expected.mpp, abs=1e-4))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, real_data: Path) -> None:
    with pytest.raises(UnreadableSlideError, match=REFUSED[name]):
        open_slide(real_data / name)


def whole_by_tifffile(expected: Expected, path: Path, level: int) -> NDArray[Any]:
    """A whole level as tifffile decodes it, with its planes chosen by plain indexing."""
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0].levels[level]
        image, axes = series.asarray(), expected.how.get("axes", series.axes)
    if "Z" in axes:
        at, z = axes.index("Z"), expected.how["z"]
        mean = np.rint(image.mean(axis=at)) if image.dtype.kind == "u" else image.mean(axis=at)
        image, axes = mean if z == "mean" else image.take(z, at), axes.replace("Z", "")
    return np.moveaxis(image, 0, -1) if axes[0] == "C" else image.reshape(*image.shape[:2], -1)


def regions(size: Size, seed: int, number: int = 200) -> list[tuple[int, int, Size]]:
    """Random places, then the four corners and far outside."""
    rng = np.random.default_rng(seed)
    places = [
        (int(rng.integers(-60, size.width)), int(rng.integers(-60, size.height))) for _ in range(number)
    ]
    corners = [(-7, -9), (size.width - 31, -9), (-7, size.height - 17), (size.width - 31, size.height - 17)]
    return [(x, y, Size(97, 61)) for x, y in [*places, *corners, (size.width + 500, 3)]]


MARGIN = 600


def framed(image_HWC: NDArray[Any], fill: int) -> NDArray[Any]:
    return np.pad(image_HWC, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), constant_values=fill)


TIFFS = [expected for expected in OPENS if expected.reader == "tiff"]


def compare(slide: AbstractSlide, number: int, whole_HWC: NDArray[Any], tolerance: int = 0) -> None:
    """200 random places of a level, its corners and beyond, against the whole level decoded at once."""
    framed_HWC = framed(whole_HWC, slide.background)
    level = slide.levels[number]
    for left, top, size in regions(level.size, seed=number):
        # The first location whose nearest pixel of the level is the one meant.
        place = Location(round(left * level.downsample), round(top * level.downsample))
        region_HWC = slide.read_region(place, number, size)
        rows = slice(top + MARGIN, top + MARGIN + size.height)
        expected_HWC = framed_HWC[rows, left + MARGIN : left + MARGIN + size.width]
        if tolerance:
            assert abs(region_HWC.astype(int) - expected_HWC).max() <= tolerance
        else:
            np.testing.assert_array_equal(region_HWC, expected_HWC)


@pytest.mark.parametrize("expected", TIFFS, ids=str)
def test_regions_equal_tifffile(expected: Expected, real_data: Path) -> None:
    path = real_data / expected.name
    with open_slide(path, **expected.how) as slide:
        for number in range(len(slide.levels)):
            compare(slide, number, whole_by_tifffile(expected, path, number))


@pytest.mark.parametrize("name", SAME_IN_BOTH)
def test_regions_equal_openslide(name: str, real_data: Path) -> None:
    path = real_data / "wsi-scanners" / name
    with open_slide(path) as slide, openslide.OpenSlide(path) as peer:
        assert [level.downsample for level in slide.levels] == pytest.approx(peer.level_downsamples, rel=1e-3)
        for number, size in enumerate(peer.level_dimensions):
            whole_HWA = np.asarray(peer.read_region((0, 0), number, size))
            assert (whole_HWA[..., 3] == 255).all()
            compare(slide, number, whole_HWA[..., :3], tolerance=0 if path.suffix == ".ndpi" else 2)


@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs"])
def test_both_readers_agree(name: str, real_data: Path) -> None:
    path = real_data / "wsi-scanners" / name
    with open_slide(path, reader="tiff") as ours, open_slide(path, reader="openslide") as theirs:
        assert (ours.size, ours.channels, ours.mpp, ours.levels) == (
            theirs.size, theirs.channels, theirs.mpp, theirs.levels,
        )  # fmt: skip
        compare(theirs, 0, ours.read_region(Location(0, 0), 0, ours.size), tolerance=2)


def test_openslide_stays_in_place_where_ratios_are_not_whole(real_data: Path) -> None:
    """Far from the origin of a level that is 2.0005 times smaller; OpenSlide interpolates there."""
    path = real_data / "wsi-scanners" / "TCGA-CR-7395-01A-01-TS1.svs"
    with open_slide(path, reader="tiff") as ours, open_slide(path, reader="openslide") as theirs:
        for place in (Location(4000, 3200), Location(3999, 3301)):
            ours_HWC = ours.read_region(place, 1, Size(120, 100)).astype(int)
            assert abs(ours_HWC - theirs.read_region(place, 1, Size(120, 100))).mean() < 1


def test_modalities_of_one_field(real_data: Path) -> None:
    folder = real_data / "shg-he-pairs"
    files = (folder / "2B_D9_ROI1_HE.tif", folder / "2B_D9_ROI1_SHG.tif")
    with open_slide(files, channels=("R", "G", "B", "SHG")) as slide:
        region_HWC = slide.read_region(Location(100, 200), 0, Size(50, 30))
    stacked_HWC = np.dstack([tifffile.imread(file) for file in files])
    np.testing.assert_array_equal(region_HWC, stacked_HWC[200:230, 100:150])
    with pytest.raises(ChannelError, match="size in pixels"):
        open_slide((files[0], folder / "SHG_1B-a1.tif"))


@pytest.mark.parametrize("core", ["core11_Normal", "core36_Normal"])
def test_cores_without_polarization_are_refused(core: str, real_data: Path) -> None:
    path = real_data / "breast-pshg-tma" / f"{core}.ome.tif"
    with pytest.raises(ChannelError, match=r"1 channel \(SHG_log_intensity\)\nneeds: 3"):
        open_slide(path, channels=("SHG_log_intensity", "R_ratio", "DCP"))


def test_openslide_is_refused_on_fluorescence(real_data: Path) -> None:
    with pytest.raises(ChannelError, match="8 bits and 3 channels"):
        open_slide(real_data / "breast-pshg-tma" / "core01_Normal.ome.tif", reader="openslide")
