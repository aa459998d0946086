"""The verdict on a simulation: one line, what limits it, and a summary of at most eight lines."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from tdd_deploy.errors import without_backticks
from tdd_deploy.tables import energy_text, significant
from tdd_deploy.text import counted, visible

from .lines import strongest

Report = Mapping[str, Any]

EQUAL = 0.01  # a difference below this fraction decides nothing
TWICE = 2
SYNOPS = "synaptic operations"
FOR_OTHERS = ": prices of plain spikes, taken here also for "  # in a caveat, after the names of profiles
PLAIN = "plain spikes"
MOST_NAMES = 2  # of layers in the summary


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer that a simulation gives; figures are means over samples.

    Attributes:
        line: whether deltas pay.
        caveats: what changes the meaning of the line, or of the energy in the summary.
        summary: a name and a text each, eight at most.
    """

    line: str
    caveats: tuple[str, ...]
    summary: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, report: Report) -> "Verdict":
        """Judge a report that does not hold its verdict yet."""
        return cls(line=_line(report), caveats=tuple(_caveats(report)), summary=tuple(_summary(report)))

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as plain values."""
        return {"line": self.line, "caveats": list(self.caveats), "summary": [list(each) for each in self.summary]}


def verdict_text(verdict: Mapping[str, Any], width: int, *, bold: str = "", plain: str = "") -> str:
    """Write a verdict as text; its line stands between ``bold`` and ``plain``, which may be codes of a terminal."""
    lines = [f"{bold}{line}{plain}" for line in textwrap.wrap(visible(verdict["line"]), width, break_on_hyphens=False)]
    lines += [_hanging("  but ", caveat, width) for caveat in verdict["caveats"]]
    longest = max(len(name) for name, _ in verdict["summary"])
    lines += [_hanging(f"  {name:<{longest}}  ", text, width) for name, text in verdict["summary"]]
    return "\n".join(lines)


def _hanging(start: str, text: str, width: int) -> str:
    """Break a text into lines that all begin where its first one does."""
    later = " " * len(start)
    return textwrap.fill(visible(text), width, initial_indent=start, subsequent_indent=later, break_on_hyphens=False)


def verdict_html(verdict: Mapping[str, Any]) -> str:
    """Write a verdict as HTML that needs no other file."""
    left = 'style="text-align: left"'
    shown = {name: _escaped(text) for name, text in verdict["summary"]}
    rows = "".join(f"<tr><th {left}>{name}</th><td {left}>{text}</td></tr>" for name, text in shown.items())
    caveats = "".join(f"<br>but {_escaped(caveat)}" for caveat in verdict["caveats"])
    return f"<p><strong>{_escaped(verdict['line'])}</strong>{caveats}</p><table><tbody>{rows}</tbody></table>"


def _escaped(text: str) -> str:
    return escape(without_backticks(visible(text)))


def _line(report: Report) -> str:
    _, spikes, deltas = _synops(report)
    code, sent = report["program"]["code"], report["program"]["sent"]
    if not spikes and not deltas:
        return "nothing to compare: no event reached a weight, so no synaptic operation was executed"
    if code == "auto" and any("delta" in codes for codes in sent.values()):
        return _line_of_mixed(report)
    against = _against(deltas, spikes)
    if _is_equal(deltas, spikes):
        return f"deltas make no difference here: the {SYNOPS} of both codes differ by less than 1 %"
    if deltas < spikes:
        return _pay(report, against) if code == "delta" else f"deltas would pay here: {against}; use `code=delta`"
    remedy = {
        "delta": "; use `code=spike` or `code=auto`",
        "spike": ", which this run sent",
        "auto": ", which this run sent instead",
    }
    return f"deltas do not pay here: {against}{remedy[code]}"


def _line_of_mixed(report: Report) -> str:
    """Judge a run in which each layer sends what costs less on the samples that chose its code."""
    executed, spikes, deltas = _synops(report)
    if _is_equal(executed, spikes):
        if deltas > spikes and not _is_equal(deltas, spikes):
            against = _against(deltas, spikes)
            return f"deltas do not pay here: {against}; this run sends them only where they cost no more"
        return f"deltas make no difference here: the {SYNOPS} differ by less than 1 % from those of {PLAIN}"
    against = _against(executed, spikes)
    if executed > spikes:
        return f"deltas do not pay here: {against}, unlike on training samples; use `code=spike`"
    sent = report["program"]["sent"]
    n_deltas = sum("delta" in codes for codes in sent.values())
    return _pay(report, against, where="" if n_deltas == len(sent) else f" in {n_deltas} of {len(sent)} layers")


def _pay(report: Report, against: str, *, where: str = "") -> str:
    """Say that deltas pay; on a repeated image alone they may save nothing else."""
    if _repeated_part(report) >= 1 - EQUAL:
        where = " only because every step shows the same image"
    return f"deltas pay{where}: {against}"


def _repeated_part(report: Report) -> float:
    """Compute which part of the saving comes from a static input; it is above 1 if other deltas cost more."""
    executed, spikes, _ = _synops(report)
    return (report["totals"]["saved_by_repeating_input"] or 0) / (spikes - executed) if executed < spikes else 0.0


def _caveats(report: Report) -> Iterator[str]:
    """Yield what changes the meaning of the headline."""
    executed, spikes, _ = _synops(report)
    part = _repeated_part(report)
    if part > 1 + EQUAL:
        yield f"apart from that they do not pay: {_against(executed + part * (spikes - executed), spikes)}"
    elif EQUAL < part < 1 - EQUAL:
        yield f"{significant(100 * part)} % of this saving comes from showing the same image at every step"
    if report["output"]["never_changes"]:
        yield "the output is the same in every sample and time step, so the accuracy means nothing"
    if report["energies"]:
        yield from _caveats_of_energy(report, report["energies"][0])


def _unlike_plain_spikes(report: Report, profile: str) -> Iterator[str]:
    """Say what a run sends beside the plain spikes whose prices a profile holds."""
    for caveat in report["caveats"]:
        names, found, others = caveat.partition(FOR_OTHERS)
        if found and profile in names.split(", "):
            yield f"{profile} holds prices of plain spikes, taken here also for {others}"


def _caveats_of_energy(report: Report, headline: Mapping[str, Any]) -> Iterator[str]:
    executed, spikes, _ = _synops(report)
    now, before = headline["dynamic_pj"], headline["spike_code_pj"]
    if now and before and not _is_equal(now, before) and (now < before) != (executed < spikes):
        yield f"in energy it is the other way round: {_against(now, before, 'energy')} by {headline['profile']}"
    yield from _unlike_plain_spikes(report, headline["profile"])
    if headline["cannot_execute"]:
        yield (
            f"{headline['profile']} prices this network as if its chip could execute it, which it cannot: "
            f"{headline['cannot_execute']}"
        )


def _summary(report: Report) -> Iterator[tuple[str, str]]:
    """Yield at most eight lines."""
    yield "accuracy", _accuracy(report)
    yield "code", _code(report)
    totals, n = report["totals"], report["totals"]["samples"]
    yield "events", f"{_count(totals['spikes'], n)} spikes, {_count(totals['delta_events'], n)} delta events"
    executed, spikes, deltas = _synops(report)
    each = f"{_count(executed, n)} executed; {_count(spikes, n)} as {PLAIN}, {_count(deltas, n)} as deltas"
    yield SYNOPS, each
    if not report["energies"]:
        yield "dense ANN", f"{report['dense']['macs']:,.0f} MACs in one pass of the same layers"
        return
    headline = report["energies"][0]
    yield from _energy(headline, n)
    yield "dense ANN", _dense(report)
    if report["placement"] or report["unplaced"]:
        yield "fits", _fits(report)


def _accuracy(report: Report) -> str:
    data, n, n_steps = report["data"], report["totals"]["samples"], len(report["steps"])
    what = f"{counted(n, 'sample')} of {data['name']} ({data['split']})"
    exits = report["early_exit"]
    steps = f"{exits['mean_steps']:.2f} of {n_steps} steps" if exits else counted(n_steps, "step")
    accuracy = report["accuracy"]
    found = "not known, without labels;" if accuracy is None else f"{100 * accuracy:.1f} % of"
    by_step = report.get("labeled_steps")
    return f"{found} {f'{by_step:,} labeled time steps of ' if by_step else ''}{what}, {steps}"


def _code(report: Report) -> str:
    """Say who sends deltas, and who sends spikes."""
    sent, code = report["program"]["sent"], report["program"]["code"]
    senders = {each: [name for name, codes in sent.items() if each in codes] for each in ("delta", "spike")}
    parts = [
        f"{'deltas' if each == 'delta' else 'spikes'} from {_named(names, len(sent))}"
        for each, names in senders.items()
        if names
    ]
    return f"{'auto: ' if code == 'auto' else ''}{', '.join(parts)}"


def _energy(headline: Mapping[str, Any], n: int) -> Iterator[tuple[str, str]]:
    """Yield the dynamic and the static energy per inference, by the first profile."""
    by = f"by {headline['profile']}{', as if it could' if headline['cannot_execute'] else ''}"
    if headline["dynamic_pj"] is None:
        yield "energy", f"not priced {by}: no price of an event is published"
    else:
        value, low, high = (headline[key] / n for key in ("dynamic_pj", "low_pj", "high_pj"))
        plain = energy_text(headline["spike_code_pj"] / n, digits=3 if low == high else 2)
        yield "energy", f"{energy_text(value, low, high)} {by}; {plain} as {PLAIN}"
    if headline["static_low_pj"] is not None:
        low, high = (energy_text(headline[key] / n) for key in ("static_low_pj", "static_high_pj"))
        micros = 1e6 * headline["time"]["high_s"] / n
        power = low if low == high else f"{low} to {high}"
        yield "static", f"{power} in addition, in {significant(micros)} us"


def _dense(report: Report) -> str:
    """Compare with one pass of the same layers on dense machines, by the first profile that prices one."""
    compared = [energy for energy in report["energies"] if energy["comparison"]]
    if not compared:
        return "not priced: no profile of this run prices multiplications (cmos45-memory does)"
    energy = compared[0]
    found = strongest(energy["comparison"])
    if not found:
        return f"none of these layers is as accurate ({energy['profile']})"
    passes = ", ".join(f"{energy_text(row['dense_pj'])} in {name}" for name, row in found.items())
    ratios = " and ".join(significant(row["ratio"]) for row in found.values())
    by = "" if energy is report["energies"][0] else f" by {energy['profile']}, by which"
    data, n_steps = report["data"], len(report["steps"])
    changes = not data["static"] and data["encoder"] == "direct" and n_steps > 1
    more = f"; one pass sees one of {n_steps} steps" if changes else ""
    return f"{passes}{by or ':'} this run costs {ratios} times as much{more}"


def _fits(report: Report) -> str:
    """Say how much of the chip the network takes, or why it does not fit."""
    placement = report["placement"]
    if placement is None:
        return str(report["unplaced"])
    of_chip = placement["limits"].get("cores")
    cores = f"{placement['cores']} of {of_chip:,}" if of_chip and placement["chips"] == 1 else f"{placement['cores']:,}"
    chips = "" if placement["chips"] == 1 else f" on {placement['chips']} chips"
    unable = any(energy["cannot_execute"] for energy in report["energies"])
    return f"{cores} cores of {placement['chip']}{chips}{', which cannot execute it' if unable else ''}"


def _named(names: Sequence[str], n_all: int) -> str:
    """List some layers; of many, only their number."""
    if len(names) == n_all:
        return "all layers" if n_all > 1 else names[0]
    return " and ".join(names) if len(names) <= MOST_NAMES else f"{len(names)} of {n_all} layers"


def _synops(report: Report) -> tuple[int, int, int]:
    """Return effective synaptic operations over all samples: as executed, in spike code, in delta code."""
    totals = report["totals"]
    spikes, deltas = (totals[code]["synops_effective"] for code in ("spike_code", "delta_code"))
    return totals["synops_effective"], spikes, deltas


def _is_equal(now: float, before: float) -> bool:
    return abs(now - before) < EQUAL * before


def _against(now: float, before: float, what: str = SYNOPS) -> str:
    """Say how much more or less than plain spikes something needs."""
    if not before:
        return f"more {what} than {PLAIN}, which need none"
    ratio = now / before
    if ratio >= TWICE:
        return f"{significant(ratio)} times the {what} of {PLAIN}"
    words = ("fewer", "more") if what == SYNOPS else ("less", "more")
    return f"{significant(100 * abs(ratio - 1))} % {words[ratio > 1]} {what} than {PLAIN}"


def _count(count: float, n: int) -> str:
    mean = count / n
    return f"{mean:,.0f}" if mean >= 10 or mean == int(mean) else f"{mean:.2f}"
