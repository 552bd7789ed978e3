"""A model behind `mlflow models serve`, in processes of its own."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

HOST = "127.0.0.1"
_START_SECONDS = 300
_REQUEST_SECONDS = 120


@dataclass(frozen=True)
class Server:
    """Where it listens, and its first process."""

    port: int
    process: psutil.Process

    def connection(self) -> http.client.HTTPConnection:
        """For one client; it is kept between requests."""
        return http.client.HTTPConnection(HOST, self.port, timeout=_REQUEST_SECONDS)

    @property
    def memory_mib(self) -> float:
        """Resident memory of all its processes."""
        family = [self.process, *self.process.children(recursive=True)]
        return float(sum(each.memory_info().rss for each in family) / 2**20)

    def alive(self) -> bool:
        """Whether it answers a ping."""
        connection = self.connection()
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()


@contextmanager
def served(model: str, log: Path) -> Iterator[Server]:
    """Serve a model while the block runs.

    Raises:
        RuntimeError: it does not start; its output is in `log`.
    """
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
    command += ["--host", HOST, "--port", str(port)]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    # The server is started by name: of this environment, not of another one that comes first on the path.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True
        ) as run,
    ):
        try:
            server = Server(port, psutil.Process(run.pid))
            _wait(server, run, log)
            yield server
        finally:
            # One that ended by itself has no processes left.
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGTERM)


def _wait(server: Server, run: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while not server.alive():
        if run.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the server does not start: see {log}")
        time.sleep(0.5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
