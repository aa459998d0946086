"""The code of a simulation: named by the user, or by default chosen on training samples, else delta."""

import numpy as np
import pytest

from tdd_deploy import simulate
from tdd_deploy.commands import load
from tdd_deploy.data.choice import Choice
from tdd_deploy.errors import BadData
from tests import by_hand

CONSTANT = np.ones((3, 3, 2), dtype=np.float32)  # [N, T, C]: deltas pay, since nothing changes
FLICKERING = np.tile(np.array([1, 0, 1], dtype=np.float32)[:, None], (3, 1, 2))  # every value changes in every step


@pytest.fixture
def without_training_samples(monkeypatch):
    whole = Choice.open

    def open_part(self, split=None, **named):
        if split == "train":
            raise BadData("made up", [])
        return whole(self, split, **named)

    monkeypatch.setattr(Choice, "open", open_part)


def coded(x, **given):
    program = simulate(by_hand.program(), x=x, **given).as_json()["program"]
    return program["code"], program["codes"]["input -> fc"], program["code_from"]


@pytest.mark.parametrize(("x", "chosen"), [(CONSTANT, "delta"), (FLICKERING, "spike")])
def test_by_default_each_edge_has_the_code_that_costs_less(x, chosen):
    code, of_input, origin = coded(x)
    assert (code, of_input) == ("auto", chosen)
    assert origin == "by default, chosen on the first 2 of the measured samples"


@pytest.mark.parametrize("code", ["delta", "spike"])
def test_a_named_code_holds_for_every_edge(code):
    assert coded(FLICKERING, code=code) == (code, code, "from `code`")


def test_a_named_auto_is_from_the_user():
    assert coded(FLICKERING, code="auto") == (
        "auto",
        "spike",
        "from `code`, chosen on the first 2 of the measured samples",
    )


def test_no_more_samples_choose_than_are_executed():
    assert coded(FLICKERING, samples=1)[2] == "by default, chosen on the first 1 of the measured samples"


def test_at_most_64_samples_choose():
    assert str(load.CALIBRATION_SAMPLES) in coded(np.tile(FLICKERING, (40, 1, 1)))[2]


@pytest.mark.usefixtures("without_training_samples")
def test_without_training_samples_the_code_is_delta():
    code, of_input, origin = coded(FLICKERING)
    assert (code, of_input) == ("delta", "delta")
    assert "made up" in origin


@pytest.mark.usefixtures("without_training_samples")
def test_auto_without_training_samples_is_refused():
    with pytest.raises(BadData):
        coded(FLICKERING, code="auto")
