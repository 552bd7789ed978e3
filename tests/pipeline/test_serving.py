"""The registered model, as whoever downloads it finds it."""

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import imagecodecs
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models.utils import _enforce_schema
from mlflow.pyfunc import PyFuncModel, PythonModelContext
from mlflow.pyfunc.scoring_server import infer_and_parse_data

from models.networks.card import DecisionCard
from models.networks.card_file import WEIGHTS
from models.networks.checkpoint import save_classifier
from models.networks.decision import verdicts
from models.networks.evidence import load_evidence
from models.networks.reliability import notes
from patching.store.reading import PatchStore
from pipeline.config import Context
from pipeline.files import read_json
from pipeline.tracking.cells import encode_patch
from pipeline.tracking.connection import tracking_uri
from pipeline.tracking.served import SIGNATURE, PatchModel
from tests.pipeline.finished import CHANNELS, SIDE, card, tiny_classifier
from tests.pipeline.rules import RULES


def version_of(context: Context, run: str) -> str:
    receipts = read_json(context.paths.tracked, "track")["runs"]
    return next(str(receipt["version"]) for receipt in receipts if receipt["run"] == run)


@pytest.fixture(scope="module")
def served_patches(tracked_cohort: Context) -> tuple[pd.DataFrame, np.ndarray]:
    """Twelve test patches of gerne-low as the model's input, and the evaluation's probabilities."""
    paths = tracked_cohort.paths
    predictions = pd.read_parquet(paths.evaluation("gerne-low") / "predictions.parquet")
    rows = (
        predictions[predictions["split"] == "test"]
        .head(12)
        .merge(pd.read_parquet(paths.index), on="patch_id")
    )
    cells = [
        encode_patch(PatchStore.open(paths.store(row.slide_id)).read([row.store_row])[0])
        for row in rows.itertuples()
    ]
    return pd.DataFrame({"patch": cells}), rows["probability"].to_numpy()


@pytest.mark.slow
def test_a_fresh_process_without_pickle_gives_the_evaluations_probabilities(
    tracked_cohort: Context, served_patches: tuple[pd.DataFrame, np.ndarray], tmp_path: Path
) -> None:
    patches, expected_N = served_patches
    patches.to_parquet(tmp_path / "patches.parquet")
    code = (
        "import json, sys, mlflow, pandas as pd\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "result = model.predict(pd.read_parquet(sys.argv[2]))\n"
        "import pipeline.tracking.served as s\n"
        "print(json.dumps([result.probability.tolist(), result.prediction.tolist(), s.__file__]))\n"
    )
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": tracking_uri(tracked_cohort.paths.root),
        "MLFLOW_REGISTRY_URI": tracking_uri(tracked_cohort.paths.root),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    uri = f"models:/evenpatch-toy/{version_of(tracked_cohort, 'gerne-low')}"
    done = subprocess.run(
        [sys.executable, "-c", code, uri, str(tmp_path / "patches.parquet")],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    probability, prediction, file = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(probability, expected_N, atol=1e-5)
    assert prediction == (expected_N > 0.5).astype(int).tolist()
    # The model's own copy of the code ran, not the installed package.
    assert "artifacts" in Path(file).parts


def test_nothing_in_the_registered_model_is_pickled(tracked_cohort: Context) -> None:
    mlflow.set_tracking_uri(tracking_uri(tracked_cohort.paths.root))
    mlflow.set_registry_uri(tracking_uri(tracked_cohort.paths.root))
    folder = Path(mlflow.artifacts.download_artifacts("models:/evenpatch-toy/1"))
    names = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert not names & {".pkl", ".pt", ".pth", ".bin"}
    requirements = (folder / "requirements.txt").read_text()
    assert "torch==" in requirements
    assert "+cpu" not in requirements
    assert "evenpatch" not in requirements


def test_a_json_payload_reaches_the_model_as_bytes(served_patches: tuple[pd.DataFrame, np.ndarray]) -> None:
    cells = served_patches[0]["patch"].tolist()[:2]
    payload = {"columns": ["patch"], "data": [[base64.b64encode(cell).decode()] for cell in cells]}
    text = json.dumps({"dataframe_split": payload})
    parsed = infer_and_parse_data(json.loads(text), SIGNATURE.inputs)
    assert parsed["patch"].tolist() == cells


@pytest.fixture(scope="module")
def model(tracked_cohort: Context) -> PyFuncModel:
    # Not `tracking_uri`: MLflow leaves the store of an earlier module in the environment.
    uri = f"sqlite:///{tracked_cohort.paths.root / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow.pyfunc.load_model(f"models:/evenpatch-toy/{version_of(tracked_cohort, 'gerne-low')}")


def test_verdicts_have_names_and_notes(
    model: PyFuncModel, served_patches: tuple[pd.DataFrame, np.ndarray]
) -> None:
    patches, expected_N = served_patches
    blank = encode_patch(np.full((SIDE, SIDE, len(CHANNELS)), 7, np.uint16))
    told = model.predict(pd.concat([patches, pd.DataFrame({"patch": [blank]})], ignore_index=True))
    assert list(told) == ["probability", "prediction", "class", "note"]
    assert told["class"].tolist() == [("normal", "tumor")[k] for k in told["prediction"]]
    assert ["blank" in note for note in told["note"]] == [False] * len(patches) + [True]
    np.testing.assert_allclose(told["probability"].iloc[:-1], expected_N, atol=1e-5)


def test_a_tissue_fraction_tells_weak_groups_and_what_lies_outside_the_training(
    model: PyFuncModel, served_patches: tuple[pd.DataFrame, np.ndarray], tracked_cohort: Context
) -> None:
    cell = served_patches[0]["patch"].iloc[0]
    evidence = load_evidence(tracked_cohort.paths.evidence("gerne-low"), card("gerne", "low"))
    assert evidence is not None
    fraction_N = [0.01, 0.3, 0.9, None]
    told = model.predict(pd.DataFrame({"patch": [cell] * 4, "tissue_fraction": fraction_N}))
    expected_N = notes(
        card("gerne", "low"),
        evidence,
        told["prediction"].to_numpy(),
        tissue_fraction_N=np.array(fraction_N, float),
    )
    assert told["note"].tolist() == expected_N.tolist()
    assert "outside training: tissue fraction" in told["note"].iloc[0]
    assert any("weak group" in note for note in told["note"])


def test_pictures_are_patches_too(
    model: PyFuncModel, served_patches: tuple[pd.DataFrame, np.ndarray]
) -> None:
    cells = served_patches[0]["patch"].tolist()
    arrays = [np.load(io.BytesIO(cell), allow_pickle=False) for cell in cells]
    png = model.predict(pd.DataFrame({"patch": [imagecodecs.png_encode(array) for array in arrays]}))
    pd.testing.assert_frame_equal(png, model.predict(pd.DataFrame({"patch": cells})))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("patch", b"no patch", r"row 1 \(the first is 0\), column 'patch'\nhas: 8 bytes"),
        ("tissue_fraction", 1.5, r"row 1 .*column 'tissue_fraction'\nhas: 1\.5"),
        ("tissue_fraction", -0.1, r"a number from 0 to 1"),
    ],
)
def test_what_is_wrong_is_told_with_its_row(
    model: PyFuncModel,
    served_patches: tuple[pd.DataFrame, np.ndarray],
    column: str,
    value: object,
    message: str,
) -> None:
    table = served_patches[0].head(2).assign(tissue_fraction=0.5)
    table[column] = [table[column].iloc[0], value]
    with pytest.raises(MlflowException, match=message) as caught:
        model.predict(table)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


