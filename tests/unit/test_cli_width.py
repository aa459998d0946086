"""Every table of every command fits the terminal, and no number in it is cut or folded."""

import re
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy.cli import streams
from tdd_deploy.cli.app import COMMANDS
from tdd_deploy.cli.lava import lava
from tests.commands import Call

GOLDEN = Path(__file__).parents[1] / "golden" / "commands"
DATA = "--data digits --samples 10"
ROWS = ("step", "layer", "term", "profile", "placement", "ann-baseline", "estimators")
# What every command prints; those without a table are left out below.
LINES = (
    "inspect NET",
    "inspect RUN",
    "check NET --chip loihi1 --data digits --samples 5",
    "check NET --chip loihi2",
    "check NET --chip truenorth",
    f"verify NET {DATA} --against reference,event,integer,onnx",
    f"export NET --target nir --out TMP/four.nir --bits 4 --per neuron {DATA}",
    "export NET --target nir --out TMP/eight.nir --bits 8",
    f"simulate NET {DATA}",
    f"simulate NET {DATA} --energy --baseline BASELINE --out TMP/a",
    f"simulate NET {DATA} --energy --code delta --early-exit 0.3 --out TMP/b",
    f"simulate NET {DATA} --energy --profile odin --profile truenorth --step-time 1e-3 --by layer",
    *(f"report TMP/a --by {row}" for row in ROWS),
    "compare TMP/a TMP/b",
    f"sweep NET {DATA} --bits float,4 --input-threshold 0,0.1 --out TMP/sweep",
    "profiles",
    "profiles loihi1-davies2018",
    f"analyze RUN {DATA}",
    "tune-exit RUN --data digits --samples 50",
    "prune RUN --data digits --fisher-samples 4 --rounds 2 --epochs 0 --out TMP/pruned",
    "stream STREAM",
    "stream STREAM --window 50 --thresholds 0.123456,1,1000000 --dt 1e-6",
    "doctor",
    "train --data digits --network mlp --epochs 1 --train-samples 200 --out TMP/new",
)
WITHOUT_TABLES = {"lava", "schema", "completion"}
NUMBER = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")


def printed(line: str, width: int, call: Call, places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what a command prints on a terminal of some width."""
    words = line.split()
    for name, path in places.items():
        words = [re.sub(rf"^{name}\b", str(path), word) for word in words]
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(streams.Stream, "isatty", lambda self: True, raising=False)
    called = call(*words)
    assert called.code in (0, 1), called.err
    return called.out.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("w")
    rng = np.random.default_rng(0)
    np.savez(made / "stream.npz", x=1e6 * rng.standard_normal((3, 100, 2, 30, 40)).round(1))
    return made


def test_every_command_is_examined() -> None:
    assert {line.split()[0] for line in LINES} | WITHOUT_TABLES == set(COMMANDS)
    assert set(lava.commands) == {"setup", "doctor", "run"}


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_too_wide_and_no_number_is_cut(
    width: int, call: Call, run_folder: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in LINES:
        out = folder / f"{width}"
        out.mkdir(exist_ok=True)
        places = {"NET": GOLDEN / "network.nir", "BASELINE": GOLDEN / "baseline.json", "RUN": run_folder, "TMP": out}
        places["STREAM"] = folder / "stream.npz"
        lines = printed(line, width, call, places, monkeypatch)
        assert [each for each in lines if len(each) > width] == [], line
        text = "\n".join(lines)
        assert not re.search(r"\d(\.\.\.|\N{HORIZONTAL ELLIPSIS})|(\.\.\.|\N{HORIZONTAL ELLIPSIS})\d", text), line
        assert not re.search(r"(\d,\n\s*\d{3}\b|\d\.\n\s*\d)", text), line  # folded at a comma or a point


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("row", ROWS)
def test_a_narrow_table_has_the_numbers_of_a_wide_one(
    row: str, width: int, call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"NET": GOLDEN / "network.nir", "BASELINE": GOLDEN / "baseline.json", "TMP": folder}
    if not (folder / "wide").exists():
        call(
            *f"simulate {places['NET']} {DATA} --energy --baseline {places['BASELINE']} --out {folder / 'wide'}".split()
        )
    wide = "\n".join(printed(f"report TMP/wide --by {row}", 1000, call, places, monkeypatch))
    narrow = NUMBER.findall("\n".join(printed(f"report TMP/wide --by {row}", width, call, places, monkeypatch)))
    links = re.findall(r"doi:\S+", wide)  # words that are longer than their column are broken
    others = {number for number in narrow if not any(number in link for link in links)}
    assert others <= set(NUMBER.findall(wide))
    assert len(others) > 3
