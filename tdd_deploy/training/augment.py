"""Random changes of images while a network learns, and mixtures of two images and their labels.

Sources: RandAugment, Cubuk et al., CVPR Workshops 2020, with kornia's operations; mixup, Zhang et al., ICLR 2018;
CutMix, Yun et al., ICCV 2019.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (torch's own convention)

from tdd_deploy.errors import BadOption, BadOptions, MissingDependency, Violation
from tdd_deploy.options import vocabulary
from tdd_deploy.options.training import TrainOptions
from tdd_deploy.program import Shape

from .chance import seeded
from .samples import TrainingData, encoded, shrunk

SMALL = 16  # pixels; a crop removes less from smaller images
OPERATIONS, MAGNITUDE = 2, 9  # parameters of RandAugment
GROUP = 8  # samples with the same operations of RandAugment, so that a batch has several


@dataclass(frozen=True)
class Augmentation:
    """The changes of a batch of images before the network learns from it.

    Args:
        image: ``crop-flip`` or ``randaugment``.
        mixup: the parameter of mixup; with CutMix too, each batch takes one of the two at random.
        cutmix: the parameter of CutMix.
        n_classes: the number of classes.
        shape: the shape of an image.
    """

    image: vocabulary.Augmentation | None
    mixup: float | None
    cutmix: float | None
    n_classes: int
    shape: tuple[int, ...]

    def __call__(
        self, x: NDArray[np.float32], labels: Tensor, generator: torch.Generator
    ) -> tuple[NDArray[np.float32], Tensor]:
        """Return changed images, and their labels: class probabilities ``[batch, n_classes]`` if images were mixed."""
        if self.image is not None:
            x = self._changed(torch.from_numpy(x), _seed(generator)).numpy()
        if self.mixup is None and self.cutmix is None:
            return x, labels
        chance = np.random.default_rng(_seed(generator))
        other = chance.permutation(len(x))
        is_cut = self.cutmix is not None and (self.mixup is None or chance.random() < 0.5)
        if is_cut:
            assert self.cutmix is not None
            x, kept = _cut(x, x[other], chance.beta(self.cutmix, self.cutmix), chance)
        else:
            assert self.mixup is not None
            kept = chance.beta(self.mixup, self.mixup)
            x = (kept * x + (1 - kept) * x[other]).astype(np.float32)
        classes = F.one_hot(labels, self.n_classes).float()
        return x, kept * classes + (1 - kept) * classes[torch.from_numpy(other)]

    def _changed(self, x: Tensor, seed: int) -> Tensor:
        with seeded(seed):  # kornia draws from the global generator
            cropped: Tensor = self._crop_flip(x)
            if self.image == "randaugment":
                groups = [self._randaugment(group) for group in torch.split(cropped, GROUP)]
                cropped = torch.cat(groups).clamp(0, 1)
            return cropped

    @cached_property
    def _crop_flip(self) -> Callable[[Tensor], Tensor]:
        from kornia.augmentation import RandomCrop, RandomHorizontalFlip

        size = self.shape[1], self.shape[2]
        crop, flip = RandomCrop(size, padding=2 if min(size) < SMALL else 4), RandomHorizontalFlip()
        return lambda x: flip(crop(x))

    @cached_property
    def _randaugment(self) -> Callable[[Tensor], Tensor]:
        from kornia.augmentation.auto import RandAugment
        from kornia.augmentation.auto.rand_augment.rand_augment import default_policy

        policy = [each for each in default_policy if self.shape[0] == 3 or each[0][0] != "color"]
        made: Callable[[Tensor], Tensor] = RandAugment(OPERATIONS, MAGNITUDE, policy=policy)
        return made


def make_augmentation(options: TrainOptions, data: TrainingData) -> Augmentation | None:
    """Make the augmentation of a run; None without one.

    Raises:
        BadOptions: the samples are not images, or their values are not pixels.
        MissingDependency: kornia is not installed.
    """
    wanted = {"augment": options.augment, "mixup": options.mixup, "cutmix": options.cutmix}
    given = {name: value for name, value in wanted.items() if value is not None}
    if not given:
        return None
    if len(data.input_shape) != 3 or data.in_time:
        samples = "samples in time" if data.in_time else f"samples of shape {data.input_shape}"
        raise BadOptions("", [Violation(f"`{name}`", f"needs images (got {samples})") for name in given])
    if options.augment == "randaugment" and not (data.train.x.min() >= 0 and data.train.x.max() <= 1):
        found = f"needs pixels from 0 to 1 (got {data.train.x.min()} to {data.train.x.max()})"
        raise BadOption("augment=randaugment", found, remedy="Use `augment=crop-flip`, or scale the data.")
    if options.augment is not None:
        _require_kornia()
    return Augmentation(options.augment, options.mixup, options.cutmix, data.n_classes, data.input_shape)


def drawn(
    rows: NDArray[np.int64],
    data: TrainingData,
    options: TrainOptions,
    augmentation: Augmentation | None,
    generator: torch.Generator,
    *,
    shape: Shape | None = None,
) -> tuple[Tensor, Tensor]:
    """Return training samples as networks take them (``samples.encoded``), and their classes or class probabilities.

    With ``shape``, images are changed first and then made smaller.
    """
    x, targets = data.train.x[rows], torch.from_numpy(data.train.y[rows])
    if augmentation is not None:
        x, targets = augmentation(x, targets, generator)
    if shape is not None:
        x = shrunk(x, shape)
    return encoded(x, options, in_time=data.in_time, generator=generator), targets


def _require_kornia() -> None:
    try:
        import kornia.augmentation  # noqa: F401
    except ImportError as error:
        raise MissingDependency("kornia", "train with `augment`", "'tdd-deploy[augment]'") from error


def _cut(
    x: NDArray[np.float32], other: NDArray[np.float32], kept: float, chance: np.random.Generator
) -> tuple[NDArray[np.float32], float]:
    """Paste a box of other images, about ``1 - kept`` of the area; return the images and the area kept exactly."""
    height, width = x.shape[2:]
    side = np.sqrt(1 - kept)
    place = [(chance.integers(length), round(side * length)) for length in (height, width)]
    (top, bottom), (left, right) = (
        (max(0, center - extent // 2), min(length, center - extent // 2 + extent))
        for (center, extent), length in zip(place, (height, width), strict=True)
    )
    mixed = x.copy()
    mixed[:, :, top:bottom, left:right] = other[:, :, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**63 - 1, (), generator=generator))
