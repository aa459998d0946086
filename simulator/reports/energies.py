"""The energy of a simulation as plain values: enough to redo every number with a calculator."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tdd_deploy.simulator.hardware.energy import Busy, Energy, Term
from tdd_deploy.simulator.hardware.figures import Latency
from tdd_deploy.simulator.hardware.timing import at_clock


def energy_json(energy: Energy, n_steps_executed: int) -> dict[str, Any]:
    """Describe the energy of a run by one profile: sums over its samples, and what they are sums of.

    Args:
        energy: as executed.
        n_steps_executed: time steps, over all samples.
    """
    profile = energy.profile
    return {
        "profile": profile.name,
        "title": profile.title,
        "remark": profile.remark,
        "sha256": profile.sha256,
        "chip": profile.chip,
        **energy_sums(energy),
        "terms": [_term_json(term) for term in energy.terms],
        "not_priced": list(energy.not_priced),
        "static": _static_json(energy),
        "time": None if energy.seconds is None else _time_json(energy, n_steps_executed),
        "points": [asdict(point) for point in profile.points],
    }


def model_json(energy: Energy) -> dict[str, Any]:
    """Describe the dynamic energy by one of the models of hardware over which the range is given."""
    names = ("term", "counts", "layers", "count", "price_pj", "low_price_pj", "high_price_pj", "energy_pj")
    return {
        "profile": energy.profile.name,
        "sha256": energy.profile.sha256,
        **{name: getattr(energy, name) for name in ("dynamic_pj", "low_pj", "high_pj")},
        "terms": [{name: _term_json(term)[name] for name in names} for term in energy.terms],
    }


def energy_sums(energy: Energy) -> dict[str, float | None]:
    """Return dynamic energy, None where nothing has a price, and static energy, None where the time is not known."""
    names = ("dynamic_pj", "low_pj", "high_pj")
    static = ("static_low_pj", "static_high_pj")
    return {
        **{name: getattr(energy, name) if energy.terms else None for name in names},
        **{name: getattr(energy, name) for name in static},
    }


def _term_json(term: Term) -> dict[str, Any]:
    price = term.price
    return {
        "term": price.term,
        "counts": list(price.counts),
        "layers": list(price.layers),
        "count": int(term.count.sum()),
        "price_pj": price.value_pj,
        "low_price_pj": price.low_pj,
        "high_price_pj": price.high_pj,
        "energy_pj": float(term.energy_pj.sum()),
        "confidence": price.confidence,
        "read": price.read,
        "source": price.source,
        "range_source": price.range_source,
    }


def _static_json(energy: Energy) -> dict[str, Any] | None:
    """Describe the power that is multiplied with the time; None where none is published."""
    states = energy.profile.static_states(energy.clock_mhz)
    if energy.static_mw is None:
        return None
    return {
        "states": [{"state": state, "low_mw": low, "high_mw": high} for state, (low, high) in states.items()],
        "chips": energy.n_chips or 1,
        "clock_mhz": energy.mhz,
        "low_mw": energy.static_mw[0],
        "high_mw": energy.static_mw[1],
        "parts": [asdict(part) for part in energy.profile.static],
    }


def _time_json(energy: Energy, n_steps_executed: int) -> dict[str, Any]:
    """Describe the time that the hardware takes for all samples."""
    seconds = energy.seconds
    assert seconds is not None
    latencies = at_clock(energy.profile, energy.clock_mhz) if seconds.busy else []
    return {
        "low_s": seconds.low,
        "high_s": seconds.high,
        "basis": energy.time_basis,
        "step_s": seconds.step,
        "steps_executed": n_steps_executed,
        "latencies": [_latency_json(latency) for latency in latencies],
        "busy": None
        if seconds.busy is None
        else {name: _busy_json(busy) for name, busy in zip(("low", "high"), seconds.busy, strict=True)},
    }


def _latency_json(latency: Latency) -> Mapping[str, Any]:
    found = asdict(latency)
    return {**found, "counts": list(latency.counts)}


def _busy_json(busy: Busy) -> dict[str, Any]:
    return {
        "layers": list(busy.layers),
        "work": {name: count.tolist() for name, count in busy.work.items()},
        "ns": busy.ns.tolist(),
    }
