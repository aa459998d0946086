import math
import pickle
import random
import shutil
import signal
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tdd_deploy.data import Frames, open_data
from tdd_deploy.errors import BadFile, BadOption, BadOptions, Interrupted
from tdd_deploy.options.training import METHOD_DEFAULTS, TrainOptions
from tdd_deploy.options.vocabulary import SPIKING, Score
from tdd_deploy.program import Dense
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.training import Samples, TrainingData, augment, fit, trainer
from tdd_deploy.training.build import make_network
from tdd_deploy.training.lower import lower
from tdd_deploy.training.methods import TetLoss
from tdd_deploy.training.network import Neurons
from tdd_deploy.training.samples import encoded
from tdd_deploy.training.strategies import Unrolling
from tdd_deploy.training.trainer import evaluate

SMALL = {"network": "mlp", "steps": 3, "epochs": 4, "batch": 16, "learning_rate": 0.02}
N_BATCHES = 6  # 100 // 16
KINDS = {
    "tet": {"method": "tet"},
    "ddla by gsc": {"method": "tdd-ddla", "score": "gsc"},
    "ddla by jac, reading D": {"method": "tdd-ddla", "score": "jac", "reading": "D"},
    "ddla, all steps at once": {"method": "tdd-ddla", "score_from": "run", "keep_of": "fired"},
    "ddla by chance": {"method": "tdd-ddla", "score": "random"},
    "l1-delta on poisson": {"method": "l1-delta", "encoder": "poisson"},
    "ddla for integers": {"method": "tdd-ddla", "qat": 4},
    "l1-onset part by part": {"method": "l1-onset", "strategy": "stdl", "learn": ("beta", "threshold")},
    "l1-spikes of some steps": {"method": "l1-spikes", "strategy": "sltt-k", "loss": "rmp"},
    "convolutions": {"network": "conv-small", "method": "l1-onset", "norm": "mpbn"},
    "accumulated norm": {"network": "conv-small", "method": "tet", "norm": "tab", "tet_mse": 0.001, "ema": 0.8},
    "its ANN baseline": {"network": "conv-small", "method": "ann", "steps": 1},
    "its ANN baseline, averaged": {"method": "ann", "steps": 1, "mixup": 0.2, "ema": 0.8, "patience": 3},
    "its ANN baseline, pruned": {"network": "conv-small", "method": "ann", "steps": 1, "sparsity": 0.8, "ema": 0.8},
    "more and more steps": {"method": "l1-spikes", "steps_schedule": ("1:1", "2:1", "3:2")},
    "more steps for integers": {"method": "l1-delta", "steps_schedule": ("1:2", "3:2"), "qat": 4, "fisher": 4},
    "larger and larger images": {
        "network": "resnet19-small", "method": "l1-onset", "steps": 2, "size_schedule": ("2:2", "4:2"), "ema": 0.8,
        "steps_schedule": ("1:1", "2:3"), "augment": "crop-flip",
    },
    "its ANN baseline, from small images": {
        "network": "resnet19-small", "method": "ann", "steps": 1, "size_schedule": ("2:1", "4:3"), "sparsity": 0.5,
    },
    "everything": {
        "method": "l1-delta", "augment": "randaugment", "mixup": 0.2, "cutmix": 1.0, "label_smoothing": 0.1,
        "optimizer": "sgd", "learning_rate": 0.3, "warmup": 1.5, "clip": 0.5, "ema": 0.8, "patience": 3,
    },
}  # fmt: skip
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


pytestmark = pytest.mark.usefixtures("one_thread")


def samples(n, *, seed, n_steps=None):
    """Three classes of 4 x 4 images, each bright in another row."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    shape = (n, 1, 4, 4) if n_steps is None else (n, n_steps, 1, 4, 4)
    x = rng.integers(0, 128, shape)
    for image, label in zip(x, labels, strict=True):
        image[..., label, :] += 100
    return Samples((x / 256).astype(np.float32), labels)


def small_data(*, n=100, n_steps=None):
    return TrainingData(
        train=samples(n, seed=1, n_steps=n_steps),
        validation=samples(40, seed=2, n_steps=n_steps),
        input_shape=(1, 4, 4),
        n_classes=3,
        in_time=n_steps is not None,
    )


def small(**options):
    return TrainOptions(**SMALL | options).checked()


class Ear:
    """Hears everything, and may do something at one batch (counted over the whole run, from 1) or after an epoch."""

    def __init__(self, *, at_batch=None, at_epoch=None, do=lambda: None):
        self.batches, self.parts, self.histories = [], [], []
        self.at_batch, self.at_epoch, self.do = at_batch, at_epoch, do

    def batch(self, now):
        self.batches.append((now.batch, now.batches, now.loss))
        self.parts.append(now.part)
        if len(self.batches) == self.at_batch:
            self.do()

    def epoch(self, history):
        self.histories.append(list(history))
        if len(history) == self.at_epoch:
            self.do()


def train(folder, options, data=None, *, resume=False, watcher=None):
    """Train, and return everything that must be the same: history, program, weights."""
    folder.mkdir(exist_ok=True)
    trained = fit(options, data or small_data(), folder, resume=resume, watcher=watcher or Ear())
    return trained.history, trained.program and trained.program.digest, (folder / "network.safetensors").read_bytes()


def weights(folder):
    return load_file(folder / "network.safetensors")


def send(number):
    signal.raise_signal(number)  # to this thread: os.kill may choose another one, and two signals may become one


def fresh_network(options, data):
    """The network as a run with this seed begins with it."""
    torch.manual_seed(options.seed)
    return make_network(options, data.input_shape, data.n_classes)


def unrolled(network, x, options):
    """A network's run on static samples."""
    inputs = encoded(x, options, in_time=False, generator=torch.Generator())
    return network.unroll(inputs, options.steps)


