"""Ask for the memory that numba takes before it is loaded: without it, LLVM ends the process, or waits for ever."""

from tdd_deploy import memory

memory.reserve(memory.ENGINE, "numba, which compiles the event engine,")
