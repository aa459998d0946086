"""tdd-deploy check, as a stranger uses it."""

import json
from pathlib import Path

import pytest

from tdd_deploy import check
from tdd_deploy.errors import BadOptions
from tdd_deploy.exporters.nir.write import write
from tdd_deploy.program import Program
from tdd_deploy.simulator.hardware.chips import chip_names, load_chip
from tdd_deploy.simulator.hardware.profiles import load_profile, profile_names
from tests.commands import Call
from tests.unit.test_check import integers, mlp, recurrent, residual

CHIP = """
schema = 1
name = "mine"
title = "My chip"
remark = "A sketch."
not_checked = ["the radio", "the weather"]
[limit.fan_in]
value = {fan_in}
unit = "synapse"
confidence = "vendor"
source = "a brochure"
[synapses]
sharing = "none"
source = "my lab"
[spikes]
kind = "{kind}"
bits = 8
source = "a manual"
"""


def written(folder: Path, program: Program) -> Path:
    write(program, folder / "network.nir")
    return folder / "network.nir"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """input 4 -> first 6 -> second 5 -> output 3, of IF; spikes in."""
    return written(tmp_path, mlp())


def chip_file(folder: Path, *, fan_in: int = 6, kind: str = "graded") -> Path:
    path = folder / "mine.toml"
    path.write_text(CHIP.format(fan_in=fan_in, kind=kind), encoding="utf-8")
    return path


@pytest.mark.parametrize("chip", chip_names())
def test_a_network_that_breaks_no_limit_is_exit_0_with_what_was_not_checked(chip: str, call: Call, small: Path) -> None:
    called = call("check", small, "--chip", chip)
    assert (called.code, called.err) == (0, "")
    assert called.out.endswith(f"\n\n{chip}: no published limit is broken\n")
    assert f"{load_chip(chip).title}. {load_chip(chip).remark}\n" in called.out
    for line in load_chip(chip).not_checked:
        assert f"not checked: {line}\n" in called.out
    assert "assumed: weights in floats are taken as integers of 8 bits (--bits)\n" in called.out
    assert "fits" not in called.out
    for layer in ("first", "second", "output"):
        assert layer in called.out


@pytest.mark.parametrize("chip", chip_names())
def test_a_network_that_does_not_fit_is_exit_1_with_rule_node_source_and_remedy(
    chip: str, call: Call, tmp_path: Path
) -> None:
    path = written(tmp_path, mlp(n_in=1, first=1_100_000, n_out=1, second=1))
    called = call("check", path, "--chip", chip)
    assert (called.code, called.err) == (1, "")
    assert f"{chip}: does not fit, for " in called.out
    assert "  - the network: cores per chip must be at most " in called.out
    assert f"    source: {load_chip(chip).limits['cores'].source}\n" in called.out
    for line in load_chip(chip).not_checked:
        assert f"not checked: {line}\n" in called.out


def test_a_chip_of_ones_own_is_named_by_its_path(call: Call, small: Path) -> None:
    # second has 6 inputs
    assert call("check", small, "--chip", chip_file(small.parent)).code == 0
    called = call("check", small, "--chip", chip_file(small.parent, fan_in=5))
    assert called.code == 1
    assert "mine: does not fit, for 1 reason\n" in called.out
    assert "My chip. A sketch.\n" in called.out
    assert "  - second: synapses into a neuron must be at most 5 (got 6): a neuron has no more inputs." in called.out
    assert " With 5 channels in first it fits (checked).\n    source: a brochure\n" in called.out
    assert "not checked: the radio\nnot checked: the weather\n\nmine: " in called.out


