"""Targets that a Program can be written for; a target is one module and one line here."""

from collections.abc import Callable
from pathlib import Path

from tdd_deploy.program import Program

from . import nir

Target = Callable[[Program, Path], None]

TARGETS: dict[str, Target] = {
    "nir": nir.write,
}

__all__ = ["TARGETS", "Target"]
