"""Two backends side by side: what differs, what may, and every likely cause provoked by a fault of its kind."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tdd_deploy.neurons import LI, LIF, LoihiLIF, Neuron, SigmaDelta, loihi
from tdd_deploy.program import Dense, Edge, Input, NeuronLayer, Node, Output, Program, build
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.simulator.arithmetic import IntegerArithmetic
from tdd_deploy.verification.backends import reference_backend
from tdd_deploy.verification.comparison import Comparison, compare, joined, with_known_potentials
from tdd_deploy.verification.divergence import Divergence
from tdd_deploy.verification.recording import EXACT, FLOATS, QUANTIZED, Recorded, bound_between

N_STEPS, N_SAMPLES, N_IN, N_OUT = 12, 4, 6, 3


def integers(**changed: Any) -> LoihiLIF:
    values = {"v_threshold": 1000, "v_reset": 0, "du": 4095, "dv": 700, "bias": 77}
    arrays = {name: np.asarray(value) for name, value in (values | changed).items() if name not in ("reset", "compare")}
    return LoihiLIF(**arrays, **{name: changed[name] for name in ("reset", "compare") if name in changed})


def floats(**changed: float) -> LIF:
    values = {"beta": 0.5, "v_threshold": 1.0, "v_reset": 0.0} | changed
    return LIF(**{name: np.asarray(value) for name, value in values.items()})


def program(
    neuron: Neuron,
    *,
    weight: np.ndarray | None = None,
    last: Neuron | None = None,
    readout: np.ndarray | None = None,
    delay: int = 0,
    **options: Any,
) -> Program:
    """input -> fc -> first -> fc2 -> second -> readout -> out; with a delay, first reaches itself too."""
    is_integer = isinstance(neuron, LoihiLIF)
    if weight is None:
        weight = weights((8, N_IN), is_integer)
    n = len(weight)
    nodes: list[Node] = [
        Input(name="input", shape=(weight.shape[1],), largest=1000 if is_integer else 1),
        Dense(name="fc", weight=weight),
        NeuronLayer(name="first", shape=(n,), neuron=neuron),
        Dense(name="fc2", weight=weights((5, n), is_integer, seed=2)),
        NeuronLayer(name="second", shape=(5,), neuron=last or neuron),
        Dense(name="readout", weight=weights((N_OUT, 5), is_integer, seed=3) if readout is None else readout),
        Output(name="out"),
    ]
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    if delay:
        nodes.append(Dense(name="back", weight=weights((n, n), is_integer, seed=4)))
        edges += [Edge("first", "back", delay), Edge("back", "first")]
    formats = {"number_format": "integer"} if is_integer else {}
    return build(nodes, edges, dt_s=1e-3, n_steps=N_STEPS, **formats | options)


def weights(shape: tuple[int, int], is_integer: bool, seed: int = 1) -> np.ndarray:
    drawn = np.random.default_rng(seed).integers(-8, 12, shape)
    return 2 * drawn if is_integer else drawn / 8


def inputs(n_in: int = N_IN, n_samples: int = N_SAMPLES, n_steps: int = N_STEPS) -> np.ndarray:
    return (np.random.default_rng(5).random((n_steps, n_samples, n_in)) < 0.5).astype(np.float32)


def executed(program: Program, given: np.ndarray | None = None, name: str = "right") -> Recorded:
    return reference_backend(program, name)(inputs() if given is None else given)


def first(before: Recorded, after: Recorded) -> Divergence:
    comparison = compare(before, after)
    assert not comparison.passed
    assert comparison.first_divergence is not None
    return comparison.first_divergence


def edited(recorded: Recorded, layer: str, places: list[tuple[int, ...]]) -> Recorded:
    """The same recording with spikes [sample, step, neuron] flipped."""
    spikes = {name: array.copy() for name, array in recorded.spikes.items()}
    for place in places:
        spikes[layer][place] = 1 - spikes[layer][place]
    return replace(recorded, backend="wrong", spikes=spikes)


def shifted(recorded: Recorded, steps: int) -> Recorded:
    """The same recording with everything some time steps later."""

    def moved(array: np.ndarray) -> np.ndarray:
        rolled = np.roll(array, steps, axis=1)
        rolled[:, :steps] = 0
        return rolled if steps > 0 else np.concatenate([array[:, -steps:], 0 * array[:, :-steps]], axis=1)

    return replace(
        recorded,
        backend="wrong",
        spikes={name: moved(array) for name, array in recorded.spikes.items()},
        potentials={name: moved(array) for name, array in recorded.potentials.items()},
        output=moved(recorded.output),
    )


def reset_at(program: Program, given: np.ndarray, begins: list[int]) -> Recorded:
    """Samples one after the other, the state reset only before the steps ``begins`` of the whole stream."""
    n_steps, n_samples = given.shape[:2]
    stream = given.swapaxes(0, 1).reshape(n_samples * n_steps, 1, -1)
    ends = [*begins[1:], len(stream)]
    parts = [executed(program, stream[a:b]) for a, b in zip(begins, ends, strict=True)]

    def whole(arrays: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(arrays, axis=1).reshape(n_samples, n_steps, -1)

    return replace(
        parts[0],
        backend="wrong",
        spikes={name: whole([part.spikes[name] for part in parts]) for name in parts[0].spikes},
        potentials={name: whole([part.potentials[name] for part in parts]) for name in parts[0].potentials},
        output=whole([part.output for part in parts]),
    )


def blind(recorded: Recorded) -> Recorded:
    return replace(recorded, potentials={})


# What is compared


def test_a_backend_agrees_with_itself() -> None:
    comparison = compare(executed(program(integers())), executed(program(integers()), name="again"))
    assert (comparison.before, comparison.after, comparison.bound) == ("right", "again", EXACT)
    assert (comparison.spikes, comparison.differing) == (N_SAMPLES * N_STEPS * (8 + 5), 0)
    assert (comparison.outputs_differing, comparison.predictions_differing, comparison.largest_dv) == (0, 0, 0.0)
    assert (comparison.n_samples, comparison.passed, comparison.first_difference) == (N_SAMPLES, True, None)


@pytest.mark.parametrize(
    ("formats", "bound"),
    [
        (("float32", "float32"), FLOATS),
        (("float64", "float32"), FLOATS),
        (("float32", "integer"), QUANTIZED),
        (("integer", "float32"), QUANTIZED),
        (("integer", "integer"), EXACT),
    ],
)
def test_the_bound_follows_from_both_number_formats(formats: tuple[str, str], bound: object) -> None:
    made = {"integer": program(integers())}
    made |= {name: program(floats(), number_format=name) for name in ("float32", "float64")}
    assert bound_between(made[formats[0]], made[formats[1]]) is bound
    comparison = compare(executed(made[formats[0]]), executed(made[formats[1]]))
    assert (comparison.outputs_differing is None) == (comparison.largest_dv is None) == (bound is QUANTIZED)


def test_the_first_difference_is_first_in_time_then_in_execution_order_then_by_sample() -> None:
    right = executed(program(integers()))
    late, early = (1, 7, 2), (2, 4, 3)
    found = first(right, edited(edited(right, "first", [late]), "second", [early]))
    assert (found.layer, found.step, found.sample, found.neuron) == ("second", 5, 2, (3,))
    found = first(right, edited(edited(right, "first", [(3, 4, 0), late]), "second", [early]))
    assert (found.layer, found.step, found.sample, found.neuron) == ("first", 5, 3, (0,))
    found = first(right, edited(right, "first", [(3, 4, 0), (2, 4, 7), (2, 4, 5)]))
    assert (found.sample, found.neuron) == (2, (5,))


def test_a_difference_names_layer_step_sample_neuron_both_spikes_both_v_and_the_threshold() -> None:
    right = executed(program(integers()))
    wrong = edited(right, "first", [(1, 3, 6)])
    spike = int(right.spikes["first"][1, 3, 6])
    v = int(right.potentials["first"][1, 3, 6])
    assert str(first(right, wrong)).startswith(
        f"first divergence: layer first, step 4, sample 1, neuron [6]: "
        f"spikes {spike} and {1 - spike}, v {v} and {v}, threshold 1000; likely cause: "
    )


def test_a_threshold_per_neuron_is_that_of_the_neuron() -> None:
    right = executed(program(integers(v_threshold=np.arange(900, 1700, 100)), last=integers()))
    assert first(right, edited(right, "first", [(0, 0, 5)])).v_threshold == 1400


def test_a_wrong_output_after_right_spikes_is_found_and_named() -> None:
    readout = weights((N_OUT, 5), True, seed=3)
    readout[2, 1] += 2
    right, wrong = executed(program(integers())), executed(program(integers(), readout=readout))
    found = first(right, wrong)
    assert compare(right, wrong).differing == 0
    sample, step = np.argwhere(right.spikes["second"][:, :, 1].T)[0][::-1]
    assert (found.layer, found.step, found.sample, found.neuron) == ("out", step + 1, sample, (2,))
    assert found.values[1] - found.values[0] == 2
    assert "layer out" in str(found)
    assert "maps before the output" in str(found)


def test_float_outputs_may_be_rounded_and_no_more() -> None:
    readout = weights((N_OUT, 5), False, seed=3)
    right = executed(program(floats()))
    near = executed(program(floats(), readout=readout * (1 + 1e-6)))
    far = executed(program(floats(), readout=readout * 1.01))
    assert compare(right, near).passed
    assert compare(right, near).outputs_differing == 0
    assert first(right, far).layer == "out"


def test_outputs_in_other_units_are_judged_by_predictions() -> None:
    right = executed(program(floats()))
    quantized = executed(program(integers()))
    turned = -right.output.astype(np.int32)
    after = replace(quantized, spikes=right.spikes, output=turned)
    found = first(right, after)
    comparison = compare(right, after)
    assert comparison.outputs_differing is None
    assert comparison.predictions_differing > 0
    assert (found.layer, found.step) == ("out", N_STEPS)
    totals = right.output[found.sample].sum(axis=0)
    assert found.neuron == (int(totals.argmin()),)
    assert found.values == (totals.min(), turned[found.sample].sum(axis=0).max())


def test_potentials_that_are_sent_are_no_spikes() -> None:
    """An LI layer sends sums, which round; what counts is what comes of them."""
    li = LI(beta=np.asarray(0.5))
    right = executed(program(floats(), last=li))
    sums = right.spikes["second"] * np.float32(1 + 1e-6)
    comparison = compare(right, replace(right, spikes={**right.spikes, "second": sums}))
    assert (comparison.passed, comparison.differing, comparison.spikes) == (True, 0, N_SAMPLES * N_STEPS * 8)
    assert not compare(right, executed(program(floats(), last=LI(beta=np.asarray(0.25))))).passed


def sigma_delta(threshold: float = 0.25) -> Program:
    return program(SigmaDelta(delta_threshold=np.asarray(threshold)), last=SigmaDelta(delta_threshold=np.asarray(0.5)))


def with_messages(recorded: Recorded, layer: str, messages: np.ndarray) -> Recorded:
    return replace(recorded, backend="wrong", spikes={**recorded.spikes, layer: messages})


def test_the_messages_of_a_sigma_delta_network_are_compared() -> None:
    right = executed(sigma_delta())
    assert all(messages.any() for messages in right.spikes.values())
    comparison = compare(right, executed(sigma_delta()))
    n = N_SAMPLES * N_STEPS
    assert (comparison.passed, comparison.spikes, comparison.messages, comparison.outputs) == (
        True,
        0,
        n * (8 + 5),
        n * N_OUT,
    )
    assert (
        comparison.messages_differing,
        comparison.outputs_differing,
        comparison.not_compared,
        comparison.always_zero,
    ) == (0, 0, 0, ())


def test_messages_may_be_rounded_up_to_a_fraction_of_the_largest_in_their_layer() -> None:
    right = executed(sigma_delta())
    messages = right.spikes["first"]
    place = (2, 5, 3)
    for fraction, passes in ((0.9, True), (1.1, False)):
        moved = messages.copy()
        moved[place] = messages[place] + fraction * 1e-4 * messages.max()
        comparison = compare(right, with_messages(right, "first", moved))
        assert (comparison.passed, comparison.messages_differing) == (passes, int(not passes))
    found = first(right, with_messages(right, "first", moved))
    assert (found.layer, found.number, found.step, found.sample, found.neuron) == ("first", 0, 6, 2, (3,))
    assert found.values == (messages[place], moved[place])
    assert (found.potentials, found.v_threshold) == (None, None)


def test_a_message_that_differs_hides_no_later_one() -> None:
    right = executed(sigma_delta())
    wrong = right.spikes["first"].copy()
    wrong[1, 4:] += 1
    comparison = compare(right, with_messages(right, "first", wrong))
    assert (comparison.messages_differing, comparison.messages) == (8 * (N_STEPS - 4), N_SAMPLES * N_STEPS * (8 + 5))
    assert (comparison.outputs, comparison.not_compared) == (N_SAMPLES * N_STEPS * N_OUT, 0)


def test_messages_and_outputs_after_the_first_spike_of_their_sample_that_differs_are_not_compared() -> None:
    right = executed(program(floats(), last=LI(beta=np.asarray(0.5))))
    wrong = edited(right, "first", [(1, 4, 6), (1, 9, 0)])
    wrong.spikes["second"][1, 3:] += 1
    wrong = replace(wrong, output=right.output.copy())
    wrong.output[1, 4:] += 1
    wrong.output[2, 11, 2] += 1
    comparison = compare(right, wrong)
    later = N_STEPS - 4  # of step 5, "second" and the output come after "first"
    assert (comparison.differing, comparison.messages_differing, comparison.outputs_differing) == (2, 5, 1)
    assert comparison.messages == (N_SAMPLES * N_STEPS - later) * 5
    assert comparison.outputs == (N_SAMPLES * N_STEPS - later) * N_OUT
    assert comparison.not_compared == later * (5 + N_OUT)


def test_numbers_of_a_layer_that_comes_before_the_spike_are_compared_in_its_step() -> None:
    right = executed(program(LI(beta=np.asarray(0.5)), last=floats()))
    comparison = compare(right, edited(right, "second", [(0, 4, 3)]))
    assert comparison.messages == N_SAMPLES * N_STEPS * 8 - (N_STEPS - 5) * 8
    assert comparison.outputs == N_SAMPLES * N_STEPS * N_OUT - (N_STEPS - 4) * N_OUT


def test_integers_are_compared_even_after_a_difference() -> None:
    right = executed(program(integers()))
    wrong = edited(right, "first", [(1, 4, 6)])
    wrong = replace(wrong, output=right.output.copy())
    wrong.output[1, 4:, 0] += 2
    comparison = compare(right, wrong)
    assert (comparison.outputs_differing, comparison.outputs) == (N_STEPS - 4, N_SAMPLES * N_STEPS * N_OUT)
    assert comparison.not_compared == 0


def test_a_backend_whose_messages_differ_borrows_no_potentials() -> None:
    mixed = program(floats(), last=SigmaDelta(delta_threshold=np.asarray(0.5)))
    right = executed(mixed)
    assert right.potentials
    other = with_messages(blind(right), "second", right.spikes["second"] + 1)
    assert with_known_potentials(right, other, compare(right, other)) is other
    same = blind(right)
    assert with_known_potentials(right, same, compare(right, same)).potentials == right.potentials


def test_a_change_as_large_as_its_threshold_is_called_rounding_and_a_larger_one_is_not() -> None:
    right = executed(sigma_delta(threshold=0.25))
    for size, word in ((0.25, "rounding"), (0.26, "weights")):
        wrong = right.spikes["first"].copy()
        wrong[0, 3, 2] += size
        assert first(right, with_messages(right, "first", wrong)).cause.startswith(word)


def test_a_few_messages_may_differ() -> None:
    given = inputs(n_steps=1000)
    right = executed(sigma_delta(), given)
    wrong = right.spikes["second"].copy()
    wrong[0, -1, 0] += 0.5
    assert compare(right, with_messages(right, "second", wrong)).passed
    wrong[:, -1] += 0.5  # 20 of 52,000 are more than 1 of 10,000
    assert not compare(right, with_messages(right, "second", wrong)).passed


def test_nothing_compared_is_never_ok() -> None:
    comparison = compare(executed(program(integers())), executed(program(integers())))
    for kind in ("spikes", "messages", "outputs"):
        only = {"spikes": 0, "messages": 0, "outputs": 0} | {kind: 1}
        assert replace(comparison, **only).passed
    for outputs in (0, None):
        assert not replace(comparison, spikes=0, messages=0, outputs=outputs).passed


def test_layers_that_stay_0_on_both_backends_are_named() -> None:
    never = program(integers(), last=integers(v_threshold=2**23 - 1))
    right = executed(never)
    comparison = compare(right, executed(never))
    assert (comparison.passed, comparison.always_zero) == (True, ("second", "out"))
    once = edited(right, "second", [(3, 2, 1)])
    assert compare(right, once).always_zero == compare(once, right).always_zero == ("out",)
    assert joined([comparison, compare(right, once)]).always_zero == ("out",)


@pytest.mark.parametrize(
    ("bits", "per", "advice"),
    [
        (8, "layer", ["`per=neuron`"]),
        (4, "layer", ["more `bits`", "`per=neuron`"]),
        (4, "neuron", ["more `bits`"]),
        (8, "neuron", []),
    ],
)
def test_the_advice_against_rounding_names_only_options_that_are_not_in_use(
    bits: int, per: str, advice: list[str]
) -> None:
    """Weights of both layers differ from neuron to neuron, so ``per=neuron`` gives each a threshold of its own."""
    before = executed(program(floats()))
    made = quantize(before.program, bits=bits, per=per, input_bits=8).program  # type: ignore[arg-type]
    after = executed(made, name="integers")
    turned = edited(after, "first", [(0, t, n) for t in range(N_STEPS) for n in range(8)])
    found = first(before, turned).cause
    assert found.startswith("the rounding to integers")
    assert [word for word in ("more `bits`", "`per=neuron`") if word in found] == advice


def test_a_few_float_spikes_may_differ_but_no_integer_spike() -> None:
    n_steps = 1000
    given = inputs(n_steps=n_steps)
    for neuron, is_allowed in ((floats(), True), (integers(), False)):
        right = executed(program(neuron), given)
        allowed = N_SAMPLES * n_steps * 13 // 10_000
        places = [(0, 10 * number, 0) for number in range(allowed)]
        assert compare(right, edited(right, "first", places)).passed == is_allowed
        assert not compare(right, edited(right, "first", [*places, (1, 3, 3)])).passed


def test_a_threshold_of_zero_has_no_part_in_the_largest_difference() -> None:
    heights = np.array([0, -1000, 1000, 2000, 1000, 1000, 1000, 1000])
    right = executed(program(integers(v_threshold=heights), last=integers()))
    v = right.potentials["first"].copy()
    v[0, 0] += np.array([999, 10, 0, 30, 0, 0, 0, 0])
    comparison = compare(right, replace(right, potentials={**right.potentials, "first": v}))
    assert comparison.largest_dv == 0.015


def test_a_comparison_is_plain_json() -> None:
    right = executed(program(integers()))
    comparison = compare(right, edited(right, "first", [(1, 3, 6)]))
    plain = json.loads(json.dumps(comparison.as_json(), allow_nan=False))
    assert (plain["bound"], plain["passed"], plain["first_divergence"]["neuron"]) == ("0 differing", False, [6])
    assert compare(right, right).as_json()["first_divergence"] is None


def test_potentials_beyond_float32_are_compared_and_still_plain_json() -> None:
    right = executed(program(floats(), last=floats()))
    v = right.potentials["first"].copy()
    v[1, 3, 6] = np.inf
    right = replace(right, potentials={**right.potentials, "first": v})
    comparison = compare(right, edited(right, "first", [(1, 3, 6)]))
    assert comparison.largest_dv == 0
    assert not comparison.passed
    assert json.loads(json.dumps(comparison.as_json(), allow_nan=False))["first_divergence"]["potentials"] is None


# Batches


def split(before: Recorded, after: Recorded, sizes: list[int]) -> list[Comparison]:
    edges = np.cumsum([0, *sizes])

    def part(recorded: Recorded, a: int, b: int) -> Recorded:
        cut = {
            name: {key: array[a:b] for key, array in getattr(recorded, name).items()}
            for name in ("spikes", "potentials")
        }
        return replace(recorded, output=recorded.output[a:b], **cut)

    return [compare(part(before, a, b), part(after, a, b)) for a, b in pairwise(edges)]


@pytest.mark.parametrize("sizes", [[4], [1, 3], [2, 1, 1], [1, 1, 1, 1]])
@pytest.mark.parametrize("kind", ["integers", "outputs", "floats to integers", "messages"])
def test_joined_comparisons_does_not_depend_on_the_batches(sizes: list[int], kind: str) -> None:
    right = executed(program(floats() if kind == "floats to integers" else integers()))
    wrong = executed(program(integers()), name="wrong")
    if kind == "integers":
        wrong = edited(right, "second", [(1, 8, 0), (3, 2, 4), (3, 2, 3)])
    elif kind == "messages":
        right = executed(sigma_delta())
        messages = right.spikes["first"].copy()
        messages[1, 8, 0] += 1
        messages[3, 2:, 4] += 1
        wrong = with_messages(right, "first", messages)
    elif kind == "outputs":
        wrong = replace(right, output=right.output + np.eye(N_SAMPLES)[:, :1, None].astype(int) * 2)
    whole, comparison = compare(right, wrong), joined(split(right, wrong, sizes))
    assert not whole.passed
    assert whole.first_divergence is not None
    assert comparison.first_divergence is not None
    assert replace(comparison, first_difference=None) == replace(whole, first_difference=None)
    assert replace(comparison.first_divergence, cause="") == replace(whole.first_divergence, cause="")


def test_a_bound_holds_over_all_samples_and_not_in_every_batch() -> None:
    """One prediction of 33 is 3 %, though it is all of the last batch."""
    made = program(floats())
    right = executed(made, inputs(n_samples=33))
    after = replace(right, program=program(integers()), output=right.output.copy())
    after.output[32] *= -1
    comparisons = split(right, after, [32, 1])
    assert [comparison.passed for comparison in comparisons] == [True, False]
    assert joined(comparisons).passed
    assert joined(comparisons).first_divergence is None


def test_a_backend_without_potentials_borrows_those_of_one_that_sent_the_same() -> None:
    right = executed(program(integers()))
    same, wrong = blind(replace(right, backend="same")), edited(blind(right), "first", [(0, 0, 0)])
    assert with_known_potentials(right, same, compare(right, same)).potentials is right.potentials
    assert with_known_potentials(right, wrong, compare(right, wrong)).potentials == {}
    of_floats = replace(right, program=program(floats()))
    assert with_known_potentials(of_floats, same, compare(of_floats, same)).potentials == {}


# Causes

CHANGED = weights((8, N_IN), True)
CHANGED[3, 4] += 8

INTEGER_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "a changed weight": ({"weight": CHANGED}, "weight"),
    "a missing bias": ({"neuron": {"bias": 0}}, "a bias that is missing"),
    "a bias added twice": ({"neuron": {"bias": 154}}, "a bias that is missing, or is added twice"),
    "another threshold": ({"neuron": {"v_threshold": 1128}}, "the threshold of this layer"),
    "another decay": ({"neuron": {"dv": 2000}}, "the decay of this layer"),
    "no decay": ({"neuron": {"dv": 0}}, "the decay of this layer"),
    "another reset": ({"neuron": {"reset": "soft"}}, "the reset of this layer"),
}


@pytest.mark.parametrize("fault", INTEGER_FAULTS)
def test_a_fault_in_a_program_of_integers_is_named(fault: str) -> None:
    changed, words = INTEGER_FAULTS[fault]
    wrong = program(integers(**changed.get("neuron", {})), last=integers(), weight=changed.get("weight"))
    found = first(executed(program(integers())), executed(wrong, name="wrong"))
    assert found.layer == "first"
    assert words in found.cause


def test_a_changed_weight_is_found_at_its_neuron() -> None:
    found = first(executed(program(integers())), executed(program(integers(), weight=CHANGED), name="wrong"))
    assert (found.layer, found.neuron) == ("first", (3,))


def test_a_missing_bias_of_one_neuron_is_not_taken_for_anothers() -> None:
    """Neuron 3 has other weights by 16 units, which is the bias of neuron 0 alone."""
    bias = np.array([16 * 64, 0, 0, 0, 0, 0, 0, 0])
    changed = weights((8, N_IN), True)
    changed[3] += 16
    wrong = program(integers(bias=bias), last=integers(), weight=changed)
    found = first(executed(program(integers(bias=bias), last=integers())), executed(wrong))
    assert found.neuron == (3,)
    assert "weight" in found.cause


def test_a_comparison_with_at_least_is_named() -> None:
    """v counts 64, 128, 192, 256, and the threshold is 256."""
    made = {
        compare: program(
            integers(dv=0, bias=0, v_threshold=256, compare=compare), last=integers(), weight=np.full((8, N_IN), 2)
        )
        for compare in (">", ">=")
    }
    found = first(*(executed(made[compare]) for compare in (">", ">=")))
    assert found.potentials == (256, 256)
    assert "> on one backend and >= on the other" in found.cause


def crowd(**changed: Any) -> tuple[Program, np.ndarray]:
    """Many neurons of low threshold, so that one LSB of v decides about some spikes."""
    weight = 2 * np.random.default_rng(7).integers(-2, 3, (256, 10))
    return program(integers(v_threshold=300, bias=0, **changed), last=integers(), weight=weight), inputs(10, 4, 40)


@pytest.mark.parametrize("du", [4095, 1000])
def test_a_decay_that_rounds_down_is_named(du: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made, given = crowd(du=du)
    right = executed(made, given)
    monkeypatch.setattr(
        IntegerArithmetic, "keep", lambda self, x, fraction: np.floor(x * (fraction / 4096)).astype(x.dtype)
    )
    found = first(right, executed(made, given))
    assert "the rounding of a decay" in found.cause


@pytest.mark.parametrize("sign", [1, -1])
def test_a_wrap_that_is_left_out_is_named(sign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum of 152,400 weight units is beyond 2 ** 23 / 64 = 131,072; held back below, it fires where it must not."""
    weight = sign * np.full((8, 1), 254)
    made = program(integers(bias=0, dv=4095), last=integers(), weight=weight)
    given = np.full((N_STEPS, N_SAMPLES, 1), 600.0, np.float32)
    right = executed(made, given)
    monkeypatch.setattr(loihi, "_wrapped", lambda u: u)
    found = first(right, executed(made, given))
    assert found.layer == "first"
    assert "wraps at 24 bits" in found.cause


