"""One contestant in a process of its own: `python -m benchmarks.tiling.child MODULE:FUNCTION PARAMETERS`.

The function prepares and returns what is to be measured; that is called once for each line of standard
input and its result, a dict with `seconds`, is one line of JSON. It runs under the peers' interpreter too,
so it needs the standard library only.
"""

import importlib
import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Serve measurements until standard input ends."""
    job, parameters, cores = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
    # As many cores as workers: libraries with threads of their own would else use the idle core.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to the log
    module, name = job.split(":")
    measure = getattr(importlib.import_module(module), name)(**parameters)
    for _ in sys.stdin:
        found = measure()
        replies.write(json.dumps(found | {"peak_mib": _peak_mib()}) + "\n")
        replies.flush()


def _peak_mib() -> float:
    """Largest resident memory of this process; getrusage would count what the starting process held too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
