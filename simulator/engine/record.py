"""Rasters on disk, written batch by batch, so that memory does not grow with the samples."""

import tempfile
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib.format import write_array_header_2_0

from tdd_deploy.errors import BadOption
from tdd_deploy.files import replacing
from tdd_deploy.program import Program

from .engine import Result


class Recorder:
    """Appends the results of one batch after the other to files."""

    def __init__(
        self, program: Program, folder: Path, *, n_samples: int, n_steps: int, potentials: Collection[str] = ()
    ) -> None:
        arrays = {layer.name: "i1" if layer.neuron.binary else program.dtype for layer in program.neuron_layers}
        if "output" in arrays:
            raise BadOption(
                "record",
                "cannot hold a layer named output",
                remedy="Rename the layer: output is the name of the result.",
            )
        arrays["output"] = program.dtype
        arrays |= {f"v/{name}": program.dtype for name in potentials}
        self._dtypes = {name: np.dtype(dtype) for name, dtype in arrays.items()}
        self.paths = {name: folder / f"{number}.npy" for number, name in enumerate(arrays)}
        for name, dtype in self._dtypes.items():
            shape = program.shapes[program.output.name if name == "output" else name.removeprefix("v/")]
            header = {"descr": dtype.str, "fortran_order": False, "shape": (n_samples, n_steps, *shape)}
            with self.paths[name].open("wb") as file:
                write_array_header_2_0(file, header)

    def take(self, result: Result) -> None:
        """Append a batch to the files."""
        rasters = {"output": result.output, **result.layers, **{f"v/{k}": v for k, v in result.potentials.items()}}
        for name, path in self.paths.items():
            raster = rasters[name]
            with path.open("ab") as file:
                file.write(raster.astype(self._dtypes[name], order="C").data)


@contextmanager
def recording(
    path: Path, program: Program, *, n_samples: int, n_steps: int, potentials: Collection[str] = ()
) -> Iterator[Recorder]:
    """Record into an .npz ``[samples, steps, ...]`` per layer of neurons, and ``output``; a failure leaves no file.

    For each layer in ``potentials``, ``v/NAME`` holds the numbers that it compares with its threshold.
    """
    with replacing(path) as part, tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        recorder = Recorder(program, Path(folder), n_samples=n_samples, n_steps=n_steps, potentials=potentials)
        yield recorder
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, file in recorder.paths.items():
                archive.write(file, f"{name}.npy")
