import pytest

from tdd_deploy.commands.pricing import Prices, price
from tdd_deploy.errors import BadOption
from tdd_deploy.options.pricing import Pricing
from tdd_deploy.simulator.hardware.profiles import load_profile
from tdd_deploy.simulator.hardware.timing import SERIAL_BASIS, STEP_TIME_BASIS
from tdd_deploy.simulator.reports.report import GIVEN, priced
from tests import by_hand

TRACE = by_hand.simulation().trace  # three steps of two samples


def options(**changed):
    return Pricing(energy=True, profiles=("odin", "truenorth"), **changed)


def test_a_time_step_at_which_the_power_does_not_hold_is_refused():
    with pytest.raises(BadOption) as caught:
        Prices.of(options(step_time_s=0.002))
    for word in ("step_time_s must be 0.001", "truenorth", "(got 0.002)"):
        assert word in str(caught.value)


@pytest.mark.parametrize("step_time_s", [None, 0.001])
def test_the_time_step_at_which_the_power_holds_is_accepted(step_time_s):
    assert len(Prices.of(options(step_time_s=step_time_s)).profiles) == 2


@pytest.mark.parametrize(
    ("name", "step_time_s", "seconds", "basis"),
    [
        ("truenorth", None, 6e-3, STEP_TIME_BASIS),
        ("truenorth", 1e-3, 6e-3, GIVEN),
        ("odin", None, 17 * 2 / 75e6, SERIAL_BASIS),
        ("odin", 2e-3, 12e-3, GIVEN),
    ],
)
def test_the_time_of_a_run_follows_from_the_profile_unless_it_is_given(name, step_time_s, seconds, basis):
    energy = priced(TRACE, load_profile(name), by_hand.program(), step_time_s=step_time_s).executed
    assert energy.seconds.low == energy.seconds.high == pytest.approx(seconds)
    assert energy.time_basis == basis
    assert energy.static_low_pj == pytest.approx(1e9 * load_profile(name).static_mw()[0] * seconds)


def priced_by(*profiles, code="delta"):
    simulation = by_hand.simulation(None, program=by_hand.program(fc_code=code, readout_code=code))
    return price(simulation, Prices.of(Pricing(energy=True, profiles=profiles))).as_json()["energies"]


@pytest.mark.parametrize(("code", "first"), [("spike", "loihi1-davies2018"), ("delta", "cmos45-memory")])
def test_by_default_the_first_profile_can_execute_the_network(code, first):
    energies = priced_by(code=code)
    assert energies[0]["profile"] == first
    assert energies[0]["cannot_execute"] is None
    assert len(energies) == 3


def test_a_profile_that_the_user_names_first_stays_first():
    first, second = priced_by("loihi1-davies2018", "cmos45-memory")
    assert (first["profile"], second["profile"]) == ("loihi1-davies2018", "cmos45-memory")
    assert "sign" in first["cannot_execute"]
    assert second["cannot_execute"] is None