# --- the same bits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path, kind):
    one = train(tmp_path / "one", small(**KINDS[kind]))
    torch.rand(17)  # the state of the global generator does not matter
    assert train(tmp_path / "same", small(**KINDS[kind])) == one
    assert train(tmp_path / "other", small(**KINDS[kind], seed=1)) != one


def test_training_leaves_every_global_generator_as_it_was(tmp_path):
    before = torch.get_rng_state(), pickle.dumps(np.random.get_state()), random.getstate()  # noqa: NPY002
    for encoder in ("direct", "poisson"):
        train(tmp_path, small(score="random", encoder=encoder))
    after = torch.get_rng_state(), pickle.dumps(np.random.get_state()), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


@pytest.mark.parametrize(
    "like_tet",
    [
        *(
            {"score": score, "score_from": "run", "reading": reading, "keep": 1.0, "keep_of": "all"}
            for score in get_args(Score)
            for reading in ("F", "D")
        ),
        *({"score": score, "score_from": "run", "penalty_weight": 0.0} for score in get_args(Score)),
        {"score_from": "run", "reading": "D", "keep": 0.0, "penalty_weight": 0.0},
        {"method": "l1-spikes", "penalty_weight": 0.0},
        {"method": "l1-delta", "penalty_weight": 0.0},
        {"method": "l1-onset", "penalty_weight": 0.0},
    ],
    ids=str,
)
def test_without_a_penalty_every_method_is_tet_to_the_bit(tmp_path, like_tet):
    tet = train(tmp_path / "tet", small(method="tet"))
    assert train(tmp_path / "other", small(**like_tet)) == tet


@pytest.mark.parametrize("reading", ["F", "D"])
@pytest.mark.parametrize("score", get_args(Score))
def test_one_step_of_ddla_is_tet_to_the_bit(tmp_path, score, reading):
    tet = train(tmp_path / "tet", small(method="tet", steps=1))
    assert train(tmp_path / "ddla", small(steps=1, score=score, reading=reading, keep=0.0)) == tet


@pytest.mark.parametrize("kind", [kind for kind, chosen in KINDS.items() if chosen["method"] != "tet"])
def test_with_a_penalty_no_method_is_tet(tmp_path, kind):
    chosen = KINDS[kind] | {"patience": None}  # so that the networks of the last epoch are compared
    of_methods = {name for defaults in METHOD_DEFAULTS.values() for name in defaults}
    others = {name: value for name, value in chosen.items() if name not in of_methods}
    tet = train(tmp_path / "tet", small(**others | {"method": "tet"}))
    assert train(tmp_path / "other", small(**chosen))[1:] != tet[1:]


# --- interrupted and resumed -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "number"), [*((kind, signal.SIGINT) for kind in KINDS), ("tet", signal.SIGTERM), ("tet", signal.SIGHUP)]
)
def test_interrupted_and_resumed_is_as_never_stopped(tmp_path, kind, number):
    options = small(**KINDS[kind])
    never_stopped = train(tmp_path / "whole", options)
    ear = Ear(at_batch=N_BATCHES + 3, do=lambda: send(number))
    with pytest.raises(Interrupted, match="saved after batch 3 of epoch 2; resume continues"):
        train(tmp_path / "broken", options, watcher=ear)
    assert len(ear.batches) == N_BATCHES + 3
    assert not (tmp_path / "broken" / "network.safetensors").exists()
    rest = Ear()
    assert train(tmp_path / "broken", options, resume=True, watcher=rest) == never_stopped
    assert len(rest.batches) == 4 * N_BATCHES - (N_BATCHES + 3)


@pytest.mark.parametrize("at_batch", [1, N_BATCHES, 4 * N_BATCHES])
def test_it_may_be_interrupted_at_the_first_and_last_batch_too(tmp_path, at_batch):
    options = small()
    never_stopped = train(tmp_path / "whole", options)
    with pytest.raises(Interrupted):
        train(tmp_path / "broken", options, watcher=Ear(at_batch=at_batch, do=lambda: send(signal.SIGINT)))
    assert train(tmp_path / "broken", options, resume=True) == never_stopped


