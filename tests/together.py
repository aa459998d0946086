"""Runs that several processes train together: ``python -m tests.together FOLDER``, once per rank."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from tdd_deploy.errors import TddDeployError
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.training import Samples, TrainingData, augment, executing, fit

BATCH, N_BATCHES = 16, 3
COMMON = {
    "network": "mlp", "method": "tet", "steps": 3, "epochs": 2, "batch": BATCH,
    "optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.0,
}  # fmt: skip
CASES = {
    "bptt": {},
    "sltt": {"strategy": "sltt", "loss": "rmp"},
    "sltt-k": {"strategy": "sltt-k"},
    "stdl": {"strategy": "stdl"},
    "ddla by gsc": {"method": "tdd-ddla", "score": "gsc"},
    "ddla by jac": {"method": "tdd-ddla", "score": "jac"},
    "ddla by chance, sent closed": {"method": "tdd-ddla", "score": "random", "transmit": "closed"},
    "poisson, l1 by synops": {"encoder": "poisson", "method": "l1-onset", "weigh": "synops"},
    "mpbn on convolutions": {"network": "conv-small", "norm": "mpbn", "learn": ("threshold",), "epochs": 1},
    "accumulated norm": {"network": "conv-small", "norm": "tab", "tet_mse": 0.001, "epochs": 1},
    "integers": {"qat": 4, "epochs": 4},
    "everything": {
        "augment": "crop-flip", "mixup": 0.2, "cutmix": 1.0, "ema": 0.9, "clip": 0.5, "label_smoothing": 0.1,
        "warmup": 0.5, "patience": 1,
    },
}  # fmt: skip
STOPPED_AT = 4  # batches into the whole run


def case(name: str) -> TrainOptions:
    return TrainOptions(**COMMON | CASES[name]).checked()


def data() -> TrainingData:
    """Three classes of 4 x 4 images, each bright in another row."""
    parts = []
    for seed, n in ((1, BATCH * N_BATCHES + 5), (2, 300)):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 3, n)
        x = rng.integers(0, 128, (n, 1, 4, 4))
        for image, label in zip(x, labels, strict=True):
            image[..., label, :] += 100
        parts.append(Samples((x / 256).astype(np.float32), labels))
    return TrainingData(train=parts[0], validation=parts[1], input_shape=(1, 4, 4), n_classes=3, in_time=False)


class Ear:
    def __init__(self):
        self.batches = 0

    def batch(self, now):
        self.batches += 1

    def epoch(self, history):
        pass


def stop_at(n_batches):
    """Send this process a signal while it learns a batch."""
    seen = 0
    encoded = augment.encoded

    def counting(*args, **given):
        nonlocal seen
        seen += 1
        if seen == n_batches:
            os.kill(os.getpid(), signal.SIGTERM)
        return encoded(*args, **given)

    augment.encoded = counting


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    results = {}
    with executing("cpu") as execution:
        rank = execution.processes.rank

        def run(name, options, where, *, resume=False):
            ear = Ear()
            if execution.processes.is_first:
                (folder / where).mkdir(exist_ok=True)
            execution.processes.wait()
            try:
                trained = fit(options, data(), folder / where, resume=resume, watcher=ear, execution=execution)
                results[name] = {"history": trained.history, "kept": trained.kept_epoch, "batches": ear.batches}
            except TddDeployError as error:
                results[name] = {"error": str(error), "batches": ear.batches}

        for name in CASES:
            run(name, case(name), name)
        run("uneven", TrainOptions(**COMMON | {"batch": 15}).checked(), "uneven")
        run("begun alone", case("bptt"), "begun alone", resume=True)
        if rank == execution.processes.n - 1:
            stop_at(STOPPED_AT)
        run("stopped", case("bptt"), "stopped")
    (folder / f"results-{rank}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
