"""Serve one library in its own process: ``python -m benchmarks.engine.serve NAME CASE.npz THREADS``.

Reads one order per line and answers with a line of JSON. ``spikes`` asks for outputs and spike counts of all samples. A
number asks for the seconds in which all samples are executed in batches of this size, after a few that fill the caches.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

WARM_UP = 8  # samples


def seconds_of(run: Callable[[np.ndarray], object], x: np.ndarray, size: int) -> float:
    """Return the seconds in which all samples are executed, ``size`` at once."""
    for start in range(0, min(WARM_UP, len(x)), size):
        run(x[start : start + size])
    begin = time.perf_counter()
    for start in range(0, len(x), size):
        run(x[start : start + size])
    return time.perf_counter() - begin


def main(name: str, path: Path, threads: int) -> None:
    import torch  # noqa: PLC0415  (threads are set before anything is built)

    torch.set_num_threads(threads)
    from .case import Case  # noqa: PLC0415
    from .libraries import BUILD  # noqa: PLC0415

    case = Case.read(path)
    run = BUILD[name](case)
    for line in sys.stdin:
        if line.strip() == "spikes":
            n_spikes: list[int] = []
            output = run(case.x, n_spikes)
            print(json.dumps({"output": output.tolist(), "spikes": sum(n_spikes)}), flush=True)
            continue
        seconds = seconds_of(lambda x: run(x, None), case.x, int(line))
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