@pytest.mark.parametrize("neuron", [integers(), floats()])
@pytest.mark.parametrize(("steps", "word"), [(1, "late"), (-1, "early")])
@pytest.mark.parametrize("is_blind", [False, True])
def test_a_backend_out_of_step_is_named(neuron: Neuron, steps: int, word: str, is_blind: bool) -> None:
    right = executed(program(neuron))
    wrong = shifted(right, steps)
    found = first(blind(right), wrong) if is_blind else first(right, wrong)
    assert found.layer == "first"
    assert found.cause == f"wrong is one time step {word} here"


def test_one_time_step_is_not_late() -> None:
    """Nothing is left to compare when one step is cut off."""
    right = executed(program(integers(bias=2000), last=integers()), inputs(n_steps=1))
    assert "late" not in first(right, edited(right, "first", [(0, 0, 1)])).cause


def test_silence_where_the_last_step_fires_is_not_late() -> None:
    given = inputs()
    given[:-1] = 0
    made = program(integers(bias=0, v_threshold=100), last=integers(bias=0))
    right = executed(made, given)
    wrong = replace(right, spikes={name: 0 * array for name, array in right.spikes.items()})
    assert right.spikes["first"].any()
    assert "late" not in first(right, wrong).cause


# begins of a stream of 4 samples of 12 steps, whose resets belong before 0, 12, 24 and 36
@pytest.mark.parametrize("begins", [[0], [0, 11, 23, 35], [0, 13, 25, 37]])
@pytest.mark.parametrize("neuron", [integers(), floats(beta=0.875)])
def test_a_reset_at_the_wrong_step_is_named(neuron: Neuron, begins: list[int]) -> None:
    made = program(neuron)
    right = executed(made)
    assert compare(right, reset_at(made, inputs(), [0, 12, 24, 36])).differing == 0
    assert "state left over from the sample before" in first(right, reset_at(made, inputs(), begins)).cause


