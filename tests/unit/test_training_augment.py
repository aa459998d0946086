import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from tdd_deploy.errors import BadOptions
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.training import Samples, TrainingData
from tdd_deploy.training.augment import Augmentation, make_augmentation

pytestmark = pytest.mark.usefixtures("one_thread")


def augmentation(*, image=None, mixup=None, cutmix=None, shape=(1, 8, 8)):
    return Augmentation(image, mixup, cutmix, 4, shape)


def images(n, shape=(1, 8, 8)):
    """No pixel is 0, and none occurs twice."""
    pixels = n * int(np.prod(shape))
    values = np.random.default_rng(0).permutation(pixels).reshape(n, *shape)
    return ((values + 1) / (pixels + 1)).astype(np.float32)


def called(made, x, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return made(x, torch.arange(len(x)) % 4, generator)


ALL = {
    "crop-flip": {"image": "crop-flip"},
    "randaugment": {"image": "randaugment"},
    "mixup": {"mixup": 0.4},
    "cutmix": {"cutmix": 1.0},
    "everything": {"image": "randaugment", "mixup": 0.4, "cutmix": 1.0},
}


@pytest.mark.parametrize("kind", ALL)
def test_the_same_generator_gives_the_same_and_global_ones_are_left_alone(kind):
    x = images(24)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    one, same, other = (called(augmentation(**ALL[kind]), x, seed) for seed in (1, 1, 2))
    assert np.array_equal(one[0], same[0])
    assert torch.equal(one[1], same[1])
    assert not np.array_equal(one[0], other[0])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]  # noqa: NPY002
    assert one[0].dtype == np.float32
    assert one[0].shape == x.shape


@pytest.mark.parametrize(("size", "padding"), [(8, 2), (15, 2), (16, 4), (28, 4)])
def test_a_crop_is_a_window_of_the_padded_image_mirrored_or_not(size, padding):
    x = images(40, (2, size, size))
    found, labels = called(augmentation(image="crop-flip", shape=(2, size, size)), x)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    places = [(top, left) for top in range(2 * padding + 1) for left in range(2 * padding + 1)]
    seen = set()
    for image, border in zip(found, padded, strict=True):
        fitting = {
            (top, left, flipped)
            for top, left in places
            for flipped in (False, True)
            if np.array_equal(image[..., ::-1] if flipped else image, border[:, top : top + size, left : left + size])
        }
        assert len(fitting) == 1
        seen |= fitting
    assert len(seen) > 15
    assert {flipped for *_, flipped in seen} == {False, True}
    assert torch.equal(labels, torch.arange(40) % 4)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_randaugment_keeps_pixels_between_0_and_1_whatever_the_channels(channels):
    x = images(64, (channels, 16, 16))
    for seed in range(4):
        found, labels = called(augmentation(image="randaugment", shape=(channels, 16, 16)), x, seed)
        assert found.min() >= 0
        assert found.max() <= 1
        assert torch.equal(labels, torch.arange(64) % 4)


def test_randaugment_differs_within_a_batch():
    x = np.full((64, 1, 16, 16), 0.5, np.float32)
    found, _ = called(augmentation(image="randaugment", shape=(1, 16, 16)), x)
    assert len({image.mean().round(4) for image in found}) > 4


def test_mixup_blends_images_as_labels():
    x = np.eye(4, dtype=np.float32).reshape(4, 1, 2, 2)  # pixel k is class k
    found, shares = called(augmentation(mixup=1.0, shape=(1, 2, 2)), x)
    np.testing.assert_allclose(found.reshape(4, 4), shares.numpy(), atol=1e-6)
    assert shares.shape == (4, 4)
    torch.testing.assert_close(shares.sum(1), torch.ones(4))
    assert 0 < shares.max() <= 1


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 12)])
def test_cutmix_pastes_a_box_whose_area_is_its_labels_share(shape):
    x = np.repeat((np.arange(4) / 4).astype(np.float32), int(np.prod(shape))).reshape(4, *shape)
    areas = set()
    for seed in range(20):
        found, shares = called(augmentation(cutmix=1.0, shape=shape), x, seed)
        torch.testing.assert_close(shares.sum(1), torch.ones(4))
        for number, (image, share) in enumerate(zip(found, shares, strict=True)):
            own = np.isclose(image, number / 4)
            assert share[number].item() == pytest.approx(own.mean(), abs=1e-6)
            assert (own == own[:1]).all()  # the same box in every channel
            rows, columns = np.nonzero(~own[0])
            if len(rows):
                assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            areas.add(len(rows))
    assert len(areas) > 5


def test_with_both_each_batch_has_one_of_the_two():
    x = np.repeat((np.arange(4) / 4).astype(np.float32), 64).reshape(4, 1, 8, 8)
    kinds = {
        all(np.isclose(image * 4, np.round(image * 4)).all() for image in found)  # no values between: pasted
        for found in (called(augmentation(mixup=1.0, cutmix=1.0), x, seed)[0] for seed in range(12))
    }
    assert kinds == {True, False}


def data(*, input_shape=(1, 8, 8), in_time=False, least=0.0):
    x = np.full((4, *((3,) if in_time else ()), *input_shape), least, np.float32)
    samples = Samples(x, np.arange(4))
    return TrainingData(train=samples, validation=samples, input_shape=input_shape, n_classes=4, in_time=in_time)


def test_nothing_asked_for_is_nothing():
    assert make_augmentation(TrainOptions().checked(), data()) is None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"input_shape": (64,)}, "needs images (got samples of shape (64,))."),
        ({"in_time": True}, "needs images (got samples in time)."),
    ],
)
def test_only_images_are_augmented(given, why):
    options = TrainOptions(network="mlp", augment="crop-flip", mixup=0.2, cutmix=1.0).checked()
    with pytest.raises(BadOptions) as caught:
        make_augmentation(options, data(**given))
    assert [str(violation) for violation in caught.value.violations] == [
        f"`augment` {why}",
        f"`mixup` {why}",
        f"`cutmix` {why}",
    ]


def test_randaugment_needs_pixels_between_0_and_1():
    options = TrainOptions(augment="randaugment").checked()
    assert make_augmentation(options, data()) is not None
    with pytest.raises(
        BadOptions, match=r"augment=randaugment needs pixels from 0 to 1 \(got -1\.0 to -1\.0\)\. Use augment=crop-flip"
    ):
        make_augmentation(options, data(least=-1.0))


def test_without_kornia_all_but_augment_goes_on():
    code = (
        "import sys; sys.modules['kornia'] = None; from tests.unit.test_training_augment import *; "
        "make_augmentation(TrainOptions(mixup=0.2).checked(), data()); print('goes on'); "
        "make_augmentation(TrainOptions(augment='crop-flip').checked(), data())"
    )
    called = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert called.returncode == 1
    assert "train with augment needs kornia. Install it with: pip install 'tdd-deploy[augment]'" in called.stderr
    assert called.stdout == "goes on\n"
