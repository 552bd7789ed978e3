"""The stage that looks closer: what it chooses, what it finds again of a slide, what it writes."""

import json
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

from patching.digests import fingerprint
from patching.manifest import SlideRow
from pipeline.artifacts import GALLERY, Paths
from pipeline.config import Context, load_stage
from pipeline.explain.background import fill_of
from pipeline.explain.choosing import choose, confidence
from pipeline.explain.handover import PICTURES, Explanation, explanation_of
from pipeline.explain.maps import AGAINST, FOR, draw_occlusion, gradcam_place
from pipeline.explain.ranking import by_errors
from pipeline.explain.settings import ExplainSettings
from pipeline.explain.slides import finest, reopened, tumor_outlines
from pipeline.explain.subject import subject_of
from pipeline.look.patches import squared
from pipeline.stages import explain
from pipeline.yaml_file import load_yaml
from tests.pipeline.finished import store_attributes


def settings(**changed: object) -> ExplainSettings:
    content = load_yaml(Path(__file__).parents[2] / "configs" / "explain.yaml")
    return ExplainSettings.model_validate(content | changed)


def patch_rows(n: int) -> pd.DataFrame:
    """Groups 0 and 3 of five patients with two slides each; every third patch is wrong."""
    rng, number = np.random.default_rng(3), np.arange(n)
    label = number % 2
    wrong = number % 3 == 0
    prediction = np.where(wrong, 1 - label, label)
    sure = rng.uniform(0.5, 1, n).round(3)
    return pd.DataFrame(
        {
            "patch_id": [f"s{k % 10}@{k}_0" for k in number],
            "slide_id": [f"s{k % 10}" for k in number],
            "patient_id": [f"p{k % 5}" for k in number],
            "group": label * 3,
            "label": label,
            "prediction": prediction,
            "probability": np.where(prediction == 1, sure, 1 - sure),
            "tissue_fraction": rng.random(n).round(3),
        }
    )


def test_confidence_is_told_from_the_threshold() -> None:
    rows = pd.DataFrame({"probability": [0.9, 0.6, 0.3, 0.15], "prediction": [1, 1, 1, 0]})
    np.testing.assert_allclose(confidence(rows, 0.2), [0.875, 0.5, 0.125, 0.25])


def test_errors_come_with_a_control_that_is_right_and_near() -> None:
    rows = patch_rows(60)
    chosen = (
        choose(rows, 0.5, settings())
        .merge(rows, on="patch_id")
        .assign(wrong=lambda table: table["label"] != table["prediction"])
    )
    assert chosen["patch_id"].is_unique
    counts = chosen.groupby(["group", "role"]).size().to_dict()
    assert counts == {
        (g, role): n
        for g in (0, 3)
        for role, n in (("confident", 2), ("typical", 2), ("control", 4), ("random", 2))
    }
    by_name = chosen.set_index("patch_id")
    for name, control in by_name[by_name["role"] == "control"].iterrows():
        error = by_name.loc[control["of"]]
        assert error["wrong"]
        assert not control["wrong"]
        assert control["group"] == error["group"]
        same = rows[(rows["group"] == error["group"]) & (rows["label"] == rows["prediction"])]
        if control["matched"] == "slide":
            assert control["slide_id"] == error["slide_id"]
        elif control["matched"] == "patient":
            assert control["patient_id"] == error["patient_id"]
            assert not ((same["slide_id"] == error["slide_id"]) & ~same["patch_id"].isin(by_name.index)).any()
        assert name != control["of"]
    surest = chosen[(chosen["group"] == 0) & (chosen["role"] == "confident")]
    errors = rows[(rows["group"] == 0) & (rows["label"] != rows["prediction"])]
    assert errors["probability"].max() in set(surest["probability"])
    assert surest["patient_id"].nunique() == 2