def test_a_missing_reset_is_named_without_potentials() -> None:
    made = program(integers())
    found = first(blind(executed(made)), blind(reset_at(made, inputs(), [0])))
    assert found.potentials is None
    assert "v unknown on one of them" in str(found)
    assert "left over" in found.cause


def test_a_weight_that_the_first_sample_does_not_use_is_no_state_left_over() -> None:
    given = inputs()
    given[:, 0, 4] = 0
    right = executed(program(integers()), given)
    wrong = executed(program(integers(), weight=CHANGED), given)
    assert not (right.spikes["first"] != wrong.spikes["first"])[0].any()
    assert "left over" not in first(right, wrong).cause
    assert first(blind(right), blind(edited(right, "first", [(2, 3, 0)]))).cause.startswith("unknown")


FLOAT_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "a changed weight": ({"weight": weights((8, N_IN), False) + 0.25}, "weight"),
    "another threshold": ({"neuron": floats(v_threshold=1.25)}, "the threshold of this layer"),
    "another decay": ({"neuron": floats(beta=0.75)}, "the decay of this layer"),
    "another reset": ({"neuron": floats(v_reset=0.5)}, "the reset of this layer"),
}


@pytest.mark.parametrize("fault", FLOAT_FAULTS)
def test_a_fault_in_a_program_of_floats_is_named(fault: str) -> None:
    changed, words = FLOAT_FAULTS[fault]
    wrong = program(changed.get("neuron", floats()), last=floats(), weight=changed.get("weight"))
    found = first(executed(program(floats())), executed(wrong))
    assert found.layer == "first"
    assert words in found.cause


