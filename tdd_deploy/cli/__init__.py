"""The command line. Little is imported before ``main`` runs, so that even an early Ctrl-C ends in one sentence."""

import sys

from .signals import end_in_peace, end_like_ctrl_c


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
        end_in_peace()


__all__ = ["main"]