def test_the_nearest_tissue_of_the_slide_is_the_control() -> None:
    rows = patch_rows(4).assign(group=0, label=0, slide_id="s", patient_id="p")
    rows["prediction"] = [1, 0, 0, 0]
    rows["probability"] = [0.9, 0.1, 0.2, 0.3]
    rows["tissue_fraction"] = [0.5, 0.1, 0.58, 0.52]
    rows.loc[3, ["slide_id", "patient_id"]] = ["other", "q"]
    chosen = choose(rows, 0.5, settings(random=0))
    assert chosen["role"].tolist() == ["confident", "control"]
    # The nearest of all is another patient's.
    assert chosen["patch_id"].tolist() == [rows["patch_id"][0], rows["patch_id"][2]]
    assert chosen["matched"].tolist() == ["", "slide"]


def test_the_choice_depends_on_nothing_but_the_rows() -> None:
    rows = patch_rows(60)
    pd.testing.assert_frame_equal(choose(rows, 0.5, settings()), choose(rows[::-1], 0.5, settings()))


@pytest.mark.parametrize("change", ["empty", "all right", "all wrong", "one patient", "no probability"])
def test_whatever_there_is_is_chosen_from(change: str) -> None:
    rows = patch_rows(60)
    if change == "empty":
        rows = rows.head(0)
    elif change == "all right":
        rows["prediction"] = rows["label"]
    elif change == "all wrong":
        rows["prediction"] = 1 - rows["label"]
    elif change == "one patient":
        rows["patient_id"] = "p"
    else:
        rows["probability"] = np.nan
    chosen = choose(rows, 0.5, settings())
    expected = {"empty": 0, "all right": 4, "all wrong": 12, "one patient": 20, "no probability": 0}
    assert len(chosen) == expected[change]


def test_slides_and_patients_are_ranked_by_errors() -> None:
    rows = patch_rows(60)
    found = by_errors(rows, "patient_id")
    assert found["errors"].sum() == (rows["label"] != rows["prediction"]).sum() == 20
    assert (found["missed"] + found["alarms"] == found["errors"]).all()
    assert found["errors"].is_monotonic_decreasing


def a_slide(folder: Path) -> SlideRow:
    """300 x 200 pixels, two levels; every pixel tells its place."""
    y_HW, x_HW = np.mgrid[:200, :300]
    image_HWC = np.stack([x_HW, y_HW, x_HW + y_HW], axis=2).astype(np.uint16)
    path = folder / "slide.tif"
    with tifffile.TiffWriter(path) as file:
        tiles = {"photometric": "minisblack", "planarconfig": "contig", "tile": (64, 64)}
        file.write(image_HWC, subifds=1, **tiles)
        file.write(image_HWC[::2, ::2], subfiletype=1, **tiles)
    return SlideRow("s-p03", "p03", (path,), ("CARS", "TPEF", "SHG"))


def test_a_place_is_found_again_at_full_resolution(tmp_path: Path) -> None:
    row = a_slide(tmp_path)
    with row.open() as slide:
        square_HWC = finest(slide, 40, 120, 32, side=320)
        assert square_HWC is not None
        np.testing.assert_array_equal(square_HWC[0, 0], [40, 120, 160])
        np.testing.assert_array_equal(square_HWC[-1, -1], [71, 151, 222])
        assert square_HWC.shape == (32, 32, 3)
        small_HWC = finest(slide, 40, 120, 64, side=16)
        assert small_HWC is not None
        assert small_HWC.shape == (16, 16, 3)
        # The mean of four pixels.
        np.testing.assert_allclose(small_HWC[0, 0], [41.5, 121.5, 163], atol=0.51)
        outside_HWC = finest(slide, 290, 190, 20, side=20)
        assert outside_HWC is not None
        assert outside_HWC[5, 5].any()
        assert not outside_HWC[15, 15].any()


def test_a_slide_that_is_no_longer_what_was_tiled_is_told(tmp_path: Path) -> None:
    row = a_slide(tmp_path)
    about = replace(store_attributes("s-p03"), fingerprint=fingerprint(row.images))
    with reopened(row, about, check=True) as again:
        assert again.state == "same"
        assert again.slide is not None
    with reopened(row, about, check=False) as again:
        assert again.state == "not_checked"
        assert again.slide is not None
    with reopened(row, replace(about, fingerprint="0" * 64), check=True) as again:
        assert (again.state, again.slide) == ("changed", None)
    with reopened(row, replace(about, slide_size=(300, 100)), check=False) as again:
        assert again.state == "changed"
    Path(row.images[0]).write_bytes(b"II*\0 no slide any more")
    with reopened(row, about, check=False) as again:
        assert again.state == "unreadable"
    Path(row.images[0]).unlink()
    with reopened(row, about, check=True) as again:
        assert again.state == "gone"
    with reopened(None, about, check=True) as again:
        assert again.state == "gone"