def test_check_prints_one_json_object(call: Call, small: Path) -> None:
    for fan_in, code in ((6, 0), (5, 1)):
        called = call("check", small, "--chip", chip_file(small.parent, fan_in=fan_in), "--json")
        found = json.loads(called.out)
        assert (called.code, called.err) == (code, "")
        assert (found["schema_version"], found["chip"], found["fits"]) == (4, "mine", code == 0)
        assert found["not_checked"] == ["the radio", "the weather"]
        assert [block["layer"] for block in found["placement"]["blocks"]] == ["first", "second", "output"]
        assert [(fault["rule"], fault["where"]) for fault in found["faults"]] == (
            [("synapses into a neuron", "second")] if code else []
        )


def test_bits_are_those_that_are_given(call: Call, small: Path) -> None:
    called = call("check", small, "--chip", "loihi1", "--bits", 9)
    assert called.code == 1
    assert "  - all weights: bits of a weight must be at most 8 (got 9): " in called.out
    assert "With weights of 8 bits it fits: use --bits 8 (checked).\n" in called.out
    assert "taken as integers of 9 bits" in called.out
    found = json.loads(call("check", small, "--chip", "loihi1", "--bits", 4, "--json").out)
    assert (found["fits"], found["placement"]["weight_bits"]) == (True, 4)


def test_the_code_is_spike_where_events_have_no_sign_and_else_delta(call: Call, small: Path) -> None:
    for chip, code in (("loihi1", "spike"), ("truenorth", "spike"), ("loihi2", "delta")):
        assert f"assumed: edges send in {code} code (--code)\n" in call("check", small, "--chip", chip).out
        assert "(--code)" not in call("check", small, "--chip", chip, "--code", "spike").out
    called = call("check", small, "--chip", "truenorth", "--code", "delta")
    assert called.code == 1
    assert "  - first sends delta code, whose events have a sign; it must send spike code: " in called.out
    assert "In spike code it fits: use --code spike (checked).\n" in called.out
    assert call("check", small, "--chip", "loihi2", "--code", "delta").code == 0


def test_chips_add_their_cores(call: Call, tmp_path: Path) -> None:
    """Loihi 1 has 128 cores of 1,024 neurons: 130 and one for each of the layers after it."""
    path = written(tmp_path, mlp(n_in=1, first=130 * 1024, second=1, n_out=1))
    called = call("check", path, "--chip", "loihi2", "--chips", 2)
    assert (called.code, "loihi2 x 2: no published limit is broken" in called.out) == (0, True)
    found = json.loads(call("check", path, "--chip", "loihi1", "--chips", 2, "--json").out)
    assert "cores per chip" not in {fault["rule"] for fault in found["faults"]}
    assert found["chips"] == 2


PLACED = [name for name in profile_names() if load_profile(name).chip]


@pytest.mark.parametrize("profile", PLACED)
def test_a_profile_stands_for_its_chip(profile: str, call: Call, small: Path) -> None:
    found = json.loads(call("check", small, "--chip", profile, "--json").out)
    assert found["chip"] == load_profile(profile).chip


@pytest.mark.parametrize("profile", sorted(set(profile_names()) - set(chip_names()) - {*PLACED}))
def test_a_profile_of_a_chip_without_published_limits_is_answered_with_the_chips(
    profile: str, call: Call, small: Path
) -> None:
    called = call("check", small, "--chip", profile)
    assert (called.code, called.out) == (2, "")
    assert "--chip must be loihi1, loihi2, truenorth, a profile of one, or a path to a .toml" in called.err
    assert f"(got '{profile}', whose chip has no published limits here)" in called.err


BAD = {
    "--chip lohi1": "or a path to a .toml file (got 'lohi1'). Did you mean loihi1?",
    "--chip loihi": "Did you mean loihi1 or loihi2?",
    "--chip nowhere.toml": "nowhere.toml is missing",
    "--chip loihi1 --bits 0": "--bits must be 1 to 32 (got 0).",
    "--chip loihi1 --bits 33": "--bits must be 1 to 32 (got 33).",
    "--chip loihi1 --bits eight": "--bits",
    "--chip loihi1 --code auto": "--code must be delta or spike (got 'auto').",
    "--chip loihi1 --chips 0": "--chips must be 1 or more (got 0).",
    "": "--chip",
}