@pytest.mark.parametrize("qat", [None, 3])
def test_it_may_be_interrupted_at_every_batch(tmp_path, qat):
    options = small(epochs=2, qat=qat)
    never_stopped = train(tmp_path / "whole", options)
    resume = False
    for _ in range(2 * N_BATCHES):
        with pytest.raises(Interrupted):
            train(tmp_path / "broken", options, resume=resume, watcher=Ear(at_batch=1, do=lambda: send(signal.SIGINT)))
        resume = True
    assert train(tmp_path / "broken", options, resume=True) == never_stopped


def test_a_signal_after_an_epoch_stops_the_next_one_at_its_first_batch(tmp_path):
    options = small()
    never_stopped = train(tmp_path / "whole", options)
    with pytest.raises(Interrupted, match="saved after batch 1 of epoch 3"):
        train(tmp_path / "broken", options, watcher=Ear(at_epoch=2, do=lambda: send(signal.SIGINT)))
    assert train(tmp_path / "broken", options, resume=True) == never_stopped


def test_a_signal_after_the_last_epoch_comes_too_late(tmp_path):
    options = small()
    watcher = Ear(at_epoch=options.epochs, do=lambda: send(signal.SIGINT))
    assert train(tmp_path / "one", options, watcher=watcher) == train(tmp_path / "other", options)


def test_a_second_signal_stops_at_once(tmp_path):
    def twice():
        send(signal.SIGINT)
        send(signal.SIGINT)

    ear = Ear(at_batch=8, do=twice)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", small(), watcher=ear)
    assert len(ear.batches) == 8
    assert train(tmp_path / "broken", small(), resume=True) == train(tmp_path / "whole", small())


@pytest.mark.parametrize(("kind", "epoch"), [*((kind, 2) for kind in KINDS), ("tet", 1), ("everything", 3)])
def test_killed_and_resumed_is_as_never_stopped(tmp_path, kind, epoch):
    whole, copy = tmp_path / "whole", tmp_path / "copy"
    options = small(**KINDS[kind])
    never_stopped = train(whole, options, watcher=Ear(at_epoch=epoch, do=lambda: shutil.copytree(whole, copy)))
    rest = Ear()
    assert train(copy, options, resume=True, watcher=rest) == never_stopped
    assert len(rest.batches) == (4 - epoch) * N_BATCHES
    assert rest.histories == [never_stopped[0][:n] for n in range(epoch + 1, 5)]


@pytest.mark.parametrize(
    "chosen", [{"qat": 8}, {"qat": 2, "encoder": "poisson", "reset": "soft", "method": "l1-spikes"}], ids=str
)
def test_killed_while_it_learns_for_integers_it_is_as_never_stopped(tmp_path, chosen):
    whole, copy = tmp_path / "whole", tmp_path / "copy"
    options = small(**chosen)
    never_stopped = train(whole, options, watcher=Ear(at_epoch=3, do=lambda: shutil.copytree(whole, copy)))
    assert train(copy, options, resume=True) == never_stopped


def test_killed_in_the_first_epoch_it_begins_again(tmp_path):
    whole, copy = tmp_path / "whole", tmp_path / "copy"
    never_stopped = train(whole, small(), watcher=Ear(at_batch=3, do=lambda: shutil.copytree(whole, copy)))
    assert train(copy, small(), resume=True) == never_stopped


def test_a_run_on_samples_in_time_is_resumed_too(tmp_path):
    options, data = small(), small_data(n_steps=3)
    never_stopped = train(tmp_path / "whole", options, data)
    with pytest.raises(Interrupted):
        train(tmp_path / "broken", options, data, watcher=Ear(at_batch=9, do=lambda: send(signal.SIGINT)))
    assert train(tmp_path / "broken", options, data, resume=True) == never_stopped


def test_a_finished_run_resumed_is_the_same_run(tmp_path):
    finished = train(tmp_path, small())
    silent = Ear()
    assert train(tmp_path, small(), resume=True, watcher=silent) == finished
    assert silent.batches == silent.histories == []


def test_nothing_but_the_two_files_stays_in_the_folder(tmp_path):
    train(tmp_path, small())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "network.safetensors"]


# --- what cannot be resumed --------------------------------------------------------------------------------------


def test_other_options_are_refused_by_name_and_nothing_is_touched(tmp_path):
    train(tmp_path, small())
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(BadOptions) as caught:
        train(tmp_path, small(learning_rate=0.5, seed=7, penalty_weight=7.0, epochs=5), resume=True)
    assert {violation.where for violation in caught.value.violations} == {
        "`learning_rate`",
        "`seed`",
        "`penalty_weight`",
        "`epochs`",
    }
    assert "learning_rate must be 0.02, as the run began (got 0.5)." in str(caught.value)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path):
    with pytest.raises(BadFile, match=r"checkpoint\.pt is missing\."):
        train(tmp_path, small(), resume=True)


