"""``tdd-deploy lava setup``, ``doctor`` and ``run``."""

from dataclasses import asdict
from pathlib import Path

import click

from .console import echo, echo_json, json_option, say
from .flags import PATH, with_options
from .help import Command


@click.group()
def lava() -> None:
    """Run exported bundles in Intel's Lava, in a Python 3.10 environment of its own."""


def _tell(sentence: str) -> None:
    echo(sentence, err=True)


@lava.command(cls=Command, short_help="Make Lava's environment, once.")
@with_options()
@click.option("--python", type=PATH, help="Use this Python 3.10. Default: the first on PATH, in pyenv or known to uv.")
@json_option
def setup(*, python: Path | None, as_json: bool) -> None:
    """Make Lava's environment, once; $TDD_DEPLOY_LAVA_HOME says where, or else the user's cache folder."""
    from tdd_deploy.commands.lava import lava_setup

    made = lava_setup(python=python, tell=_tell)
    if as_json:
        echo_json({"schema_version": 1, "python": str(made)})
    else:
        say([str(made)])


@lava.command(cls=Command, short_help="Examine the environment, and run two neurons.")
@with_options()
@json_option
def doctor(*, as_json: bool) -> None:
    """Examine Lava's environment and this machine, and run two neurons; exit 1 when something is wrong."""
    from tdd_deploy.commands.lava import lava_doctor

    checks = lava_doctor()
    ok = all(check.ok for check in checks)
    if as_json:
        echo_json({"schema_version": 1, "ok": ok, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            say([f"{'ok ' if check.ok else 'BAD'}  {check.name}: {check.found}"])
            say([f"     {check.remedy}"] if check.remedy else [])
    if not ok:
        raise click.exceptions.Exit(1)


@lava.command(cls=Command, short_help="Execute an exported bundle.")
@click.argument("bundle", type=PATH)
@with_options()
@click.option("--inputs", type=PATH, required=True, help="Read x from this .npz: see the bundle's README.")
@click.option("--out", type=PATH, required=True, help="Write this .npz.")
@click.option("--layers", is_flag=True, help="Also write every layer's spikes.")
@click.option("--potentials", is_flag=True, help="Also write every layer's potential before the reset.")
@click.option("--timeout", "timeout_s", type=float, help="Stop Lava after this number of seconds. Default: 3600.")
@json_option
def run(
    bundle: Path,
    *,
    inputs: Path,
    out: Path,
    layers: bool,
    potentials: bool,
    timeout_s: float | None,
    as_json: bool,
) -> None:
    """Execute BUNDLE, a folder that export --target lava wrote."""
    from tdd_deploy.commands.lava import lava_run

    options = {"layers": layers, "potentials": potentials}
    took = lava_run(bundle, inputs=inputs, out=out, timeout_s=timeout_s, tell=_tell, **options)
    if as_json:
        echo_json({"schema_version": 1, "out": str(out), **asdict(took)})
        return
    steps = f"{took.lava_steps:,} Lava time steps in {took.seconds:.2f} s"
    say([f"{out}: {steps}, after a start of {took.start_seconds:.2f} s"])
