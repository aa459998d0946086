"""The energy of a network that another tool wrote, and why that tool has to be named.

python examples/02_energy_of_any_nir_file.py [network.nir] [--data samples.npz] [--dialects NAME,KEY=VALUE NAME ...]

NIR leaves open what a file computes: the length of a time step, the reset, whether a neuron fires at its threshold or
above it. A dialect defines what a tool means. Two dialects give different spikes for one file, and a different energy.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import nir
import numpy as np

import tdd_deploy as td
from tdd_deploy.errors import TddDeployError

DIALECTS = ["snntorch,reset=soft,reset_delay=yes", "spikingjelly"]
PROFILE = "loihi1-davies2018"
SAMPLES, N_STEPS, RATE = 16, 50, 0.2  # of random spikes


def main() -> None:
    """Print what each dialect makes of the file; then simulate in each dialect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, nargs="?", help="by default, a file like one that snnTorch writes")
    parser.add_argument("--data", type=Path, help="an .npz with x [samples, steps, ...]; random spikes by default")
    parser.add_argument("--dialects", nargs="+", help="what the tool that wrote the network means, or might mean")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        network = chosen.network or foreign_file(Path(folder) / "network.nir")
        dialects = chosen.dialects or ([] if chosen.network else DIALECTS)
        for what, found in td.inspect(network).items():
            if what.startswith("what each dialect"):
                print(f"{what}:", *(f"  {dialect}: {meaning}" for dialect, meaning in found.items()), sep="\n")
        if not dialects:
            sys.exit("name the tool that wrote it with --dialects; nothing is guessed")
        data = chosen.data or random_spikes(Path(folder) / "spikes.npz", network, dialects[0])
        spent = [energy_nj(network, data, dialect) for dialect in dialects]
    sums = ", ".join(f"{nj:,.1f}" for nj in spent)
    print(f"\nthe dynamic energy of one file, read in {len(spent)} ways: {sums} nJ per sample")


def energy_nj(network: Path, data: Path, dialect: str) -> float:
    """Return the dynamic energy per sample; print its parts."""
    result = td.simulate(network, data, dialect=dialect, code="spike", energy=True, profiles=[PROFILE])
    report = result.as_json()
    totals, energy, n = report["totals"], report["energies"][0], report["totals"]["samples"]
    print(f"\nread as {dialect}")
    print(f"  {totals['spikes'] / n:,.0f} spikes, {totals['synops_effective'] / n:,.0f} synaptic operations per sample")
    to_nj = 1e-3 / n
    for term in (term for term in energy["terms"] if term["count"]):
        price, low, high = (term["count"] * term[key] * to_nj for key in ("price_pj", "low_price_pj", "high_price_pj"))
        print(f"  {term['term']:16} {price:7.1f} nJ ({low:.1f} to {high:.1f}; {term['confidence']})")
    dynamic, low, high = (energy[key] * to_nj for key in ("dynamic_pj", "low_pj", "high_pj"))
    print(f"  {'dynamic energy':16} {dynamic:7.1f} nJ ({low:.1f} to {high:.1f} over sources) on {energy['profile']}")
    if energy["static_low_pj"] is not None:
        low, high = (energy[key] * to_nj for key in ("static_low_pj", "static_high_pj"))
        print(f"  {'static energy':16} {low:7.1f} to {high:.1f} nJ, in the time that follows from published latencies")
    for line in energy["not_priced"]:
        print(f"  not priced: {line}")
    return float(dynamic)


def foreign_file(path: Path) -> Path:
    """Write input (32) -> LIF (128) -> LIF (64) with the nir library alone, in numbers as snnTorch writes them."""
    rng = np.random.default_rng(0)
    dt, beta = 1e-4, 0.9
    tau = dt / (1 - beta)

    def lif(n: int) -> nir.LIF:
        return nir.LIF(tau=np.full(n, tau), r=np.full(n, tau / dt), v_leak=np.zeros(n), v_threshold=np.ones(n))

    def fc(n_out: int, n_in: int) -> nir.Affine:
        return nir.Affine(rng.normal(0.03, 0.15, (n_out, n_in)), rng.normal(0, 0.02, n_out))

    nodes = {"fc1": fc(128, 32), "lif1": lif(128), "fc2": fc(64, 128), "lif2": lif(64)}
    ends = {"input": nir.Input(np.array([32])), "output": nir.Output(np.array([64]))}
    edges = [("input", "fc1"), ("fc1", "lif1"), ("lif1", "fc2"), ("fc2", "lif2"), ("lif2", "output")]
    nir.write(path, nir.NIRGraph(nodes=nodes | ends, edges=edges))
    return path


def random_spikes(path: Path, network: Path, dialect: str) -> Path:
    """Write random spikes in the shape of a network's input: good for a first look, but not for a claim."""
    shape = td.load(network, dialect=dialect).input.shape
    spikes = np.random.default_rng(1).random((SAMPLES, N_STEPS, *shape)) < RATE
    np.savez(path, x=spikes)
    return path


if __name__ == "__main__":
    try:
        main()
    except TddDeployError as error:
        sys.exit(str(error))
