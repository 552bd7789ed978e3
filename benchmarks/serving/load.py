"""Clients of a served model: how long answers take, and what is answered."""

import http.client
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np

from benchmarks.serving.requests import Request, good, malformed
from benchmarks.serving.server import Server
from pipeline.tracking.cells import PatchForm

_SAMPLES = 10
"""How often memory is looked at."""


def post(server: Server, request: Request) -> tuple[int, bytes]:
    """Status and body of an answer, over a connection of its own."""
    with closing(server.connection()) as connection:
        return _answer(connection, request)


def _answer(connection: http.client.HTTPConnection, request: Request) -> tuple[int, bytes]:
    kind, body = request
    connection.request("POST", "/invocations", body, {"Content-Type": kind})
    answer = connection.getresponse()
    return answer.status, answer.read()


def under_load(server: Server, form: PatchForm, *, requests: int, clients: int) -> dict[str, Any]:
    """Good requests from clients that each wait for their answer, and the server's memory on the way."""
    bodies = [good(form, seed) for seed in range(requests)]
    seconds_N, statuses, memory = np.zeros(requests), Counter[int](), [server.memory_mib]

    def client(first: int) -> None:
        with closing(server.connection()) as connection:
            for number in range(first, requests, clients):
                started = time.perf_counter()
                status, body = _answer(connection, bodies[number])
                seconds_N[number] = time.perf_counter() - started
                statuses[status if answered(status, body) else -status] += 1
                if number % max(requests // _SAMPLES, 1) == 0:
                    memory.append(server.memory_mib)

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    wall = time.perf_counter() - started
    memory.append(server.memory_mib)
    return {
        "requests": requests,
        "clients": clients,
        "statuses": {str(status): count for status, count in statuses.items()},
        "per_second": requests / wall,
        **{f"p{q}_ms": float(np.percentile(seconds_N, q) * 1000) for q in (50, 95, 99)},
        "memory_mib": [round(each, 1) for each in memory],
    }


def answered(status: int, body: bytes) -> bool:
    """Whether it is one prediction with its note."""
    if status != http.client.OK:
        return False
    (row,) = json.loads(body)["predictions"]
    return set(row) == {"probability", "prediction", "class", "note"} and 0 <= row["probability"] <= 1


def refused(server: Server, form: PatchForm, count: int, *, by_tissue: bool) -> dict[str, Any]:
    """Malformed requests one after the other: statuses by kind, and whether the server still answers."""
    by_kind: dict[str, Counter[int]] = {}
    for number in range(count):
        name, request = malformed(form, number, by_tissue=by_tissue)
        by_kind.setdefault(name, Counter())[post(server, request)[0]] += 1
    status, body = post(server, good(form, 0))
    return {
        "requests": count,
        "statuses": {name: {str(s): n for s, n in found.items()} for name, found in by_kind.items()},
        "alive": server.alive() and answered(status, body),
        "memory_mib": round(server.memory_mib, 1),
    }
