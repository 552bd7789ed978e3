"""Predictions killed at random moments, or on a full disk, then run again: every file must be as it should.

Every run is a fork of this process, which has imported all and computed nothing, so that a run of a second
can be killed in its midst.
"""

import argparse
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.faults.cohort import digests, write_slides
from benchmarks.faults.disk_full import FILLED, SHARES, Trial, fill, give_room, small_disk, told_of
from benchmarks.predict.model import BACKBONE, model_card, write_model
from models.networks.backbones.registry import make_backbone
from models.networks.card import Range, TrainingRanges
from pipeline import cli
from pipeline.stages import predict  # noqa: F401 - imported before the forks

_PATCH = {"size": 64, "downsample": 1, "stride": 48}


@dataclass(frozen=True)
class Rig:
    """Slides, a model, and what a run that is left alone makes of them."""

    folder: Path
    whole: dict[str, str]
    seconds: float


def kills(options: argparse.Namespace) -> dict[str, object]:
    """Kill a run, run again to the end and compare, as often as asked for."""
    with _rig() as rig:
        different, slides = [], []
        rng, out = np.random.default_rng(options.seed), rig.folder / "killed"
        for number in range(options.kills):
            shutil.rmtree(out, ignore_errors=True)
            child = _forked(rig.folder, out)
            time.sleep(rng.uniform(0, rig.seconds))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            slides.append(len(list(out.glob("*/summary.json"))))
            code = _ended(_forked(rig.folder, out))
            found = _files(out)
            if code != 0 or found != rig.whole:
                changed = sorted(set(found.items()) ^ set(rig.whole.items()))
                different.append(f"kill {number}: code {code}: {changed[:6]}")
        return {
            "passed": not different,
            "kills": options.kills,
            "files_compared_each_time": len(rig.whole),
            "seconds_of_a_run": rig.seconds,
            "slides_whole_when_killed": {str(n): slides.count(n) for n in sorted(set(slides))},
            "different": len(different),
            "details": different,
        }


def full_disks(_options: argparse.Namespace) -> dict[str, object]:
    """Every share of the space that is needed, from the start and filling up."""
    with _rig() as rig:
        used = sum(path.stat().st_size for path in (rig.folder / "alone").rglob("*") if path.is_file())
        trials = [_trial(rig, used, share, filling=False) for share in SHARES]
        trials += [_trial(rig, used, share, filling=True) for share in FILLED]
        return told_of(trials, used)


def _trial(rig: Rig, used: int, share: float, *, filling: bool) -> Trial:
    """A disk that is too small, or one that something else fills while the run goes on."""
    size = 4 * used + 16 * 2**20 if filling else int(used * share)
    with small_disk(rig.folder / "disk", size) as disk:
        log, out = rig.folder / "told.txt", disk / "predicted"
        child = _forked(rig.folder, out, log)
        code = _filled(child, disk, int(share * used)) if filling else _ended(child)
        (disk / "ballast").unlink(missing_ok=True)
        told = log.read_text(encoding="utf-8", errors="replace")
        false = _false(_files(out), rig.whole)
        finished = len(list(out.glob(".receipts/*.json")))
        give_room(disk)
        again = _ended(_forked(rig.folder, out, log))
        completed = again == 0 and _files(out) == rig.whole and _kept(out) == finished
        retold = "" if completed else log.read_text(encoding="utf-8", errors="replace")
        name = f"{'filled' if filling else 'full'} at {share:.0%}, {finished} slides finished"
        return Trial(name, code, told + retold, false, completed)


def _filled(child: int, disk: Path, written: int) -> int:
    """Fill the disk once so many bytes are written; the exit code."""
    while shutil.disk_usage(disk).used < written:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    fill(disk)
    return _ended(child)


def _false(found: dict[str, str], whole: dict[str, str]) -> list[str]:
    """Files of slides' folders that are there and not as they should, or lack others of their folder."""
    folders = {name.partition("/")[0] for name in found if "/" in name and not name.startswith(".")}
    should = {name: digest for name, digest in whole.items() if name.partition("/")[0] in folders}
    are = {name: digest for name, digest in found.items() if name.partition("/")[0] in folders}
    return sorted(name for name in should.keys() | are.keys() if should.get(name) != are.get(name))


def _kept(out: Path) -> int:
    """Slides that the last run did not predict again."""
    return int(json.loads((out / "run.json").read_text(encoding="utf-8"))["slides"]["kept"])


@contextmanager
def _rig() -> Iterator[Rig]:
    torch.set_num_threads(1)  # no other thread may be there when the process forks
    make_backbone(BACKBONE, 3, 2)  # which imports MONAI
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        write_slides(folder / "slides")
        (folder / "slides" / "signals.ome.tif").unlink()  # of another kind than the model's
        for path in sorted((folder / "slides").glob("[ls]*.tif")):
            path.with_stem(f"{path.stem}-again").hardlink_to(path)
        ranges = TrainingRanges(tissue_fraction=Range(low=0, high=1), mpp=None, quality={})
        card = model_card("stained", quality=False).model_copy(update={"patch": _PATCH, "ranges": ranges})
        write_model(folder / "model", card)
        start = time.perf_counter()
        code = _ended(_forked(folder, folder / "alone", folder / "told.txt"))
        if code != 0:
            raise RuntimeError((folder / "told.txt").read_text(encoding="utf-8"))
        yield Rig(folder, _files(folder / "alone"), time.perf_counter() - start)


def _forked(folder: Path, out: Path, log: Path | None = None) -> int:
    """The process of a run that writes what it says to `log`."""
    child = os.fork()
    if child == 0:
        told = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(told, 1)
        os.dup2(told, 2)
        names = {"--model": folder / "model", "--out": out, "--workers": 2}
        options = [str(each) for pair in names.items() for each in pair]
        os._exit(cli.main(["predict", str(folder / "slides"), *options]))
    return child


def _ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _files(out: Path) -> dict[str, str]:
    """But for run.json, which tells times."""
    return {name: digest for name, digest in digests(out).items() if name != "run.json"}