def test_a_delay_of_another_length_is_named() -> None:
    found = first(*(executed(program(floats(), delay=delay)) for delay in (1, 2)))
    assert found.layer == "first"
    assert "a delay" in found.cause


def test_float_rounding_is_named_and_integers_do_not_round() -> None:
    """One bit of one weight, and v is 1 or the next float above it, with a threshold of 1."""
    given = np.ones((N_STEPS, N_SAMPLES, 1), np.float32)
    one = np.ones((8, 1), np.float32)
    above = np.nextafter(one, np.float32(2))
    made = [program(floats(beta=0.0), last=floats(), weight=weight) for weight in (one, above)]
    assert first(*(executed(each, given) for each in made)).cause.startswith("rounding")
    right = executed(program(integers(v_threshold=500_000, bias=0), weight=one * 2), given)
    found = first(right, executed(program(integers(v_threshold=500_000, bias=499_873), weight=one * 2), given))
    assert "rounding:" not in found.cause


def test_a_fault_that_works_later_is_dated_from_where_the_potentials_differ() -> None:
    """Neurons gather one bias at every step, and fire at different steps."""
    silent = np.zeros((N_STEPS, N_SAMPLES, N_IN), np.float32)
    made = [program(integers(dv=0, bias=bias), last=integers()) for bias in (400, 0)]
    found = first(*(executed(each, silent) for each in made))
    assert (found.step, found.potentials) == (3, (1200, 0))
    assert found.cause == "a bias that is missing, or is added twice (v differs from step 1 on)"


