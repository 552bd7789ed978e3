"""The benchmark of predict measures what it says; nothing here is timed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.predict import jobs, model, report
from benchmarks.tiling import places, results
from models.networks.checkpoint import load_classifier
from tests.pipeline.deployment.specimens import specimen, write_slide


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(places, "WORK", tmp_path)
    return tmp_path


def run(cpu: float, patches: int = 10, **others: Any) -> dict[str, Any]:
    return {"runs": [{"cpu": cpu, "seconds": 2 * cpu, "patches": patches, **others}], "cores": 2}


def test_the_whole_and_its_works_alone_see_the_same_patches(work: Path) -> None:
    slides = [
        str(write_slide(work / f"s{n}.ome.tif", specimen(700, 500, n, channels=3), model.CHANNELS["phantom"]))
        for n in range(2)
    ]
    folder = str(model.model_folder("phantom", quality=True))
    before = set(work.iterdir())
    whole = jobs.whole(slides, folder, 2, tell=True)()
    assert set(work.iterdir()) == before
    assert whole["slides"] == 2
    assert whole["patches"] == sum(map(len, whole["found"].values())) > 10
    assert set(whole["steps"]) == {"plan", "read", "predict", "write"}
    assert 0 < sum(whole["steps"].values()) < whole["cpu"]
    for alone in (jobs.plan, jobs.read):
        assert alone(slides, folder, 2)()["patches"] == whole["patches"]
    assert jobs.network(whole["patches"], folder, 2)()["patches"] == whole["patches"]


def test_the_exported_network_is_the_same(work: Path) -> None:
    folder = model.model_folder("stained", quality=False)
    images_BHWC = np.random.default_rng(0).integers(0, 255, (3, 256, 256, 3)).astype(np.uint8)
    program = torch.export.load(model.exported(folder)).module()
    with torch.inference_mode():
        probability_BK = program(torch.from_numpy(images_BHWC)).numpy()
    classifier, _ = load_classifier(folder)
    np.testing.assert_allclose(probability_BK, classifier.predict_proba(images_BHWC), atol=1e-6)


def test_shares_are_those_of_the_same_round() -> None:
    contest = {"read": run(1.0), "network": run(6.0), "evenpatch": run(8.0)}
    contest["read"]["runs"].append({"cpu": 3.0, "seconds": 9.0})  # without a whole beside it
    assert report.efficiency(contest, ("read", "network")) == pytest.approx(7 / 8)
    # (1 + 6) / 2 cores, over 16 s of the clock
    assert report.wall_share(contest) == pytest.approx(3.5 / 16)


def test_the_report_tells_what_is_beyond_and_how_tools_agree(tmp_path: Path) -> None:
    steps = {"predict": 5.0, "read": 1.0}
    ours = run(8.0, steps=steps, slides=4, load=1.0, peak_mib=700.0, found={"a": [[0, 256, 0.5]]})
    theirs = run(20.0, network_cpu=5.0, peak_mib=900.0, found={"a": [[0, 256, 0.25]]})
    alone = {"plan": run(1.0), "read": run(1.0), "network": run(5.0)}
    contests = {
        "peers": {"evenpatch": ours, "TIAToolbox": theirs},
        "small": {**alone, "evenpatch": ours},
        "memory/5000": {"evenpatch": ours},
        "efficiency/stained/plain": {"raw": run(0.5), **alone, "evenpatch": ours},
        "planning": {"large": run(0.2), "phantom": run(0.1)},
    }
    for name, contest in contests.items():
        results.save(tmp_path, name, contest, results.conditions(), quick=False)
    text = report.write(tmp_path).read_text(encoding="utf-8")
    assert "| TIAToolbox | 2,000 | 500 | 5 | 2.5 | 2.5 | 900 |" in text
    assert "The same patches; the largest difference of probability is 0.2" in text
    assert "| beyond | 250 |" in text  # (8 - 1 - 1 - 5) s of 4 slides
    assert "| 5,000² | 10 | 700 |" in text
    assert "| 68.8% | 75.0% | 87.5% |" in text
    assert "| stained | plain | all else | 200 |" in text
