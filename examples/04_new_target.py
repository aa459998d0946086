"""An export target of your own: one function, one line in TARGETS. Here it is a C header for a device without an OS.

python examples/04_new_target.py [network.h]

A target is a function of a Program and a path. It first reports everything that it cannot hold, all at once. Then it
has nothing to guess: a Program leaves no choice open. If there is a C compiler, the header is compiled and compared.
"""

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

import tdd_deploy as td
from tdd_deploy.errors import NotExportable, Violation
from tdd_deploy.exporters import TARGETS
from tdd_deploy.files import replacing
from tdd_deploy.neurons import LIF
from tdd_deploy.program import Dense, Edge, Input, LinearMap, NeuronLayer, Output, Program, build
from tdd_deploy.program.bounds import wrapping_layers
from tdd_deploy.simulator import reference

N_STEPS = 200
FUNCTIONS = """#include <stdint.h>

static void synapses(int n_out, int n_in, const int16_t *weight, const int32_t *bias, const int32_t *in, int32_t *out) {
    for (int i = 0; i < n_out; i++) {
        out[i] = bias[i];
        for (int j = 0; j < n_in; j++) out[i] += weight[i * n_in + j] * in[j];
    }
}

/* Loihi 2's neuron as LoihiLIF has it: v = v (4096 - dv) / 4096 + 64 in + bias, 24 bits, fires above its threshold */
static void neurons(int n, const int32_t *dv, const int32_t *bias, const int32_t *v_threshold, const int32_t *v_reset,
                    const int32_t *in, int32_t *v, int32_t *out) {
    for (int i = 0; i < n; i++) {
        int64_t next = (int64_t)v[i] * (4096 - dv[i]) / 4096 + 64 * in[i] + bias[i];
        next = next > 8388607 ? 8388607 : next < -8388607 ? -8388607 : next;
        out[i] = next > v_threshold[i];
        v[i] = out[i] ? v_reset[i] : (int32_t)next;
    }
}
"""
MAIN = """#include <stdio.h>
#include "network.h"
int main(void) {
    int32_t in[N_INPUT], out[N_OUTPUT];
    for (;;) {
        for (int i = 0; i < N_INPUT; i++) if (scanf("%d", &in[i]) != 1) return 0;
        network_step(in, out);
        for (int i = 0; i < N_OUTPUT; i++) printf("%d ", out[i]);
    }
}
"""


def write_c_header(program: Program, path: Path) -> None:
    """Write dense layers and LoihiLIF neurons as C: ``network_step`` maps integers to integers, potentials are static.

    Raises:
        NotExportable: every reason why the header cannot hold the program.
    """
    found = tuple(violations(program))
    if found:
        raise NotExportable("this program does not fit the C header", found)
    arrays, calls = [], []

    def array(name: str, values: np.ndarray, kind: str = "int32_t") -> str:
        arrays.append(f"static const {kind} {name}[] = {{{', '.join(map(str, values.flat))}}};")
        return name

    for node in program.nodes:
        name, n = node.name, program.shapes[node.name][0]
        if isinstance(node, Dense):
            n_in, bias = node.weight.shape[1], np.zeros(n, int) if node.bias is None else node.bias
            weights = f"{array(f'{name}_weight', node.weight, 'int16_t')}, {array(f'{name}_bias', bias)}"
            calls.append(f"static int32_t {name}_out[{n}];")
            calls.append(f"synapses({n}, {n_in}, {weights}, {source_of(program, name)}, {name}_out);")
        elif isinstance(node, NeuronLayer):
            p = {key: np.broadcast_to(value, n) for key, value in node.neuron.parameters().items()}
            keys = ("dv", "bias", "v_threshold", "v_reset")
            parameters = ", ".join(array(f"{name}_{key}", p[key]) for key in keys)
            calls.append(f"static int32_t {name}_v[{n}], {name}_out[{n}];")
            calls.append(f"neurons({n}, {parameters}, {source_of(program, name)}, {name}_v, {name}_out);")
        elif isinstance(node, Output):
            calls.append(f"for (int i = 0; i < {n}; i++) output[i] = {source_of(program, name)}[i];")
    sizes = [f"#define N_INPUT {program.input.shape[0]}", f"#define N_OUTPUT {program.shapes[program.output.name][0]}"]
    head = "static void network_step(const int32_t *input, int32_t *output) {"
    with replacing(path) as part:  # the file is whole or absent
        part.write_text("\n".join([FUNCTIONS, *sizes, *arrays, "", head, *(f"    {call}" for call in calls), "}", ""]))


