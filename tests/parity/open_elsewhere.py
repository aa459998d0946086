"""Open NIR files in other frameworks and run them; in the peers' environment.

Usage: open_elsewhere.py FOLDER

For each NAME.nir with NAME.npz (``input`` [steps, batch, ...], ``dt_s``) it writes NAME.FRAMEWORK.npz, ``output``
too, or NAME.FRAMEWORK.txt, why not.
"""

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch


def snntorch(graph: nir.NIRGraph, dt_s: float, n_samples: int) -> Any:
    from snntorch.import_nir import import_from_nir

    return import_from_nir(graph)


def norse(graph: nir.NIRGraph, dt_s: float, n_samples: int) -> Any:
    from norse.torch import from_nir

    return from_nir(graph, dt=dt_s)


def sinabs(graph: nir.NIRGraph, dt_s: float, n_samples: int) -> Any:
    from sinabs.nir import from_nir

    network = from_nir(graph, batch_size=n_samples)

    def stepped(frame: torch.Tensor, state: Any) -> Any:
        return network(frame)[0], None  # it keeps its state itself

    return stepped


def spikingjelly(graph: nir.NIRGraph, dt_s: float, n_samples: int) -> Any:
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return import_from_nir(graph, dt=dt_s)


FRAMEWORKS: tuple[Callable[..., Any], ...] = (snntorch, norse, sinabs, spikingjelly)


def outputs(network: Any, x: torch.Tensor) -> np.ndarray:
    """Run step by step; networks take and return their state."""
    state, found = None, []
    for frame in x:
        out, state = network(frame, state)
        found.append(out[0] if isinstance(out, tuple) else out)
    return torch.stack(found).detach().numpy()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable()
    torch.set_num_threads(1)
    for path in sorted(Path(sys.argv[1]).glob("*.nir")):
        given = np.load(path.with_suffix(".npz"))
        x = torch.from_numpy(given["input"])
        for framework in FRAMEWORKS:
            result = path.with_suffix(f".{framework.__name__}")
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    network = framework(nir.read(path), float(given["dt_s"]), x.shape[1])
                    found = outputs(network, x)
                np.savez(f"{result}.npz", output=found)
            except (AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
                Path(f"{result}.txt").write_text(f"{type(error).__name__}: {error}")
