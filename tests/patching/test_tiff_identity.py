"""Metadata and planes of a TIFF are those of the image that is read, whatever else its OME-XML lists."""

import logging
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from patching import Location, Mpp, Size, open_slide
from patching.errors import UnreadableSlideError
from patching.readers.base import AbstractSlide

NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
UUIDS = [f"urn:uuid:00000000-0000-0000-0000-00000000000{number}" for number in range(5)]


@dataclass(frozen=True)
class Planes:
    """A block of OME-XML: planes from a channel on, from a directory on, in a file."""

    first: int = 0
    ifd: int = 0
    count: int = 1
    uuid: str = ""
    file: str = ""
    first_z: int = 0

    def __str__(self) -> str:
        where = f'FirstC="{self.first}" FirstZ="{self.first_z}" IFD="{self.ifd}" PlaneCount="{self.count}"'
        if not self.uuid and not self.file:
            return f"<TiffData {where}/>"
        return f'<TiffData {where}><UUID FileName="{self.file}">{self.uuid}</UUID></TiffData>'


def image_xml(
    names: Sequence[str],
    blocks: Sequence[Planes],
    *,
    name: str = "",
    mpp: float = 0.5,
    size: tuple[int, int] = (60, 40),
    z: int = 1,
) -> str:
    channels = "".join(
        f'<Channel ID="Channel:0:{c}" Name="{c_name}" SamplesPerPixel="1"/>' for c, c_name in enumerate(names)
    )
    return (
        f'<Image ID="Image:0" Name="{name}"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
        f'SizeX="{size[0]}" SizeY="{size[1]}" SizeC="{len(names)}" SizeZ="{z}" SizeT="1" '
        f'PhysicalSizeX="{mpp}" PhysicalSizeY="{2 * mpp}">{channels}'
        f"{''.join(map(str, blocks))}</Pixels></Image>"
    )  # fmt: skip


def ome(*images: str, uuid: str = "") -> str:
    own = f' UUID="{uuid}"' if uuid else ""
    return f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{NAMESPACE}"{own}>{"".join(images)}</OME>'


def noise(count: int, seed: int, size: tuple[int, int] = (60, 40)) -> NDArray[np.uint16]:
    rng = np.random.default_rng(seed)
    return rng.integers(1, 60_000, (count, size[1], size[0])).astype(np.uint16)


def write(path: Path, xml: str, *stacks: NDArray[np.uint16]) -> None:
    with tifffile.TiffWriter(path) as tiff:
        for number, plane in enumerate(plane for stack in stacks for plane in stack):
            tiff.write(
                plane, description=xml if number == 0 else None, metadata=None, photometric="minisblack"
            )


def whole(slide: AbstractSlide) -> NDArray[Any]:
    """All pixels, channels first."""
    return np.moveaxis(slide.read_region(Location(0, 0), 0, slide.size), -1, 0)


def positions(folder: Path) -> list[NDArray[np.uint16]]:
    """Two files of a field each; each XML lists both fields."""
    images = [
        image_xml(names, [Planes(count=2, uuid=UUIDS[at], file=f"pos{at}.ome.tif")], mpp=mpp)
        for at, (names, mpp) in enumerate(((("DAPI", "GFP"), 0.5), (("SHG", "TPEF"), 0.25)))
    ]
    stacks = [noise(2, 0), noise(2, 1)]
    for at, stack in enumerate(stacks):
        write(folder / f"pos{at}.ome.tif", ome(*images, uuid=UUIDS[at]), stack)
    return stacks


@pytest.mark.parametrize("beside", ["both", "alone", "renamed", "swapped"])
def test_a_field_of_several_has_its_own_names_and_pixel_size(beside: str, tmp_path: Path) -> None:
    stacks = positions(tmp_path)
    path = tmp_path / "pos1.ome.tif"
    if beside == "alone":
        (tmp_path / "pos0.ome.tif").unlink()
    elif beside == "renamed":
        path = path.rename(tmp_path / "field of patient 7.tif")
    elif beside == "swapped":
        # The names lie now; identities do not.
        (tmp_path / "pos0.ome.tif").rename(tmp_path / "other")
        path = path.rename(tmp_path / "pos0.ome.tif")
        (tmp_path / "other").rename(tmp_path / "pos1.ome.tif")
    with open_slide(path) as slide:
        assert (slide.channels, slide.mpp) == (("SHG", "TPEF"), Mpp(0.25, 0.5))
        np.testing.assert_array_equal(whole(slide), stacks[1])


