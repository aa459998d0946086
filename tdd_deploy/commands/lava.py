"""Lava's own environment, and runs of exported bundles in it."""

from collections.abc import Callable
from pathlib import Path

from tdd_deploy.exporters.lava import environment, worker
from tdd_deploy.exporters.lava.doctor import Check, doctor
from tdd_deploy.exporters.lava.folder import other_code
from tdd_deploy.version import __version__


def lava_setup(*, python: Path | None = None, tell: Callable[[str], None] = lambda sentence: None) -> Path:
    """Make the Python 3.10 environment that Lava runs in, unless it is there; return its interpreter.

    Args:
        python: a Python 3.10; by default the first that is found on PATH, in pyenv or by uv.
        tell: receives a sentence about each step.

    Raises:
        TddDeployError: no Python 3.10, or the environment could not be made.
    """
    return environment.setup(python, tell)


def lava_doctor() -> list[Check]:
    """Examine everything that a run of Lava needs, and try one."""
    return doctor()


def lava_run(
    bundle: Path,
    *,
    inputs: Path,
    out: Path,
    layers: bool = False,
    potentials: bool = False,
    timeout_s: float | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> worker.LavaRun:
    """Execute an exported bundle in Lava; return how long it took.

    The bundle is data: its manifest and weights are read, and the code of this version of tdd-deploy is executed.

    Args:
        bundle: the folder that was written.
        inputs: an .npz with ``x``, as the bundle's README describes it.
        out: the .npz to write.
        layers: also write every layer's spikes.
        potentials: also write every layer's potential before the reset.
        timeout_s: wall-clock seconds after which Lava is stopped; by default an hour.
        tell: receives a sentence if the bundle holds other code.

    Raises:
        MissingEnvironment: ``lava_setup`` has not been run.
        WorkerFailed: Lava failed or was too slow, or refused the inputs.
    """
    python = environment.require("tdd-deploy lava run")
    if bundle.is_dir() and (others := other_code(bundle)):
        tell(
            f"{bundle} holds other code than tdd-deploy {__version__} ({', '.join(others)}). It is not executed: "
            "tdd-deploy executes its own code. To execute the other code, read it first, and start "
            f"{bundle / 'run.py'} with {python}."
        )
    return worker.run_bundle(
        bundle,
        inputs,
        out,
        python=python,
        layers=layers,
        potentials=potentials,
        timeout_s=worker.TIMEOUT_S if timeout_s is None else timeout_s,
    )