def test_a_damaged_checkpoint_cannot_be_resumed(tmp_path):
    train(tmp_path, small())
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadFile, match="damaged"):
        train(tmp_path, small(), resume=True)


def test_a_folder_in_the_place_of_the_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").mkdir()
    for resume in (True, False):
        with pytest.raises(BadFile):
            train(tmp_path, small(), resume=resume)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(BadFile, match="cannot be written"):
        fit(small(), small_data(), tmp_path / "missing", resume=False, watcher=Ear())


class Code:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return Path.touch, (self.witness,)


def test_code_in_the_place_of_a_checkpoint_is_not_executed(tmp_path):
    torch.save({"options": {}, "progress": {}, "network": Code(tmp_path / "executed"), "optimizer": {}}, tmp_path / "c")
    (tmp_path / "c").rename(tmp_path / "checkpoint.pt")
    with pytest.raises(BadFile):
        train(tmp_path, small(), resume=True)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("part", ["network", "optimizer", "progress"])
def test_a_checkpoint_with_parts_of_something_else_is_refused(tmp_path, part):
    train(tmp_path, small())
    path = tmp_path / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    torch.save(content | {part: {"something": "else"}}, path)
    with pytest.raises(BadFile, match="is not a checkpoint of this run"):
        train(tmp_path, small(), resume=True)


def test_a_checkpoint_of_other_samples_is_refused(tmp_path):
    train(tmp_path, small())
    wider = TrainingData(
        train=Samples(np.zeros((32, 1, 5, 5), np.float32), np.zeros(32, np.int64)),
        validation=Samples(np.zeros((32, 1, 5, 5), np.float32), np.zeros(32, np.int64)),
        input_shape=(1, 5, 5),
        n_classes=3,
        in_time=False,
    )
    with pytest.raises(BadFile, match="is not a checkpoint of this run"):
        train(tmp_path, small(), wider, resume=True)


def test_a_run_that_diverges_says_so_and_keeps_its_last_whole_epoch(tmp_path):
    with pytest.raises(BadOption, match=r"learning_rate=1e\+30 made the run diverge in epoch 1\. Use a smaller one\."):
        train(tmp_path, small(learning_rate=1e30))
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["progress"]["epoch"] == 0


@pytest.mark.parametrize("rate", [1e5, 1e10, 1e30])
def test_a_run_that_diverges_on_its_way_to_integers_says_so(tmp_path, rate):
    with pytest.raises(BadOption, match=r"learning_rate=1.* made the run diverge in epoch [12]"):
        train(tmp_path, small(learning_rate=rate, qat=8, epochs=2, neuron="if"))


# --- signals and threads -----------------------------------------------------------------------------------------


@pytest.fixture
def own_handlers():
    """Handlers of the caller, which must be back in place afterwards."""

    def handler(number, frame):
        raise AssertionError

    before = {number: signal.signal(number, handler) for number in SIGNALS}
    yield handler
    for number, old in before.items():
        signal.signal(number, old)


def fail():
    raise RuntimeError("the watcher fell")


@pytest.mark.parametrize(
    ("do", "error"),
    [
        (lambda: None, None),
        (lambda: send(signal.SIGINT), Interrupted),
        (lambda: send(signal.SIGTERM), Interrupted),
        (lambda: send(signal.SIGHUP), Interrupted),
        (fail, RuntimeError),
    ],
)
def test_the_callers_signal_handlers_are_back_afterwards(tmp_path, own_handlers, do, error):
    ear = Ear(at_batch=3, do=do)
    if error is None:
        train(tmp_path, small(), watcher=ear)
    else:
        with pytest.raises(error):
            train(tmp_path, small(), watcher=ear)
    assert [signal.getsignal(number) for number in SIGNALS] == [own_handlers] * len(SIGNALS)


def test_it_trains_in_another_thread_and_leaves_the_handlers_alone(tmp_path, own_handlers):
    found = {}
    seen = []

    def work():
        watcher = Ear(at_batch=3, do=lambda: seen.extend(signal.getsignal(number) for number in SIGNALS))
        found["result"] = train(tmp_path / "thread", small(), watcher=watcher)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [own_handlers] * len(SIGNALS)
    assert found["result"] == train(tmp_path / "main", small())


# --- what is reported --------------------------------------------------------------------------------------------


def test_every_batch_and_epoch_is_told(tmp_path):
    ear = Ear()
    history, *_ = train(tmp_path, small(), watcher=ear)
    assert [batch[:2] for batch in ear.batches] == [(n, N_BATCHES) for n in range(1, N_BATCHES + 1)] * 4
    assert ear.histories == [history[:n] for n in range(1, 5)]
    assert [epoch["epoch"] for epoch in history] == [1, 2, 3, 4]
    assert [epoch["loss"] for epoch in history] == [batch[2] for batch in ear.batches[N_BATCHES - 1 :: N_BATCHES]]
    parts = [1 / (4 * N_BATCHES) * done for done in range(1, 4 * N_BATCHES + 1)]
    assert ear.parts == pytest.approx(parts)


