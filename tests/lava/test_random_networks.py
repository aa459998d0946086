"""Random integer networks through Lava: the same spikes as our engines, all of them.

$TDD_DEPLOY_LAVA_NETWORKS says how many networks are tried per mapping; 20 by default, 300 before a release.
"""

import os
from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.exporters.lava import environment
from tdd_deploy.verification.backends import event_backend, lava_backend, reference_backend
from tdd_deploy.verification.comparison import compare
from tests.lava.networks import grown

N_NETWORKS = int(os.environ.get("TDD_DEPLOY_LAVA_NETWORKS", "20"))
SIDE_BY_SIDE = 10

pytestmark = pytest.mark.skipif(environment.find() is None, reason="Lava is not set up: tdd-deploy lava setup")


@pytest.mark.parametrize("mapping", ["fused", "stock", "spike"])
@pytest.mark.parametrize("seed", range(N_NETWORKS // SIDE_BY_SIDE))
def test_random_networks_fire_the_same_spikes_in_lava(mapping, seed):
    case = grown(seed, SIDE_BY_SIDE, plain=mapping != "fused")
    backends = [
        reference_backend(case.program, "reference"),
        event_backend(case.program, "event, delta code", "delta"),
        event_backend(case.program, "event, spike code", "spike"),
        lava_backend(case.program, f"lava, {mapping}", mapping, timeout_s=300),
    ]
    recorded = [backend(case.inputs) for backend in backends]
    for before, after in pairwise(recorded):
        comparison = compare(before, after)
        assert comparison.passed, comparison
        assert comparison.differing == 0
    rates = [float(spikes.mean()) for spikes in recorded[0].spikes.values()]
    assert np.mean([0.001 < rate < 0.999 for rate in rates]) > 0.5, "most layers must have something to say"
