"""Execute the network of a finished run in torch, as it is deployed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from tdd_deploy.errors import BadFile, BadOptions
from tdd_deploy.options.declare import gather
from tdd_deploy.options.training import LearnedData, TrainOptions
from tdd_deploy.program import Input, Program
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.run_folder import RunFolder

from .build import make_network
from .fisher import recorded_traces
from .lower import lower
from .memory import is_out_of_memory
from .methods import fan_out
from .network import Network
from .quantized import in_integers
from .restoring import NotFinite, check_state
from .theory import map_norms

REMEDY = "name the folder of a finished run"
FAULTS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    SafetensorError,
    BadOptions,
)


@dataclass(frozen=True)
class Replayed:
    """Spikes and potentials by layer, and the outputs, each ``[n_steps, batch, ...]``."""

    spikes: Mapping[str, NDArray[np.generic]]
    potentials: Mapping[str, NDArray[np.generic]]  # of neurons; a gate has none
    outputs: NDArray[np.generic]


@dataclass(frozen=True)
class Finished:
    """A finished run; its networks are in evaluation mode."""

    recorded: Mapping[str, Any]  # see ``RunFolder.read_record``
    options: TrainOptions
    network: Network  # as it was trained, in floats
    deployed: Network  # the same; of a run with ``qat`` its integers

    @cached_property
    def fan_out(self) -> dict[str, NDArray[np.float32]]:
        """The synaptic operations of an event of each neuron; see ``methods.fan_out``."""
        return {name: of_neurons.numpy() for name, of_neurons in fan_out(self.network).items()}

    @cached_property
    def map_norms(self) -> dict[str, float]:
        """The spectral norm of the map into each layer that receives spikes; see ``theory.map_norms``."""
        return map_norms(self.network)


def load(folder: Path, program: Program) -> Network:
    """Load the network of a run folder as it is deployed; see ``load_run``."""
    return load_run(folder, program).deployed


def load_run(folder: Path, program: Program) -> Finished:
    """Load a finished run.

    Args:
        folder: a finished run.
        program: the one in its NIR file.

    Raises:
        BadFile: the folder holds no finished run, or not the one that gave this program.
    """
    run = RunFolder(folder)
    try:
        recorded = run.read_record(REMEDY)
        options = _options(recorded)
        shape, n_classes = program.input.shape, program.shapes[program.output.name]
        if (recorded["data"]["input_shape"], [recorded["data"]["n_classes"]]) != (list(shape), list(n_classes)):
            raise ValueError("another network")  # before it takes any memory
        network = make_network(options, shape, *n_classes)
        tensors = load_file(run.network_safetensors)
        check_state(tensors, network.state_dict())
        network.load_state_dict(tensors)
    except NotFinite as error:
        raise BadFile(run.network_safetensors, "holds numbers that are NaN or infinite", REMEDY) from error
    except FAULTS as error:
        if is_out_of_memory(error):
            raise
        raise BadFile(folder, "holds no finished run that torch can replay", REMEDY) from error
    network.eval()
    lowered, deployed = lower(network, n_steps=options.steps, encoder=options.encoder), network
    if options.qat is not None:
        made = quantize(lowered, bits=options.qat, **_of_input(program.input))
        lowered, deployed = made.program, in_integers(network, made)
    if lowered != program:
        raise BadFile(run.network_nir, f"does not hold the network of the run's {run.network_safetensors.name}", REMEDY)
    return Finished(recorded, options, network, deployed)


def _options(recorded: Mapping[str, Any]) -> TrainOptions:
    """Return the options of a run; refuse a record whose options of the data are damaged, too."""
    given = {name: value for name, value in TrainOptions.from_json(recorded["options"]).items() if value is not None}
    options = gather(given, LearnedData, TrainOptions)[TrainOptions].checked()
    if any(None in recorded_traces(epoch) for epoch in recorded["epochs"]):
        raise ValueError("an epoch without its traces")
    return options


def _of_input(border: Input) -> dict[str, Any]:
    """Return the arguments of ``quantize`` that describe an input: spikes, or numbers with their bits."""
    if border.scale == border.largest == 1:
        return {"binary_input": True}
    return {"input_bits": round(math.log2(border.largest)), "largest_input": border.largest / border.scale}


@torch.inference_mode()
def replay(network: Network, inputs: NDArray[np.floating]) -> Replayed:
    """Execute a network on encoded inputs ``[n_steps, batch, *shape]``."""
    run = network.unroll(torch.from_numpy(np.require(inputs, np.float32, ("C", "W"))), len(inputs))
    return Replayed(
        spikes={name: spikes.numpy() for name, spikes in run.spikes.items()},
        potentials={name: u.numpy() for name, u in run.potentials.items()},
        outputs=run.outputs.numpy(),
    )