@pytest.mark.parametrize("name", ["POS1.OME.TIF", r"D:\scans\pos1.ome.tif", "/mnt/scans/pos1.ome.tif"])
def test_without_a_uuid_the_name_tells(name: str, tmp_path: Path) -> None:
    images = [
        image_xml(("a", "b"), [Planes(count=2, file="pos0.ome.tif", uuid=UUIDS[3])]),
        image_xml(("SHG", "TPEF"), [Planes(count=2, file=name, uuid=UUIDS[4])], mpp=0.25),
    ]
    stack = noise(2, 5)
    write(tmp_path / "pos1.ome.tif", ome(*images), stack)
    with open_slide(tmp_path / "pos1.ome.tif") as slide:
        assert (slide.channels, slide.mpp) == (("SHG", "TPEF"), Mpp(0.25, 0.5))
        np.testing.assert_array_equal(whole(slide), stack)


def test_a_uuid_that_all_files_share_tells_nothing(tmp_path: Path) -> None:
    images = [image_xml((name,), [Planes(uuid=UUIDS[0], file=f"{name}.ome.tif")]) for name in ("SHG", "TPEF")]
    planes = {name: noise(1, seed) for seed, name in enumerate(("SHG", "TPEF"))}
    for name, stack in planes.items():
        write(tmp_path / f"{name}.ome.tif", ome(*images, uuid=UUIDS[0]), stack)
    for name, stack in planes.items():
        with open_slide(tmp_path / f"{name}.ome.tif") as slide:
            assert slide.channels == (name,)
            np.testing.assert_array_equal(whole(slide), stack)


def test_one_file_under_another_name_is_still_the_one_of_its_xml(tmp_path: Path) -> None:
    xml = ome(image_xml(("SHG",), [Planes(uuid=UUIDS[1], file="before.ome.tif")], mpp=0.25))
    write(tmp_path / "after.ome.tif", xml, noise(1, 0))
    with open_slide(tmp_path / "after.ome.tif") as slide:
        assert (slide.channels, slide.mpp) == (("SHG",), Mpp(0.25, 0.5))


def test_xml_of_other_files_is_refused_by_their_names(tmp_path: Path) -> None:
    blocks = [Planes(uuid=UUIDS[1], file="a.ome.tif"), Planes(first=1, uuid=UUIDS[2], file="b.ome.tif")]
    write(tmp_path / "c.ome.tif", ome(image_xml(("x", "y"), blocks), uuid=UUIDS[3]), noise(2, 0))
    with pytest.raises(UnreadableSlideError, match=r"other files \(a\.ome\.tif, b\.ome\.tif\)"):
        open_slide(tmp_path / "c.ome.tif")


def split_channels(folder: Path) -> tuple[list[Path], NDArray[np.uint16]]:
    """Two channels in one file and one in another, tiled, with a coarser level."""
    image, paths = noise(3, 7), [folder / "first.ome.tif", folder / "second.ome.tif"]
    blocks = [
        Planes(count=2, uuid=UUIDS[0], file="first.ome.tif"),
        Planes(first=2, uuid=UUIDS[1], file="second.ome.tif"),
    ]
    options: dict[str, Any] = {"tile": (16, 32), "metadata": None, "photometric": "minisblack"}
    for path, uuid, part in zip(paths, UUIDS[:2], (image[:2], image[2:]), strict=True):
        xml = ome(image_xml(("CARS", "TPEF", "SHG"), blocks), uuid=uuid)
        with tifffile.TiffWriter(path) as tiff:
            for number, plane in enumerate(part):
                tiff.write(plane, subifds=1, description=xml if number == 0 else None, **options)
                tiff.write(plane[::2, ::2], subfiletype=1, **options)
    return paths, image


