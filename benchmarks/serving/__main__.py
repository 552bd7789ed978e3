"""The command line of the serving benchmark."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow

from benchmarks.serving import __doc__ as description
from benchmarks.serving.load import refused, under_load
from benchmarks.serving.server import served
from models.networks.card_file import load_card
from models.networks.decision import needs_tissue
from pipeline.files import write_json
from pipeline.tracking.connection import connect
from pipeline.tracking.served import raw_form

_FLAT = 1.05
"""How much memory may grow from the second sample, after the first answers, to the last."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Load the server, then plague it; the exit code is 1 where something failed that must not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=description)
    parser.add_argument("model", help="URI, as models:/evenpatch-phantom@champion")
    parser.add_argument("--root", type=Path, default=Path(), help="folder with mlflow.db")
    parser.add_argument("--outputs", type=Path, default=Path("outputs/benchmarks/serving"))
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--malformed", type=int, default=200)
    options = parser.parse_args(arguments)
    connect(options.root)
    os.environ["MLFLOW_TRACKING_URI"] = mlflow.get_tracking_uri()
    folder = Path(mlflow.artifacts.download_artifacts(options.model))
    card = load_card(folder / "artifacts")
    form = raw_form(card)
    options.outputs.mkdir(parents=True, exist_ok=True)
    with served(options.model, options.outputs / "server.log") as server:
        load = under_load(server, form, requests=options.requests, clients=options.clients)
        plague = refused(server, form, options.malformed, by_tissue=needs_tissue(card.decision))
    results = {
        "load_average": os.getloadavg()[0],
        "cores": len(os.sched_getaffinity(0)),
        "patch": [*form.shape, str(form.dtype)],
        "load": load,
        "malformed": plague,
    }
    results["passed"] = passed(load, plague)
    write_json(options.outputs / "results.json", results)
    print({key: value for key, value in load.items() if key != "statuses"}, plague, sep="\n")
    return 0 if results["passed"] else 1


def passed(load: dict[str, Any], plague: dict[str, Any]) -> bool:
    """Whether good requests were answered in flat memory, and the others refused by a server that lives."""
    statuses = {int(status) for found in plague["statuses"].values() for status in found}
    memory = load["memory_mib"]
    return (
        set(load["statuses"]) == {"200"}
        and memory[-1] <= memory[1] * _FLAT
        and all(400 <= status < 500 for status in statuses)
        and bool(plague["alive"])
    )


if __name__ == "__main__":
    sys.exit(main())
