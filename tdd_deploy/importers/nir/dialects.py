"""What NIR leaves open, as keys; and what each tool means by its files, as values of these keys.

Every rule was compared with what the tool itself computes: tests/parity and tests/unit.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import BadOptions, Violation, did_you_mean
from tdd_deploy.neurons import Compare
from tdd_deploy.neurons.variant import LeftOver

Array = NDArray[np.float64]
Rule = Literal["euler", "exact", "impulse"]
Gain = Literal["nir", "r", "one", "norm", "kept"]
YesNo = Literal["yes", "no"]
OURS = "tdd-deploy"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the nodes and edges of a NIR graph leave open; ``None`` where the user has to choose.

    The membrane is ``v = kept v + gain x``: ``euler`` keeps 1 - dt/tau and gains r dt/tau, ``exact`` keeps exp(-dt/tau)
    and gains r (1 - exp(-dt/tau)), ``impulse`` keeps exp(-dt/tau) and gains r dt/tau.
    """

    dt: float | None = None  # seconds per time step; 1 where tau is counted in steps
    integration: Rule | None = None
    gain: Gain | None = "nir"  # leaky membranes that fire: as above, r alone, 1, 1 - kept, or kept
    gain_li: Gain | Literal["same"] = "same"  # the same for a membrane that does not fire
    gain_syn: Gain | None = "nir"  # synapses, with w_in for r
    gain_if: Gain | None = "nir"  # integrators: r dt, r alone, or 1
    tau: Literal["seconds", "times_dt"] = "seconds"
    reset: Literal["hard", "soft", "none"] | None = "hard"
    reset_to: Literal["v_reset", "zero"] = "v_reset"
    reset_delay: YesNo | None = (
        "no"  # whether the reset is made in the next step; LIF makes a hard one before it leaks, which is at once
    )
    left_over: LeftOver = "fires"  # what a soft reset leaves above v_threshold fires in the next step, or is held
    compare: Compare = ">"  # gt, ge
    spikes: Literal["one", "many"] | None = "one"  # per step: at most one, or one for each whole threshold in v
    spike_delay: YesNo = "no"  # a spike leaves in the next step
    map_delay: YesNo = "no"  # dense maps and convolutions send the sums of the previous step
    v_min: float | None = -math.inf
    v_leak: Literal["used", "ignored"] = "used"
    start: Literal["zero", "rest", "reset"] = "zero"  # initial v: 0, v_leak (v_reset for an IF), or v_reset
    numbers: Literal["float32", "float64"] = "float32"
    steps: int | None = None  # per sample, for data without a time axis; None: every run states its own

    def gain_of(self, kind: str) -> Gain | None:
        """Look up the gain of the leaky membrane in a kind of node."""
        return self.gain if kind != "LI" or self.gain_li == "same" else self.gain_li


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One tool's way to write NIR."""

    name: str
    about: str
    choices: Choices
    words: Mapping[str, str] = field(default_factory=dict)  # what the tool calls the values of each open choice
    r_is: Callable[[Array, float], Array] | None = None  # the r that the tool writes, from tau and dt


def _spyx_r(tau: Array, dt: float) -> Array:
    return np.asarray(1 - dt / tau)


def _rockpool_r(tau: Array, dt: float) -> Array:
    return np.asarray(tau * np.exp(-dt / tau) / dt)


DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            name="nir",
            about="the equations of NIR itself",
            choices=Choices(),
            words={"dt": "the seconds per time step", "integration": "euler, exact or impulse"},
        ),
        Dialect(
            name="snntorch",
            about="snnTorch 1.0: dt is 1e-4; the file does not hold its reset_mechanism and reset_delay",
            choices=Choices(
                dt=1e-4, integration="euler", reset=None, reset_to="zero", reset_delay=None, left_over="held"
            ),
            words={
                "reset": 'soft (reset_mechanism "subtract", its default), hard ("zero") or none',
                "reset_delay": "yes (its default) or no",
            },
        ),
        Dialect(
            name="norse",
            about="Norse 1.1: dt is 1e-3, r is not used; its own export writes tau times dt (tau=times_dt)",
            choices=Choices(dt=1e-3, integration="euler", gain="norm", gain_syn="r", gain_if="r", start="rest"),
        ),
        Dialect(
            name="sinabs",
            about="sinabs 2 and 3: tau in steps, soft reset; the file does not hold norm_input and spike_fn",
            choices=Choices(
                dt=1.0,
                integration="impulse",
                gain=None,
                gain_li="one",
                gain_syn="one",
                gain_if="one",
                reset="soft",
                compare=">=",
                spikes=None,
            ),
            words={
                "gain": "norm (norm_input=True, its default) or one (norm_input=False)",
                "spikes": "many (MultiSpike, its default) or one (SingleSpike)",
            },
        ),
        Dialect(
            name="spikingjelly",
            about="SpikingJelly 2.0: dt is 1e-4, fires at v >= v_threshold, hard reset",
            choices=Choices(dt=1e-4, integration="euler", compare=">=", start="reset"),
        ),
        Dialect(
            name="rockpool",
            about="Rockpool 3.1: jumps by x, soft reset, several spikes per step; r is for other tools",
            choices=Choices(
                integration="impulse",
                gain="one",
                gain_syn="kept",
                gain_if="one",
                reset="soft",
                compare=">=",
                spikes="many",
            ),
            words={"dt": "the seconds per time step"},
            r_is=_rockpool_r,
        ),
        Dialect(
            name="spyx",
            about="Spyx 1.0: jumps by x, soft reset, fires a step late; tau is in units of the dt of its export",
            choices=Choices(
                dt=1.0,
                integration="euler",
                gain="one",
                gain_syn="one",
                gain_if="one",
                reset="soft",
                reset_delay="yes",
                spike_delay="yes",
            ),
            r_is=_spyx_r,
        ),
        Dialect(
            name="lava",
            about="Lava, as the NIR paper converts it: a dense map takes a step, v_reset and v_leak are ignored",
            choices=Choices(integration="euler", map_delay="yes", reset_to="zero", v_leak="ignored"),
            words={"dt": "the seconds per time step"},
        ),
    )
}
KEYS = tuple(f.name for f in fields(Choices))
REWORDED = {  # other spellings of a value: words of a tool, and signs that a shell would interpret
    "reset": {"subtract": "soft", "zero": "hard"},
    "compare": {"gt": ">", "ge": ">="},
}
RECORDED = {">": "gt", ">=": "ge"}
LEAKING, FIRING = ("LIF", "CubaLIF", "LI", "CubaLI"), ("LIF", "CubaLIF", "IF")
APPLIES_TO = {  # the kinds of nodes that a choice concerns
    "dt": (*LEAKING, "IF", "I", "Delay"),
    "integration": LEAKING,
    "gain": ("LIF", "CubaLIF", "CubaLI"),
    "gain_li": ("LI",),
    "gain_syn": ("CubaLIF", "CubaLI"),
    "gain_if": ("IF", "I"),
    "tau": LEAKING,
    "reset": FIRING,
    "reset_to": FIRING,
    "reset_delay": FIRING,
    "left_over": FIRING,
    "compare": (*FIRING, "Threshold"),
    "spikes": FIRING,
    "spike_delay": FIRING,
    "map_delay": ("Dense", "Conv"),
    "v_min": FIRING,
    "v_leak": LEAKING,
    "start": (*LEAKING, "IF"),
}
OF_THE_FILE = ("dt", "numbers", "steps")  # choices that cannot differ between nodes


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A dialect with every choice of a user."""

    dialect: Dialect
    choices: Choices
    given: Mapping[str, str]  # the user's choices as they are recorded, by KEY or KEY[NODE]
    of_nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by node and key

    def __str__(self) -> str:
        return ",".join([self.dialect.name, *(f"{key}={value}" for key, value in self.given.items())])

    def of(self, node: str) -> Choices:
        """Look up the choices for one node."""
        return replace(self.choices, **self.of_nodes.get(node, {}))


def parse_dialect(text: str) -> Chosen:
    """Parse ``NAME[,KEY=VALUE...]``, in which ``KEY[NODE]=VALUE`` is a choice for one node.

    Raises:
        BadOptions: an unknown dialect or key, or a value that is not allowed; all are reported at once.
    """
    name, *parts = OUTSIDE_BRACKETS.split(text)
    dialect = DIALECTS.get(name)
    parsed = _Parsed()
    for part in parts:
        parsed.add(part)
    if dialect is None:
        remedy = did_you_mean(name, DIALECTS) or "Put choices after a comma."
        parsed.violations.insert(0, Violation("`dialect`", repr(name), f"one of {', '.join(DIALECTS)}", remedy))
    if dialect is None or parsed.violations:
        raise BadOptions("", parsed.violations)
    choices = replace(dialect.choices, **parsed.of_file)
    return Chosen(dialect=dialect, choices=choices, given=parsed.recorded, of_nodes=parsed.of_nodes)


OUTSIDE_BRACKETS = re.compile(r",(?![^\[]*\])")  # the name of a node may contain a comma
CHOICE = re.compile(r"(?P<key>\w+)(?:\[(?P<node>.+)\])?=(?P<value>.*)")


@dataclass
class _Parsed:
    """Choices collected so far."""

    of_file: dict[str, Any] = field(default_factory=dict)
    of_nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    recorded: dict[str, str] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)

    def add(self, part: str) -> None:
        """Parse one choice."""
        match = CHOICE.fullmatch(part)
        if match is None or match["key"] not in KEYS:
            allowed = f"KEY=VALUE or KEY[NODE]=VALUE with a KEY of {', '.join(KEYS)}"
            remedy = "" if match is None else did_you_mean(match["key"], KEYS)
            self.violations.append(Violation("a choice in `dialect`", repr(part), allowed, remedy))
            return
        key, node, text = match.group("key", "node", "value")
        name = key if node is None else f"{key}[{node}]"
        value = _value(key, text, HINTS[key])
        where = f"{name} in `dialect`"
        if name in self.recorded:
            self.violations.append(Violation(where, "is given twice", remedy="Keep one of them."))
        elif node is not None and key in OF_THE_FILE:
            found = f"is for {node} alone, but {key} applies to the whole file"
            self.violations.append(Violation(where, found, remedy=f"Use {key}={text}."))
        elif value is None:
            self.violations.append(Violation(where, repr(text), _allowed(key, HINTS[key])))
        else:
            self.recorded[name] = RECORDED.get(value, value) if _words(HINTS[key]) else text
            (self.of_file if node is None else self.of_nodes.setdefault(node, {}))[key] = value


HINTS = get_type_hints(Choices)


def _value(key: str, text: str, hint: Any) -> Any:
    """Parse the value of a key; None if it is not allowed."""
    if words := _words(hint):
        word = REWORDED.get(key, {}).get(text, text)
        return word if word in words else None
    if key == "v_min" and text == "none":
        return -math.inf
    try:
        number = int(text) if key == "steps" else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and (key == "v_min" or number > 0) else None


def _words(hint: Any) -> tuple[str, ...]:
    """List the words of a Literal, which may be optional."""
    found = [word for part in (hint, *get_args(hint)) for word in get_args(part) if isinstance(word, str)]
    return tuple(dict.fromkeys(found))


def _allowed(key: str, hint: Any) -> str:
    if words := _words(hint):
        *others, last = ["gt", "ge"] if key == "compare" else [*words, *REWORDED.get(key, {})]
        return f"{', '.join(others)} or {last}"
    return {"steps": "a whole number, 1 or more", "v_min": "a number, or none"}.get(key, "a number above 0")


def open_choices(chosen: Chosen, kinds: Mapping[str, str]) -> Iterator[Violation]:
    """Yield the choices for a graph that are still open.

    Args:
        chosen: the choices so far; those for nodes use the names in ``kinds``.
        kinds: the kind of each node by its name.
    """
    for key, (nodes, concerned) in _open_nodes(chosen, kinds).items():
        found = f"nothing for {', '.join(nodes)}" if len(nodes) < len(concerned) else "nothing"
        remedy = f"Add ,{key}=... to `dialect`."
        yield Violation(f"{key} of dialect {chosen.dialect.name}", found, chosen.dialect.words[key], remedy)


def open_keys(dialect: Dialect, kinds: Mapping[str, str]) -> list[str]:
    """List the keys that a dialect leaves open for a graph; ``kinds`` as in ``open_choices``."""
    return list(_open_nodes(Chosen(dialect=dialect, choices=dialect.choices, given={}), kinds))


def _open_nodes(chosen: Chosen, kinds: Mapping[str, str]) -> dict[str, tuple[list[str], list[str]]]:
    """Map each open key to the nodes for which it is open, and to all nodes that it concerns."""
    found = {}
    for key in chosen.dialect.words:
        concerned = [name for name, kind in kinds.items() if kind in APPLIES_TO[key]]
        nodes = [name for name in concerned if getattr(chosen.of(name), key) is None]
        if key == "reset_delay":
            nodes = [name for name in nodes if chosen.of(name).reset != "none"]
        if nodes:
            found[key] = nodes, concerned
    return found
