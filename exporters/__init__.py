"""Targets that a Program can be written for; a target is one module and one line here."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tdd_deploy.program import Program

Target = Callable[..., None]  # takes a Program, a path, and options of its own by keyword


@dataclass(frozen=True)
class Writer:
    """The function ``write`` of a module of this package, imported when it is called: nir, h5py and numpy are slow."""

    module: str

    def __call__(self, program: "Program", path: Path, **options: object) -> None:
        """Write a Program."""
        write: Target = import_module(f"{__name__}.{self.module}").write
        write(program, path, **options)


TARGETS: dict[str, Target] = {
    "nir": Writer("nir.write"),
    "lava": Writer("lava.write"),
    "onnx": Writer("onnx.write"),
}

__all__ = ["TARGETS", "Target", "Writer"]
