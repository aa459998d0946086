"""Our estimates against the code of their authors, in environments of their own: ``make parity``.

Printed figures of Lemaire et al. could not be reached, so that the code of its co-authors' group is the measure.
"""

import json
import subprocess
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tdd_deploy.program import Conv
from tdd_deploy.simulator.hardware.chains import Chain, chain_of
from tdd_deploy.simulator.hardware.estimators import ADD_PJ, INTEGER_ADD_PJ, MAC_PJ, Estimate, estimates
from tests.parity.chain_networks import N_SAMPLES, Network, networks
from tests.parity.connections import connections
from tests.parity.test_neurobench import neurobench
from tests.zoo import Case

ROOT = Path(__file__).parents[2]
# What an estimator's code counts otherwise than our function, and by how much; all else is equal.
DIFFERENCES = {
    "SpikingJelly simple": "ACs inside its neurons, which depend on how they are written, are left out here",
    "Lemaire 2022": (
        "addresses of a spiking map: the code leaves the output channels out of equation 16.3, and takes the rate for "
        "the number of spikes in equation 17.2"
    ),
}


def needs(environment: str) -> pytest.MarkDecorator:
    missing = not (ROOT / environment / "installed").exists()
    return pytest.mark.skipif(missing, reason=f"{environment} is missing: make parity")


@pytest.fixture(scope="module")
def ours() -> list[tuple[Network, Chain, dict[str, Estimate]]]:
    found = []
    for network in networks():
        trace, given = network.trace, {"has_spike_input": network.has_spike_input}
        by_name = {estimate.name: estimate for estimate in estimates(network.program, trace, **given)}
        found.append((network, chain_of(network.program, trace, **given), by_name))
    return found


@pytest.fixture(scope="module")
def folder(ours: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chains")
    for i, (network, _, _) in enumerate(ours):
        network.save(path / f"{i}.npz")
    return path


def theirs(environment: str, script: str, folder: Path) -> list[Any]:
    python = ROOT / environment / "bin" / "python"
    run = subprocess.run(
        [python, "-W", "ignore", Path(__file__).with_name(script), folder], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found: list[Any] = json.loads(run.stdout.splitlines()[-1])
    assert len(found) == 10
    return found


def test_the_networks_are_of_many_kinds_and_rates(ours: Any) -> None:
    stages = [stage for _, chain, _ in ours for stage in chain.stages]
    rates = [
        stage.spikes / stage.n_out / chain.n_steps for _, chain, _ in ours for stage in chain.stages if stage.neurons
    ]
    assert min(rates) < 0.05
    assert max(rates) > 0.4
    assert sum(rate > 0 for rate in rates) > len(rates) / 2
    for kinds in ("is_graded", "is_leaky", "n_neurons", "biases"):
        assert {bool(getattr(stage, kinds)) for stage in stages} == {False, True}
    assert {type(stage.node).__name__ for stage in stages} == {"Dense", "Conv"}


@needs(".venv-neurobench")
def test_neurobench_counts_what_we_price(ours: Any, tmp_path: Path) -> None:
    in_spike_code = [list(connections(Case(network.program, network.inputs)))[::2] for network, _, _ in ours]
    counted = iter(neurobench([connection for each in in_spike_code for connection in each], tmp_path))
    for (_, _, by_name), each in zip(ours, in_spike_code, strict=True):
        found = list(islice(counted, len(each)))
        acs, macs = (sum(sum(counts[name]) for counts in found) / N_SAMPLES for name in ("acs", "macs"))
        dense = sum(counts["dense"][0] for counts in found) / N_SAMPLES
        assert by_name["NeuroBench"].spiking_pj == pytest.approx(ADD_PJ * acs + MAC_PJ * macs, rel=1e-12)
        assert by_name["NeuroBench"].dense_pj == pytest.approx(MAC_PJ * dense, rel=1e-12)


@needs(".venv-syops")
def test_syops_counts_what_we_price(ours: Any, folder: Path) -> None:
    for (_, _, by_name), found in zip(ours, theirs(".venv-syops", "syops_energy.py", folder), strict=True):
        spiking, dense = (ADD_PJ * acs + MAC_PJ * macs for acs, macs in (found["spiking"], found["dense"]))
        assert by_name["syops"].spiking_pj == pytest.approx(spiking, rel=1e-6)  # its rates are float32
        assert by_name["syops"].dense_pj == pytest.approx(dense, rel=1e-12)


@needs(".venv-peers")
def test_both_estimators_of_spikingjelly_are_equal(ours: Any, folder: Path) -> None:
    """The difference of the simple one is its neurons' own arithmetic, and small."""
    found = theirs(".venv-peers", "spikingjelly_energy.py", folder)
    for (_, chain, by_name), each in zip(ours, found, strict=True):
        simple, lemaire = by_name["SpikingJelly simple"], by_name["SpikingJelly Lemaire"]
        same = pytest.approx(each["simple"] - ADD_PJ * each["other_acs"], rel=1e-9)
        assert simple.spiking_pj == same, DIFFERENCES[simple.name]
        updates = chain.n_steps * sum(stage.n_neurons for stage in chain.stages)
        assert 3 * updates <= each["other_acs"] <= 7 * updates
        assert simple.dense_pj == pytest.approx(each["simple_dense"], rel=1e-9)
        assert lemaire.spiking_pj == pytest.approx(each["lemaire"], rel=1e-9)
        assert lemaire.dense_pj == pytest.approx(each["lemaire_dense"], rel=1e-9)


@needs(".venv-peers")
def test_lemaires_formulas_are_equal_to_the_code_of_its_group(ours: Any, folder: Path) -> None:
    """Two addresses differ, as printed equations do from the code."""
    for (_, chain, by_name), found in zip(ours, theirs(".venv-peers", "qualia_energy.py", folder), strict=True):
        estimate, addresses = by_name["Lemaire 2022"], 0.0
        for stage in chain.stages:
            received = stage.events / chain.n_steps if stage.is_graded else stage.events
            counted = stage.taps if isinstance(stage.node, Conv) else len(stage.node.weight) / stage.n_in
            addresses += received * (stage.fan_out - counted)
        same = pytest.approx(found["spiking"] + INTEGER_ADD_PJ * addresses, rel=1e-6)
        assert estimate.spiking_pj == same, DIFFERENCES[estimate.name]
        assert estimate.dense_pj == pytest.approx(found["dense"], rel=1e-9)
        assert addresses > 0
