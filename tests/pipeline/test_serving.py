"""The registered model, as whoever downloads it finds it."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import infer_and_parse_data

from patching.store.reading import PatchStore
from pipeline.config import Context
from pipeline.files import read_json
from pipeline.tracking.connection import tracking_uri
from pipeline.tracking.served import SIGNATURE, decode_patch, encode_patch

SHAPE = (3, 2, 4)
UINT16 = np.dtype("uint16")


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


def test_an_encoded_patch_comes_back() -> None:
    patch_HWC = np.arange(24, dtype=np.uint16).reshape(SHAPE)
    np.testing.assert_array_equal(decode_patch(encode_patch(patch_HWC), SHAPE, UINT16), patch_HWC)
    column_major = np.asfortranarray(patch_HWC)
    np.testing.assert_array_equal(decode_patch(encode_patch(column_major), SHAPE, UINT16), patch_HWC)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("text", "a str"),
        (None, "a NoneType"),
        (b"", "no .npy file"),
        (b"PK\x03\x04 a zip file of arrays", "no .npy file"),
        (encode_patch(np.zeros((2, 3, 4), np.uint16)), r"shape \(2, 3, 4\)"),
        (encode_patch(np.zeros(SHAPE, np.uint8)), "dtype uint8"),
        (encode_patch(np.zeros(SHAPE, ">u2")), "dtype >u2"),
        (encode_patch(np.zeros(SHAPE, np.uint16))[:-1], "bytes"),
        (encode_patch(np.zeros(SHAPE, np.uint16)) + b"x", "bytes"),
    ],
)
def test_what_is_no_patch_of_the_model_is_refused(cell: object, message: str) -> None:
    with pytest.raises(MlflowException, match=message) as caught:
        decode_patch(cell, SHAPE, UINT16)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_header_that_promises_terabytes_allocates_nothing() -> None:
    honest = encode_patch(np.zeros(SHAPE, np.uint16))
    huge = honest.replace(b"(3, 2, 4), }             ", b"(3, 2, 4000000000000), } ")
    assert huge != honest
    with pytest.raises(MlflowException, match="4000000000000"):
        decode_patch(huge, SHAPE, UINT16)


@given(st.binary(max_size=200), st.integers(0, 127))
def test_damaged_cells_give_only_the_typed_error(noise: bytes, place: int) -> None:
    honest = encode_patch(np.zeros(SHAPE, np.uint16))
    for cell in (noise, honest[:place] + noise + honest[place + len(noise) :]):
        try:
            decode_patch(cell, SHAPE, UINT16)
        except MlflowException:
            continue
