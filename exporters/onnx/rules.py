"""Rules for programs that an ONNX model can hold; one short function per rule."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import get_args

from tdd_deploy.errors import BadOption, NotExportable, Violation, any_of
from tdd_deploy.options.vocabulary import Form
from tdd_deploy.program import Program
from tdd_deploy.program.program import arrays

from .states import next_of, states

FORMS: tuple[Form, ...] = get_args(Form)
LARGEST = 2**31 - 2**26  # bytes: protobuf ends below 2 GiB; 64 MiB are for everything but weights
Rule = Callable[[Program], Iterator[Violation]]


def check(program: Program, form: Form) -> None:
    """Refuse a program that no ONNX model can hold, as ``write`` does.

    Raises:
        NotExportable: every reason is named.
        BadOption: no such form.
    """
    if form not in FORMS:
        raise BadOption("form", repr(form), any_of(FORMS))
    found = tuple(violation for rule in RULES for violation in rule(program))
    if found:
        raise NotExportable("this program does not fit ONNX", found)


def texts_can_be_stored(program: Program) -> Iterator[Violation]:
    """Protobuf holds Unicode, and runtimes end a name at NUL."""
    texts = [("the name of a node", node.name) for node in program.nodes]
    texts += [("encoder", program.encoder), *((f"provenance {k!r}", k + v) for k, v in program.provenance.items())]
    for where, text in texts:
        if "\0" in text or text.encode(errors="replace").decode() != text:
            yield Violation(where, repr(text), "Unicode text without NUL")


def names_of_states_are_free(program: Program) -> Iterator[Violation]:
    """States are called after their nodes, and inputs and outputs of a model by name."""
    names = [node.name for node in program.nodes]
    names += [name for state in states(program) for name in (state.name, next_of(state.name))]
    for name, count in Counter(names).items():
        if count > 1:
            yield Violation(name, "is the name of a node and of another node's state", remedy="Rename the node.")


def sizes_are_positive(program: Program) -> Iterator[Violation]:
    """Runtimes refuse, or mistake, tensors without elements."""
    for node in program.nodes:
        shape = program.shapes[node.name]
        if 0 in shape:
            yield Violation(node.name, f"sends shape {shape}, but ONNX needs dimensions of 1 or more")


def weights_fit_one_file(program: Program) -> Iterator[Violation]:
    """A protobuf message ends below 2 GiB."""
    size = sum(array.nbytes for node in program.nodes for _, array in arrays(node))
    if size > LARGEST:
        found = f"has {size:,} bytes of weights and parameters, but an ONNX file of 2 GiB holds {LARGEST:,}"
        yield Violation("the program", found)


def outputs_are_sent(program: Program) -> Iterator[Violation]:
    """A model's output takes the values that its last node sends, not potentials."""
    if program.output.reading != "spikes":
        found = f"reads a {program.output.reading}, which an ONNX model does not send"
        yield Violation(program.output.name, found, remedy="Read its spikes instead.")


RULES: tuple[Rule, ...] = (
    texts_can_be_stored,
    names_of_states_are_free,
    sizes_are_positive,
    weights_fit_one_file,
    outputs_are_sent,
)