def test_integers_that_differ_from_floats_are_shown_in_one_unit() -> None:
    """Thresholds of 1 and 1000, so potentials of the floats are shown times 1000."""
    right, after = executed(program(floats())), executed(program(integers()))
    found = first(right, after)
    place = (found.sample, found.step - 1, *found.neuron)
    assert found.potentials is not None
    assert found.potentials[0] == 1000 * right.potentials[found.layer][place]
    assert found.potentials[1] == after.potentials[found.layer][place]
    assert "`bits`" in found.cause


@pytest.mark.parametrize("fault", [blind, lambda recorded: shifted(recorded, 1)])
def test_images_have_three_indices(fault: Callable[[Recorded], Recorded]) -> None:
    nodes: list[Node] = [
        Input(name="input", shape=(2, 3, 4)),
        NeuronLayer(name="first", shape=(2, 3, 4), neuron=floats()),
        Output(name="out"),
    ]
    made = build(nodes, [Edge("input", "first"), Edge("first", "out")], dt_s=1e-3, n_steps=5)
    given = 2 * np.random.default_rng(0).random((5, 3, 2, 3, 4)).astype(np.float32)
    right = executed(made, given)
    wrong = fault(edited(right, "first", [(1, 2, 1, 2, 3)]))
    comparison = compare(right, wrong)
    assert comparison.first_difference is not None
    assert len(comparison.first_difference.neuron) == 3
