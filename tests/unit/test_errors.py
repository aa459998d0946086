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
    any_of,
    did_you_mean,
)


def below(cls):
    return {child for direct in cls.__subclasses__() for child in ({direct} | below(direct))}


ERRORS = sorted(
    (cls for cls in below(TddDeployError) if cls.__module__ == errors.__name__), key=lambda cls: cls.__name__
)
BITS = Violation("hidden: weight bits", "9", "1 to 8", "Use quantize(program, weight_bits=8).")
ZERO = Violation("readout", "has no edge that leads away")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (BadFile(Path("a/b.nir"), "is a folder", "name a file"), "a/b.nir is a folder. Name a file."),
        (BadFile("b.nir", "is missing", "Name a file."), "b.nir is missing. Name a file."),
        (BadOption("steps", "0", "1 or more"), "steps must be 1 or more (got 0)."),
        (
            BadOption("record", "needs one process", remedy="Use `threads=2`."),
            "record needs one process. Use threads=2.",
        ),
        (
            DataNotFound("mnist", [Path("/a"), Path("b")], "run fetch"),
            "data set mnist was not found; looked in /a, b. Run fetch.",
        ),
        (
            DataNotFound("mnist", [], "Use `data_dir`."),
            "data set mnist was not found; looked in no folder, since none was named. Use data_dir.",
        ),
        (
            MissingDependency("torch", "tdd-deploy train", "'tdd-deploy[train]'"),
            "tdd-deploy train needs torch. Install it with: pip install 'tdd-deploy[train]'",
        ),
        (
            MissingEnvironment("tdd-deploy lava setup", "Python 3.10", ["PATH", "~/.pyenv"], "install it"),
            "tdd-deploy lava setup needs Python 3.10; looked in PATH, ~/.pyenv. Install it.",
        ),
        (WorkerFailed("bundle", "failed"), "bundle failed"),
        (
            WorkerFailed("bundle", "failed", "repair it", ["a", "b"], Path("x.log")),
            "bundle failed. Repair it.\n  | a\n  | b\nthe whole log: x.log",
        ),
        (Interrupted("2 epochs are saved"), "interrupted; 2 epochs are saved"),
    ],
)
def test_an_error_says_what_was_found_and_how_to_go_on(error, text):
    assert str(error) == text


def test_a_violation_says_where_what_is_allowed_and_how_to_get_there():
    assert str(BITS) == "hidden: weight bits must be 1 to 8 (got 9). Use quantize(program, weight_bits=8)."


def test_a_violation_without_a_remedy_is_one_sentence():
    assert str(ZERO) == "readout has no edge that leads away."


def test_one_violation_stands_on_one_line():
    assert str(BadProgram("this program", [ZERO])) == "this program: readout has no edge that leads away."


def test_several_violations_are_counted_and_listed():
    assert str(BadProgram("this program", (BITS, ZERO))).splitlines() == [
        "this program (2 found):",
        "  - hidden: weight bits must be 1 to 8 (got 9). Use quantize(program, weight_bits=8).",
        "  - readout has no edge that leads away.",
    ]


def test_several_options_need_no_subject():
    assert str(BadOptions("", (Violation("`a`", "needs `b`"), Violation("`c`", "0", "1 or more")))).splitlines() == [
        "these options (2 found):",
        "  - a needs b.",
        "  - c must be 1 or more (got 0).",
    ]


def test_a_parameter_keeps_its_backticks_in_the_message_alone():
    error = BadOption("input_scale", "cannot be combined with integers", remedy="Use `input_scale=1/256`.")
    assert error.message == "`input_scale` cannot be combined with integers. Use `input_scale=1/256`."
    assert str(error) == "input_scale cannot be combined with integers. Use input_scale=1/256."


@pytest.mark.parametrize(
    ("word", "suggestion"), [("epoch", "Did you mean epochs?"), ("epochs", "Did you mean epochs?"), ("zzz", "")]
)
def test_the_closest_word_is_suggested(word, suggestion):
    assert did_you_mean(word, ["steps", "epochs", "batch"]) == suggestion


@pytest.mark.parametrize(
    ("words", "text"), [(["a"], "a"), (("a", "b"), "a or b"), ({"a": 1, "b": 2, "c": 3}, "a, b or c")]
)
def test_allowed_words_are_one_list(words, text):
    assert any_of(words) == text


@pytest.mark.parametrize("error", ERRORS)
def test_the_exit_code_is_2_but_for_a_missing_part_and_an_interruption(error):
    assert error.exit_code == {MissingDependency: 3, MissingEnvironment: 3, Interrupted: 130}.get(error, 2)


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_stands_in_the_tree_at_the_top_of_the_file(error):
    assert error.__name__ in re.findall(r"\w+", errors.__doc__)


def test_whoever_catches_refusals_catches_options_too():
    assert issubclass(BadOptions, Refused)
    with pytest.raises(TddDeployError, match=r"learning_rate must be above 0 \(got -1\)"):
        raise BadOptions("", [Violation("`learning_rate`", "-1", "above 0")])
