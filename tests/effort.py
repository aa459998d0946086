"""How many random examples a property is tried on: all of them in `make test-long`, a third in `make test`."""

import os

IS_LONG = "TDD_DEPLOY_LONG_TESTS" in os.environ


def examples(n: int) -> int:
    return n if IS_LONG else -(-n // 3)
