"""Run this bundle in Lava's simulation of Loihi 2.

usage: python run.py INPUTS.npz OUTPUTS.npz [--layers] [--potentials] [--bundle FOLDER]

Python 3.10 with requirements.txt installed; README.md describes the formats.
Exit codes: 0 done, 1 Lava failed, 2 the bundle or the input cannot be used, 130 and 143 stopped by SIGINT and SIGTERM.
"""

import argparse
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn

sys.dont_write_bytecode = True  # the bundle stays as it was exported

from tdd_run.guard import Guard  # noqa: E402

LAVA = "0.10.0"


def main() -> NoReturn:
    """Run the command line, guarded from the first line on: modules that are slow to import are imported below."""
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")  # Lava already has many processes
    options = _options()
    guard = Guard()
    guard.begin()
    guard.leave(_run(options, guard))


def _run(options: argparse.Namespace, guard: Guard) -> int:
    """Return the exit code."""
    if problem := _lava_problem():
        sys.stderr.write(f"{problem}\n")
        return 1
    from tdd_run.files import Refused, check_place, read_bundle, read_input, write_outputs  # noqa: PLC0415

    try:
        bundle = read_bundle(options.bundle)
        x = read_input(options.inputs, bundle)
        check_place(options.outputs)
        from tdd_run.network import run  # noqa: PLC0415  (it imports Lava)

        outputs = run(bundle, x, guard, layers=options.layers, potentials=options.potentials)
    except Refused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 2
    write_outputs(options.outputs, outputs, guard)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run this bundle in Lava.", epilog="README.md describes the formats.")
    parser.add_argument("inputs", type=Path, metavar="INPUTS.npz", help="holds x")
    parser.add_argument("outputs", type=Path, metavar="OUTPUTS.npz", help="is written")
    parser.add_argument("--layers", action="store_true", help="record every layer's spikes")
    parser.add_argument(
        "--potentials", action="store_true", help="record every layer's v before its reset (fused only)"
    )
    here = Path(__file__).resolve().parent
    parser.add_argument(
        "--bundle", type=Path, default=here, metavar="FOLDER", help="read the network from here (default: %(default)s)"
    )
    return parser.parse_args()


def _lava_problem() -> str | None:
    if sys.version_info[:2] != (3, 10):
        return f"Lava {LAVA} runs on Python 3.10 only; this is {sys.version.split()[0]}."
    try:
        found = version("lava-nc")
    except PackageNotFoundError:
        return f"{sys.executable} has no lava-nc; install it with: pip install -r requirements.txt"
    return None if found == LAVA else f"lava-nc is {found}; this bundle was made for {LAVA}."


if __name__ == "__main__":
    main()
