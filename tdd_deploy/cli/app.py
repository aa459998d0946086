"""The command line: each command wraps the function of its name in ``commands``.

Exit codes: 0 yes; 1 the answer is no; 2 usage or bad file; 3 an optional part is missing; 4 internal error;
130 interrupted, by Ctrl-C, SIGTERM or SIGHUP. Tables and JSON go to stdout, progress and errors to stderr.
"""

import errno
import os
import sys
import traceback
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from tdd_deploy import memory
from tdd_deploy.errors import BadFile, Interrupted, MissingDependency, TddDeployError, WorkerFailed, did_you_mean
from tdd_deploy.version import __version__

from .console import echo, echo_usage, is_first
from .flags import with_flags
from .help import Context, write_examples, write_records
from .signals import stop_repeating, was_interrupted
from .streams import guarded_streams

PROGRAM = "tdd-deploy"
COMPLETING = "_TDD_DEPLOY_COMPLETE"  # the variable by which a shell asks

# A command lives in the module of its name, and is loaded when it is called. A summary fits in a line of 80 characters.
GROUPS = {
    "Train": {
        "train": "Train a spiking network and write it as a NIR file.",
        "prune": "Set weights to zero that carry little information; train on.",
        "tune-exit": "Find the margin of an early exit on validation samples.",
        "analyze": "Show what a trained network repeats, and where deltas pay.",
    },
    "Look and check": {
        "inspect": "Print the contents of a network file, every choice named.",
        "check": "Check whether a network fits on a chip.",
        "verify": "Run samples on several backends and compare them.",
    },
    "Deploy": {
        "export": "Write a network for a target: nir, lava or onnx.",
        "lava": "Set up Intel's Lava, and run exported bundles in it.",
    },
    "Execute and measure": {
        "simulate": "Execute a network event by event; count and price it.",
        "stream": "Measure whether deltas pay on a sensor's stream.",
        "sweep": "Simulate combinations of networks, codes, bits, thresholds.",
        "report": "Print a table of a report that simulate wrote.",
        "compare": "Print several reports side by side.",
        "profiles": "List hardware profiles, with every figure and its source.",
    },
    "About this tool": {
        "doctor": "Say what is installed, what is missing, and what it adds.",
        "schema": "Print the JSON Schema of a report, a profile or a chip.",
        "completion": "Print what makes a shell complete commands and values.",
    },
}
COMMANDS = {name: summary for group in GROUPS.values() for name, summary in group.items()}
WIDEST = max(map(len, COMMANDS))
MODULES = {"compare": "report"}  # of commands that live in another module

# Errors by which the system refuses a file, wherever a command meets it first.
REFUSED = {errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EIO, errno.EMFILE, errno.ENFILE}


class Commands(click.Group):
    """A group that loads a command when it is called."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = import_module(f"{__package__}.{MODULES.get(name, name)}")
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summaries, without loading anything."""
        for title, commands in GROUPS.items():
            write_records(formatter, title, [(name.ljust(WIDEST), summary) for name, summary in commands.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a first round."""
        from .examples import EXAMPLES  # nothing but help needs them

        write_examples(formatter, EXAMPLES[""])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands, without loading anything."""
        found = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return found if not incomplete.startswith("-") else click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a command line; suggest one for an unknown name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], COMMANDS)
            ctx.fail(f"No such command {args[0]!r}.{f' {hint}' if hint else ''}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def cli() -> None:
    """Spiking networks from the trainer to the chip, executed as changes between time steps."""


def _out_of_memory(error: BaseException) -> str:
    """Describe in one sentence how much memory there is, and name what to lower or to raise."""
    limit = memory.address_space()
    where = "this machine has" if limit is None else f"the limit of {limit // memory.MB:,} MB (ulimit -v) leaves"
    detail = " ".join(str(error).split())[:200]
    remedy = "Use a smaller --batch, or fewer --steps or --samples"
    further = "" if limit is None else ", or raise the limit"
    return f"{where} too little memory{f' ({detail})' if detail else ''}. {remedy}{further}."


def main() -> None:
    """Run the command line and exit; ``main`` of the package sets the signals first."""
    if COMPLETING in os.environ:  # click answers a shell in bytes, which guarded streams do not take
        cli.main(prog_name=PROGRAM)
    with guarded_streams() as has_stdout:
        code = _run(has_stdout=has_stdout)
    sys.exit(code)


def _called() -> int:
    try:
        code: int = cli.main(standalone_mode=False)
        sys.stdout.flush()
    finally:
        stop_repeating()  # what handles an interruption drops it in the end
    return code


def _run(*, has_stdout: bool) -> int:
    """Run the command line; print errors, and return the exit code."""
    try:
        if not has_stdout:
            raise BadFile("stdout", "is closed", f"redirect it to a file, or to {os.devnull}")
        code = _called()
    except click.ClickException as error:
        echo_usage(error)
        code = error.exit_code
    except MissingDependency as error:
        is_missing = not was_interrupted()  # a compiled module whose import is interrupted raises ImportError
        echo(f"tdd-deploy: {with_flags(error.brief) if is_missing else 'interrupted'}", err=True)
        code = error.exit_code if is_missing else 130
    except TddDeployError as error:
        if is_first() or not isinstance(error, Interrupted):
            echo(f"tdd-deploy: {with_flags(error.brief)}", err=True)
        code = error.exit_code
        if "RANK" in os.environ and isinstance(error, WorkerFailed):
            sys.stdout.flush()
            os._exit(code)  # threads of torch that wait for a lost process may abort an orderly end
    except (KeyboardInterrupt, click.Abort):
        echo("tdd-deploy: interrupted", err=True)
        code = 130
    except Exception as error:  # noqa: BLE001  (the last line of defense: say that it is our fault)
        if was_interrupted():
            echo("tdd-deploy: interrupted", err=True)
            code = 130
        elif memory.ran_out(error):
            echo(f"tdd-deploy: {_out_of_memory(error)}", err=True)
            code = 2
        elif isinstance(error, OSError) and error.errno in REFUSED and error.filename is not None:
            refusal = BadFile(str(error.filename), f"cannot be used ({error.strerror})", "name another file or folder")
            echo(f"tdd-deploy: {refusal.brief}", err=True)
            code = refusal.exit_code
        else:
            traceback.print_exc()
            echo("tdd-deploy: internal error: a bug of tdd-deploy, please report it with the lines above", err=True)
            code = 4
    return code
