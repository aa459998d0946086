"""Check whether a program fits on a chip: find every limit that it breaks, why, and what helps."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from tdd_deploy.errors import any_of, without_backticks
from tdd_deploy.neurons import Firing
from tdd_deploy.program import NeuronLayer, Program, verify, with_code
from tdd_deploy.program.inputs import InputKind, input_kind
from tdd_deploy.program.narrow import narrowed
from tdd_deploy.text import counted

from .chips import Chip
from .needs import Needs
from .placement import Placement, codes_sent, place, placed_layers, placement_json, senders_of

SCHEMA_VERSION = 4
FEWEST_BITS = 2
DRAWN = "With an encoder that sends spikes it fits: train with `encoder=poisson`"
TRIES = 24  # changes that are tried in all: each is a placement
Change = tuple["Setting", str]  # the changed setting, and a description for people
PER_NEURON = {
    "synapse_bits": "the synapses of each single neuron lie in its own core",
    "axons_in": "all that reaches a single neuron enters its own core",
    "fan_in": "a neuron has no more inputs",
}
# How to say that a rule is broken; the rules of LIMITS have a number each.
SENTENCES = {
    "neuron model": "{where} has the neuron model {found}, but the chip has {allowed}",
    "reset": "{where} has the reset {found}, but the chip has {allowed}",
    "signed events": "{where} sends {found}; it must send {allowed}",
    "events with numbers": "{where} {found}; it must send {allowed}",
    "payload": "{where} sends {found}; the limit is {allowed}",
}
LIMIT_SENTENCE = "{where}: {rule} must be at most {allowed} (got {found})"
PER_CORE = {
    "axons_out": "each core that an event goes to takes an axon of the core that sends it",
    "destinations": "a neuron's events go to no more cores",
}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Facts about the input that data show: whether it sends only 0 and 1, a description, and a remedy if not."""

    is_binary: bool
    found: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The subject of a check. ``seen`` is None if no data were examined."""

    program: Program
    chip: Chip
    weight_bits: int
    n_chips: int = 1
    seen: Seen | None = None

    @property
    def input_kind(self) -> InputKind:
        """The kind of the input: the data decide, or else the program."""
        if self.seen is None:
            return input_kind(self.program)
        return "spikes" if self.seen.is_binary else "numbers"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A broken limit; ``rule`` is its name, ``where`` a node, and ``fix`` a change that was tried and helps."""

    rule: str
    where: str
    found: str
    allowed: str
    why: str
    source: str
    excess: float = 1.0  # found / allowed
    fix: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The parts that distinguish it from other faults."""
        return self.rule, self.where

    def __str__(self) -> str:
        """Describe what is broken, and why that is a limit; parameters of ``fix`` are in backticks."""
        sentence = SENTENCES.get(self.rule, LIMIT_SENTENCE)
        parts = {"rule": self.rule, "where": self.where, "found": self.found, "allowed": self.allowed}
        fix = f" {self.fix}" if self.fix else ""
        return f"{sentence.format(**parts)}: {self.why}.{fix}"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The result of a check; ``conditions`` must hold in addition to its ``assumptions``."""

    setting: Setting
    placement: Placement
    faults: tuple[Fault, ...]
    assumptions: tuple[str, ...]
    conditions: tuple[str, ...] = ()
    data: Mapping[str, Any] | None = None  # how the examined values were read

    def __repr__(self) -> str:
        chip, n = self.setting.chip, len(self.faults)
        verdict = f"does not fit, for {counted(n, 'reason')}" if n else "no published limit is broken"
        lines = [f"{chip.name}: {verdict}", *(f"  - {without_backticks(str(fault))}" for fault in self.faults)]
        return "\n".join([*lines, *(f"  if {without_backticks(line)}" for line in self.conditions)])

    @property
    def fits(self) -> bool:
        """Whether no limit is broken while the conditions hold; ``chip.not_checked`` lists what stays open."""
        return not self.faults

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        setting = self.setting
        return {
            "schema_version": SCHEMA_VERSION,
            "chip": setting.chip.name,
            "title": setting.chip.title,
            "remark": setting.chip.remark,
            "program": setting.program.digest,
            "chips": setting.n_chips,
            "fits": self.fits,
            "conditions": list(self.conditions),
            "assumptions": list(self.assumptions),
            "not_checked": list(setting.chip.not_checked),
            "faults": [asdict(fault) for fault in self.faults],
            "placement": placement_json(self.placement),
            "data": self.data,
        }


def check(setting: Setting, *, assumptions: tuple[str, ...] = (), data: Mapping[str, Any] | None = None) -> Checked:
    """Find every limit of a chip that a program breaks, and try changes that may help.

    Args:
        setting: the program, the chip, and the bits of a weight.
        assumptions: what the caller decided, for people.
        data: how the values that ``setting.seen`` describes were read.
    """
    placement, faults = _examined(setting)
    tries = iter(range(TRIES))
    fixed = tuple(replace(fault, fix=_fix(setting, fault, faults, placement, tries)) for fault in faults)
    return Checked(
        setting=setting,
        placement=placement,
        faults=fixed,
        assumptions=assumptions,
        conditions=tuple(_conditions(setting)),
        data=data,
    )


