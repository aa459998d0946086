"""Targets that a Program can be written for; a target is one module and one line here."""

from collections.abc import Callable

from .lava.write import write as write_lava
from .nir import write as nir
from .onnx.write import write as write_onnx

Target = Callable[..., None]  # takes a Program, a path, and options of its own by keyword

TARGETS: dict[str, Target] = {
    "nir": nir.write,
    "lava": write_lava,
    "onnx": write_onnx,
}

__all__ = ["TARGETS", "Target"]
