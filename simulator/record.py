"""Rasters on disk, written batch by batch, so that memory does not grow with the samples."""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from tdd_deploy.errors import BadOption
from tdd_deploy.files import replacing
from tdd_deploy.program import Program

from .engine import Result


class Recorder:
    """Takes the results of one batch after the other."""

    def __init__(self, program: Program, folder: Path, *, n_samples: int, n_steps: int) -> None:
        self._next = 0
        arrays = {layer.name: "i1" if layer.neuron.spiking else program.dtype for layer in program.neuron_layers}
        if "output" in arrays:
            raise BadOption("--record", "a program with a layer named output", "another name; output is the result's")
        arrays["output"] = program.dtype
        names = {"output": program.output.name}
        self.files: dict[str, NDArray[np.generic]] = {
            name: open_memmap(
                folder / f"{number}.npy",
                mode="w+",
                dtype=dtype,
                shape=(n_samples, n_steps, *program.shapes[names.get(name, name)]),
            )
            for number, (name, dtype) in enumerate(arrays.items())
        }

    def take(self, result: Result) -> None:
        """Write a batch behind those before it."""
        rows = slice(self._next, self._next + len(result.output))
        for name, file in self.files.items():
            file[rows] = result.output if name == "output" else result.layers[name]
        self._next = rows.stop


@contextmanager
def recording(path: Path, program: Program, *, n_samples: int, n_steps: int) -> Iterator[Recorder]:
    """Record into an .npz ``[samples, steps, ...]`` per layer of neurons, and ``output``; whole, or not at all."""
    with replacing(path) as part, tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        recorder = Recorder(program, Path(folder), n_samples=n_samples, n_steps=n_steps)
        yield recorder
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, file in recorder.files.items():
                assert isinstance(file, np.memmap)
                file.flush()
                archive.write(str(file.filename), f"{name}.npy")
