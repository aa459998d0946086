"""How much is kept for backward passes."""

from collections import Counter

from torch.autograd.graph import saved_tensors_hooks


class Meter:
    """Bytes of storages kept for backward, now and at most at one time: each once, and those left out never."""

    def __init__(self, left_out):
        self.now = self.most = 0
        self._kept = Counter()
        self._sizes = {}  # of what is kept of a storage, which may be a part
        self._left_out = {tensor.untyped_storage().data_ptr() for tensor in left_out}

    def take(self, place, size):
        if place in self._left_out:
            return
        self._kept[place] += 1
        self.now += max(0, size - self._sizes.get(place, 0))
        self._sizes[place] = max(size, self._sizes.get(place, 0))
        self.most = max(self.most, self.now)

    def give_back(self, place):
        if place in self._left_out:
            return
        self._kept[place] -= 1
        if self._kept[place] == 0:
            self.now -= self._sizes.pop(place)


class Kept:
    def __init__(self, tensor, meter):
        self.tensor, self._meter = tensor, meter
        self._place = tensor.untyped_storage().data_ptr()
        meter.take(self._place, tensor.numel() * tensor.element_size())

    def __del__(self):
        self._meter.give_back(self._place)


def most_kept(compute, left_out=()):
    """Return the largest number of bytes that were kept at one time; all of them are given back in the end."""
    meter = Meter(left_out)
    with saved_tensors_hooks(lambda tensor: Kept(tensor, meter), lambda kept: kept.tensor):
        compute()
    assert meter.now == 0
    return meter.most
