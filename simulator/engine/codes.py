"""Choose a code for each group of edges, from counts on calibration samples."""

from tdd_deploy.program import Code, Edge, Input, Program, code_groups, with_codes
from tdd_deploy.simulator.counts import Trace


def choose_codes(program: Program, calibration: Trace) -> Program:
    """Give every group of joined edges the code with fewer synaptic operations, then fewer events; delta when equal.

    Delta does not always pay: independent spikes of probability p change with probability 2 p (1 - p), which is more
    than p below one half.
    """
    chosen: dict[Edge, Code] = {}
    for group in code_groups(program):
        delta, spike = (_cost(program, calibration, group, code) for code in ("delta", "spike"))
        chosen |= dict.fromkeys(group, "spike" if spike < delta else "delta")
    return with_codes(program, chosen)


def _cost(program: Program, trace: Trace, group: tuple[Edge, ...], code: str) -> tuple[int, int]:
    """Return the synaptic operations that a group of edges causes, and the events that enter it."""
    counts = trace.delta_code if code == "delta" else trace.spike_code
    row = {layer.name: i for i, layer in enumerate(trace.layers)}
    synops = sum(int(counts.synops_effective[row[name]].sum()) for name in {e.target for e in group} & row.keys())
    senders = {edge.source for edge in group} & row.keys()
    fields = {name: "input_events" if isinstance(program[name], Input) else "events" for name in senders}
    return synops, sum(int(getattr(counts, field)[row[name]].sum()) for name, field in fields.items())
