"""How much is kept for backward passes."""

from collections import Counter

from torch.autograd.graph import saved_tensors_hooks


class Meter:
    """Bytes of storages kept for backward, now and at most at one time: each once, and those left out never."""

    def __init__(self, left_out):
        self.now = self.most = 0
        self._kept = Counter()
        self._left_out = {tensor.untyped_storage().data_ptr() for tensor in left_out}

    def take(self, place, size):
        self._kept[place] += 1
        if self._kept[place] == 1 and place not in self._left_out:
            self.now += size
            self.most = max(self.most, self.now)

    def give_back(self, place, size):
        self._kept[place] -= 1
        if self._kept[place] == 0 and place not in self._left_out:
            self.now -= size


class Kept:
    def __init__(self, tensor, meter):
        storage = tensor.untyped_storage()
        self.tensor, self._meter = tensor, meter
        self._entry = storage.data_ptr(), storage.nbytes()
        meter.take(*self._entry)

    def __del__(self):
        self._meter.give_back(*self._entry)


def most_kept(compute, left_out=()):
    """Return the largest number of bytes that were kept at one time; all of them are given back in the end."""
    meter = Meter(left_out)
    with saved_tensors_hooks(lambda tensor: Kept(tensor, meter), lambda kept: kept.tensor):
        compute()
    assert meter.now == 0
    return meter.most
