"""Any network in an ONNX file as the ANN baseline of a simulation: its costs, and its accuracy on the same samples."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tdd_deploy.data import Source
from tdd_deploy.errors import MissingDependency, TddDeployError
from tdd_deploy.importers.onnx.costs import OnnxNetwork, count_onnx
from tdd_deploy.memory import ran_out

BATCH = 64
MOST_VALUES = 1 << 24  # of inputs at once
NEEDED_FOR = "the accuracy of a baseline"
PRICED_LATER = "the simulation was priced without its samples"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How many samples a network classifies correctly, or why nobody knows."""

    n_classes: int | None = None
    n_correct: int | None = None
    not_measured: str | None = None


class _NotMeasured(Exception):
    """The accuracy of a network cannot be measured; the text is the reason."""


def measure_onnx(path: Path, data: Mapping[str, Any], source: Source | None, n_samples: int) -> dict[str, Any]:
    """Count a network and measure it; return the same plain values as training with the method ann.

    Args:
        path: the ONNX file.
        data: the samples, as ``report.Simulation`` describes them.
        source: the samples; None where they are not at hand.
        n_samples: how many of them were executed.

    Raises:
        TddDeployError: the file cannot be read, or not be counted.
    """
    network = count_onnx(path, data["input"]["shape"], _execute)
    measured = Measured(not_measured=PRICED_LATER) if source is None else _measure(network, source, n_samples)
    weights, nonzero = (sum(getattr(layer, key) for layer in network.layers) for key in ("weights", "nonzero_weights"))
    widths = network.widths
    return {
        "network": path.name,
        "input_shape": list(network.fit.shape),
        "n_classes": measured.n_classes,
        "sparsity": 1 - nonzero / weights if weights else 0.0,
        "data": {
            "name": data["name"],
            "input_scale": data["input"]["scale"],
            "splits": {data["split"]: {"n_samples": n_samples, "files": data["files"]}},
        },
        "quantization": {"method": "as in the file"},
        "layers": [asdict(layer) for layer in network.layers],
        "results": [
            {
                "split": data["split"],
                "weight_bits": widths[0],
                "activation_bits": widths[1],
                "n_samples": n_samples,
                "n_correct": measured.n_correct,
                "accuracy": None if measured.n_correct is None else measured.n_correct / n_samples,
                "effective_macs": None,
            }
        ],
        "onnx": {
            "files": dict(network.files),
            "sample": network.fit.how or None,
            "not_measured": measured.not_measured,
            "left_out": [asdict(each) for each in network.left_out],
            "assumes": list(network.assumes),
        },
    }


def _measure(network: OnnxNetwork, source: Source, n_samples: int) -> Measured:
    """Classify samples in onnxruntime."""
    try:
        found = list(_results(network, source, n_samples))
    except _NotMeasured as reason:
        return Measured(not_measured=str(reason))
    except MissingDependency as error:
        return Measured(not_measured=str(error))
    return Measured(n_classes=found[0][0], n_correct=sum(n for _, n in found))


def _results(network: OnnxNetwork, source: Source, n_samples: int) -> Iterator[tuple[int, int]]:
    """Yield by batch the number of classes, and of samples whose label has the largest output."""
    if not source.labeled:
        raise _NotMeasured("the data have no labels")
    if network.fit.found:
        raise _NotMeasured(network.fit.found)
    if len(network.model.graph.output) != 1:
        raise _NotMeasured(f"it has {len(network.model.graph.output)} outputs")
    size = BATCH if network.fit.is_open else network.fit.batch
    if network.fit.is_open:
        entry = next(each for each in network.model.graph.input if each.name == network.input)
        entry.type.tensor_type.shape.dim[0].dim_param = "N"
        size = max(1, min(size, MOST_VALUES // max(1, int(np.prod(network.fit.shape)))))
    run = _runner(network)
    for batch in source.batches(size, limit=n_samples):
        x, n = network.fit.inputs(batch.x), len(batch.x)
        if n < size and not network.fit.is_open:
            x = np.concatenate([x, np.zeros((size - n, *x.shape[1:]), x.dtype)])
        outputs = run(x)
        if batch.y is None or batch.y.ndim != 1:
            raise _NotMeasured("the data have no label per sample")
        if outputs.ndim != 2 or len(outputs) != len(x) or outputs.shape[1] < 2:
            raise _NotMeasured(f"its output is {list(outputs.shape)} for {len(x)} samples, and not [N, classes]")
        if batch.y.max(initial=0) >= outputs.shape[1]:
            raise _NotMeasured(f"it has {outputs.shape[1]} outputs, and there is a label {batch.y.max()}")
        yield outputs.shape[1], int((outputs[:n].argmax(axis=1) == batch.y).sum())


def _execute(content: bytes, inputs: Mapping[str, Any]) -> Sequence[Any]:
    """Execute a model once; return nothing where onnxruntime cannot."""
    from tdd_deploy.exporters.onnx.run import open_session

    try:
        found: Sequence[Any] = open_session(content, needed_for=NEEDED_FOR).run(None, dict(inputs))
    except MissingDependency:
        return []
    except TddDeployError:
        raise
    except Exception as error:  # onnxruntime raises its own types
        if ran_out(error):
            raise
        return []
    return found


def _runner(network: OnnxNetwork) -> Any:
    """Load a network into onnxruntime; return the function from inputs to outputs."""
    from tdd_deploy.exporters.onnx.run import open_session

    def guarded(call: Any) -> Any:
        try:
            return call()
        except TddDeployError:
            raise
        except Exception as error:  # onnxruntime raises its own types
            if ran_out(error):
                raise
            reason = " ".join(str(error).split())[:200]
            raise _NotMeasured(f"onnxruntime cannot execute it ({reason})") from error

    session = guarded(lambda: open_session(network.model.SerializeToString(), needed_for=NEEDED_FOR))
    name = session.get_inputs()[0].name
    return lambda x: np.asarray(guarded(lambda: session.run(None, {name: x}))[0])
