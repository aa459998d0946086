from pathlib import Path
from typing import Literal

import pytest

from tdd_deploy.errors import BadFile, BadOptions
from tdd_deploy.options.toml import read_options

HINTS = {
    "epochs": int,
    "learning_rate": float,
    "lambda_": float | None,
    "score": Literal["gsc", "jac"] | None,
    "learn": tuple[str, ...],
    "reset_to": tuple[float, ...],
    "amp": bool,
    "data_dir": Path,
}


def written(folder: Path, text: str) -> Path:
    path = folder / "tdd.toml"
    path.write_text(text)
    return path


def test_keys_are_those_of_the_command_line_and_values_those_of_python(tmp_path: Path) -> None:
    text = """
    [train]
    epochs = 3
    learning-rate = 1
    lambda = 0.5
    score = "jac"
    learn = ["beta", "threshold"]
    reset_to = 1
    amp = true
    data-dir = "~/sets"

    [simulate]
    whatever = 1
    """
    found = read_options(written(tmp_path, text), "train", HINTS)
    assert found == {
        "epochs": 3,
        "learning_rate": 1.0,
        "lambda_": 0.5,
        "score": "jac",
        "learn": ("beta", "threshold"),
        "reset_to": (1.0,),
        "amp": True,
        "data_dir": Path("~/sets"),
    }
    assert isinstance(found["learning_rate"], float)
    assert isinstance(found["reset_to"][0], float)


def test_an_underscore_is_as_good_and_nothing_is_an_option_less(tmp_path: Path) -> None:
    assert read_options(written(tmp_path, "[train]\nlearning_rate = 0.5\n"), "train", HINTS) == {"learning_rate": 0.5}
    assert read_options(written(tmp_path, "[train]\n"), "train", HINTS) == {}


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    text = """
    [train]
    epoch = 3
    epochs = 2.5
    learning-rate = "fast"
    learning_rate = 1.0
    lambda = true
    amp = 1
    score = 3
    reset_to = ["a"]
    zzz = 1
    """
    path = written(tmp_path, text)
    with pytest.raises(BadOptions) as caught:
        read_options(path, "train", HINTS)
    assert caught.value.subject == f"{path}, table [train]"
    assert [str(violation) for violation in caught.value.violations] == [
        "epoch: an unknown key; allowed: options of tdd-deploy train. Did you mean epochs?",
        "epochs: 2.5; allowed: a whole number.",
        "learning-rate: 'fast'; allowed: a number.",
        "lambda: True; allowed: a number.",
        "amp: 1; allowed: true or false.",
        "score: 3; allowed: a text.",
        "reset_to: ['a']; allowed: a number, or a list.",
        "zzz: an unknown key; allowed: options of tdd-deploy train.",
    ]


def test_a_key_in_both_spellings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadOptions, match="given twice; allowed: once, with - or with _"):
        read_options(written(tmp_path, "[train]\nlearning-rate = 1\nlearning_rate = 2\n"), "train", HINTS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "is missing or not a text file"),
        ("[train\n", "is not TOML"),
        ("epochs = 3\n", r"has no table \[train\]"),
        ("train = 3\n", r"has no table \[train\]"),
    ],
)
def test_a_file_of_something_else_is_refused(text: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "none.toml" if text is None else written(tmp_path, text)
    with pytest.raises(BadFile, match=said):
        read_options(path, "train", HINTS)
