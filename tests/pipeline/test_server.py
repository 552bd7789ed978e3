"""The registered model behind `mlflow models serve`."""

import json
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from benchmarks.serving.load import post, refused, under_load
from benchmarks.serving.requests import good, malformed
from benchmarks.serving.server import Server, served
from models.networks.card_file import CARD, load_card
from pipeline.config import Context
from pipeline.tracking.served import raw_form
from tests.pipeline.finished import card
from tests.pipeline.rules import BY_TISSUE

FORM = raw_form(card("gerne", "low"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tracked_cohort: Context, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tracked_cohort.paths.root / 'mlflow.db'}")
        with served("models:/evenpatch-toy/1", tmp_path_factory.mktemp("server") / "log") as found:
            yield found


def test_several_clients_are_answered(server: Server) -> None:
    found = under_load(server, FORM, requests=24, clients=3)
    assert found["statuses"] == {"200": 24}


def test_every_kind_of_malformed_request_is_refused_and_the_server_lives(server: Server) -> None:
    require_refusals(server, by_tissue=False)


def require_refusals(server: Server, *, by_tissue: bool) -> None:
    kinds = {malformed(FORM, number, by_tissue=by_tissue)[0] for number in range(44)}
    found = refused(server, FORM, len(kinds), by_tissue=by_tissue)
    assert set(found["statuses"]) == kinds
    assert not [s for statuses in found["statuses"].values() for s in statuses if not 400 <= int(s) < 500]
    assert found["alive"]


def test_a_model_that_decides_by_tissue_refuses_patches_without_it_and_says_why(
    tracked_cohort: Context, tmp_path: Path
) -> None:
    source = f"sqlite:///{tracked_cohort.paths.root / 'mlflow.db'}"
    mlflow.set_tracking_uri(source)
    mlflow.set_registry_uri(source)
    model = Path(
        mlflow.artifacts.download_artifacts("models:/evenpatch-toy/1", dst_path=str(tmp_path / "model"))
    )
    place = model / "artifacts" / CARD
    decided = load_card(place.parent).model_copy(update={"decision": BY_TISSUE})
    place.write_text(decided.model_dump_json())
    with served(str(model), tmp_path / "log") as server:
        require_refusals(server, by_tissue=True)
        kind, body = good(FORM, 2)
        content = json.loads(body)["dataframe_split"]
        alone = {"dataframe_split": {"columns": ["patch"], "data": [row[:1] for row in content["data"]]}}
        status, answer = post(server, (kind, json.dumps(alone).encode()))
    assert status == 400
    assert "the detector needs the slide" in json.loads(answer)["message"]


def test_the_answer_names_the_wrong_row(server: Server) -> None:
    kind, body = good(FORM, 0)
    content = json.loads(body)
    content["dataframe_split"]["data"].append([content["dataframe_split"]["data"][0][0], 7.0])
    status, answer = post(server, (kind, json.dumps(content).encode()))
    assert status == 400
    assert "row 1 (the first is 0), column 'tissue_fraction'" in json.loads(answer)["message"]


def test_clients_that_send_patches_alone_are_answered(server: Server) -> None:
    kind, body = good(FORM, 2)
    content = json.loads(body)["dataframe_split"]
    alone = {"dataframe_split": {"columns": ["patch"], "data": [row[:1] for row in content["data"]]}}
    status, answer = post(server, (kind, json.dumps(alone).encode()))
    assert status == 200
    assert 0 <= json.loads(answer)["predictions"][0]["probability"] <= 1
