"""``import tdd_deploy as td``: what a notebook needs."""

import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tdd_deploy as td
from tdd_deploy.errors import BadData, BadFile, BadOption, BadOptions
from tdd_deploy.options.declare import options_of
from tdd_deploy.options.functions import OPTIONS

NETWORK = Path(__file__).parents[1] / "golden/commands/network.nir"
INTEGERS = NETWORK.with_name("integers.nir")
N = 20


@pytest.fixture(scope="module")
def samples() -> tuple[np.ndarray, np.ndarray]:
    x, y = td.open_data("digits").load()
    assert y is not None
    return x[:N], y[:N]


def test_every_function_is_there_and_documents_itself() -> None:
    for name in td.__all__:
        assert name in dir(td)
        found = getattr(td, name)
        assert name == "__version__" or inspect.getdoc(found)
    assert OPTIONS.keys() <= set(td.__all__)
    with pytest.raises(AttributeError, match="simulat"):
        td.simulat  # noqa: B018


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, tdd_deploy; print(*({'numpy', 'torch', 'numba', 'click', 'h5py'} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == ""


def test_arrays_batches_and_names_of_data_give_the_same_simulation(samples: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = samples
    named = td.simulate(NETWORK, data="digits", samples=N)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=8
    )
    program = td.load(NETWORK)
    ways = [
        td.simulate(NETWORK, x, y),
        td.simulate(str(NETWORK), x=x.tolist(), y=y.tolist()),
        td.simulate(program, loader),
        td.simulate(program, td.open_data("digits"), samples=N),
        td.simulate(NETWORK, "digits", samples=N, batch=7),
    ]
    for found in ways:
        assert found.accuracy == named.accuracy
        assert found.as_json()["totals"] == named.as_json()["totals"]
        assert np.array_equal(found.predictions, named.predictions)
        assert np.array_equal(found.outputs, named.outputs)


def test_a_result_has_what_a_notebook_shows(samples: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = samples
    found = td.simulate(NETWORK, x, y, code="auto", energy=True)
    assert found.outputs.shape == (N, 10)
    assert (found.predictions == found.outputs.argmax(axis=1)).all()
    assert found.accuracy == (found.predictions == y).mean()
    program = td.load(NETWORK)
    assert [row["name"] for row in found.layers] == [row["name"] for row in found.as_json()["layers"]]
    assert {layer.name for layer in program.neuron_layers} <= {row["name"] for row in found.layers}
    assert [row["step"] for row in found.steps] == [1, 2, 3]
    assert len(repr(found).splitlines()) <= 10
    assert found.verdict["line"] in found._repr_html_()
    assert pickle.loads(pickle.dumps(found)).accuracy == found.accuracy


def test_processes_execute_arrays(samples: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    np.savez(tmp_path / "samples.npz", x=samples[0], y=samples[1])
    script.write_text(
        "import numpy as np\nimport tdd_deploy as td\n"
        "if __name__ == '__main__':\n"
        f"    found = np.load({str(tmp_path / 'samples.npz')!r})\n"
        f"    given = {str(NETWORK)!r}, found['x'], found['y']\n"
        "    one, two = (td.simulate(*given, batch=3, workers=n) for n in (None, 2))\n"
        "    assert (one.outputs == two.outputs).all()\n"
        "    assert one.as_json()['totals'] == two.as_json()['totals']\n"
        "    print(two.accuracy)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == td.simulate(NETWORK, *samples).accuracy


def test_prices_can_be_added_to_a_finished_simulation(samples: tuple[np.ndarray, np.ndarray]) -> None:
    found = td.simulate(NETWORK, *samples)
    profiles = ["cmos45-horowitz", "cmos45-memory"]
    later = td.price(found, profiles=profiles)
    at_once = td.simulate(NETWORK, *samples, energy=True, profiles=profiles)
    assert found.energy is None
    assert later.as_json()["energies"] == at_once.as_json()["energies"]
    on_chip, *_ = td.price(found, profiles=["loihi1-sanafe"]).as_json()["energies"]
    assert any("without a profile of this chip" in line for line in on_chip["not_priced"])


def test_the_other_functions_take_programs_and_arrays(samples: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, y = samples
    program = td.load(NETWORK)
    verified = td.verify(program, x[:4], y[:4], against=["reference", "event"])
    assert verified.passed
    assert repr(verified).splitlines()[1].startswith("  ok  reference -> event, delta code: 0 of ")
    checked = td.check(program, "loihi2", x)
    assert checked.fits
    assert repr(checked).splitlines()[0] == "loihi2: no published limit is broken"
    assert repr(td.check(program, "truenorth")).startswith("truenorth: does not fit, for ")
    quantized = td.quantize(program, x, y, bits=8)
    assert quantized.program.number_format == "integer"
    assert quantized.calibration is not None
    assert "in integers" in repr(quantized)
    td.export(quantized.program, "nir", tmp_path / "q.nir")
    assert td.load(tmp_path / "q.nir") == quantized.program
    assert td.inspect(program)["digest"] == program.digest
    found = td.sweep(
        [NETWORK], tmp_path / "sweep", x, y, codes=["delta"], bits=["float", 8], profiles=["cmos45-horowitz"]
    )
    assert [point["bits"] for point in found["points"]] == [None, 8]


def test_a_network_is_trained_on_arrays(samples: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    chosen = {"network": "mlp", "method": "tet", "steps": 2, "epochs": 1, "batch": 4}
    run = td.train(tmp_path / "run", *samples, **chosen)
    assert run.history[-1]["accuracy"] == run.accuracy
    assert run.recorded["options"]["data"] == "arrays"
    assert td.simulate(run, samples[0]).predictions.shape == (N,)
    analysis = td.analyze(run, *samples, samples=4)
    assert analysis.as_json()["samples"] == 4
    assert repr(analysis) == "Analysis of fc1_spikes, fc2_spikes on 4 samples of arrays (all)"
    with pytest.raises(BadOptions, match="epochs must be 1, as the run began"):
        td.train(tmp_path / "run", *samples, resume=True, **chosen | {"epochs": 2})
    again = td.train(tmp_path / "run", *samples, resume=True)
    assert again.recorded["program"] == run.recorded["program"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, y: td.train("nowhere", epoch=1), BadOptions, "epoch: no such option; did you mean epochs?"),
        (lambda x, y: td.simulate(NETWORK), BadOption, "data is missing"),
        (lambda x, y: td.simulate(NETWORK, y=y), BadOption, "y needs x"),
        (lambda x, y: td.simulate(NETWORK, x, data="digits"), BadOption, "data cannot be combined with x"),
        (lambda x, y: td.simulate(NETWORK, x, y[:3]), BadData, "one label per sample"),
        (lambda x, y: td.simulate(NETWORK, x, bins=4), BadOptions, "bins needs events of a camera in a file"),
        (lambda x, y: td.simulate(NETWORK, x, profiles=["odin"]), BadOptions, "profiles needs energy"),
        (lambda x, y: td.simulate(42, x), BadOption, "network must be a path"),
        (lambda x, y: td.simulate(NETWORK, x, code="detla"), BadOptions, "Did you mean delta?"),
        (lambda x, y: td.export(NETWORK, "lavaa", "out"), BadOption, "Did you mean lava?"),
        (lambda x, y: td.quantize(INTEGERS), BadOptions, "needs a program in floats"),
        (lambda x, y: td.quantize(INTEGERS), BadOptions, "quantization needs"),
        (lambda x, y: td.simulate(NETWORK, "digits", y), BadOption, "y cannot be combined with named data"),
        (lambda x, y: td.simulate(NETWORK, td.open_data(x, y), y), BadOption, "y cannot be combined with named data"),
        (lambda x, y: td.simulate(NETWORK, (x, y)), BadData, "Pass samples as x and labels as y"),
        (lambda x, y: td.simulate(NETWORK, x, out=5), BadOption, "out must be a path (got a value of type int)"),
        (lambda x, y: td.simulate(NETWORK, data=x), BadOptions, "data must be a text (got a value of type ndarray)"),
        (lambda x, y: td.simulate(NETWORK, x, **{"step-time": 1}), BadOptions, "did you mean step_time_s?"),
        (lambda x, y: td.simulate(NETWORK, x, steps=3.0), BadOptions, "steps must be a whole number, 1 to"),
        (lambda x, y: td.simulate(NETWORK, x, early_exit=-1, batch=0), BadOptions, "these options (2 found)"),
        (lambda x, y: td.simulate(NETWORK, x).to_frame(by=None), BadOption, "by must be layer or step (got None)"),
        (lambda x, y: td.price("report.json"), BadOption, "simulation must be what simulate returns"),
        (lambda x, y: td.check(NETWORK, Path("my.toml")), BadFile, "my.toml is missing"),
        (lambda x, y: td.check("loihi2", td.load(NETWORK)), BadOption, "chip must be a path"),
        (lambda x, y: td.export(NETWORK, None, "out"), BadOption, "target must be nir, lava or onnx"),
        (lambda x, y: td.export(NETWORK, "nir", None), BadOption, "out must be a path"),
        (lambda x, y: td.sweep([td.load(NETWORK)], "out", x), BadOption, "runs must be a path"),
        (lambda x, y: td.sweep([], "out", x), BadOption, "runs needs a network"),
        (lambda x, y: td.sweep(NETWORK, "out", x, codes=[]), BadOptions, "codes must be one or more of auto"),
        (lambda x, y: td.sweep(NETWORK, "out", x, delta_thresholds=-1), BadOptions, "delta_thresholds must be"),
        (lambda x, y: td.analyze(td.load(NETWORK), x), BadOption, "run must be a path"),
        (lambda x, y: td.prune(None, "out", x), BadOption, "run must be a path"),
        (lambda x, y: td.train(None, x, y), BadOption, "out must be a path"),
        (lambda x, y: td.load(NETWORK, dialct="norse"), BadOptions, "did you mean dialect?"),
        (lambda x, y: td.simulate(td.load(NETWORK), x, strict=True), BadOption, "strict needs a file"),
        (lambda x, y: td.verify(NETWORK, x, against=["reference"]), BadOption, "at least two backends"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_its_parameter(call, error, message, samples, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as refused:
        call(*samples)
    assert message in str(refused.value)
    assert "`" not in str(refused.value)
    assert "--" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_numbers_and_axes_of_numpy_are_options_too(samples: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    found = td.simulate(NETWORK, *samples, data=None, steps=np.int64(3), energy=np.bool_(True))
    assert found.energy is not None
    axes = {"input_thresholds": np.linspace(0, 0.1, 2), "bits": range(7, 9), "codes": "delta"}
    swept = td.sweep(NETWORK, tmp_path / "sweep", *samples, **axes, profiles=[])
    assert [(point["bits"], point["input_threshold"]) for point in swept["points"]] == [
        (7, 0.0), (7, 0.1), (8, 0.0), (8, 0.1),
    ]  # fmt: skip


def test_opened_data_have_as_many_samples_as_asked_for(samples: tuple[np.ndarray, np.ndarray]) -> None:
    assert np.array_equal(td.open_data("digits", samples=N).load()[0], samples[0])
    assert td.open_data(*samples, samples=3).n_samples == 3


def test_progress_goes_where_the_user_says(samples: tuple[np.ndarray, np.ndarray], capsys) -> None:
    seen: list[tuple[int, int]] = []
    td.simulate(NETWORK, *samples, batch=8, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, N), (8, N), (16, N), (20, N)]
    td.simulate(NETWORK, *samples, progress=False)
    assert capsys.readouterr() == ("", "")


def test_outputs_of_too_many_samples_are_not_kept(samples: tuple[np.ndarray, np.ndarray], monkeypatch) -> None:
    monkeypatch.setattr("tdd_deploy.runtime.run.MOST_OUTPUTS", 10 * N - 1)
    found = td.simulate(NETWORK, *samples)
    assert found.outputs is None
    assert found.predictions is None
    assert found.accuracy == 1.0


def test_a_report_records_every_option_that_affects_it(samples: tuple[np.ndarray, np.ndarray]) -> None:
    recorded = td.simulate(NETWORK, *samples, energy=True, seed=3, threads=1).as_json()["options"]
    declared = {each.name for owner in OPTIONS["simulate"] for each in options_of(owner) if each.declaration.recorded}
    assert recorded.keys() == declared - {"dialect", "strict"}
    assert (recorded["seed"], recorded["energy"], recorded["samples"]) == (3, True, N)
