"""Gates: functions of spikes that give spikes, such as the products and the maxima of a transformer."""

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own convention)


class Gate(nn.Module):
    """A function of spikes that gives spikes without a memory; in a Program, a Threshold over their sum.

    In torch it is an operation with a better gradient.
    """

    v_threshold: float


class Both(Gate):
    """1 where both sources spike: their product."""

    v_threshold = 1.5

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return 1 where both are 1, ``[n_steps, batch, ...]``."""
        return a * b


class AnyOf(Gate):
    """1 where any neuron of a 3 x 3 window spikes: its maximum. Windows overlap, and reach over the edge by one."""

    v_threshold = 0.5
    kernel = (3, 3)
    stride = (2, 2)
    padding = (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return 1 where any is 1, ``[n_steps, batch, ...]``."""
        largest = F.max_pool2d(x.flatten(0, 1), self.kernel, self.stride, self.padding)
        return largest.view(*x.shape[:2], *largest.shape[1:])