def test_a_patch_that_is_too_large_to_be_read_is_told_and_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "single.tif"
    tifffile.imwrite(path, np.full((200, 300), 7, np.uint16), photometric="minisblack", tile=(64, 64))
    row = SlideRow("s-p03", "p03", (path,), ("SHG",))
    about = replace(store_attributes("s-p03"), fingerprint=fingerprint(row.images), channels=("SHG",))
    large = replace(about, downsample=512, extent=8192)
    with reopened(row, large, check=True) as again:
        assert again.state == "too_large"
        assert again.slide is not None
        assert finest(again.slide, 0, 0, large.extent, side=100) is None
    # What the network saw is all that the slide has: nothing finer is missing.
    with reopened(row, replace(large, downsample=1), check=True) as again:
        assert again.state == "same"


def test_annotations_are_thinned_and_kept(tmp_path: Path) -> None:
    row = a_slide(tmp_path)
    mask_HW = np.zeros((200, 300), np.uint8)
    mask_HW[20:80, 30:150] = 1
    (tmp_path / "mask.png").write_bytes(imagecodecs.png_encode(mask_HW))
    with row.open() as slide:
        assert tumor_outlines(row, slide, {"1": "tumor", "0": "normal"}) is None
        row = replace(row, annotation=tmp_path / "mask.png")
        (ring,) = tumor_outlines(row, slide, {"1": "tumor", "0": "normal"}) or [[]]
        assert 4 <= len(ring) <= 6
        np.testing.assert_allclose(
            [np.min(ring, axis=0), np.max(ring, axis=0)], [[30, 20], [150, 80]], atol=1.5
        )
        (tmp_path / "mask.png").write_bytes(b"no picture")
        assert tumor_outlines(row, slide, {"1": "tumor"}) is None


def test_background_is_the_median_unless_there_is_too_little() -> None:
    others_C = np.array([9, 9], np.uint16)
    pixels_MC = np.stack([np.arange(301), np.full(301, 7)], axis=1).astype(np.uint16)
    assert fill_of(pixels_MC, others_C).tolist() == [150, 7]
    assert fill_of(pixels_MC[:20], others_C).tolist() == [9, 9]


def test_maps_are_colored_by_sign_on_one_scale() -> None:
    gray_HW3 = np.full((8, 8, 3), 100, np.uint8)
    map_HW = np.zeros((8, 8))
    map_HW[:, :2], map_HW[:, 6:] = 2.0, -1.0
    shown_HW3 = draw_occlusion(gray_HW3, map_HW, limit=2.0, side=8)
    np.testing.assert_allclose(shown_HW3[4, 0], 0.25 * 100 + 0.75 * np.array(FOR), atol=1)
    np.testing.assert_allclose(shown_HW3[4, 7], 0.625 * 100 + 0.375 * np.array(AGAINST), atol=1)
    assert shown_HW3[4, 4].tolist() == [100, 100, 100]
    assert gradcam_place(np.array([[0, 0], [0, 3.0]])) == "lower right"
    assert [gradcam_place(each) for each in (None, np.ones((1, 1)), np.zeros((2, 2)))] == ["", "", ""]


def handed_over(context: Context) -> Explanation:
    found = explanation_of(context.paths, "gerne-low")
    assert isinstance(found, Explanation), found
    return found


def test_the_stage_is_about_the_reports_model(explained_cohort: Context) -> None:
    subject = subject_of(explained_cohort)
    assert (subject.name, subject.algorithm, subject.threshold) == ("gerne-low", "gerne", "low")
    assert set(subject.rows["split"]) == {"test"}
    assert len(subject.rows) == 4 * 48
    overlay = {"primary": {"candidate": "gerne", "reference": "erm", "metric": "wga", "threshold": "high"}}
    file = explained_cohort.configs / "cohorts" / "toy.yaml"
    content = load_yaml(file)
    file.write_text(yaml.safe_dump(content | {"report": content["report"] | overlay}))
    assert subject_of(explained_cohort).name == "gerne-high"
    file.write_text(yaml.safe_dump(content))


