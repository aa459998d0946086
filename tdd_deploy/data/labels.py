"""Class labels: integers from 0 to the number of classes - 1."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tdd_deploy.errors import BadData, Violation

UNLABELED = (-1, 255)  # among labels per time step: a step without a label


def check_labels(y: npt.NDArray[Any], n_classes: int | None, subject: str, *, start: int = 0) -> None:
    """Refuse labels below 0 or, where ``n_classes`` is known, above ``n_classes - 1``.

    Args:
        y: integers ``[B]``.
        n_classes: None allows every label from 0 on.
        subject: name of the data, for the error.
        start: index of the first label in its split.

    Raises:
        BadData: a label is out of range; the first one is named.
    """
    bad = y < 0 if n_classes is None else (y < 0) | (y >= n_classes)
    if not bad.any():
        return
    first = int(np.argmax(bad))
    allowed = "0 or more" if n_classes is None else f"0 to {n_classes - 1}"
    raise BadData(subject, [Violation(f"the label of sample {start + first}", str(y[first]), allowed)])