def test_the_learning_rate_follows_half_a_cosine(tmp_path):
    history, *_ = train(tmp_path, small())
    total = 4 * N_BATCHES
    for number, epoch in enumerate(history, 1):
        last_batch = number * N_BATCHES - 1
        assert epoch["learning_rate"] == pytest.approx(0.02 * math.cos(math.pi / 2 * last_batch / total) ** 2)


UNROLLED = {"tdd-ddla": {"score_from": "run"}}  # one by one, steps have statistics of their own in batch norm


@pytest.mark.parametrize("method", SPIKING)
def test_the_reported_loss_is_tet_plus_the_weighted_penalty(tmp_path, method):
    options, data = small(method=method, epochs=1, batch=100, **UNROLLED.get(method, {})), small_data()
    net = fresh_network(options, data).train()
    run = unrolled(net, data.train.x, options)
    tet = TetLoss()(run, torch.from_numpy(data.train.y)).item()
    rasters = [raster.detach().numpy() for raster in run.spikes.values()]
    spikes = sum(raster.mean() for raster in rasters)
    changes = sum((np.diff(raster, axis=0, prepend=0) != 0).mean() for raster in rasters)
    onsets = sum((np.diff(raster, axis=0, prepend=0) > 0).mean() for raster in rasters)
    found = train(tmp_path, options)[0][0]
    if method == "tdd-ddla":  # presses some of the spikes
        assert tet < found["loss"] < tet + options.penalty_factor * spikes
    else:
        penalty = {"tet": 0, "l1-spikes": spikes, "l1-delta": changes, "l1-onset": onsets}[method]
        assert found["loss"] == pytest.approx(tet + options.penalty_factor * penalty, rel=1e-5)
    correct = (run.outputs.detach().sum(0).argmax(1).numpy() == data.train.y).mean()
    assert found["train_accuracy"] == pytest.approx(correct, abs=0.02)


def test_the_first_step_goes_against_the_gradient(tmp_path):
    options, data = small(method="l1-spikes", epochs=1, batch=100, weight_decay=0.0), small_data()
    train(tmp_path, options)
    net = fresh_network(options, data).train()
    run = unrolled(net, data.train.x, options)
    loss = TetLoss()(run, torch.from_numpy(data.train.y))
    (loss + options.penalty_factor * torch.stack([raster.mean() for raster in run.spikes.values()]).sum()).backward()
    after = weights(tmp_path)
    for name, parameter in net.named_parameters():
        # Adam's first step is the learning rate times g / (|g| + 1e-8), but for the order of the batch's sums.
        clear = parameter.grad.abs() > 1e-4
        moved = after[name] - parameter.detach()
        assert clear.any()
        torch.testing.assert_close(moved[clear], -0.02 * parameter.grad.sign()[clear], rtol=1e-3, atol=0)


@pytest.mark.parametrize("qat", [None, 4])
@pytest.mark.parametrize("kind", ["static", "in time"])
def test_what_an_epoch_reports_is_what_the_simulator_finds(tmp_path, kind, qat):
    options, data = small(network="conv-small", epochs=2, qat=qat), small_data(n_steps=3 if kind == "in time" else None)
    trained = fit(options, data, tmp_path, resume=False, watcher=Ear())
    x = data.validation.x
    frames = Frames(static=kind == "static", values=x if kind == "static" else x.swapaxes(0, 1))
    result = Engine(trained.program).run(frames, n_steps=3)
    last = trained.history[-1]
    assert last["raw_events"] == result.trace.executed.total("spikes") / 40 > 0
    assert last["delta_events"] == result.trace.executed.total("delta_events") / 40 > 0
    assert last["accuracy"] == (result.output.sum(axis=1).argmax(axis=1) == data.validation.y).mean()


def test_the_saved_network_is_the_program(tmp_path):
    options, data = small(), small_data()
    _, digest, _ = train(tmp_path, options)
    net = fresh_network(options, data)
    net.load_state_dict(weights(tmp_path))
    assert lower(net, n_steps=options.steps, encoder=options.encoder).digest == digest


# --- what of it is kept ------------------------------------------------------------------------------------------


def saved_network(folder, options, data):
    net = fresh_network(options, data)
    net.load_state_dict(weights(folder))
    return net


def test_an_average_is_what_is_measured_saved_and_deployed(tmp_path):
    options, data = small(ema=0.9), small_data()
    history, digest, _ = train(tmp_path, options)
    net = saved_network(tmp_path, options, data)
    assert lower(net, n_steps=options.steps, encoder=options.encoder).digest == digest
    assert history[-1].items() >= asdict(evaluate(net, data.validation, options, in_time=False)).items()
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    saved = weights(tmp_path)
    assert all(torch.equal(checkpoint["averaged"][f"module.{name}"], value) for name, value in saved.items())
    assert not torch.equal(checkpoint["network"]["fc1.weights.weight"], saved["fc1.weights.weight"])
    plain = train(tmp_path / "plain", small())
    assert [epoch["loss"] for epoch in plain[0]] == [epoch["loss"] for epoch in history]  # it learns as without