def test_every_patch_has_its_pictures_and_says_why_one_is_missing(explained_cohort: Context) -> None:
    found = handed_over(explained_cohort)
    assert list(found.table.columns) == list(GALLERY)
    assert 20 < len(found.table) <= 40
    assert set(found.table["slide_state"]) == {"gone"}
    assert {row["state"] for row in found.slides.values()} == {"gone"}
    assert (found.table["fine"] == "").all()
    for kind in ("seen", "tissue", "occlusion"):
        assert all((found.folder / PICTURES / name).is_file() for name in found.table[kind])
    # Patches of 16 pixels leave the network one place: no map.
    assert found.facts["maps"]["gradcam"]["size"] == [1, 1]
    assert (found.table["gradcam"] == "").all()
    assert found.picture("nothing.jpg") is None


def test_occlusion_begins_at_the_models_own_answer(explained_cohort: Context) -> None:
    """What no window changes would have the told probability; the decisive window moves it away."""
    table = handed_over(explained_cohort).table
    away = np.where(
        table["prediction"] == 1,
        table["probability"] - table["covered_probability"],
        table["covered_probability"] - table["probability"],
    )
    assert (away > -1e-6).mean() > 0.9
    change = np.log(table["probability"] / (1 - table["probability"])) - np.log(
        table["covered_probability"] / (1 - table["covered_probability"])
    )
    told = np.where(table["prediction"] == 1, table["for_tumor"], -table["against_tumor"])
    moved = told != 0
    np.testing.assert_allclose(change[moved], told[moved], atol=1e-4)


def test_the_same_files_give_the_same_hand_over(explained_cohort: Context) -> None:
    def bytes_of() -> dict[str, bytes]:
        folder = explained_cohort.paths.explained
        return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    before = bytes_of()
    explain.run(explained_cohort, Namespace())
    assert bytes_of() == before


def test_a_hand_over_of_another_model_is_refused(explained_cohort: Context, tmp_path: Path) -> None:
    assert explanation_of(Paths(tmp_path, "toy"), "gerne-low") == "evenpatch explain has not run"
    told = explanation_of(explained_cohort.paths, "erm-low")
    assert told == "evenpatch explain has run for gerne-low, and this report is about erm-low"
    shutil.copytree(explained_cohort.paths.root, tmp_path, dirs_exist_ok=True)
    paths = Paths(tmp_path, "toy")
    path = paths.evaluation("gerne-low") / "predictions.parquet"
    pd.read_parquet(path).assign(probability=0.5).to_parquet(path)
    assert explanation_of(paths, "gerne-low") == "predictions.parquet changed since evenpatch explain has run"


def test_without_test_patients_the_hand_over_is_empty(finished_cohort: Context, tmp_path: Path) -> None:
    shutil.copytree(finished_cohort.paths.root, tmp_path, dirs_exist_ok=True)
    context = Context("toy", Paths(tmp_path, "toy"), tmp_path / "configs")
    for path in context.paths.evaluation("any").parent.glob("*/predictions.parquet"):
        table = pd.read_parquet(path)
        table[table["split"] == "validation"].to_parquet(path, index=False)
    explain.run(context, Namespace())
    assert handed_over(context).table.empty
    assert json.loads((context.paths.explained / "explain.json").read_text())["patches"] == 0


def test_tissue_of_a_patch_at_the_border_is_made_a_square() -> None:
    square_HW = squared(np.ones((2, 3), np.bool_), extent=17, downsample=4)
    assert square_HW.shape == (4, 4)
    assert square_HW[:2, :3].all()
    assert square_HW.sum() == 6
    # Of a patch smaller than a pixel of the mask.
    assert squared(np.zeros((0, 0), np.bool_), extent=1, downsample=4).tolist() == [[False]]


def test_settings_are_those_of_the_shipped_file(explained_cohort: Context) -> None:
    assert load_stage(explained_cohort.configs, "toy", "explain", ExplainSettings) == settings()
