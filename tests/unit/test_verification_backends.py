"""The backends that verify compares: all give the same, in the same shapes."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdd_deploy.errors import BadOption, MissingEnvironment, NotExportable
from tdd_deploy.exporters.lava import environment, worker
from tdd_deploy.exporters.lava.worker import LavaRun
from tdd_deploy.program import Program
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.simulator import reference
from tdd_deploy.verification.backends import (
    Backend,
    event_backend,
    lava_backend,
    onnx_backend,
    openvino_backend,
    reference_backend,
)
from tdd_deploy.verification.comparison import compare
from tests import by_hand

PYTHON = Path("python-of-lava")
INTEGERS = quantize(by_hand.program(), input_bits=4).program


@dataclass
class FakeLava:
    """Stands for ``run_bundle``: answers with the reference, and keeps what it was asked."""

    program: Program
    asked: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    x: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __call__(self, bundle: Path, inputs: Path, outputs: Path, **options: Any) -> LavaRun:
        self.asked = {"folder": bundle.parent, **options}
        self.manifest = json.loads((bundle / "manifest.json").read_text())
        with np.load(inputs) as given:
            self.x = given["x"]
        potentials: dict[str, np.ndarray] = {}
        sent = reference.run(self.program, self.x.swapaxes(0, 1) / self.program.input.scale, potentials=potentials)
        arrays = {f"spikes/{layer.name}": sent[layer.name] for layer in self.program.neuron_layers}
        arrays |= {f"v/{name}": v for name, v in potentials.items() if options["potentials"]}
        arrays["output"] = sent[self.program.output.name]
        np.savez(outputs, **{name: array.swapaxes(0, 1) for name, array in arrays.items()})
        return LavaRun(seconds=1.5, start_seconds=0.25, lava_steps=7, log="")


@pytest.fixture
def lava(monkeypatch: pytest.MonkeyPatch) -> FakeLava:
    fake = FakeLava(INTEGERS)
    monkeypatch.setattr(worker, "run_bundle", fake)
    monkeypatch.setattr(environment, "require", lambda needed_for: PYTHON)
    return fake


def test_every_backend_fires_the_spikes_counted_by_hand() -> None:
    program = by_hand.program()
    backends = [
        reference_backend(program, "reference"),
        event_backend(program, "delta", "delta"),
        event_backend(program, "spike", "spike"),
        onnx_backend(program, "onnx, step", "step"),
        onnx_backend(program, "onnx, scan", "scan"),
    ]
    for backend in backends:
        recorded = backend(by_hand.INPUTS)
        assert recorded.spikes.keys() == {"hidden"}
        assert np.array_equal(recorded.spikes["hidden"], by_hand.SPIKES)
        assert np.array_equal(recorded.output, by_hand.OUTPUT)
        assert recorded.seconds > 0


POTENTIALS = [[[1, 3], [1.5, 4], [0, 2]], [[0.5, 2], [0.75, 2], [0.875, 3]]]


@pytest.mark.parametrize(
    "backend",
    [
        reference_backend(by_hand.program(), "reference"),
        event_backend(by_hand.program(), "delta", "delta"),
        event_backend(by_hand.program(), "spike", "spike"),
    ],
)
def test_potentials_are_those_before_the_reset(backend: Backend) -> None:
    """The potentials of neuron 0 in by_hand's comments, and of neuron 1, whose currents are 3, 4, 2 and 2, 2, 3."""
    assert backend(by_hand.INPUTS).potentials["hidden"].tolist() == POTENTIALS


def test_the_event_backend_sends_one_code_throughout() -> None:
    for code in ("delta", "spike"):
        recorded = event_backend(by_hand.program(), "event", code)(by_hand.INPUTS)  # type: ignore[arg-type]
        assert {edge.code for edge in recorded.program.edges} == {code}


