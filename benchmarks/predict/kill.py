"""Kill a prediction at random moments, go on, and compare its files with those of a run that was left alone.

  python -m benchmarks.predict.kill FOLDER SLIDES MODEL [KILLS]

Every run is a fork of this process, which has imported all and computed nothing, so that a run of a second
can be killed in its midst. Each kill is followed by a run to the end; the exit code tells whether all were
the same.
"""

import contextlib
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

from models.networks.backbones.registry import make_backbone
from pipeline import cli
from pipeline.stages import predict  # noqa: F401 - imported before the forks


def main(folder: Path, slides: str, model: str, kills: int) -> int:
    """Number of kills after which a file differed, or something was left."""
    torch.set_num_threads(1)  # no other thread may be there when the process forks
    make_backbone("resnet10_slim", 1, 2)  # which imports MONAI
    alone, killed = folder / "alone", folder / "killed"
    started = time.monotonic()
    _wait(_forked(slides, model, alone))
    seconds, expected = time.monotonic() - started, _files(alone)
    bad = 0
    for number in range(kills):
        shutil.rmtree(killed, ignore_errors=True)
        child = _forked(slides, model, killed)
        time.sleep(random.Random(number).uniform(0, seconds))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        whole = len(list(killed.glob("*/patches.parquet")))
        code = _wait(_forked(slides, model, killed))
        found = _files(killed)
        wrong = sorted(name for name in expected.keys() | found if expected.get(name) != found.get(name))
        bad += bool(wrong or code)
        print(f"kill {number}: {whole} slides were whole; {', '.join(wrong) or 'all files the same'}")
    print(f"{kills} kills within {seconds:.1f} s, {bad} with other files")
    return bad


def _forked(slides: str, model: str, out: Path) -> int:
    child = os.fork()
    if child == 0:
        arguments = ["predict", slides, "--model", model, "--out", str(out), "--log-level", "warning"]
        os._exit(cli.main(arguments))
    return child


def _wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _files(folder: Path) -> dict[str, bytes]:
    """All files by name but run.json, which tells times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "run.json"
    }


if __name__ == "__main__":
    sys.exit(min(1, main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int((*sys.argv, "30")[4]))))
