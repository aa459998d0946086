import os
import resource
import subprocess
import sys

import pytest

ALLOCATE = """
import resource, sys
import numpy as np
from tdd_deploy.training.malloc import keep_freed_memory
if "keep" in sys.argv:
    keep_freed_memory()
for _ in range(10):
    np.ones(2**23)  # malloc keeps up to 32 MiB by itself
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone can keep freed memory")
def test_memory_that_was_freed_costs_no_page_faults_again():
    faults = []
    for more in ([], ["keep"]):
        small_pages = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
        call = [sys.executable, "-c", ALLOCATE, *more]
        faults.append(int(subprocess.run(call, capture_output=True, check=True, env=small_pages).stdout))
    pages = 2**23 * 8 // resource.getpagesize()
    assert faults[0] - faults[1] > 5 * pages