def cannot_run(program: Program, chip: Chip, *, input_is_binary: bool) -> str:
    """List what a chip cannot execute of a program, wherever it is placed; an empty text if it can execute all."""
    nodes: dict[str, list[str]] = {}
    seen = Seen(is_binary=input_is_binary, found="sends numbers")
    for fault in _unable(Setting(program=program, chip=chip, weight_bits=0, seen=seen)):
        nodes.setdefault(fault.found, []).append(fault.where)
    return "; ".join(f"{found} ({', '.join(where)})" for found, where in nodes.items())


def _examined(setting: Setting) -> tuple[Placement, tuple[Fault, ...]]:
    placement = place(setting.program, setting.chip, weight_bits=setting.weight_bits)
    resources = (_weight_bits, _cores, _per_neuron, _per_core)
    return placement, (*_unable(setting), *(fault for rule in resources for fault in rule(setting, placement)))


def _unable(setting: Setting) -> tuple[Fault, ...]:
    """Return the faults that remain however many cores the chip has."""
    rules = (_neuron_models, _resets, _signs, _numbers, _payload)
    return tuple(fault for rule in rules for fault in rule(setting))


def _neuron_models(setting: Setting) -> Iterator[Fault]:
    known = setting.chip.neurons
    if known is None:
        return
    for layer in setting.program.neuron_layers:
        model = type(layer.neuron).__name__
        if model not in known.models:
            yield Fault(
                rule="neuron model",
                where=layer.name,
                found=model,
                allowed=", ".join(known.models),
                why="the hardware has no other",
                source=known.source,
            )


def _resets(setting: Setting) -> Iterator[Fault]:
    known = setting.chip.neurons
    if known is None:
        return
    for layer in setting.program.neuron_layers:
        if isinstance(layer.neuron, Firing) and layer.neuron.reset not in known.resets:
            yield Fault(
                rule="reset",
                where=layer.name,
                found=layer.neuron.reset,
                allowed=any_of(known.resets),
                why="the hardware has no other",
                source=known.source,
            )


def _signs(setting: Setting) -> Iterator[Fault]:
    spikes = setting.chip.spikes
    for name, codes in codes_sent(setting.program).items() if spikes.kind == "binary" else ():
        if "delta" in codes:
            yield Fault(
                rule="signed events",
                where=name,
                found="delta code, whose events have a sign",
                allowed="spike code",
                why="its spikes carry no sign, and its neurons do not send changes",
                source=spikes.source,
            )


def _numbers(setting: Setting) -> Iterator[Fault]:
    spikes, program = setting.chip.spikes, setting.program
    senders = {layer.name: "sends numbers" for layer in program.neuron_layers if not layer.neuron.binary}
    if setting.input_kind == "numbers":
        largest = f"sends numbers up to {program.input.largest:,}"
        senders[program.input.name] = setting.seen.found if setting.seen else largest
    for name in codes_sent(program) if spikes.kind == "binary" else ():
        if name in senders:
            yield Fault(
                rule="events with numbers",
                where=name,
                found=senders[name],
                allowed="spikes",
                why="its spikes carry no numbers",
                source=spikes.source,
            )


def _conditions(setting: Setting) -> Iterator[str]:
    """Yield unknown facts on which the answer depends."""
    name = setting.program.input.name
    sends = name in codes_sent(setting.program)
    if sends and setting.chip.spikes.kind == "binary" and setting.input_kind == "unknown":
        yield f"{name} sends nothing but spikes; the network does not state this, so check your samples with `data`"


def _payload(setting: Setting) -> Iterator[Fault]:
    spikes, input_ = setting.chip.spikes, setting.program.input
    codes = codes_sent(setting.program).get(input_.name, frozenset())
    largest = 2 * input_.largest if "delta" in codes else input_.largest  # from one end of the range to the other
    bits = largest.bit_length() + 1
    if codes and setting.program.number_format == "integer" and spikes.kind == "graded" and bits > spikes.bits:
        yield Fault(
            rule="payload",
            where=input_.name,
            found=f"numbers of {bits} bits",
            allowed=f"{spikes.bits} bits",
            why="an event carries no more",
            source=spikes.source,
        )


def _weight_bits(setting: Setting, placement: Placement) -> Iterator[Fault]:
    yield from _over(setting, "weight_bits", "all weights", placement.weight_bits, "a synapse holds no more")


def _cores(setting: Setting, placement: Placement) -> Iterator[Fault]:
    why = "each block of a layer takes a core of its own"
    yield from _over(setting, "cores", "the network", placement.n_cores, why, n_chips=setting.n_chips)


