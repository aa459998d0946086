"""Ask for the memory that numba takes before it is loaded: without it, LLVM ends the process, or waits forever."""

import sys

from tdd_deploy import memory

memory.reserve(memory.COMPILING if "numba" in sys.modules else memory.ENGINE, "numba, which compiles the event engine,")