def violations(program: Program) -> Iterator[Violation]:
    """Yield what the header cannot hold. Codes of edges are free: in integers both give the same spikes."""
    if program.number_format != "integer":
        yield Violation("number_format", program.number_format, "integer", "Export it with `bits=8`.")
    for node in program.nodes:
        where, shape = node.name, program.shapes[node.name]
        if not (where.isascii() and where.isidentifier()):
            yield Violation(where, "is no name in C", remedy="Rename it with letters, digits and _.")
        if len(shape) > 1:
            yield Violation(f"{where}.shape", str(shape), "one-dimensional")
        if isinstance(node, Dense) and np.abs(node.weight).max() >= 2**15:
            yield Violation(f"{where}.weight", f"up to {np.abs(node.weight).max()}", "within 16 bits")
        if isinstance(node, LinearMap) and not isinstance(node, Dense):
            yield Violation(where, type(node).__name__, "Dense")
        if isinstance(node, NeuronLayer) and getattr(node.neuron, "reset", "hard") != "hard":
            yield Violation(f"{where}.reset", node.neuron.reset, "hard", "Train with `reset=hard`.")
        if isinstance(node, NeuronLayer) and getattr(node.neuron, "compare", ">") != ">":
            yield Violation(f"{where}.compare", node.neuron.compare, ">")
        if len(program.incoming[where]) > 1:
            yield Violation(where, f"has {len(program.incoming[where])} incoming edges, and the header takes one")
    for edge in program.edges:
        if edge.delay:
            yield Violation(f"edge {edge.source} -> {edge.target}", "is delayed, and the header keeps no past spikes")
    for layer in wrapping_layers(program):
        yield Violation(layer, "has currents that can exceed 24 bits or that have a memory")


def source_of(program: Program, name: str) -> str:
    """Return the name in C of the one source of a node."""
    (edge,) = program.incoming[name]
    return "input" if edge.source == program.input.name else f"{edge.source}_out"


TARGETS["c-header"] = write_c_header  # in the package: a module in exporters/, and this line


def main() -> None:
    """Show a refusal; export; compile and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("header", type=Path, nargs="?", help="where to keep it; by default it is deleted")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            TARGETS["c-header"](network(reset="soft", recurrent=True), folder / "refused.h")
        except NotExportable as error:
            print(error)

        TARGETS["nir"](network(), folder / "network.nir")
        integers = td.export(folder / "network.nir", "c-header", folder / "network.h", bits=8).program
        if chosen.header:
            shutil.copy(folder / "network.h", chosen.header)
        print(f"network.h: {(folder / 'network.h').stat().st_size:,} bytes, program {integers.digest[:12]}")

        compiler = shutil.which("cc")
        if compiler is None:
            print("not compared: there is no C compiler cc")
            return
        (folder / "main.c").write_text(MAIN)
        subprocess.check_call([compiler, "-std=c99", "-O2", folder / "main.c", "-o", folder / "network"])
        spikes = np.random.default_rng(1).integers(0, 2, (N_STEPS, 16))
        words = " ".join(map(str, spikes.flat))
        printed = subprocess.check_output([folder / "network"], input=words, text=True)
    wanted = reference.run(integers, spikes[:, None])["result"][:, 0]
    n_differ = np.count_nonzero(np.array(printed.split(), int).reshape(wanted.shape) != wanted)
    print(f"{wanted.size:,} outputs in C and in the reference, {np.count_nonzero(wanted):,} not 0: {n_differ} differ")
    raise SystemExit(1 if n_differ else 0)


def network(*, reset: str = "hard", recurrent: bool = False) -> Program:
    """Return input (16) -> fc1 -> 32 LIF -> fc2 -> output (4) with random weights."""
    rng = np.random.default_rng(0)
    neuron = LIF(beta=np.array(0.875), v_threshold=np.array(1.0), v_reset=np.array(0.0), reset=reset)
    nodes = [
        Input(name="spikes", shape=(16,)),
        Dense(name="fc1", weight=rng.normal(0.05, 0.3, (32, 16)), bias=rng.normal(0, 0.1, 32)),
        NeuronLayer(name="hidden", shape=(32,), neuron=neuron),
        Dense(name="fc2", weight=rng.normal(0, 0.3, (4, 32))),
        Output(name="result"),
    ]
    edges = [Edge(source.name, target.name) for source, target in pairwise(nodes)]
    if recurrent:
        nodes.append(Dense(name="back", weight=rng.normal(0, 0.3, (32, 32))))
        edges += [Edge("hidden", "back", delay=1), Edge("back", "hidden")]
    return build(nodes, edges, dt_s=1e-3, n_steps=N_STEPS, encoder="poisson")


if __name__ == "__main__":
    main()