def accuracies(monkeypatch, values):
    """Let epochs have these accuracies."""
    given = iter(values)

    def measured(*args, **words):
        return replace(evaluate(*args, **words), accuracy=next(given))

    monkeypatch.setattr(trainer, "evaluate", measured)


def test_patience_ends_a_run_and_keeps_the_network_of_its_best_epoch(tmp_path, monkeypatch):
    options, data = small(patience=2, epochs=9), small_data()
    accuracies(monkeypatch, [0.3, 0.6, 0.6, 0.5])
    trained = fit(options, data, tmp_path, resume=False, watcher=Ear())
    assert [epoch["epoch"] for epoch in trained.history] == [1, 2, 3, 4]
    assert trained.kept_epoch == 2
    net = saved_network(tmp_path, options, data)
    found = asdict(evaluate(net, data.validation, options, in_time=False))
    assert found["raw_events"] == trained.history[1]["raw_events"] != trained.history[3]["raw_events"]
    assert lower(net, n_steps=options.steps, encoder=options.encoder).digest == trained.program.digest
    with monkeypatch.context() as patched:
        accuracies(patched, [])
        again = fit(options, data, tmp_path, resume=True, watcher=Ear())
    assert (again.history, again.program.digest) == (trained.history, trained.program.digest)


def test_patience_lasts_as_long_as_accuracy_grows(tmp_path, monkeypatch):
    accuracies(monkeypatch, [0.3, 0.2, 0.4, 0.3])
    trained = fit(small(patience=2), small_data(), tmp_path, resume=False, watcher=Ear())
    assert (len(trained.history), trained.kept_epoch) == (4, 3)


def test_patience_and_resuming_go_together(tmp_path, monkeypatch):
    options, data = small(patience=2, epochs=9, ema=0.5), small_data()
    accuracies(monkeypatch, [0.3, 0.6, 0.6, 0.5])
    whole = fit(options, data, tmp_path, resume=False, watcher=Ear())
    (tmp_path / "broken").mkdir()
    accuracies(monkeypatch, [0.3, 0.6, 0.6])
    ear = Ear(at_batch=2 * N_BATCHES + 1, do=lambda: send(signal.SIGINT))
    with pytest.raises(Interrupted):
        fit(options, data, tmp_path / "broken", resume=False, watcher=ear)
    accuracies(monkeypatch, [0.6, 0.5])
    rest = fit(options, data, tmp_path / "broken", resume=True, watcher=Ear())
    assert (rest.kept_epoch, rest.program.digest) == (2, whole.program.digest)


# --- how it follows gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", [0.1, 1e6])
def test_gradients_are_no_longer_than_allowed(tmp_path, clip):
    options = small(optimizer="sgd", momentum=0.0, weight_decay=0.0, epochs=1, batch=100, clip=clip)
    train(tmp_path, options)
    before, after = dict(fresh_network(options, small_data()).named_parameters()), weights(tmp_path)
    moved = torch.cat([(after[name] - value.detach()).flatten() for name, value in before.items()]).norm().item()
    assert moved == pytest.approx(0.02 * clip, rel=1e-3) if clip == 0.1 else moved < 0.02 * 10


def test_smoothed_labels_are_shared_with_all_classes(tmp_path):
    options, data = small(method="tet", epochs=1, batch=100, label_smoothing=0.3), small_data()
    run = unrolled(fresh_network(options, data).train(), data.train.x, options)
    logs = run.outputs.detach().log_softmax(2)
    own = logs[:, torch.arange(100), torch.from_numpy(data.train.y)].mean().item()
    expected = -(0.7 * own + 0.3 * logs.mean().item())
    assert train(tmp_path, options)[0][0]["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"strategy": "sltt"},
        {"strategy": "sltt-k", "sltt_steps": 1, "steps": 4},
        {"strategy": "stdl", "learn": ("beta",)},
        {"network": "conv-small", "norm": "mpbn", "loss": "rmp"},
        {"method": "tdd-ddla", "transmit": "closed"},
    ],
    ids=str,
)
def test_half_the_bits_give_nearly_the_same_and_neurons_keep_all_of_them(tmp_path, monkeypatch, chosen):
    options = {"method": "tet", "epochs": 1, "weight_decay": 0.0} | chosen
    seen = set()

    def fire(neurons, current, n_steps, state):
        fired = forward(neurons, current, n_steps, state)
        seen.update((neurons.training, part.dtype) for part in (fired.spikes, fired.u, *fired.state))
        return fired

    forward = Neurons.forward
    monkeypatch.setattr(Neurons, "forward", fire)
    full, half = (train(tmp_path / str(amp), small(**options, amp=amp)) for amp in (False, True))
    assert seen == {(True, torch.float32), (False, torch.float32)}
    assert half[2] != full[2]
    assert half[0][0]["loss"] == pytest.approx(full[0][0]["loss"], rel=0.05)
    before, after = fresh_network(small(**options), small_data()).state_dict(), weights(tmp_path / "True")
    assert all(value.dtype != torch.bfloat16 for value in after.values())
    assert all(not torch.equal(value, after[name]) for name, value in before.items() if name.endswith("weights.weight"))


