"""``tdd-deploy completion``."""

import click
from click.shell_completion import get_completion_class

from .console import echo
from .flags import with_options
from .help import Command

SHELLS = ("bash", "zsh", "fish")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@with_options()
def completion(shell: str) -> None:
    """Print a script that lets SHELL complete commands, options and their values.

    \b
    bash:  echo 'eval "$(tdd-deploy completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(tdd-deploy completion zsh)"' >> ~/.zshrc
    fish:  tdd-deploy completion fish > ~/.config/fish/completions/tdd-deploy.fish
    """  # noqa: D301  (click wants the character itself)
    from .app import COMPLETING, PROGRAM, cli

    made = get_completion_class(shell)
    assert made is not None  # click knows all of SHELLS
    echo(made(cli, {}, PROGRAM, COMPLETING).source(), end="")