@pytest.mark.parametrize(
    "make",
    [
        reference_backend,
        lambda program, name: event_backend(program, name, "delta"),
        lambda program, name: onnx_backend(program, name, "step"),
        lambda program, name: onnx_backend(program, name, "scan"),
    ],
)
def test_a_backend_holds_no_state_from_batch_to_batch(make: Callable[..., Any]) -> None:
    backend = make(by_hand.program(), "backend")
    alone = backend(by_hand.INPUTS[:, 1:])
    backend(by_hand.INPUTS)
    again = backend(by_hand.INPUTS[:, 1:])
    assert np.array_equal(alone.output, again.output)
    assert np.array_equal(alone.output, by_hand.OUTPUT[1:])


@pytest.mark.parametrize("mapping", ["fused", "stock", "spike"])
def test_lava_gets_integers_sample_first_and_gives_what_it_wrote(mapping: str, lava: FakeLava) -> None:
    recorded = lava_backend(INTEGERS, "lava", mapping, timeout_s=12)(by_hand.INPUTS)  # type: ignore[arg-type]
    assert np.array_equal(lava.x, np.rint(by_hand.INPUTS * 16).swapaxes(0, 1))
    assert lava.x.dtype == np.int32
    assert lava.asked["python"] == PYTHON
    assert (lava.asked["timeout_s"], lava.asked["layers"]) == (12, True)
    assert lava.asked["potentials"] == (recorded.potentials != {}) == (mapping == "fused")
    assert lava.manifest["mapping"] == mapping
    assert recorded.seconds == 1.5
    assert compare(reference_backend(INTEGERS, "reference")(by_hand.INPUTS), recorded).passed


def test_lavas_bundle_is_of_as_many_steps_as_the_inputs(lava: FakeLava) -> None:
    assert INTEGERS.n_steps == 3
    lava_backend(INTEGERS, "lava", "fused", timeout_s=12)(np.concatenate([by_hand.INPUTS] * 2))
    assert lava.manifest["n_steps"] == 6


def test_nothing_of_a_run_of_lava_is_left(lava: FakeLava) -> None:
    lava_backend(INTEGERS, "lava", "fused", timeout_s=12)(by_hand.INPUTS)
    assert not lava.asked["folder"].exists()


def test_a_program_that_lava_cannot_hold_is_refused_before_it_runs(lava: FakeLava) -> None:
    """A soft reset is not among Lava's own neurons."""
    nodes = tuple(
        replace(node, neuron=replace(node.neuron, reset="soft")) if node.name == "hidden" else node  # type: ignore
        for node in INTEGERS.nodes
    )
    with pytest.raises(NotExportable, match=r"hidden\.reset must be hard.*\(got soft\)"):
        lava_backend(replace(INTEGERS, nodes=nodes), "lava", "stock", timeout_s=12)
    assert lava.asked == {}


def test_without_its_environment_lava_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TDD_DEPLOY_LAVA_HOME", str(tmp_path))
    with pytest.raises(MissingEnvironment, match="tdd-deploy lava setup"):
        lava_backend(INTEGERS, "lava", "fused", timeout_s=12)


def test_float64_is_refused_for_openvino_with_the_runtime_that_takes_it() -> None:
    program = replace(by_hand.program(), number_format="float64")
    with pytest.raises(
        BadOption, match=r"float64, which OpenVINO computes in float32\. Use against=onnx, which runs float64"
    ):
        openvino_backend(program, "step")


def test_the_precision_of_a_runtime_is_named_where_it_differs_alone() -> None:
    program = by_hand.program()
    right = reference_backend(program, "reference")(by_hand.INPUTS)
    remark = "other, computed with INFERENCE_PRECISION_HINT bf16"
    same = replace(right, backend="other", precision=remark)
    assert compare(right, same).first_difference is None
    other = replace(same, output=same.output + 1)
    found = compare(right, other)
    assert found.first_divergence is not None
    assert found.first_divergence.cause.endswith(f"; {remark}")
