"""The command line: each command wraps the function of its name in ``commands``.

Exit codes: 0 yes; 1 the answer is no; 2 usage or bad file; 3 an optional part is missing; 4 internal error;
130 interrupted. Tables and JSON go to stdout, progress and errors to stderr.
"""

import os
import sys
import traceback

import click

from tdd_deploy import __version__
from tdd_deploy.errors import Interrupted, TddDeployError, WorkerFailed

from .analyze import analyze
from .check import check
from .console import is_first
from .export import export
from .flags import with_flags
from .inspect import inspect
from .lava import lava
from .profiles import profiles
from .prune import prune
from .report import compare, report
from .simulate import simulate
from .sweep import sweep
from .train import train
from .verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tdd-deploy", message="%(prog)s %(version)s")
def cli() -> None:
    """Spiking networks from the trainer to the chip, executed as changes between time steps.

    \b
    A first round, on data that comes with it:
      tdd-deploy train --data digits --out runs/digits
      tdd-deploy simulate runs/digits --data digits --energy
      tdd-deploy export runs/digits --target nir --out digits.nir
    """  # noqa: D301  (click wants the character itself)


for command in (
    train,
    export,
    simulate,
    sweep,
    verify,
    analyze,
    prune,
    check,
    inspect,
    report,
    compare,
    profiles,
    lava,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line and exit."""
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except TddDeployError as error:
        if is_first() or not isinstance(error, Interrupted):
            click.echo(f"tdd-deploy: {with_flags(error.message)}", err=True)
        code = error.exit_code
        if "RANK" in os.environ and isinstance(error, WorkerFailed):
            sys.stdout.flush()
            os._exit(code)  # threads of torch that wait for a lost process may abort an orderly end
    except (KeyboardInterrupt, click.Abort):
        click.echo("tdd-deploy: interrupted", err=True)
        code = 130
    except MemoryError as error:
        remedy = "Use a smaller --batch, or fewer --steps or --samples."
        click.echo(f"tdd-deploy: this machine has too little memory ({error}). {remedy}", err=True)
        code = 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read the output has left
        code = 0
    except Exception:  # noqa: BLE001  (the last line of defence: say that it is our fault)
        traceback.print_exc()
        click.echo("tdd-deploy: internal error: a bug of tdd-deploy, please report it with the lines above", err=True)
        code = 4
    sys.exit(code)


if __name__ == "__main__":
    main()