def _per_neuron(setting: Setting, placement: Placement) -> Iterator[Fault]:
    for layer, names in placement.exceeded.items():
        needs = Needs(setting.program, layer, setting.chip, setting.weight_bits)
        one = needs.load((1,) * len(needs.shape))
        for name in names:
            yield from _over(setting, name, layer, getattr(one, name), PER_NEURON[name])


def _per_core(setting: Setting, placement: Placement) -> Iterator[Fault]:
    for layer in dict.fromkeys(block.layer for block in placement.blocks):
        for name, why in PER_CORE.items():
            most = max(getattr(block.load, name) for block in placement.of(layer))
            yield from _over(setting, name, layer, most, why)


def _over(setting: Setting, name: str, where: str, found: int, why: str, *, n_chips: int = 1) -> Iterator[Fault]:
    limit = setting.chip.limits.get(name)
    if limit is None or found <= limit.value * n_chips:
        return
    allowed = limit.value * n_chips
    yield Fault(
        rule=limit.what,
        where=where,
        found=f"{found:,}",
        allowed=f"{allowed:,}",
        why=why,
        source=limit.source,
        excess=found / allowed,
    )


def _narrower(setting: Setting, layers: Iterable[str], excess: float) -> Iterator[Change]:
    """Try fewer channels in a layer: the need grows with them. The input keeps its size."""
    for layer in (name for name in layers if isinstance(setting.program[name], NeuronLayer)):
        n = math.floor(setting.program.shapes[layer][0] / excess)
        for channels in (n, n // 2):
            program = narrowed(setting.program, layer, channels) if channels else None
            if program is not None:
                yield replace(setting, program=program), f"With {channels:,} channels in {layer} it fits"


def _fewer_bits(setting: Setting, excess: float) -> Iterator[Change]:
    """Try fewer bits: the need shrinks with them, and in whole words at most twice as much."""
    is_integer = setting.program.number_format == "integer"
    is_ours = "quantized_from" in setting.program.provenance
    again = (
        "export the float network again with" if is_ours else "train for these bits, or export the float network with"
    )
    most = min(setting.weight_bits - 1, math.floor(2 * setting.weight_bits / excess))
    for bits in range(most, FEWEST_BITS - 1, -1):
        how = f"{again} `bits={bits}`" if is_integer else f"use `bits={bits}`"
        yield replace(setting, weight_bits=bits), f"With weights of {bits} bits it fits: {how}"


def _changes(setting: Setting, fault: Fault, placement: Placement) -> Iterator[Change]:
    """Yield what may help against a fault, the least change first."""
    program = setting.program
    match fault.rule:
        case "signed events":
            yield replace(setting, program=with_code(program, "spike")), "In spike code it fits: use `code=spike`"
        case "events with numbers" if fault.where == program.input.name:
            words = setting.seen.remedy if setting.seen else DRAWN
            if words:
                yield replace(setting, program=replace(program, encoder="poisson"), seen=None), words
        case "reset":
            yield replace(setting, program=_with_hard_reset(program)), "With a hard reset it fits"
        case "bits of a weight":
            yield from _fewer_bits(setting, fault.excess)
        case "cores per chip":
            yield from _fewer_bits(setting, fault.excess)
            chips = placement.n_chips
            yield replace(setting, n_chips=chips), f"On {chips} chips it fits: use `chips={chips}`"
        case "synapse memory per core":
            yield from _fewer_bits(setting, fault.excess)
            yield from _narrower(setting, senders_of(program, fault.where), fault.excess)
        case "axons into a core" | "synapses into a neuron":
            yield from _narrower(setting, senders_of(program, fault.where), fault.excess)
        case "axons out of a core" | "cores that one neuron reaches":
            yield from _fewer_bits(setting, fault.excess)
            receivers = [layer for layer in placed_layers(program) if fault.where in senders_of(program, layer)]
            yield from _narrower(setting, receivers, fault.excess)


def _with_hard_reset(program: Program) -> Program:
    nodes = [
        replace(node, neuron=replace(node.neuron, reset="hard"))
        if isinstance(node, NeuronLayer) and isinstance(node.neuron, Firing)
        else node
        for node in program.nodes
    ]
    return verify(replace(program, nodes=tuple(nodes)))


def _fix(setting: Setting, fault: Fault, faults: tuple[Fault, ...], placement: Placement, tries: Iterator[int]) -> str:
    """Return the first change with which a second check no longer finds a fault, and finds no other."""
    others = {other.key for other in faults} - {fault.key}
    for changed, words in _changes(setting, fault, placement):
        if next(tries, None) is None:
            return "No change was tried: too many limits are broken."
        _, left = _examined(changed)
        if {other.key for other in left} <= others:
            return f"{words} (checked)."
    return ""
