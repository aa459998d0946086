"""How many random examples a property is tried on: all of them in `make test-long`, a third in `make test`."""

import os

IS_LONG = "TDD_DEPLOY_LONG_TESTS" in os.environ


def n_examples(n: int) -> int:
    """Return the number of examples, out of ``n`` for a long run; $TDD_DEPLOY_EXAMPLES chooses another one."""
    return int(os.environ.get("TDD_DEPLOY_EXAMPLES", n if IS_LONG else -(-n // 3)))
