"""The command line. Little is imported before ``main`` runs, so that even an early Ctrl-C ends in one sentence."""

import sys

from .signals import end_like_ctrl_c, ignore_while_exiting


def main() -> None:
    """Run the command line and exit."""
    try:
        end_like_ctrl_c()
        from .app import main as run

        run()
    except KeyboardInterrupt:
        if sys.stderr is not None:  # None: it is closed
            sys.stderr.write("tdd-deploy: interrupted\n")
        sys.exit(130)
    finally:
        ignore_while_exiting()


__all__ = ["main"]
