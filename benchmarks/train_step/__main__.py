"""`python -m benchmarks.train_step [--quick]`: time of a training step, beside the same network alone.

Without arguments, networks that fit the machine: densenet121 and resnet50 at 224 and 256 px on a GPU, slim
ones at 64 px on a CPU. Writes results.json and a table, report.md, to outputs/benchmarks/train_step.
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.tiling.contest import Contestant, compete
from benchmarks.train_step import table

OUTPUTS = Path("outputs/benchmarks/train_step")
ON_GPU = (("densenet121", 224), ("densenet121", 256), ("resnet50", 224), ("resnet50", 256))
ON_CPU = (("densenet_slim", 64), ("resnet10_slim", 64))
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "ERM": ("erm", {}),
    "GERNE nested": ("gerne", {"draws": "nested"}),
    "GERNE independent": ("gerne", {"draws": "independent"}),
}


def main() -> None:
    """Measure every network, and write the table after each."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(
        prog="benchmarks.train_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto")
    parser.add_argument("--backbones", nargs="+", metavar="NAME:SIDE", help="such as resnet50:224")
    parser.add_argument("--samples", type=int, default=128 if gpu else 64, help="of a step")
    parser.add_argument("--steps", type=int, default=20 if gpu else 6, help="of a turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns that count")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="of the processor")
    parser.add_argument("--quick", action="store_true", help="two turns of two steps: does it run?")
    parser.add_argument("--outputs", type=Path, default=OUTPUTS)
    options = parser.parse_args()
    if options.quick:
        options.steps, options.repeats = 2, 2
    wanted = [tuple(each.split(":")) for each in options.backbones or ()]
    entries: dict[str, Any] = {}
    on_gpu = gpu and options.device == "auto"
    for backbone, side in wanted or (ON_GPU if on_gpu else ON_CPU):
        name, machine = f"{backbone}, {side} px", conditions(options.cores, on_gpu=on_gpu)
        contest = compete(contestants(backbone, int(side), options), options.repeats, tell(name))
        entries[name] = {"machine": machine, "contest": contest}
        print(table.write(options.outputs, entries))


def contestants(backbone: str, side: int, options: argparse.Namespace) -> list[Contestant]:
    """The network alone, every method, and ERM with and without patches that are read ahead."""
    common = {
        "backbone": backbone, "side": side, "samples": options.samples, "steps": options.steps,
        "device": options.device,
    }  # fmt: skip
    cores, job = options.cores, "benchmarks.train_step.jobs"
    made = [Contestant(table.ALONE, f"{job}:network_alone", common, cores)]
    for method, (algorithm, settings) in METHODS.items():
        own = common | {"algorithm": algorithm, "settings": settings}
        made.append(Contestant(method, f"{job}:training", own, cores))
    erm = common | {"algorithm": "erm", "settings": {}}
    for ahead in (0, 2):
        told = f"ERM, prefetch: {ahead}"
        made.append(Contestant(told, f"{job}:training", erm | {"prefetch": ahead}, cores))
    return made


def conditions(cores: int, *, on_gpu: bool) -> str:
    """The machine, to be asked before it is busy with the benchmark."""
    device = torch.cuda.get_device_name() if on_gpu else platform.machine() + " CPU"
    when, load = time.strftime("%Y-%m-%d", time.gmtime()), os.getloadavg()[0]
    there = len(os.sched_getaffinity(0))
    return f"{when}, {device}, {cores} of {there} cores, load {load:.1f}, torch {torch.__version__}"


def tell(name: str) -> Any:
    """Takes lines of progress."""
    return lambda line: print(f"{name}: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
