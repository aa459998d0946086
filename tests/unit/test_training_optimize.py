import math

import pytest
import torch

from tdd_deploy.options.training import TrainOptions
from tdd_deploy.training.build import make_network
from tdd_deploy.training.optimize import averaged, learning_rate, make_optimizer

pytestmark = pytest.mark.usefixtures("one_thread")


def rates(n_batches, **options):
    chosen = TrainOptions(learning_rate=1.0, **options).checked()
    return [learning_rate(chosen, done, n_batches) for done in range(chosen.epochs * n_batches)]


def test_the_learning_rate_falls_along_half_a_cosine():
    assert rates(2, epochs=2) == pytest.approx([1, math.cos(math.pi / 8) ** 2, 0.5, math.sin(math.pi / 8) ** 2])


def test_a_constant_learning_rate_is_constant():
    assert rates(3, epochs=2, schedule="constant") == [1] * 6


def test_it_grows_by_equal_parts_to_its_height_and_then_falls_from_there():
    assert rates(4, epochs=2, warmup=1.0) == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, math.cos(math.pi / 8) ** 2, 0.5, math.sin(math.pi / 8) ** 2]
    )


def test_a_warmup_may_end_within_an_epoch_and_between_two_batches():
    assert rates(4, epochs=1, warmup=0.5, schedule="constant") == [0.5, 1, 1, 1]
    assert rates(5, epochs=1, warmup=0.5, schedule="constant") == pytest.approx([1 / 3, 2 / 3, 1, 1, 1])


def moved(gradients, **options):
    """Where one parameter stands after each gradient, from 1 on."""
    parameter = torch.nn.Parameter(torch.ones(()))
    optimizer = make_optimizer(TrainOptions(learning_rate=0.1, **options).checked(), [parameter])
    places = []
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        places.append(parameter.item())
    return places


def test_sgd_follows_the_gradient_with_momentum():
    assert moved([1.0, 1.0], optimizer="sgd", momentum=0.0, weight_decay=0.0) == pytest.approx([0.9, 0.8])
    assert moved([1.0, 1.0], optimizer="sgd", momentum=0.5, weight_decay=0.0) == pytest.approx([0.9, 0.75])


def test_weight_decay_is_within_the_gradient_but_for_adamw():
    assert moved([1.0], optimizer="sgd", weight_decay=0.5) == pytest.approx([1 - 0.1 * 1.5])
    assert moved([0.0], optimizer="adam", weight_decay=0.5) == pytest.approx([0.9])  # a step of Adam has one size
    assert moved([0.0], optimizer="adamw", weight_decay=0.5) == pytest.approx([1 - 0.1 * 0.5])


def test_the_average_keeps_its_fraction_and_less_at_first():
    options = TrainOptions(network="mlp", ema=0.3).checked()
    network = make_network(options, (4,), 2)
    norm = network["fc1"].norm
    average = averaged(options, network)
    expected = None
    for n, value in enumerate((1.0, 2.0, 5.0, 3.0)):
        with torch.no_grad():
            norm.weight.fill_(value)
            norm.running_mean.fill_(-value)
        average.update_parameters(network)
        decay = min(0.3, (1 + n) / (10 + n))
        expected = value if n == 0 else decay * expected + (1 - decay) * value
        kept = average.module["fc1"].norm
        torch.testing.assert_close(kept.weight, torch.full_like(kept.weight, expected))
        torch.testing.assert_close(kept.running_mean, torch.full_like(kept.weight, -expected))


def test_without_ema_there_is_no_average():
    options = TrainOptions(network="mlp").checked()
    assert averaged(options, make_network(options, (4,), 2)) is None
