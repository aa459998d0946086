import numpy as np
import pytest

from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine import scatter
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.simulator.engine.scatter import Events, channel_first, channel_last
from tests.zoo import Given, grow


def test_events_are_the_nonzero_values_sample_after_sample():
    events = Events.of(np.array([[[0.0, 2.0], [0.0, -1.0]], [[0.5, 0.0], [0.0, 0.0]]]))
    assert events.sample.tolist() == [0, 0, 1]
    assert events.at.tolist() == [1, 3, 0]
    assert events.value.tolist() == [2.0, -1.0, 0.5]


def test_minus_zero_is_no_event():
    assert len(Events.of(np.array([[-0.0, 0.0]])).at) == 0


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_chunks_hold_every_event_once(size):
    events = Events.of(np.arange(14.0).reshape(2, 7) % 5)
    chunks = list(events.chunks(size))
    assert all(0 < len(chunk.at) <= size for chunk in chunks)
    for name in ("sample", "at", "value"):
        np.testing.assert_array_equal(np.concatenate([getattr(c, name) for c in chunks]), getattr(events, name))


@pytest.mark.parametrize("chunk", [1, 10, 100])
@pytest.mark.parametrize("seed", range(20))
def test_results_do_not_depend_on_where_events_are_cut_into_chunks(chunk, seed, monkeypatch):
    """The zoo is small: with the chunk as it is, no program of it is ever cut."""
    case = grow(seed, n_blocks=2, n_steps=4, batch=3, spatial=bool(seed % 2))
    sent = reference.run(case.program, case.inputs)
    monkeypatch.setattr(scatter, "CHUNK", chunk)
    result = Engine(case.program).run(Given(case.inputs), n_steps=4)
    np.testing.assert_array_equal(result.output, sent[case.program.output.name].swapaxes(0, 1))


def test_channels_go_last_and_come_back():
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    assert channel_last(x)[0, 1, 2].tolist() == [6, 18]  # row 1, column 2 of both channels
    np.testing.assert_array_equal(channel_first(channel_last(x)), x)
    flat = np.arange(6.0).reshape(2, 3)
    assert channel_first(channel_last(flat)) is flat