def test_files_that_hold_some_channels_are_modalities(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths, image = split_channels(tmp_path)
    with open_slide(paths) as slide:
        assert slide.channels == ("CARS", "TPEF", "SHG")
        assert [level.size for level in slide.levels] == [Size(60, 40), Size(30, 20)]
        np.testing.assert_array_equal(whole(slide), image)
        region_HWC = slide.read_region(Location(20, 10), 1, Size(5, 4))
    np.testing.assert_array_equal(region_HWC, np.moveaxis(image[:, ::2, ::2], 0, -1)[5:9, 10:15])
    assert "second.ome.tif: holds 2 of the 3 along C" in caplog.text


@pytest.mark.parametrize("siblings", [True, False])
def test_such_a_file_alone_has_its_own_channels(siblings: bool, tmp_path: Path) -> None:
    paths, image = split_channels(tmp_path)
    if not siblings:
        paths[0].unlink()
    with open_slide(paths[1]) as slide:
        assert slide.channels == ("SHG",)
        np.testing.assert_array_equal(whole(slide), image[2:])


def test_a_file_of_some_depths_counts_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocks = [
        Planes(first_z=z, count=1, ifd=z % 2, uuid=UUIDS[z // 2], file=f"half{z // 2}.ome.tif")
        for z in range(4)
    ]
    xml = image_xml(("SHG",), blocks, z=4)
    stack = noise(2, 3)
    write(tmp_path / "half1.ome.tif", ome(xml, uuid=UUIDS[1]), stack)
    with open_slide(tmp_path / "half1.ome.tif", z=1) as slide:
        np.testing.assert_array_equal(whole(slide), stack[1:])
    assert "holds 2, 3 of the 4 along Z" in caplog.text


def test_planes_are_where_the_xml_finds_them(tmp_path: Path) -> None:
    """Channels in the reverse order of their directories."""
    stack = noise(3, 2)
    xml = ome(image_xml(("a", "b", "c"), [Planes(first=c, ifd=2 - c) for c in range(3)]))
    write(tmp_path / "reverse.ome.tif", xml, stack)
    with open_slide(tmp_path / "reverse.ome.tif") as slide:
        assert slide.channels == ("a", "b", "c")
        np.testing.assert_array_equal(whole(slide), stack[::-1])


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        ([Planes(first=0, ifd=0), Planes(first=0, ifd=1)], "in two places"),
        ([Planes(first=0, ifd=0), Planes(first=1, ifd=0)], "2 planes in 1 directories"),
        ([Planes(first=3, ifd=0)], r"planes from \[3, 0, 0\]"),
        (
            [Planes(first=0, first_z=0), Planes(first=1, first_z=1, ifd=1)],
            "not the same ones of each channel",
        ),
    ],
)
def test_xml_that_contradicts_itself(blocks: list[Planes], reason: str, tmp_path: Path) -> None:
    write(tmp_path / "odd.ome.tif", ome(image_xml(("a", "b"), blocks, z=2)), noise(4, 0))
    with pytest.raises(UnreadableSlideError, match=reason):
        open_slide(tmp_path / "odd.ome.tif")


@pytest.mark.parametrize("companion", ["data.companion.ome", "master.ome.tif"])
def test_xml_in_a_companion(companion: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stack = noise(2, 4)
    pointer = f'<BinaryOnly MetadataFile="{companion}" UUID="{UUIDS[0]}"/>'
    path = tmp_path / "pixels.ome.tif"
    write(path, ome(pointer, uuid=UUIDS[1]), stack)
    with pytest.raises(UnreadableSlideError, match="several planes along I"):
        open_slide(path)
    assert f"stand in {companion}, which is not beside it" in caplog.text
    other = image_xml(("DAPI",), [Planes(uuid=UUIDS[2], file="other.ome.tif")])
    mine = image_xml(("SHG", "TPEF"), [Planes(count=2, uuid=UUIDS[1], file="pixels.ome.tif")], mpp=0.25)
    xml = ome(other, mine, uuid=UUIDS[0])
    if companion.endswith("tif"):
        write(tmp_path / companion, xml, noise(1, 9))
    else:
        (tmp_path / companion).write_text(xml, encoding="utf-8")
    with open_slide(path) as slide:
        assert (slide.channels, slide.mpp) == (("SHG", "TPEF"), Mpp(0.25, 0.5))
        np.testing.assert_array_equal(whole(slide), stack)


def test_xml_of_several_images_that_tells_no_directories(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Which of them is the page is not known: neither name nor pixel size may be taken from the first."""
    write(tmp_path / "a.ome.tif", ome(image_xml(("DAPI",), []), image_xml(("SHG",), [])), noise(1, 0))
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert (slide.channels, slide.mpp) == (("C0",), None)
    assert "does not tell which of 2 images" in caplog.text


@pytest.mark.parametrize(
    "channels",
    [
        "",
        "<Channel/>",
        '<Channel SamplesPerPixel="1"/>' * 3,
        '<Channel Name="R"/><Channel Name="G"/><Channel Name="B"/>',
    ],
)
@pytest.mark.parametrize("data", ["", "<TiffData/>", '<TiffData IFD="0"/>'])
def test_xml_that_does_not_tell_of_samples(
    channels: str, data: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A page of three colors, called three channels: none of them is elsewhere."""
    path, image = tmp_path / "rgb.ome.tif", (noise(3, 0) // 256).astype(np.uint8).transpose(1, 2, 0)
    pixels = (
        '<Pixels DimensionOrder="XYCZT" Type="uint8" SizeX="60" SizeY="40" SizeC="3" SizeZ="1" SizeT="1" '
    )
    xml = (
        f'<OME><Image>{pixels} PhysicalSizeX="0.5" PhysicalSizeY="1">{channels}{data}</Pixels></Image></OME>'
    )
    tifffile.imwrite(path, image, description=xml, metadata=None, photometric="rgb")
    with open_slide(path) as slide:
        assert (slide.channels, slide.mpp, slide.brightfield) == (("R", "G", "B"), Mpp(0.5, 1.0), True)
        np.testing.assert_array_equal(whole(slide), image.transpose(2, 0, 1))
    assert not [record for record in caplog.records if record.name.startswith("patching")]


@pytest.mark.parametrize("end", ["", "\n" * 40, "<!-- exported by hand -->"])
def test_xml_that_something_follows(end: str, tmp_path: Path) -> None:
    write(tmp_path / "a.ome.tif", ome(image_xml(("SHG", "TPEF"), [Planes(count=2)])) + end, noise(2, 0))
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert (slide.channels, slide.mpp) == (("SHG", "TPEF"), Mpp(0.5, 1.0))


def test_xml_that_breaks_off_is_damage(tmp_path: Path) -> None:
    write(tmp_path / "a.ome.tif", ome(image_xml(("SHG",), [Planes()]))[:-30], noise(1, 0))
    with pytest.raises(UnreadableSlideError, match="ParseError"):
        open_slide(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("written", [(120, 80), (60, 41), (61, 40)])
def test_xml_of_other_sides_is_of_another_image(
    written: tuple[int, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Made coarser by a program that copied the description: the pixel size is not that of its pixels."""
    write(tmp_path / "half.ome.tif", ome(image_xml(("SHG",), [Planes()], size=written)), noise(1, 0))
    with open_slide(tmp_path / "half.ome.tif") as slide:
        assert (slide.mpp, slide.channels) == (None, ("C0",))
        np.testing.assert_array_equal(whole(slide), noise(1, 0))
    assert f"an image of {written[0]} x {written[1]}, and its page has 60 x 40" in caplog.text


def folded(steps: str) -> str:
    """Two channels that are one channel at two lifetimes, as an annotation tells."""
    image = image_xml(("a", "b"), [Planes(count=2)]).replace("</Image>", '<AnnotationRef ID="A:0"/></Image>')
    note = (
        '<StructuredAnnotations><XMLAnnotation ID="A:0" Namespace="openmicroscopy.org/dimension/modulo">'
        f'<Value><Modulo><ModuloAlongC Type="lifetime" {steps}/></Modulo></Value></XMLAnnotation>'
    )  # fmt: skip
    # It must be known before the image refers to it.
    return ome(f"{note}</StructuredAnnotations>", image)


def test_lifetimes_that_are_folded_into_channels_are_no_channels(tmp_path: Path) -> None:
    path, stack = tmp_path / "flim.ome.tif", noise(2, 0)
    write(path, folded('Start="0" Step="10" End="10"'), stack)
    with pytest.raises(UnreadableSlideError, match="several planes along H"):
        open_slide(path)
    with open_slide(path, axes="TYX", t=1) as slide:
        np.testing.assert_array_equal(whole(slide), stack[1:])


@pytest.mark.parametrize("steps", ['Start="0" Step="1e-30" End="1"', 'Step="0"', 'Start="x"'])
def test_steps_without_end_are_damage(steps: str, tmp_path: Path) -> None:
    write(tmp_path / "odd.ome.tif", folded(steps), noise(2, 0))
    with pytest.raises(UnreadableSlideError, match="ModuloAlongC of"):
        open_slide(tmp_path / "odd.ome.tif")


def micro_manager(
    path: Path, places: Sequence[tuple[int, int]], stack: NDArray[np.uint16], xml: str = ""
) -> None:
    """A stack of Micro-Manager, of which it may be a part: its summary tells of two channels and positions.

    `places` are channel and position of each plane.
    """
    height, width = stack.shape[1:]
    summary = b'{"MicroManagerVersion": "2", "Channels": 2, "Slices": 1, "Frames": 1, "Positions": 2}'
    place = 40 + len(summary)
    offsets, directories = [], b""
    index_place = place + sum(162 + plane.nbytes for plane in stack)
    xml_place = index_place + 8 + 20 * len(stack)
    for number, plane in enumerate(stack):
        offsets.append(place)
        following = place + 162 + plane.nbytes
        values = {
            256: width, 257: height, 258: 16, 259: 1, 262: 1, 273: place + 162, 277: 1, 278: height,
            279: plane.nbytes, 284: 1, 339: 1,
        }  # fmt: skip
        entries = b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in values.items())
        if xml and number == 0:
            entries += struct.pack("<HHII", 270, 2, len(xml), xml_place)
        else:
            entries += struct.pack("<HHII", 296, 4, 1, 1)
        entries += struct.pack("<HHII", 51123, 2, len(summary), 40)
        last = following if number + 1 < len(stack) else 0
        directories += struct.pack("<H", 13) + entries + struct.pack("<I", last) + plane.tobytes()
        place = following
    index = struct.pack("<II", 3453623, len(offsets))
    for (channel, position), offset in zip(places, offsets, strict=True):
        index += struct.pack("<5I", channel, 0, 0, position, offset)
    header = b"II*\0" + struct.pack("<I", offsets[0])
    header += struct.pack("<8I", 54773648, index_place, 483765892, 0, 99384722, 0, 2355492, len(summary))
    path.write_bytes(header + summary + directories + index + xml.encode())


@pytest.mark.parametrize("siblings", [True, False])
def test_a_stack_of_micro_manager_is_read_by_itself(siblings: bool, tmp_path: Path) -> None:
    paths = [tmp_path / f"x_MMStack{suffix}.tif" for suffix in ("", "_1")]
    for number, path in enumerate(paths):
        micro_manager(path, [(number, 0)], noise(1, number))
    if not siblings:
        paths[0].unlink()
    with tifffile.TiffFile(paths[1]) as tiff:
        assert tiff.series[0].kind == "mmstack"
        assert tiff.series[0].is_multifile == siblings
    with open_slide(paths[1]) as slide:
        np.testing.assert_array_equal(whole(slide), noise(1, 1))


def test_a_position_of_micro_manager_is_an_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, stack = tmp_path / "x_MMStack.ome.tif", noise(4, 0)
    images = [
        image_xml(names, [Planes(count=2, ifd=2 * at)], name=f"Pos{at}", mpp=0.25 * (at + 1))
        for at, names in enumerate((("SHG", "TPEF"), ("CARS", "DAPI")))
    ]
    micro_manager(path, [(0, 0), (1, 0), (0, 1), (1, 1)], stack, ome(*images))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].kind == "mmstack"
        assert tiff.is_ome
    for series, at, names in (
        (None, 0, ("SHG", "TPEF")),
        (0, 0, ("SHG", "TPEF")),
        ("Pos1", 1, ("CARS", "DAPI")),
    ):
        with open_slide(path, series=series) as slide:
            assert (slide.channels, slide.mpp) == (names, Mpp(0.25 * (at + 1), 0.5 * (at + 1)))
            np.testing.assert_array_equal(whole(slide), stack[2 * at : 2 * at + 2])
    assert "left out are 1: 'Pos1'" in caplog.text


def two_images(folder: Path, first: tuple[str, tuple[int, int]], second: tuple[str, tuple[int, int]]) -> Path:
    """A file of two images; the first of the XML lies behind the second."""
    path = folder / "two.ome.tif"
    xml = ome(
        image_xml(("a",), [Planes(ifd=2)], name=first[0], size=first[1], mpp=0.5),
        image_xml(("SHG", "TPEF"), [Planes(count=2)], name=second[0], size=second[1], mpp=0.25),
    )
    write(path, xml, noise(2, 0, second[1]), noise(1, 1, first[1]))
    return path


def test_an_image_is_chosen_by_number_or_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = two_images(tmp_path, ("overview", (30, 20)), ("field 1", (60, 40)))
    for series in (1, "field 1", None):
        caplog.clear()
        with open_slide(path, series=series) as slide:
            assert (slide.size, slide.channels, slide.mpp) == (Size(60, 40), ("SHG", "TPEF"), Mpp(0.25, 0.5))
            np.testing.assert_array_equal(whole(slide), noise(2, 0))
        told = "image 1, 'field 1' of 60 x 40, is read, the largest; left out are 0: 'overview' of 30 x 20"
        assert (told in caplog.text) == (series is None)
    for series in (0, "overview"):
        with open_slide(path, series=series) as slide:
            assert (slide.size, slide.channels, slide.mpp) == (Size(30, 20), ("a",), Mpp(0.5, 1.0))
            np.testing.assert_array_equal(whole(slide), noise(1, 1, (30, 20)))
    for series in (2, -1, "field 2"):
        with pytest.raises(UnreadableSlideError, match=rf"no images called {series!r}(.|\n)*0: 'overview'"):
            open_slide(path, series=series)


def test_a_name_that_two_images_share_chooses_neither(tmp_path: Path) -> None:
    path = two_images(tmp_path, ("field", (30, 20)), ("field", (60, 40)))
    with pytest.raises(UnreadableSlideError, match="2 images called 'field'"):
        open_slide(path, series="field")


@pytest.mark.parametrize(
    "name", ["label", "Label image", "slide 7 [macro]", "Thumbnail", "case7.svs - macro image"]
)
def test_labels_and_macro_pictures_are_never_the_slide(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Though it is the larger image here."""
    path = two_images(tmp_path, (name, (90, 70)), ("scan", (60, 40)))
    with open_slide(path) as slide:
        assert slide.channels == ("SHG", "TPEF")
    assert "left out" not in caplog.text
    with pytest.raises(UnreadableSlideError, match="a label, macro or thumbnail picture"):
        open_slide(path, series=0)


@pytest.mark.parametrize("name", ["label-free SHG", "macrophages", "labelled", ""])
def test_other_names_are_no_labels(name: str, tmp_path: Path) -> None:
    with open_slide(two_images(tmp_path, (name, (90, 70)), ("scan", (60, 40)))) as slide:
        assert slide.size == Size(90, 70)


def test_a_label_alone_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.ome.tif", ome(image_xml(("a",), [Planes()], name="Label")), noise(1, 0))
    with pytest.raises(UnreadableSlideError, match="may show a patient's name"):
        open_slide(tmp_path / "a.ome.tif")


def test_images_of_a_plain_tiff(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "two.tif"
    with tifffile.TiffWriter(path) as tiff:
        for seed, (size, mpp) in enumerate((((30, 20), 2.0), ((61, 44), 0.25))):
            options: dict[str, Any] = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
            tiff.write(noise(1, seed, size)[0], photometric="minisblack", metadata=None, **options)
    with open_slide(path) as slide:
        assert (slide.size, slide.mpp) == (Size(61, 44), Mpp(0.25, 0.25))
    assert "image 1, 61 x 44, is read, the largest; left out are 0: 30 x 20" in caplog.text
    with open_slide(path, series=0) as slide:
        assert (slide.size, slide.mpp) == (Size(30, 20), Mpp(2.0, 2.0))
        np.testing.assert_array_equal(whole(slide), noise(1, 0, (30, 20)))


@pytest.mark.parametrize("marked", [True, False])
def test_a_page_of_half_the_size_is_a_level_only_where_it_is_marked(marked: bool, tmp_path: Path) -> None:
    """Without the mark it may be another modality, and tissue would be sought in that."""
    path, second = tmp_path / "pages.tif", noise(1, 1, (30, 20))
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(noise(1, 0)[0], photometric="minisblack", metadata=None)
        tiff.write(second[0], photometric="minisblack", metadata=None, subfiletype=1 if marked else 0)
    with open_slide(path) as slide:
        assert [level.size for level in slide.levels] == [Size(60, 40), Size(30, 20)][: 1 + marked]
        np.testing.assert_array_equal(whole(slide), noise(1, 0))
    if not marked:
        with open_slide(path, series=1) as slide:
            np.testing.assert_array_equal(whole(slide), second)


def test_an_ordinary_pyramid_is_not_talked_about(ome_tiff: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with open_slide(ome_tiff.path) as slide:
        assert len(slide.levels) > 1
    assert not [record for record in caplog.records if record.name.startswith("patching")]


STORED: dict[str, Any] = {"photometric": "minisblack", "metadata": None, "tile": (16, 16)}


@pytest.mark.parametrize(
    ("otherwise", "told"),
    [
        ({"photometric": "miniswhite"}, "white 0 and 1"),
        ({"extratags": [(274, 3, 1, 3, True)]}, "orientation 3 and 1"),
        ({"predictor": True}, "predictor 2 and 1"),
        ({"compression": None}, "compression 1 and 8"),
        ({"dtype": "int16"}, "sampleformat 2 and 1"),
    ],
)
def test_a_plane_that_is_stored_otherwise_is_not_read_as_the_first(
    otherwise: dict[str, Any], told: str, tmp_path: Path
) -> None:
    """The directory of the first plane is taken for those of all: wrong values without a word."""
    path, planes = tmp_path / "a.ome.tif", np.random.default_rng(0).integers(0, 9000, (2, 40, 60))
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="P" '
        'DimensionOrder="XYCZT" Type="uint16" SizeX="60" SizeY="40" SizeC="2" SizeZ="1" SizeT="1">'
        '<Channel ID="C:0" Name="SHG"/><Channel ID="C:1" Name="TPEF"/><TiffData/></Pixels></Image></OME>'
    )
    options = STORED | {"compression": "zlib"}
    dtypes = ("uint16", otherwise.pop("dtype", "uint16"))
    for second in ({}, otherwise):
        with tifffile.TiffWriter(path) as tiff:
            tiff.write(planes[0].astype(dtypes[0]), description=xml, **options)
            tiff.write(planes[1].astype(dtypes[1 if second is otherwise else 0]), **(options | second))
        if second is not otherwise:
            with open_slide(path) as slide:
                region_HWC = slide.read_region(Location(0, 0), 0, slide.size)
            np.testing.assert_array_equal(np.moveaxis(region_HWC, -1, 0), planes)
    with pytest.raises(UnreadableSlideError, match="stored in different ways") as refusal:
        open_slide(path)
    assert told in refusal.value.has


@pytest.mark.parametrize(("more", "told"), [({}, True), ({"subfiletype": 1}, False), (None, False)])
def test_pages_that_the_xml_does_not_tell_of_are_told(
    more: dict[str, Any] | None, told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, planes = tmp_path / "a.ome.tif", np.random.default_rng(0).integers(0, 9000, (3, 40, 60))
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="P" '
        'DimensionOrder="XYCZT" Type="uint16" SizeX="60" SizeY="40" SizeC="2" SizeZ="1" SizeT="1">'
        '<Channel ID="C:0" Name="SHG"/><Channel ID="C:1" Name="TPEF"/><TiffData/></Pixels></Image></OME>'
    )
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(planes[0].astype(np.uint16), description=xml, **STORED)
        tiff.write(planes[1].astype(np.uint16), **STORED)
        if more is not None:
            tiff.write(planes[2].astype(np.uint16), **STORED, **more)
    with open_slide(path) as slide:
        region_HWC = slide.read_region(Location(0, 0), 0, slide.size)
    np.testing.assert_array_equal(np.moveaxis(region_HWC, -1, 0), planes[:2])
    assert ("does not tell are left out (1), such as number 2" in caplog.text) == told
