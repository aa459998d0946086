"""Wait for events of other processes and threads."""

import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], object], seconds: float = 120) -> None:
    """Wait for an event; fail if it has not come after this time, which is long enough for a busy computer."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
