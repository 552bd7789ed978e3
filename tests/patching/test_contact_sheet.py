"""Contact sheets: which patches, where they stand, and one stretch for all."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from patching.pictures.contact_sheet import (
    SheetGroup,
    SheetPatch,
    draw_contact_sheet,
    load_pictures,
    spread,
)
from patching.pictures.drawing import write_picture
from patching.store.reading import PatchTable, StoreAttributes
from patching.store.writing import write_store

SIDE = 12


def store(path: Path, values: list[int], *, brightfield: bool = False) -> Path:
    """A store of flat patches, each of one value."""
    count, dtype = len(values), "uint8" if brightfield else "uint16"
    attributes = StoreAttributes(
        slide_id=path.stem,
        fingerprint="ab",
        spec={"size": SIDE},
        extent=SIDE,
        stride=SIDE,
        downsample=1.0,
        mpp=None,
        slide_mpp=None,
        slide_size=(300, 200),
        channels=("R", "G", "B") if brightfield else ("CARS",),
        dtype=dtype,
        brightfield=brightfield,
        tissue_downsample=4.0,
        dropped={},
    )
    patches = [np.full((SIDE, SIDE, len(attributes.channels)), value, dtype) for value in values]
    place_N = np.arange(count)
    table = PatchTable(
        np.stack([place_N * SIDE, place_N], axis=1),
        place_N / 10,
        place_N / 10,
        place_N.astype(np.int8) % 2,
        np.ones(count),
    )
    write_store(path, attributes, table, np.ones((50, 75), bool), iter(patches))
    return path


@given(
    fractions=st.lists(st.integers(0, 100), max_size=60),
    slides=st.integers(1, 7),
    wanted=st.integers(1, 20),
)
@settings(max_examples=80, deadline=None)
def test_a_choice_is_spread_over_values_and_slides(fractions: list[int], slides: int, wanted: int) -> None:
    value_N = np.array(fractions, float) / 100
    slide_N = [f"s{place % slides}" for place in range(len(fractions))]
    chosen = spread(value_N, slide_N, wanted)
    assert len(chosen) == len(set(chosen.tolist())) == min(wanted, len(fractions))
    assert (np.diff(value_N[chosen]) >= 0).all()
    assert chosen.tolist() == spread(value_N, slide_N, wanted).tolist()


def test_a_choice_comes_from_many_slides_and_from_the_whole_range() -> None:
    value_N = np.linspace(0, 1, 400)
    slide_N = ["large"] * 400
    slide_N[::10] = [f"s{place}" for place in range(40)]
    chosen = spread(value_N, slide_N, 8)
    assert len({slide_N[place] for place in chosen}) == 8
    assert np.abs(value_N[chosen] - (np.arange(8) + 0.5) / 8).max() < 1 / 16


def test_patches_stand_in_their_place_under_their_title(tmp_path: Path) -> None:
    path = store(tmp_path / "s1.zarr", [10, 60, 110, 160, 210], brightfield=True)
    patches = [SheetPatch(path, row, f"s1@{row}_0", "tissue 5 %") for row in (4, 0, 2)]
    groups = [SheetGroup("first", tuple(patches)), SheetGroup("none", ()), SheetGroup("b", (patches[1],))]
    page = draw_contact_sheet(groups, side=40, columns=2)
    # Two columns: the third patch begins the second row.
    assert page[60, 30].tolist() == [210] * 3
    assert page[60, 30 + 48].tolist() == [10] * 3
    assert page[60 + 82, 30].tolist() == [110] * 3
    assert (page[60 + 82, 30 + 48] == 255).all()
    assert page.shape[1] == 16 + 40 + 8 + 40 + 16
    assert (page == 10).all(axis=-1).sum() == 2 * 40 * 40


def test_intensities_share_one_stretch(tmp_path: Path) -> None:
    faint, strong = store(tmp_path / "a.zarr", [100, 100]), store(tmp_path / "b.zarr", [100, 1000, 4000])
    patches = [SheetPatch(faint, 0, "", ""), *(SheetPatch(strong, row, "", "") for row in range(3))]
    levels = [picture[0, 0, 0] for picture in load_pictures(patches, 20).values()]
    shown = dict(zip(load_pictures(patches, 20), levels, strict=True))
    assert shown[patches[0]] == shown[patches[1]] == 0
    assert 40 < shown[patches[2]] < 80
    assert shown[patches[3]] == 255


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    path = store(tmp_path / "a.zarr", [100, 500])
    groups = [SheetGroup("g" * 200, (SheetPatch(path, 1, "p" * 99, "n" * 99),))]
    for name in ("1.png", "2.png"):
        write_picture(draw_contact_sheet(groups), tmp_path / "sheets" / name)
    assert (tmp_path / "sheets" / "1.png").read_bytes() == (tmp_path / "sheets" / "2.png").read_bytes()
    with Image.open(tmp_path / "sheets" / "1.png") as image:
        assert image.size[0] == 2 * 16 + 8 * 136 - 8
    assert sorted(file.name for file in (tmp_path / "sheets").iterdir()) == ["1.png", "2.png"]


def test_a_missing_store_is_told(tmp_path: Path) -> None:
    from patching.errors import StoreError

    with pytest.raises(StoreError):
        draw_contact_sheet([SheetGroup("g", (SheetPatch(tmp_path / "no.zarr", 0, "", ""),))])
