"""A Program as an .onnx file."""

from pathlib import Path
from typing import TYPE_CHECKING

from tdd_deploy.errors import MissingDependency
from tdd_deploy.files import replacing
from tdd_deploy.options.vocabulary import Form
from tdd_deploy.program import Program

from .rules import check

if TYPE_CHECKING:
    from .splice import Spliced


def write(program: Program, path: Path, *, form: Form = "step", fast: bool = False) -> None:
    """Write a Program as an ONNX model; the same program gives the same bytes, and a failure leaves nothing behind.

    Tensors have the number format of the program; an integer program has int32. States are inputs, zero before the
    first time step, and outputs, named with ``_next``. The receiver of an edge in delta code holds a sum.

    Args:
        program: what to write.
        path: the file.
        form: ``step`` is one time step, ``[batch, *shape]``; ``scan`` a loop over all, ``[n_steps, batch, *shape]``.
        fast: sum float32 with Conv and Gemm: they are faster, but some runtimes compute them in fewer bits. Other
            number formats ignore it.

    Raises:
        NotExportable: ONNX cannot hold the program; every reason is named.
        BadOption: no such form.
        BadFile: the file cannot be written.
        MissingDependency: onnx is not installed.
    """
    content = build(program, form=form, fast=fast)
    with replacing(path) as part, part.open("wb") as file:
        content.write(file)


def build(
    program: Program,
    *,
    form: Form = "step",
    fast: bool = False,
    layers: bool = False,
    needed_for: str = "an export to ONNX",
) -> "Spliced":
    """Build the model that ``write`` writes.

    Args:
        program: what to write.
        form: as for ``write``.
        fast: as for ``write``.
        layers: whether the values that layers of neurons send are outputs too.
        needed_for: the feature that an error names if onnx is not installed.

    Raises:
        NotExportable: ONNX cannot hold the program; every reason is named.
        BadOption: no such form.
        MissingDependency: onnx is not installed.
    """
    check(program, form)
    try:
        from .model import make
    except ImportError as error:
        raise MissingDependency(str(error.name), needed_for, "'tdd-deploy[onnx]'") from error
    return make(program, form, fast=fast, layers=layers)


def model(
    program: Program,
    *,
    form: Form = "step",
    fast: bool = False,
    layers: bool = False,
    needed_for: str = "an export to ONNX",
) -> bytes:
    """Return the bytes that ``write`` writes; see ``build``."""
    return build(program, form=form, fast=fast, layers=layers, needed_for=needed_for).whole()
