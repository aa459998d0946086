"""Schedules: the epochs with each number of time steps, and with each size of images."""

import pytest

from tdd_deploy.errors import BadOptions
from tdd_deploy.options.training import TrainOptions


def refused(**options: object) -> str:
    with pytest.raises(BadOptions) as found:
        TrainOptions.of(**options)
    return str(found.value)


def test_a_schedule_determines_the_epochs_and_the_last_number_of_steps() -> None:
    options = TrainOptions.of(steps_schedule=["1:25", "6:3"])
    assert (options.epochs, options.steps) == (28, 6)
    assert [options.steps_in(epoch) for epoch in (0, 24, 25, 27)] == [1, 1, 6, 6]
    assert options.size_in(0) is None
    assert TrainOptions.of(steps_schedule=["1:2", "9:1", "6:1"]).most_steps == 9
    assert TrainOptions.of(steps_schedule=["1:25", "6:3"], epochs=28, steps=6) == options


def test_sizes_have_a_schedule_of_their_own() -> None:
    options = TrainOptions.of(size_schedule=["16:2", "32:1"], steps_schedule=["1:1", "4:2"])
    assert [(options.size_in(epoch), options.steps_in(epoch)) for epoch in range(3)] == [(16, 1), (16, 4), (32, 4)]
    assert options.sizes == (16, 32)


def test_without_a_schedule_every_epoch_has_the_steps_of_the_run() -> None:
    options = TrainOptions.of(steps=4)
    assert [options.steps_in(epoch) for epoch in (0, 24)] == [4, 4]
    assert options.sizes == ()
    assert options.most_steps == 4


@pytest.mark.parametrize(
    "text", ["6", "6:", ":3", "0:3", "6:0", "6x3", "6:3:1", "-1:3", "1.5:3", "6 : 3", "16777217:1"]
)
@pytest.mark.parametrize("name", ["steps_schedule", "size_schedule"])
def test_what_is_no_pair_of_whole_numbers_is_refused(name: str, text: str) -> None:
    assert refused(**{name: [text]}).startswith(f"{name} must be pairs S")


def test_schedules_that_contradict_the_run_are_refused_with_both_numbers() -> None:
    assert "has 3 epochs in all, and the run has 5" in refused(steps_schedule=["1:2", "6:1"], epochs=5)
    assert "ends with 6 time steps, and the network has 4" in refused(steps_schedule=["1:2", "6:1"], steps=4)
    assert refused(steps_schedule=["1:2"], size_schedule=["8:3"]).startswith("size_schedule has 3 epochs in all")


@pytest.mark.parametrize(
    "given",
    [
        {"steps_schedule": ["1:2"], "patience": 1},
        {"size_schedule": ["8:2"], "patience": 1},
        {"size_schedule": ["8:2"], "qat": 8},
        {"size_schedule": ["8:2"], "strategy": "stdl"},
    ],
    ids=str,
)
def test_what_a_schedule_would_make_meaningless_is_refused(given: dict[str, object]) -> None:
    assert "cannot be combined with" in refused(**given)
