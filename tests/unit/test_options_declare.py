"""An option is one field: everything else follows from it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import click
import pytest
from click.testing import CliRunner

from tdd_deploy.cli.flags import with_flags, with_options
from tdd_deploy.errors import BadOptions, Violation
from tdd_deploy.options.declare import Gathered, Options, Range, gather, option, options_of
from tdd_deploy.options.execution import Execution
from tdd_deploy.options.pricing import Pricing
from tdd_deploy.options.training import TrainOptions


@dataclass(frozen=True, kw_only=True)
class More(Execution):
    """The options of an execution, and one more."""

    pipeline_depth: int = option(2, within=Range(1, 8), help="Keep this number of batches in flight.")


@click.command()
@with_options(More)
def command(*, options: Gathered) -> None:
    click.echo(json.dumps(options[More].as_json()))


def test_a_new_field_is_a_flag_with_help_and_default() -> None:
    shown = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "--pipeline-depth INTEGER Keep this number of batches in flight. Default: 2." in shown
    found = CliRunner().invoke(command, ["--pipeline-depth", "3"], catch_exceptions=False)
    assert json.loads(found.output)["pipeline_depth"] == 3


def test_a_new_field_is_a_key_in_toml(tmp_path: Path) -> None:
    config = tmp_path / "tdd.toml"
    config.write_text("[command]\npipeline-depth = 5\n")
    found = CliRunner().invoke(command, ["--config", str(config)], catch_exceptions=False)
    assert json.loads(found.output)["pipeline_depth"] == 5
    overridden = CliRunner().invoke(command, ["--config", str(config), "--pipeline-depth", "6"], catch_exceptions=False)
    assert json.loads(overridden.output)["pipeline_depth"] == 6
    config.write_text('[command]\npipeline-dept = 5\nbatch = "many"\n')
    with pytest.raises(BadOptions) as refused:
        CliRunner().invoke(command, ["--config", str(config)], catch_exceptions=False)
    assert "Did you mean pipeline-depth?" in str(refused.value)
    assert "batch must be a whole number, 1 or more (got 'many')" in str(refused.value)


def test_a_new_field_is_checked_with_all_others_at_once() -> None:
    with pytest.raises(BadOptions) as refused:
        gather({"pipeline_depth": 9, "batch": 0, "pipeline_dept": 1}, More)
    assert str(refused.value).splitlines()[1:] == [
        "  - pipeline_dept: no such option; did you mean pipeline_depth?",
        "  - batch must be 1 or more (got 0).",
        "  - pipeline_depth must be 1 to 8 (got 9).",
    ]


def test_a_new_field_is_recorded_and_travels_with_the_object() -> None:
    made = gather({"pipeline_depth": 4}, More)[More]
    assert made.as_json()["pipeline_depth"] == 4
    # What does not affect results, such as the number of threads, is no part of the record.
    left_out = {each.name for each in options_of(More) if not each.declaration.recorded}
    assert left_out == {"batch", "threads", "workers", "scheduler", "record", "record_potentials"}
    assert made.as_json().keys() == {field.name for field in fields(made)} - left_out


def test_messages_name_parameters_in_python_and_flags_on_the_command_line() -> None:
    with pytest.raises(BadOptions) as refused:
        gather({"step_time_s": -1.0, "profiles": ("loihi2",)}, Pricing)
    assert "step_time_s must be above 0 (got -1)" in str(refused.value)
    assert "profiles needs energy" in str(refused.value)
    assert "--step-time must be above 0 (got -1)" in with_flags(refused.value.message)
    assert "--profile needs --energy" in with_flags(refused.value.message)
    assert with_flags("Use `input_scale=1/256` or `frames=True`, and `x` stays.") == (
        "Use --input-scale 1/256 or --frames, and x stays."
    )


def test_more_workers_than_a_machine_starts_are_refused() -> None:
    with pytest.raises(BadOptions, match=r"workers must be 1 to 1,024 \(got 100000\)"):
        gather({"workers": 100_000}, Execution)


class TestConversion:
    @dataclass(frozen=True, kw_only=True)
    class Kinds(Options):
        whole: int | None = option(None, help="A whole number.")
        number: float = option(1.0, help="A number.")
        word: Literal["left", "right"] = option("left", help="A word.")
        yes: bool = option(False, help="A choice.")
        path: Path | None = option(None, help="A path.")
        text: str | None = option(None, help="A text.")
        several: tuple[float, ...] = option((), help="Numbers.")
        within: float = option(0.0, within=Range(0, 1), help="A fraction.")

        def conflicts(self) -> Iterator[Violation]:
            if self.yes and self.word == "right":
                yield Violation("`yes`", "cannot be combined with `word=right`")
            if self.yes and self.within:
                yield Violation("`within`", "cannot be combined with `yes`")

    def test_values_of_a_field_s_kind_are_taken(self) -> None:
        given = {"whole": 3, "number": "1/256", "word": "right", "path": "a/b", "text": Path("c"), "several": [1, 2.5]}
        made = self.Kinds.of(**given)
        assert (made.whole, made.number, made.word) == (3, 1 / 256, "right")
        assert (made.path, made.text, made.several) == (Path("a/b"), "c", (1.0, 2.5))

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("whole", 1.5), ("whole", "3"), ("whole", True), ("number", "x"), ("number", True), ("number", "1/0"),
            ("number", "nan"), ("number", "inf"), ("number", "1e400"), ("number", "1e999999999"), ("number", 10**400),
            ("word", "lefty"), ("word", 3), ("yes", 1), ("yes", "yes"), ("path", 3), ("text", 3), ("several", ["x"]),
        ],
    )  # fmt: skip
    def test_other_values_are_refused_by_name(self, name: str, value: object) -> None:
        with pytest.raises(BadOptions, match=f"{name} must be"):
            self.Kinds.of(**{name: value})

    def test_an_unknown_word_is_answered_with_the_closest(self) -> None:
        with pytest.raises(BadOptions, match=r"word must be left or right \(got 'rigth'\). Did you mean right\?"):
            self.Kinds.of(word="rigth")

    def test_numbers_are_shown_with_all_their_digits(self) -> None:
        with pytest.raises(BadOptions, match=r"^within must be 0 to 1 \(got 1\.0000000001\)\.$"):
            self.Kinds.of(within=1.0000000001)
        with pytest.raises(BadOptions, match=r"\(got 2\)"):
            self.Kinds.of(within=2.0)

    def test_a_value_out_of_range_is_named_once(self) -> None:
        with pytest.raises(BadOptions, match=r"^within must be 0 to 1 \(got 3\)\.$"):
            self.Kinds.of(within=3, yes=True)
        with pytest.raises(BadOptions, match=r"^within cannot be combined with yes\.$"):
            self.Kinds.of(within=0.5, yes=True)

    def test_what_excludes_each_other_is_one_sentence(self) -> None:
        with pytest.raises(BadOptions, match=r"^yes cannot be combined with word=right\.$"):
            self.Kinds.of(yes=True, word="right")


@pytest.mark.parametrize(
    ("within", "words", "inside", "outside"),
    [
        (Range(1), "1 or more", [1, 1e300], [0, 0.999, float("nan")]),
        (Range(0, above=True, below=True), "above 0", [1e-9], [0, -1, float("inf"), float("nan")]),
        (Range(0, 1), "0 to 1", [0, 1], [-0.1, 1.1]),
        (Range(0, 1, below=True), "at least 0 and below 1", [0, 0.999], [1]),
        (Range(0, 1, above=True, below=True), "above 0 and below 1", [0.5], [0, 1]),
        (Range(2, 8), "2 to 8", [2, 8], [1, 9]),
        (Range(1, 2**24), "1 to 16,777,216", [2**24], [0, 2**24 + 1]),
        (Range(0, 2**63 - 1), "0 to 2**63 - 1", [0, 2**63 - 1], [-1, 2**63]),
        (Range(2, why="as batch norm needs"), "2 or more, as batch norm needs", [2], [1]),
    ],
)
def test_a_range_has_words_and_limits(within: Range, words: str, inside: list[float], outside: list[float]) -> None:
    assert str(within) == words
    assert all(value in within for value in inside)
    assert not any(value in within for value in outside)


def test_every_option_of_training_explains_itself_in_one_sentence_or_two() -> None:
    for each in options_of(TrainOptions):
        assert each.declaration.help.endswith("."), each.name
        assert len(each.declaration.help) < 200, each.name


@dataclass(frozen=True, kw_only=True)
class Mixed(Options):
    """A number, or a word for it."""

    margin: float | Literal["tuned"] | None = option(
        None, metavar="NUMBER|tuned", within=Range(0, above=True), help="Stop at this."
    )


@click.command("mixed")
@with_options(Mixed)
def mixed(options: Gathered) -> None:
    click.echo(json.dumps(options[Mixed].as_json()))


def test_a_number_may_have_words_beside_it() -> None:
    for given, read in (("0.5", 0.5), ("1/4", 0.25), ("tuned", "tuned")):
        assert gather({"margin": given}, Mixed)[Mixed].margin == read
        found = CliRunner().invoke(mixed, ["--margin", given], catch_exceptions=False)
        assert json.loads(found.output) == {"margin": read}
    assert "--margin NUMBER|tuned" in CliRunner().invoke(mixed, ["--help"]).output
    for given, shown in ((-1, "-1"), ("tund", r"'tund'\)\. Did you mean tuned\?"), (True, "True")):
        with pytest.raises(BadOptions, match=rf"margin must be tuned, or a number above 0 \(got {shown}"):
            gather({"margin": given}, Mixed)
