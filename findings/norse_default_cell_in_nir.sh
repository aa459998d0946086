#!/bin/sh
# Norse 1.1.0 and nir 1.0.8: the file of a network with Norse's default neuron cannot be written, and a part of it stays.
#
# Expected: to_nir makes a graph of a Linear layer and an LIFBoxCell, nir.write writes it, and nir.read gives it back;
#           or an error leaves no file behind.
# Seen:     the cell's parameters have shape (), and nir.write compresses by default, which HDF5 does for arrays only:
#           "Scalar datasets don't support chunk/filter options". The path then holds a file with some of the nodes and
#           no edges, on which nir.read raises KeyError('type'). With compression=None the file is whole, but nir.read takes
#           it only with type_check=False. The cell's tau, whose inverse is 100 / s, then reads as 1e-05: it was
#           multiplied by dt, 1 ms.
# Matters:  the rest of a file looks like a file, and a tau that was multiplied by dt looks like seconds.
#
# Exit code 0: as described. 1: something has changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ python3 -m venv "$folder/venv" && "$folder/venv/bin/python" -m pip install --quiet 'torch==2.13.0' 'numpy==2.4.6' \
    'nir==1.0.8' 'nirtorch==2.6' 'h5py==3.16.0' && "$folder/venv/bin/python" -m pip install --quiet --no-deps 'norse==1.1.0'; } >&2 || exit 2
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import nir
import norse.torch as norse
import torch

default, plain = (Path(sys.argv[1]) / name for name in ("default.nir", "uncompressed.nir"))
network = norse.SequentialState(torch.nn.Linear(4, 3), norse.LIFBoxCell())
graph = norse.to_nir(network, torch.zeros(4))


def outcome(call, *given, **chosen):
    try:
        return "works", call(*given, **chosen)
    except (TypeError, KeyError, ValueError) as error:
        return f"{type(error).__name__}: {error}", None


print(", ".join(f"{name} {version(name)}" for name in ("norse", "nir", "h5py", "torch")))
print("nir.write, default:         ", wrote := outcome(nir.write, default, graph)[0])
print("a file is left:             ", left := default.exists(), f"({default.stat().st_size:,} bytes)" if left else "")
print("nir.read of it:             ", read := outcome(nir.read, default)[0])
print("nir.write, compression=None:", outcome(nir.write, plain, graph, compression=None)[0])
print("nir.read of it:             ", checked := outcome(nir.read, plain)[0])
(cell,) = (node for node in nir.read(plain, type_check=False).nodes.values() if isinstance(node, nir.LIF))
inverse = float(network[1].p.tau_mem_inv)
print(f"tau in the file:             {float(cell.tau):.6g} s, of a cell with tau_mem_inv {inverse:g} / s")
seen = wrote.startswith("TypeError") and left and read.startswith("KeyError")
seen = seen and checked.startswith("ValueError") and abs(float(cell.tau) * inverse - 1e-3) < 1e-9
print("as described" if seen else "changed")
sys.exit(not seen)
PYTHON
