"""What MLflow's store may be like: elsewhere, deleted, damaged, silent, in a folder of an odd name."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from patching.errors import RegistryError
from pipeline.tracking import connection
from pipeline.tracking.connection import connect, experiment_id, local_database, model_name, tracking_uri
from pipeline.tracking.models import Logged, ModelStore
from pipeline.tracking.refusals import reporting


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store, to be copied: its tables take seconds to make."""
    root = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connect(root)
    return root / "mlflow.db"


@pytest.fixture
def root(empty: Path, tmp_path: Path) -> Path:
    """A folder with a store of its own."""
    shutil.copy(empty, tmp_path)
    return tmp_path


_MAKE = (
    "from pathlib import Path; from pipeline.tracking.connection import connect; "
    "connect(Path()).create_experiment('mine')"
)


@pytest.mark.parametrize("name", ["100%20 ?mode=ro#x", "Präparate"])
def test_in_a_folder_of_any_name_the_store_is_inside(empty: Path, tmp_path: Path, name: str) -> None:
    root = tmp_path / "above" / name
    root.mkdir(parents=True)
    shutil.copy(empty, root)
    # A process of its own: within one, MLflow keeps the database that an address led to at first.
    subprocess.run([sys.executable, "-W", "ignore", "-c", _MAKE], cwd=root, check=True)
    with sqlite3.connect(root / "mlflow.db") as database:
        names = {row[0] for row in database.execute("SELECT name FROM experiments")}
    assert names == {"Default", "mine"}
    assert [path.name for path in root.parent.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a?b", "100%20", "a#b c", "x?mode=ro&y"])
def test_the_address_of_a_store_leads_to_its_file(tmp_path: Path, name: str) -> None:
    found = local_database(tracking_uri(tmp_path / name))
    assert found is not None
    assert found.resolve() == tmp_path.resolve() / name / "mlflow.db"


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:////data/mlflow.db", Path("/data/mlflow.db")),
        ("sqlite:///mlflow.db", Path("mlflow.db")),
        ("sqlite:////a%3Fb/mlflow.db", Path("/a?b/mlflow.db")),
        ("sqlite:////data/mlflow.db?timeout=30", Path("/data/mlflow.db")),
        ("sqlite:///", None),
        ("http://server/sqlite:///", None),
    ],
)
def test_the_file_of_a_store(uri: str, file: Path | None) -> None:
    assert local_database(uri) == file


def test_a_deleted_experiment_is_to_be_restored(root: Path) -> None:
    client = connect(root)
    number = experiment_id(client, root, "mine")
    client.delete_experiment(number)
    with pytest.raises(RegistryError, match=f"mlflow experiments restore --experiment-id {number}"):
        experiment_id(client, root, "mine")
    client.restore_experiment(number)
    assert experiment_id(client, root, "mine") == number


def test_runs_of_a_lost_database_are_to_be_tracked_again(root: Path) -> None:
    store = ModelStore(root, "mine")
    with pytest.raises(RegistryError, match="run `evenpatch track` again") as caught:
        store.figures(Logged("0" * 32, "evenpatch-mine", "1"))
    assert "MLFLOW_TRACKING_URI" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("RESOURCE_DOES_NOT_EXIST", "evenpatch track"),
        ("INVALID_PARAMETER_VALUE", "change what it names"),
        ("RESOURCE_ALREADY_EXISTS", "rename"),
        ("UNAUTHENTICATED", "MLFLOW_TRACKING_TOKEN"),
        ("PERMISSION_DENIED", "MLFLOW_TRACKING_USERNAME"),
        ("INTERNAL_ERROR", "check MLFLOW_TRACKING_URI"),
    ],
)
def test_the_advice_fits_the_refusal(code: str, advice: str) -> None:
    with pytest.raises(RegistryError) as caught, reporting("http://me:word@server"):
        raise MlflowException("no", error_code=mlflow.protos.databricks_pb2.ErrorCode.Value(code))
    assert advice in caught.value.do
    assert "http://server: no" in caught.value.has


def _newer(database: Path) -> None:
    with sqlite3.connect(database) as opened:
        opened.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")


def _without_a_table(database: Path) -> None:
    with sqlite3.connect(database) as opened:
        opened.execute("DROP TABLE experiments")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda database: database.write_bytes(b"no database at all" * 100), "not a database"),
        (lambda database: database.write_bytes(database.read_bytes()[:50_000]), "malformed"),
        (_newer, "ffffffffffff"),
        (_without_a_table, "no such"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_at_once(root: Path, damage: object, told: str) -> None:
    assert callable(damage)
    damage(root / "mlflow.db")
    began = time.monotonic()
    with pytest.raises(RegistryError, match=told) as caught:
        connect(root)
    assert "set it aside" in caught.value.do
    assert time.monotonic() - began < 30


def test_a_folder_in_which_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RegistryError, match="nothing can be written"):
        connect(tmp_path / "file")


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:word@127.0.0.1:9")
    with pytest.raises(RegistryError, match="MLFLOW_TRACKING_URI") as caught:
        connect(tmp_path)
    assert "word" not in str(caught.value)


def test_a_server_that_never_answers_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, silent: int
) -> None:
    assert sum(connection.ANSWERS_WITHIN) < 30
    monkeypatch.setattr(connection, "ANSWERS_WITHIN", (0.2, 0.2))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent}")
    with pytest.raises(RegistryError, match="answers within seconds"):
        connect(tmp_path)


class _NoMlflow(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(b"<p>Welcome.</p>")

    do_POST = do_GET

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def test_a_server_of_something_else_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), _NoMlflow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        try:
            with pytest.raises(RegistryError, match="check MLFLOW_TRACKING_URI"):
                connect(tmp_path)
        finally:
            server.shutdown()


def test_a_database_without_its_driver_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql+pymysql://me:word@127.0.0.1:9/mlflow")
    with pytest.raises(RegistryError, match="pymysql"):
        connect(tmp_path)


def test_names_of_others_are_forgotten(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "sqlite:////nowhere/else.db")
    connect(root)
    assert "MLFLOW_RUN_ID" not in os.environ
    assert mlflow.get_registry_uri() == tracking_uri(root)
    assert model_name("mine") == "evenpatch-mine"
