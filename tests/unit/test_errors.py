import re
from pathlib import Path

import pytest

from tdd_deploy import errors
from tdd_deploy.errors import (
    BadFile,
    BadOption,
    BadOptions,
    BadProgram,
    DataNotFound,
    Interrupted,
    MissingDependency,
    MissingEnvironment,
    Refused,
    TddDeployError,
    Violation,
    WorkerFailed,
)


def below(cls):
    return {child for direct in cls.__subclasses__() for child in ({direct} | below(direct))}


ERRORS = sorted(
    (cls for cls in below(TddDeployError) if cls.__module__ == errors.__name__), key=lambda cls: cls.__name__
)
BITS = Violation("hidden", "weight bits is 9", "1 to 8", "quantize(program, weight_bits=8) brings it there.")
ZERO = Violation("readout", "no edge leads away", "at least 1")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (BadFile(Path("a/b.nir"), "is a folder", "name a file"), "a/b.nir: is a folder; name a file."),
        (BadFile("b.nir", "is missing", "name a file"), "b.nir: is missing; name a file."),
        (BadOption("--steps", "0", "1 or more"), "--steps is 0; allowed: 1 or more."),
        (
            DataNotFound("mnist", [Path("/a"), Path("b")], "run fetch"),
            "data set mnist not found; looked in /a, b; run fetch.",
        ),
        (
            DataNotFound("mnist", [], "give --data-dir"),
            "data set mnist not found; looked in no folder, since none was named; give --data-dir.",
        ),
        (
            MissingDependency("torch", "tdd-deploy train", "'tdd-deploy[train]'"),
            "tdd-deploy train needs torch; install it with: pip install 'tdd-deploy[train]'",
        ),
        (
            MissingEnvironment("tdd-deploy lava setup", "Python 3.10", ["PATH", "~/.pyenv"], "install it"),
            "tdd-deploy lava setup needs Python 3.10; looked in PATH, ~/.pyenv; install it.",
        ),
        (WorkerFailed("bundle", "failed"), "bundle: failed"),
        (
            WorkerFailed("bundle", "failed", "mend it", ["a", "b"], Path("x.log")),
            "bundle: failed; mend it\n  | a\n  | b\nthe whole log: x.log",
        ),
        (Interrupted("2 epochs are saved"), "interrupted; 2 epochs are saved"),
    ],
)
def test_an_error_says_what_was_found_and_how_to_go_on(error, text):
    assert str(error) == text


def test_a_violation_says_where_what_is_allowed_and_how_to_get_there():
    assert str(BITS) == ("hidden: weight bits is 9; allowed: 1 to 8. quantize(program, weight_bits=8) brings it there.")


def test_a_violation_without_a_remedy_ends_after_what_is_allowed():
    assert str(ZERO) == "readout: no edge leads away; allowed: at least 1."


def test_one_violation_stands_on_one_line():
    assert str(BadProgram("this program", [ZERO])) == "this program: readout: no edge leads away; allowed: at least 1."


def test_several_violations_are_counted_and_listed():
    assert str(BadProgram("this program", (BITS, ZERO))).splitlines() == [
        "this program (2 found):",
        "  - hidden: weight bits is 9; allowed: 1 to 8. quantize(program, weight_bits=8) brings it there.",
        "  - readout: no edge leads away; allowed: at least 1.",
    ]


@pytest.mark.parametrize("error", ERRORS)
def test_the_exit_code_is_2_but_for_a_missing_part_and_an_interruption(error):
    assert error.exit_code == {MissingDependency: 3, MissingEnvironment: 3, Interrupted: 130}.get(error, 2)


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_stands_in_the_tree_at_the_top_of_the_file(error):
    assert error.__name__ in re.findall(r"\w+", errors.__doc__)


def test_whoever_mends_several_options_catches_a_refusal():
    assert issubclass(BadOptions, Refused)
    with pytest.raises(TddDeployError, match=r"--lr.*allowed"):
        raise BadOptions("these options", [Violation("--lr", "is -1", "a positive number")])