class Folder:
    """A model as MLflow gives it to its own code, without a registry."""

    def __init__(self, folder: Path, decision: DecisionCard) -> None:
        save_classifier(
            folder, tiny_classifier(3), card("erm", "low").model_copy(update={"decision": decision})
        )
        self._place = PythonModelContext({"weights": str(folder / WEIGHTS)}, {})
        self._model = PatchModel()
        self._model.load_context(self._place)

    def predict(self, table: pd.DataFrame) -> pd.DataFrame:
        return self._model.predict(self._place, table)


@pytest.mark.parametrize("rule", RULES)
def test_a_served_verdict_is_the_decisions(
    rule: str, served_patches: tuple[pd.DataFrame, np.ndarray], tmp_path: Path
) -> None:
    cells = served_patches[0]["patch"].tolist()
    tissue_N = np.linspace(0.05, 1, len(cells))
    told = Folder(tmp_path, RULES[rule]).predict(pd.DataFrame({"patch": cells, "tissue_fraction": tissue_N}))
    patches_NHWC = np.stack([np.load(io.BytesIO(cell), allow_pickle=False) for cell in cells])
    probability_N, class_N = verdicts(RULES[rule], tiny_classifier(3).predict_proba(patches_NHWC), tissue_N)
    np.testing.assert_allclose(told["probability"], probability_N, atol=1e-6)
    assert told["prediction"].tolist() == class_N.tolist()
    assert told["prediction"].tolist() == (told["probability"] > RULES[rule].threshold).astype(int).tolist()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("fractions", [None, [0.3, None], [0.3, float("nan")]])
def test_without_a_tissue_fraction_a_decision_by_tissue_is_refused_and_no_other(
    rule: str,
    fractions: list[float | None] | None,
    served_patches: tuple[pd.DataFrame, np.ndarray],
    tmp_path: Path,
) -> None:
    table = served_patches[0].head(2)
    if fractions is not None:
        table = table.assign(tissue_fraction=fractions)
    model = Folder(tmp_path, RULES[rule])
    if rule in ("plain", "threshold"):
        assert len(model.predict(table)) == 2
        return
    with pytest.raises(MlflowException) as caught:
        model.predict(table)
    row = 0 if fractions is None else 1
    assert str(caught.value).startswith(
        f"row {row} (the first is 0), column 'tissue_fraction'\nhas: nothing\n"
    )
    assert f"decides by the rule {rule}, and a patch alone does not tell" in str(caught.value)
    assert "evenpatch predict" in str(caught.value)
    assert caught.value.get_http_status_code() == 400


@pytest.mark.parametrize("rule", RULES)
def test_an_empty_tissue_fraction_is_advised_where_the_model_can_do_without(
    rule: str, served_patches: tuple[pd.DataFrame, np.ndarray], tmp_path: Path
) -> None:
    table = served_patches[0].head(2).assign(tissue_fraction=[0.3, 1.4])
    with pytest.raises(MlflowException, match=r"has: 1\.4") as caught:
        Folder(tmp_path, RULES[rule]).predict(table)
    assert ("leave the cell empty" in str(caught.value)) == (rule in ("plain", "threshold"))


def test_no_model_lets_mlflow_refuse_what_it_refuses_with_its_reason(
    served_patches: tuple[pd.DataFrame, np.ndarray],
) -> None:
    cell = base64.b64encode(served_patches[0]["patch"].iloc[0]).decode()
    content = {"dataframe_split": {"columns": ["patch"], "data": [[cell]]}}
    parsed = infer_and_parse_data(content, SIGNATURE.inputs)
    assert _enforce_schema(parsed, SIGNATURE.inputs).columns.tolist() == ["patch"]


def test_no_patches_give_no_rows(model: PyFuncModel) -> None:
    told = model.predict(pd.DataFrame({"patch": pd.Series([], dtype=object)}))
    assert (list(told), len(told)) == (["probability", "prediction", "class", "note"], 0)