# --- for integers ------------------------------------------------------------------------------------------------


def statistics(state):
    return {name: value for name, value in state.items() if "running" in name or "tracked" in name}


def test_a_run_for_integers_is_a_run_in_floats_for_three_of_five_batches(tmp_path):
    """15 of 24 batches, so that the third epoch is begun in floats and measured in integers."""
    in_floats = train(tmp_path / "floats", small())[0]
    for_integers = train(tmp_path / "integers", small(qat=2))[0]
    assert for_integers[:2] == in_floats[:2]
    assert for_integers[2]["loss"] != in_floats[2]["loss"]
    ears = {}
    for name, qat in (("floats", None), ("integers", 2)):
        ears[name] = Ear(at_batch=16, do=lambda: send(signal.SIGINT))
        with pytest.raises(Interrupted):
            train(tmp_path / f"{name} once more", small(qat=qat), watcher=ears[name])
    assert ears["floats"].batches[:15] == ears["integers"].batches[:15]
    assert ears["floats"].batches[15] != ears["integers"].batches[15]


def test_batch_norm_keeps_its_statistics_while_the_weights_learn_for_integers(tmp_path):
    states = []

    def note():
        states.append(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"])

    train(tmp_path, small(qat=4), watcher=Ear(at_epoch=3, do=note))
    note()
    before, after = states
    assert statistics(before)
    assert all(torch.equal(value, after[name]) for name, value in statistics(before).items())
    assert all(not torch.equal(value, after[name]) for name, value in before.items() if name not in statistics(before))


@pytest.mark.parametrize("encoder", ["direct", "poisson"])
def test_the_program_of_a_run_for_integers_is_its_network_quantized(tmp_path, encoder):
    options, data = small(qat=4, encoder=encoder), small_data()
    program = fit(options, data, tmp_path, resume=False, watcher=Ear()).program
    net = fresh_network(options, data)
    net.load_state_dict(weights(tmp_path))
    progress = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["progress"]
    in_floats = lower(net, n_steps=options.steps, encoder=encoder)
    assert program == quantize(in_floats, bits=4, input_bits=progress["input_bits"]).program
    assert program.number_format == "integer"
    assert all((node.weight % 32 == 0).all() for node in program.linear_maps if isinstance(node, Dense))


def test_values_beyond_one_are_within_the_integers_of_the_input(tmp_path):
    data = small_data()
    for samples_ in (data.train, data.validation):
        samples_.x[:] *= 11
    program = fit(small(qat=8), data, tmp_path, resume=False, watcher=Ear()).program
    assert program.input.largest / program.input.scale == 16  # the next power of two above 11 * 227 / 256


# --- what is learned from ----------------------------------------------------------------------------------------


@dataclass
class Drawn:
    """One batch of training: which samples it held, the seed of its random choices, and what came out."""

    numbers: list[int]
    seed: int
    outputs: np.ndarray | None = None


def drawn(folder, monkeypatch, options, data):
    """Train; return the batches of each epoch."""
    index = {image.tobytes(): number for number, image in enumerate(data.train.x)}
    seen = []

    def note_inputs(x, options, *, in_time, generator):
        seen.append(Drawn([index.get(image.tobytes(), -1) for image in x], generator.initial_seed()))
        return encoded(x, options, in_time=in_time, generator=generator)

    def note_outputs(strategy, network, batch):
        learned = learn(strategy, network, batch)
        seen[-1].outputs = learned.outputs.numpy()
        return learned

    learn = Unrolling.learn
    with monkeypatch.context() as patched:
        patched.setattr(augment, "encoded", note_inputs)
        patched.setattr(Unrolling, "learn", note_outputs)
        history, *_ = train(folder, options, data)
    seen = [batch for batch in seen if batch.outputs is not None]  # the others were evaluated
    n = len(seen) // options.epochs
    return [seen[start : start + n] for start in range(0, len(seen), n)], history


def orders_of(epochs):
    return [[number for batch in epoch for number in batch.numbers] for epoch in epochs]


def test_an_epoch_takes_whole_batches_in_a_new_order_and_no_sample_twice(tmp_path, monkeypatch):
    epochs, _ = drawn(tmp_path, monkeypatch, small(), small_data())
    assert [[len(batch.numbers) for batch in epoch] for epoch in epochs] == [[16] * N_BATCHES] * 4
    orders = orders_of(epochs)
    assert all(len(set(order)) == 16 * N_BATCHES for order in orders)
    assert len(set(map(tuple, orders))) == 4
    assert set().union(*orders) == set(range(100))  # what one epoch leaves out, another takes
    assert orders_of(drawn(tmp_path, monkeypatch, small(), small_data())[0]) == orders
    assert orders_of(drawn(tmp_path, monkeypatch, small(seed=1), small_data())[0]) != orders


def test_every_batch_has_random_choices_of_its_own(tmp_path, monkeypatch):
    runs = [drawn(tmp_path, monkeypatch, small(seed=seed), small_data())[0] for seed in (0, 1)]
    seeds = [batch.seed for epochs in runs for epoch in epochs for batch in epoch]
    assert len(seeds) == len(set(seeds)) == 2 * 4 * N_BATCHES


def test_the_accuracy_in_training_is_that_of_the_outputs_it_learned_from(tmp_path, monkeypatch):
    data = small_data()
    epochs, history = drawn(tmp_path, monkeypatch, small(), data)
    for epoch, reported in zip(epochs, history, strict=True):
        right = [batch.outputs.sum(axis=0).argmax(axis=1) == data.train.y[batch.numbers] for batch in epoch]
        assert reported["train_accuracy"] == np.mean(right)


def test_samples_fewer_than_a_batch_are_one_batch(tmp_path, monkeypatch):
    ((batch,),), _ = drawn(tmp_path, monkeypatch, small(batch=64, epochs=1), small_data(n=10))
    assert sorted(batch.numbers) == list(range(10))


def test_a_static_sample_is_not_repeated():
    data = small_data()
    inputs = encoded(data.train.x, small(), in_time=False, generator=torch.Generator())
    assert np.array_equal(inputs.numpy(), data.train.x[None])


def test_of_samples_in_time_the_first_steps_are_taken():
    x = small_data(n_steps=5).train.x
    inputs = encoded(x, small(), in_time=True, generator=torch.Generator())
    assert np.array_equal(inputs.numpy(), x[:, :3].swapaxes(0, 1))


@pytest.mark.parametrize("in_time", [False, True])
def test_poisson_draws_spikes_with_the_probability_of_the_value(in_time):
    options = small(encoder="poisson", steps=400)
    x = np.repeat(np.array([[0.0, 0.25, 0.75, 1.0]], np.float32), 50, axis=0)  # 50 samples of 4 values
    given = np.repeat(x[:, None], 400, axis=1) if in_time else x

    def drawn_with(seed):
        return encoded(given, options, in_time=in_time, generator=torch.Generator().manual_seed(seed))

    first = drawn_with(0)
    assert first.shape == (400, 50, 4)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    rates = first.mean(dim=(0, 1)).tolist()
    assert rates == [0, pytest.approx(0.25, abs=0.015), pytest.approx(0.75, abs=0.015), 1]  # 5 standard deviations
    assert torch.equal(drawn_with(0), first)
    assert not torch.equal(drawn_with(1), first)


# --- it learns ---------------------------------------------------------------------------------------------------


def digits():
    parts = [Samples(*open_data("digits", split=split).load()) for split in ("train", "val")]
    return TrainingData(train=parts[0], validation=parts[1], input_shape=(1, 8, 8), n_classes=10, in_time=False)


@pytest.mark.parametrize(
    ("network", "method"), [*(("mlp", method) for method in SPIKING), ("conv-small", "tet"), ("conv-small", "tdd-ddla")]
)
def test_the_loss_falls_on_digits(tmp_path, network, method):
    history, *_ = train(tmp_path, TrainOptions(network=network, method=method, steps=4, epochs=2).checked(), digits())
    assert history[1]["loss"] < 0.9 * history[0]["loss"]
    assert history[1]["train_accuracy"] > history[0]["train_accuracy"]


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_tet_knows_more_than_four_of_five_digits_after_three_epochs(tmp_path, reset):
    options = TrainOptions(method="tet", reset=reset, steps=4, epochs=3).checked()
    history, *_ = train(tmp_path, options, digits())
    assert history[-1]["accuracy"] > 0.8


def test_a_penalty_on_spikes_leaves_fewer_of_them(tmp_path):
    common = {"steps": 4, "epochs": 3, "network": "mlp"}
    tet = train(tmp_path / "tet", TrainOptions(method="tet", **common).checked(), digits())[0][-1]
    for method, weight in (("tdd-ddla", 3.0), ("l1-spikes", 1.5), ("l1-delta", 1.5), ("l1-onset", 1.5)):
        options = TrainOptions(method=method, penalty_weight=weight, **common).checked()
        found = train(tmp_path / method, options, digits())[0][-1]
        assert found["delta_events"] < tet["delta_events"]
        assert found["raw_events"] < tet["raw_events"]
