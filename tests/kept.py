"""How much is kept for backward passes."""

from torch.autograd.graph import saved_tensors_hooks


class Meter:
    """Bytes of tensors kept for backward: now, and at most at one time. A tensor kept twice counts twice."""

    def __init__(self):
        self.now = self.most = 0

    def take(self, size):
        self.now += size
        self.most = max(self.most, self.now)


class Kept:
    def __init__(self, tensor, meter):
        self.tensor = tensor
        self.size = tensor.numel() * tensor.element_size()
        self.meter = meter
        meter.take(self.size)

    def __del__(self):
        self.meter.now -= self.size


def most_kept(compute):
    """Return the largest number of bytes that were kept at one time; all of them are given back in the end."""
    meter = Meter()
    with saved_tensors_hooks(lambda tensor: Kept(tensor, meter), lambda kept: kept.tensor):
        compute()
    assert meter.now == 0
    return meter.most