@pytest.mark.parametrize("words", BAD)
def test_a_bad_option_of_check_is_answered_with_what_is_allowed(words: str, call: Call, small: Path) -> None:
    called = call("check", small, *words.split())
    assert (called.code, called.out) == (2, "")
    assert BAD[words] in called.err
    assert "Traceback" not in called.err


def test_there_is_at_least_one_chip(small: Path) -> None:
    for chips in (0, -1):
        with pytest.raises(BadOptions, match=rf"chips must be 1 or more \(got {chips}\)"):
            check(small, chip="loihi1", chips=chips)


def test_bits_of_a_program_in_integers_are_its_own(call: Call, tmp_path: Path) -> None:
    path = written(tmp_path, integers(weight=5))  # of 4 bits, sign included
    called = call("check", path, "--chip", "loihi1", "--bits", 8)
    assert (called.code, called.out) == (2, "")
    assert "--bits needs a program in floats (this one is in integers already)" in called.err
    found = json.loads(call("check", path, "--chip", "loihi2", "--json").out)
    assert (found["fits"], found["placement"]["weight_bits"]) == (True, 4)
    assert found["assumptions"] == ["edges send in delta code (--code)"]


def test_a_damaged_chip_is_answered_with_every_key(call: Call, small: Path) -> None:
    path = chip_file(small.parent)
    damaged = path.read_text().replace("value = 6", "valeu = 6").replace('"none"', '"some"')
    path.write_text(damaged, encoding="utf-8")
    called = call("check", small, "--chip", path)
    assert (called.code, called.out) == (2, "")
    for text in (
        "limit.fan_in.valeu is an unknown key",
        "Did you mean value?",
        "limit.fan_in.value is missing",
        "'some'",
    ):
        assert text in called.err


def test_a_file_or_folder_without_a_network_is_answered_in_one_sentence(call: Call, tmp_path: Path) -> None:
    (tmp_path / "text.nir").write_text("no")
    (tmp_path / "empty").mkdir()
    for path, word in (
        (tmp_path / "none.nir", "none.nir is missing"),
        (tmp_path / "empty", "is a folder without network.nir"),
        (tmp_path / "text.nir", "text.nir"),
    ):
        called = call("check", path, "--chip", "loihi1")
        assert (called.code, called.out, called.err.count("\n")) == (2, "", 1)
        assert word in called.err


@pytest.mark.parametrize("chip", chip_names())
@pytest.mark.parametrize("program", [recurrent(), residual(), mlp(n_in=300), mlp(kind="LI"), mlp(encoder="direct")])
def test_any_network_gets_a_verdict(program: Program, chip: str, call: Call, tmp_path: Path) -> None:
    called = call("check", written(tmp_path, program), "--chip", chip)
    assert (called.code, called.err) in {(0, ""), (1, "")}
    assert ("does not fit, for " in called.out) == (called.code == 1)
    assert "not checked: " in called.out


def test_a_run_folder_is_checked_as_its_network_is(call: Call, run_folder: Path) -> None:
    """It was trained on pixels, which are numbers: Loihi 1 takes only spikes, Loihi 2 takes both. The data decide."""
    called = call("check", run_folder, "--chip", "loihi1")
    assert called.code == 0
    assert "loihi1: no published limit is broken, with one condition\n" in called.out
    assert (
        "if: input sends nothing but spikes; the network does not state this, so check your samples with --data\n"
        in called.out
    )
    called = call("check", run_folder, "--chip", "loihi1", "--data", "digits")
    assert called.code == 1
    assert "does not fit, for 1 reason" in called.out
    assert "  - input sends numbers: " in called.out
    assert (
        "of 500 samples of digits (test) are not sent as 0 or 1; values range from 0 to 1; it must send spikes"
        in called.out
    )
    assert "With an encoder that sends spikes it fits: train with --encoder poisson (checked)." in called.out
    assert call("check", run_folder, "--chip", "loihi2").code == 0
