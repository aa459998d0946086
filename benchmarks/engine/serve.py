"""One machine in a process of its own: ``python -m benchmarks.engine.serve NAME CASE.npz THREADS``.

Reads a line per order, answers with a line of JSON: ``spikes`` gives outputs and spike counts of all samples, a number
the seconds that it takes to execute all samples, so many at once, after a few that fill the caches.
"""

import json
import sys
import time
from pathlib import Path

WARM_UP = 8  # samples


def main(name: str, path: Path, threads: int) -> None:
    import torch  # noqa: PLC0415  (threads are set before anything is built)

    torch.set_num_threads(threads)
    from .case import Case  # noqa: PLC0415
    from .machines import BUILD  # noqa: PLC0415

    case = Case.read(path)
    run = BUILD[name](case)
    for line in sys.stdin:
        if line.strip() == "spikes":
            n_spikes: list[int] = []
            output = run(case.x, n_spikes)
            print(json.dumps({"output": output.tolist(), "spikes": sum(n_spikes)}), flush=True)
            continue
        size = int(line)
        for start in range(0, min(WARM_UP, len(case.x)), size):
            run(case.x[start : start + size], None)
        begin = time.perf_counter()
        for start in range(0, len(case.x), size):
            run(case.x[start : start + size], None)
        print(json.dumps({"seconds": time.perf_counter() - begin}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
