"""The commands as functions: each does one whole job and returns what it found."""

import hashlib
import math
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

import numpy as np
from numpy.typing import NDArray

from tdd_deploy import __version__
from tdd_deploy.data import Binning, Source, is_file, open_data
from tdd_deploy.data.encoders import Encoded
from tdd_deploy.errors import BadData, BadFile, BadOption, BadOptions, Interrupted, MissingDependency, Violation
from tdd_deploy.files import appearing, make_folder, read_json, replacing, write_json
from tdd_deploy.options.toml import read_options
from tdd_deploy.program import (
    Code,
    Conv,
    Dense,
    Program,
    Reading,
    describe,
    with_code,
    with_delta_threshold,
    with_reading,
)
from tdd_deploy.program.bounds import MOST_STEPS, wrapping_layers
from tdd_deploy.program.inputs import input_kind
from tdd_deploy.program.outputs import predicted
from tdd_deploy.program.rounding import rounding_receivers
from tdd_deploy.run_folder import BASELINE_VERSION, RunFolder
from tdd_deploy.runtime.inputs import Feed, Sent, arranged

if TYPE_CHECKING:
    from tdd_deploy.exporters.lava.doctor import Check
    from tdd_deploy.exporters.lava.rules import LavaMapping
    from tdd_deploy.exporters.lava.worker import LavaRun
    from tdd_deploy.program.quantization.quantize import LayerReport, Per
    from tdd_deploy.simulator.engine.calibration import Calibration
    from tdd_deploy.simulator.hardware.check import Checked, Seen
    from tdd_deploy.simulator.hardware.placement import Placement
    from tdd_deploy.simulator.hardware.profiles import Profile
    from tdd_deploy.simulator.reports.report import Simulation
    from tdd_deploy.training import Board, ReluNetwork, TrainingData, TrainOptions, Watcher
    from tdd_deploy.training.analysis import Analysis
    from tdd_deploy.training.prune import PruneOptions, Round
    from tdd_deploy.training.replay import Finished
    from tdd_deploy.verification.comparison import Hop, Recorded

CALIBRATION_SAMPLES = 64
DEPLOYED_BITS = 8  # of a weight on Loihi 2
ANALYSED_SAMPLES = 64
ANALYSIS_BATCH = 32
MEASURED_BATCH = 256
Progress = Callable[[int, int], None]  # samples done, samples in all


def read_program(path: Path, *, dialect: str | None = None, strict: bool = False) -> Program:
    """Read a Program from a .nir, .net or .onnx file, or a run folder.

    Args:
        path: the file or folder.
        dialect: ``NAME[,KEY=VALUE...]`` of ``graph/dialects.py``: what a file of another tool means.
        strict: refuse a file that would have to be repaired.

    Raises:
        BadFile: no such file, a folder without a network, or a file of neither NIR, lava-dl nor ONNX.
        BadOptions: no such dialect.
        AmbiguousGraph: another tool wrote it, and no dialect was named.
        UnsupportedGraph: the file holds what no Program can hold.
    """
    from tdd_deploy.importers import read

    return read(RunFolder.network_of(path), dialect=dialect, strict=strict)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written; for a program that was quantized on the way, what that changed."""

    program: Program
    layers: "tuple[LayerReport, ...]" = ()
    calibration: "Calibration | None" = None
    data: Mapping[str, Any] | None = None  # how samples of the calibration became inputs

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "schema_version": 1,
            "program": self.program.digest,
            "number_format": self.program.number_format,
            "layers": [asdict(layer) for layer in self.layers],
            "calibration": asdict(self.calibration) if self.calibration else None,
            "input": self.input_of_integers,
            "data": self.data,
        }

    @property
    def input_of_integers(self) -> dict[str, float] | None:
        """What one integer of the input is, and the largest value; None without quantization, and for drawn spikes."""
        if not self.layers or self.program.encoder != "direct":
            return None
        unit = 1 / self.program.input.scale
        return {"unit": unit, "largest": unit * self.program.input.largest}


def export(
    path: Path,
    *,
    target: str,
    out: Path,
    dialect: str | None = None,
    strict: bool = False,
    bits: int | None = None,
    per: "Per" = "layer",
    input_bits: int | None = None,
    floats: bool = False,
    mapping: str | None = None,
    form: str | None = None,
    fast: bool = False,
    code: Code | None = None,
    data: str | None = None,
    data_dir: Path | None = None,
    binning: Binning | None = None,
    input_scale: float | None = None,
    frames: bool = False,
    samples: int = CALIBRATION_SAMPLES,
    steps: int | None = None,
) -> Exported:
    """Write the program of a file or run folder for a target, quantized first where asked or needed.

    Args:
        path: a .nir, .net or .onnx file, or a run folder.
        target: a name of ``exporters.TARGETS``.
        out: the file or folder to write.
        dialect: how to read a file of another tool, ``NAME[,KEY=VALUE...]``.
        strict: refuse a file that would have to be repaired.
        bits: of a weight, 2 to 8: makes an integer program. By default 8 for Lava, and none for others.
        per: one scale per ``layer`` or per ``neuron``.
        input_bits: of an analog input; by default those that lose least.
        floats: for Lava: keep the floats, for its floating-point simulation.
        mapping: for Lava: ``fused``, ``stock`` or ``spike``; fused by default.
        form: for ONNX: ``step``, one time step (default), or ``scan``, a loop over all.
        fast: for ONNX: sum float32 with Conv and Gemm, which are faster but which some runtimes compute in fewer bits.
        code: what edges send, ``delta`` or ``spike``: for Lava, mapping fused (delta by default), and for ONNX
            (spike by default, as a dense runtime gains nothing from changes).
        data: calibration data: measure on its first training samples what quantisation changes.
        data_dir: where the files of a named set lie.
        binning: how events of a camera are cut.
        input_scale: stored values are multiplied by it; by default the scale of the data.
        frames: the axis of x after N is time.
        samples: how many of them.
        steps: time steps per sample, stated in the file; by default as the network states.

    Raises:
        BadOption: no such target, or a number of steps below 1.
        BadOptions: options that do not go together.
        NotExportable: every reason why the target, or integers, cannot hold the program.
    """
    from tdd_deploy.exporters import TARGETS

    if target not in TARGETS:
        raise BadOption("--target", repr(target), " or ".join(TARGETS))
    program = _with_steps(read_program(path, dialect=dialect, strict=strict), steps)
    is_lava, is_onnx, is_integer = target == "lava", target == "onnx", program.number_format == "integer"
    if bits is None and is_lava and not floats and not is_integer:
        bits = DEPLOYED_BITS
    for_lava = f"given with --target {target}", "only with --target lava"
    for_onnx = f"given with --target {target}", "only with --target onnx"
    for_codes = f"given with --target {target}", "only with --target lava or onnx"
    for_integers = "given, and nothing is quantized", "only with --bits, of a program in floats"
    for_fused = f"given with --mapping {mapping}", "only with --mapping fused"
    faults = (
        ("--mapping", mapping is not None and not is_lava, for_lava),
        ("--floats", floats and not is_lava, for_lava),
        ("--form", form is not None and not is_onnx, for_onnx),
        ("--fast", fast and not is_onnx, for_onnx),
        ("--fast", fast and (is_integer or bits is not None), ("given with integers", "only with floats")),
        ("--code", code is not None and not (is_lava or is_onnx), for_codes),
        ("--code", code is not None and is_lava and mapping in ("stock", "spike"), for_fused),
        ("--floats", floats and is_integer, ("given with a program in integers", "a program in floats")),
        ("--bits", floats and bits is not None, (f"{bits}, with --floats", "one of the two")),
        ("--per", per != "layer" and bits is None, for_integers),
        ("--input-bits", input_bits is not None and bits is None, for_integers),
        ("--data", data is not None and bits is None, for_integers),
    )
    found = [Violation(option, *words) for option, is_wrong, words in faults if is_wrong]
    if data is None:
        chosen_samples = samples if samples != CALIBRATION_SAMPLES else None
        found += _without_data(data_dir, binning, input_scale, chosen_samples, frames=frames)
    if found:
        raise BadOptions("these options", found)
    exported = Exported(program=program)
    if bits is not None:
        exported = _quantized(
            program,
            path=path,
            bits=bits,
            per=per,
            input_bits=input_bits,
            data=data,
            data_dir=data_dir,
            binning=binning and binning.in_steps(steps),
            input_scale=input_scale,
            frames=frames,
            samples=samples,
            steps=steps,
        )
    if is_lava and steps is None and exported.data and exported.data["n_steps"] != program.n_steps:
        in_data = exported.data["n_steps"]
        known = f"not given; the network states {program.n_steps or 'no'} time steps, and {data} has {in_data}"
        raise BadOption("--steps", known, f"the time steps of a sample in Lava, such as --steps {in_data}")
    coded = with_code(exported.program, code or ("spike" if is_onnx or mapping == "spike" else "delta"))
    chosen = {"mapping": mapping, "form": form, "fast": fast or None}
    TARGETS[target](coded, out, **{name: word for name, word in chosen.items() if word is not None})
    return replace(exported, program=coded)


def _quantized(
    program: Program,
    *,
    path: Path,
    bits: int,
    per: "Per",
    input_bits: int | None,
    data: str | None,
    data_dir: Path | None,
    binning: Binning | None,
    input_scale: float | None,
    frames: bool,
    samples: int,
    steps: int | None,
) -> Exported:
    from tdd_deploy.program.quantization.quantize import quantize

    if data is None:
        made = quantize(program, bits=bits, per=per, input_bits=input_bits)
        return Exported(program=made.program, layers=made.layers)
    from tdd_deploy.simulator.engine.calibration import calibrate

    source = open_data(data, split="train", data_dir=data_dir, binning=binning, input_scale=input_scale)
    feed = Feed.of(program, source, steps=steps, frames=frames)
    made = quantize(program, bits=bits, per=per, input_bits=input_bits, **_seen(source, samples))
    sent: list[Sent] = []

    def batches() -> Iterator[tuple[Encoded, NDArray[np.int64] | None]]:
        for encoded, labels in feed.batches(source, CALIBRATION_SAMPLES, limit=samples):
            sent.append(Sent.of(encoded, made.program))
            yield encoded, labels

    calibration = calibrate(program, made.program, batches(), n_steps=feed.n_steps)
    found = {**_data_json(feed, source, path), "sent_in_integers": sum(sent, Sent()).as_json(made.program)}
    return Exported(program=made.program, layers=made.layers, calibration=calibration, data=found)


def _data_json(feed: Feed, source: Source, path: Path) -> dict[str, Any]:
    """Return how samples become inputs; of a run, also the scale that it learned values of this type with."""
    return {**feed.as_json(source), "scale_learned": RunFolder(path).learned_scale(source.stored)}


def _with_steps(program: Program, steps: int | None) -> Program:
    """Return a program that states the time steps that a user chose; without a choice, unchanged."""
    if steps is None:
        return program
    if not 1 <= steps <= MOST_STEPS:
        raise BadOption("--steps", str(steps), f"1 to {MOST_STEPS:,}")
    return replace(program, n_steps=steps)


def _seen(source: Source, samples: int) -> dict[str, Any]:
    """Measure an input for ``quantize``: the least power of two, from 1 on, that bounds it, and values.

    If all values are 0 and 1, the input sends spikes. Values that are all 0 say nothing.
    """
    batches = [batch.x for batch in source.batches(CALIBRATION_SAMPLES, limit=samples)]
    largest = max(float(np.abs(x).max()) for x in batches)
    if not largest:
        return {}
    is_binary = all(((x == 0) | (x == 1)).all() for x in batches)
    bound = 2.0 ** math.ceil(math.log2(max(largest, 1.0)))
    return {"largest_input": bound, "samples": batches[0], "binary_input": is_binary}


def simulate(
    path: Path,
    *,
    data: str,
    dialect: str | None = None,
    strict: bool = False,
    split: str | None = None,
    data_dir: Path | None = None,
    binning: Binning | None = None,
    input_scale: float | None = None,
    frames: bool = False,
    samples: int | None = None,
    steps: int | None = None,
    encoder: str | None = None,
    seed: int = 0,
    input_threshold: float = 0.0,
    delta_threshold: float | None = None,
    code: Code | Literal["auto"] = "delta",
    profiles: Sequence[str] = (),
    step_time: float | None = None,
    clock: float | None = None,
    early_exit: float | None = None,
    baseline: Path | None = None,
    batch: int = 64,
    threads: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    output: Reading = "spikes",
    record: Path | None = None,
    record_potentials: bool = False,
    out: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> "Simulation":
    """Execute a program on data, event by event; count, and with ``profiles`` price what was executed.

    Args:
        path: a .nir, .net or .onnx file, or a run folder.
        data: a name of ``data.DATASETS`` or a path to an .npz.
        dialect: how to read a file of another tool, ``NAME[,KEY=VALUE...]``.
        strict: refuse a file that would have to be repaired.
        split: part of the data; by default the test set, or a whole .npz.
        data_dir: where the files of a named set lie.
        binning: how events of a camera are cut.
        input_scale: stored values are multiplied by it; by default the scale of the data.
        frames: the axis of x after N is time.
        samples: how many, from the first on; all by default.
        steps: time steps per sample; by default as in data with a time axis, else as stated.
        encoder: a name of ``data.ENCODERS``; by default the program's.
        seed: of a random encoder.
        input_threshold: an input is resent only after it has changed by more than this.
        delta_threshold: the same for all SigmaDelta layers; by default as in the file.
        code: ``delta``, ``spike``, or ``auto``: per edge what costs less on calibration samples.
        profiles: names of hardware, or paths to a .toml; tables show the first.
        step_time: seconds that the hardware takes for a time step, for its static power.
        clock: of the hardware, in MHz, instead of that of its profile.
        early_exit: a sample ends when its largest output, as a mean over the steps so far, is this much ahead.
        baseline: the run folder of its dense twin (``train --method ann``), to compare with.
        batch: samples executed at once; results do not depend on it, nor on the three below.
        threads: of this process; by default one per core.
        workers: so many processes on this machine instead.
        scheduler: the address of a Dask scheduler whose workers shall do it.
        output: of the last layer: its ``spikes``, or its ``potential`` before the reset.
        record: an .npz for the raster of every layer.
        record_potentials: also write the potentials that layers compare with their thresholds, as ``v/LAYER``.
        out: a folder for report.json, steps.csv and report.html.
        progress: receives the number of finished samples.

    Raises:
        TddDeployError: anything wrong with a file, the data or an option.
    """
    from tdd_deploy.runtime.shards import Job, Share, execute
    from tdd_deploy.simulator.engine.engine import Engine
    from tdd_deploy.simulator.engine.record import recording
    from tdd_deploy.simulator.hardware.profiles import load_profile
    from tdd_deploy.simulator.reports.report import Simulation, priced

    _check_where(
        threads=threads,
        workers=workers,
        scheduler=scheduler,
        record=record,
        record_potentials=record_potentials,
        early_exit=early_exit,
    )
    if out is not None:
        _check_report_folder(out)
    prices = [load_profile(name) for name in profiles]
    _check_hardware(prices, step_time=step_time, clock=clock)
    twin = None if baseline is None else RunFolder.read_baseline(baseline)
    program = _as_asked(
        read_program(path, dialect=dialect, strict=strict), delta_threshold=delta_threshold, output=output
    )
    binning = binning and binning.in_steps(steps)
    opened = partial(open_data, data, data_dir=data_dir, binning=binning, input_scale=input_scale)
    source = opened(split=split)
    feed = Feed.of(program, source, steps=steps, encoder=encoder, seed=seed, threshold=input_threshold, frames=frames)
    program = _calibrated(program, opened(split="train"), feed) if code == "auto" else with_code(program, code)
    run_on = _data_json(feed, source, path)
    if twin is not None:
        _check_twin(baseline, twin, program, run_on)
    placement, unplaced = _placed(program, prices)
    routes = placement.routes if placement else None
    n_samples = source.n_samples if samples is None else min(samples, source.n_samples)
    total: Share | None = None
    with ExitStack() as stack:
        if workers is not None or scheduler is not None:
            from tdd_deploy.runtime import dask as cluster

            job = Job(
                program=program,
                data=str(Path(data).absolute()) if is_file(data) else data,
                split=source.split,
                data_dir=None if data_dir is None else data_dir.absolute(),
                binning=binning,
                input_scale=input_scale,
                frames=frames,
                steps=feed.n_steps,
                encoder=feed.encoder,
                seed=seed,
                threshold=input_threshold,
                batch=batch,
                early_exit=early_exit,
                routes=routes,
                files=source.fingerprints,
            )
            client = stack.enter_context(cluster.workers(workers) if workers else cluster.scheduler(scheduler or ""))
            shares = cluster.in_shares(job, n_samples, client)
        else:
            take = None
            potentials = [x.name for x in program.neuron_layers if record_potentials and x.neuron.spiking]
            if record is not None:
                sizes = {"n_samples": n_samples, "n_steps": feed.n_steps}
                take = stack.enter_context(recording(record, program, potentials=potentials, **sizes)).take
            engine = Engine(program, threads=threads, routes=routes, potentials=potentials)
            shares = execute(source, feed, engine, range(n_samples), batch=batch, early_exit=early_exit, take=take)
        for share in shares:
            total = share if total is None else total + share
            progress(total.trace.n_samples, n_samples)
        assert total is not None  # a source without samples is refused
        sent = total.sent.checked(program, source.name)
    simulation = Simulation(
        program=program,
        data={**run_on, "sent": sent.as_json(program)},
        code=code,
        trace=total.trace,
        n_correct=total.n_correct if source.labelled else None,
        energies=tuple(
            priced(
                total.trace,
                each,
                program,
                placement=placement if each.chip else None,
                unplaced=unplaced,
                step_time_s=step_time,
                clock_mhz=clock,
            )
            for each in prices
        ),
        placement=placement,
        caveats=_caveats(program, prices, input_is_binary=sent.is_binary),
        baseline=twin,
        early_exit=early_exit,
        output=total.output,
        options={
            "samples": n_samples,
            "output": output,
            "code": code,
            "delta_threshold": delta_threshold,
            "step_time_s": step_time,
            "clock_mhz": clock,
            "early_exit": early_exit,
            "baseline": None if baseline is None else str(baseline),
        },
    )
    if out is not None:
        _write_report(out, simulation)
    return simulation


def check(
    path: Path,
    *,
    target: str,
    dialect: str | None = None,
    strict: bool = False,
    bits: int | None = None,
    code: Code | None = None,
    chips: int = 1,
    data: str | None = None,
    split: str | None = None,
    data_dir: Path | None = None,
    binning: Binning | None = None,
    input_scale: float | None = None,
    frames: bool = False,
    samples: int | None = None,
) -> "Checked":
    """Check whether a program fits on a chip; see ``simulator.check``.

    Args:
        path: a .nir, .net or .onnx file, or a run folder.
        target: a chip, a profile of one, or a path to a chip's .toml.
        dialect: how to read a file of another tool, ``NAME[,KEY=VALUE...]``.
        strict: refuse a file that would have to be repaired.
        bits: of a weight, for floats; by default 8.
        code: what edges send; by default delta where events can carry a sign, or else spike.
        chips: how many there are.
        data: samples that show what the input sends; without them the program decides, or it stays unknown.
        split: part of the data; by default the test set, or a whole .npz.
        data_dir: where the files of a named set lie.
        binning: how events of a camera are cut.
        input_scale: stored values are multiplied by it; by default the scale of the data.
        frames: the axis of x after N is time.
        samples: how many are examined, from the first on; all by default.

    Raises:
        TddDeployError: anything wrong with a file or an option.
    """
    from tdd_deploy.simulator.hardware.check import Setting
    from tdd_deploy.simulator.hardware.check import check as examine
    from tdd_deploy.simulator.hardware.chips import chip_names, load_chip
    from tdd_deploy.simulator.hardware.profiles import load_profile, profile_names

    of_profile = load_profile(target).chip if target in set(profile_names()) - set(chip_names()) else target
    if of_profile is None:
        found = f"{target!r}, whose chip has no published limits here"
        raise BadOption("--target", found, f"{', '.join(chip_names())}, a profile of one, or a path to a .toml")
    chip = load_chip(of_profile)
    program = read_program(path, dialect=dialect, strict=strict)
    is_integer = program.number_format == "integer"
    if is_integer and bits is not None:
        raise BadOption("--bits", f"{bits}, of a program in integers", "a program in floats")
    if bits is not None and not 1 <= bits <= 32:
        raise BadOption("--bits", str(bits), "1 to 32")
    if chips < 1:
        raise BadOption("--chips", str(chips), "1 or more")
    weight_bits = bits or _weight_bits(program)
    taken = [] if is_integer else [f"weights in floats are taken as integers of {weight_bits} bits (--bits)"]
    if code is None:
        code = "spike" if chip.spikes.kind == "binary" else "delta"
        taken.append(f"edges send in {code} code (--code)")
    seen = looked_at = None
    if data is not None:
        source = open_data(data, split=split, data_dir=data_dir, binning=binning, input_scale=input_scale)
        seen = _seen_of(program, source, frames=frames, samples=samples)
        looked_at = {
            "name": source.name,
            "split": source.split,
            "input": source.as_json(),
            "binned": source.binned.as_json() if source.binned else None,
            "files": source.digests,
        }
        if seen is None:
            taken.append(f"all values of {source.name} ({source.split}) are 0, and do not show what the input sends")
        elif seen.is_binary:
            taken.append(f"{program.input.name} {seen.found}")
    else:
        if needless := _without_data(data_dir, binning, input_scale, samples, frames=frames, split=split):
            raise BadOptions("these options", needless)
        kind = input_kind(program)
        taken += [f"{program.input.name} sends spikes, as the network states"] if kind == "spikes" else []
    setting = Setting(program=with_code(program, code), chip=chip, weight_bits=weight_bits, n_chips=chips, seen=seen)
    return examine(setting, taken=tuple(taken), data=looked_at)


def _seen_of(program: Program, source: Source, *, frames: bool, samples: int | None) -> "Seen | None":
    """Examine what samples send into a program; None if all of it is 0, which shows nothing."""
    from tdd_deploy.simulator.hardware.check import DRAWN, Seen

    steps = arranged(program, source, frames=frames).n_steps or 1  # values are examined but not executed
    feed = Feed.of(program, source, steps=steps, frames=frames)
    if feed.encoder != "direct":
        return Seen(is_binary=True, found=f"sends spikes that its encoder draws ({feed.encoder})")
    batches = feed.batches(source, MEASURED_BATCH, limit=samples, labels=False)
    sent = sum((Sent.of(encoded, program) for encoded, _ in batches), Sent())
    n_samples = source.n_samples if samples is None else min(samples, source.n_samples)
    of_data = f"{n_samples:,} samples of {source.name} ({source.split})"
    if not sent.nonzero:
        return None
    if sent.is_binary:
        return Seen(is_binary=True, found=f"sends spikes: all {sent.values:,} values of {of_data} are 0 or 1")
    found = f"sends numbers: {sent.other:,} of {sent.values:,} values of {of_data} are not sent as 0 or 1"
    remedy = DRAWN if sent.lowest >= 0 and sent.highest <= 1 else ""
    if source.binned and source.scale == 1:
        remedy = "With --bin-value binary it fits"
    return Seen(is_binary=False, found=f"{found}; values range from {sent.lowest:g} to {sent.highest:g}", remedy=remedy)


def _without_data(
    data_dir: Path | None,
    binning: Binning | None,
    input_scale: float | None,
    samples: int | None,
    *,
    frames: bool,
    split: str | None = None,
) -> list[Violation]:
    """List the options about data that were given without --data."""
    given = {
        "--data-dir": data_dir,
        "--split": split,
        "--bin-us or --bins": binning,
        "--input-scale": input_scale,
        "--frames": frames or None,
        "--samples": samples,
    }
    return [
        Violation(option, "given without --data", "only with --data") for option, x in given.items() if x is not None
    ]


def report(path: Path) -> dict[str, Any]:
    """Read what ``simulate`` wrote.

    Args:
        path: the folder of its ``out``, or the report.json in it.

    Raises:
        BadFile: no such file, or no report.
    """
    from tdd_deploy.simulator.reports.report import SCHEMA_VERSION

    file = path / "report.json" if path.is_dir() else path
    remedy = "name a folder that tdd-deploy simulate --out wrote"
    found = read_json(file, remedy)
    parts = {"schema_version", "program", "data", "steps", "layers", "totals", "energy", "energies"}
    if not isinstance(found, dict) or not parts <= found.keys():
        raise BadFile(file, "is no report of a simulation", remedy)
    if found["schema_version"] != SCHEMA_VERSION:
        version = f"is a report of schema {found['schema_version']}, not {SCHEMA_VERSION}"
        raise BadFile(file, version, "simulate again")
    return dict(found)


def compare(paths: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Read several reports; each is called what its folder is, or its path where two would be called the same.

    Raises:
        BadFile: see ``report``.
    """
    folders = [path if path.is_dir() else path.parent for path in paths]
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return {name: report(path) for name, path in zip(names, paths, strict=True)}


def profiles(names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return hardware profiles as plain values: all that come with the package, or those that are named.

    Raises:
        TddDeployError: an unknown name, or a file that is no profile.
    """
    from tdd_deploy.simulator.hardware.profiles import load_profile, profile_names

    found = [load_profile(name) for name in names or profile_names()]
    return [{**asdict(profile), "static_mw": profile.static_mw()} for profile in found]


def _check_hardware(profiles: "Sequence[Profile]", *, step_time: float | None, clock: float | None) -> None:
    for option, value in (("--step-time", step_time), ("--clock", clock)):
        if value is not None and not 0 < value < math.inf:
            raise BadOption(option, f"{value:g}", "a number above 0")
        if value is not None and not profiles:
            raise BadOption(option, f"{value:g}", "with --energy: it is of the hardware")
    if clock is not None and not any(profile.clock for profile in profiles):
        names = ", ".join(profile.name for profile in profiles)
        raise BadOption(
            "--clock", f"{clock:g}", f"a profile whose static power depends on a clock; {names}: it does not"
        )


def _placed(program: Program, profiles: "Sequence[Profile]") -> "tuple[Placement | None, str]":
    """Return where a program lies on the chip of some profiles, or why it does not."""
    from tdd_deploy.simulator.hardware.chips import load_chip
    from tdd_deploy.simulator.hardware.energy import UNPLACED
    from tdd_deploy.simulator.hardware.placement import place

    names = dict.fromkeys(profile.chip for profile in profiles if profile.chip)
    if len(names) > 1:
        given = ", ".join(profile.name for profile in profiles if profile.chip)
        raise BadOption("--profile", f"{given}: of {' and '.join(names)}", "profiles of one chip in one run")
    if not names:
        return None, UNPLACED
    chip = load_chip(next(iter(names)))
    placement = place(program, chip, weight_bits=_weight_bits(program))
    if not placement.exceeded:
        return placement, ""
    what = "; ".join(
        f"{layer} exceeds {', '.join(chip.limits[name].what for name in limits)}"
        for layer, limits in placement.exceeded.items()
    )
    return None, f"not placed on {chip.name}: {what} (tdd-deploy check says more)"


def _as_asked(program: Program, *, delta_threshold: float | None, output: Reading) -> Program:
    if delta_threshold is not None:
        program = with_delta_threshold(program, delta_threshold)
    return with_reading(program, output)


def _check_twin(path: Path | None, twin: Mapping[str, Any], program: Program, data: Mapping[str, Any]) -> None:
    from tdd_deploy.simulator.hardware.baseline import disagreements

    found = list(disagreements(twin, program, data))
    if found:
        raise BadOptions(f"--baseline {path}", found)


def _caveats(program: Program, profiles: "Sequence[Profile]", *, input_is_binary: bool) -> tuple[str, ...]:
    """Report what the chips of some profiles cannot execute of a program with this input."""
    from tdd_deploy.simulator.hardware.check import cannot_run
    from tdd_deploy.simulator.hardware.chips import load_chip

    chips = [load_chip(name) for name in dict.fromkeys(profile.chip for profile in profiles if profile.chip)]
    found = [(chip.name, cannot_run(program, chip, input_is_binary=input_is_binary)) for chip in chips]
    return tuple(
        f"{name} cannot run this as it is, and is priced as if it could: {what}" for name, what in found if what
    )


def _weight_bits(program: Program) -> int:
    """Return the bits of a program's weights on a chip: its own, or for floats those that export would give it."""
    from tdd_deploy.program.quantization.quantize import bits_of

    return bits_of(program) if program.number_format == "integer" else DEPLOYED_BITS


def _check_where(
    *,
    threads: int | None,
    workers: int | None,
    scheduler: str | None,
    record: Path | None,
    record_potentials: bool,
    early_exit: float | None,
) -> None:
    """Refuse what cannot go together."""
    given = {"--threads": threads, "--workers": workers, "--scheduler": scheduler}
    chosen = [option for option, value in given.items() if value is not None]
    faults = []
    if len(chosen) > 1:
        faults.append(Violation(" and ".join(chosen), "are given together", "one of them"))
    if record_potentials and record is None:
        faults.append(Violation("--record-potentials", "given without --record", "with --record FILE.npz"))
    if record is not None and (workers is not None or scheduler is not None):
        found = "writes sample after sample, and workers are done in any order"
        faults.append(Violation("--record", found, "one process: --threads"))
    if record is not None and early_exit is not None:
        found = "would hold zeros where a sample was decided and not executed"
        faults.append(Violation("--record with --early-exit", found, "one of them"))
    if faults:
        raise BadOptions("these options", faults)


def _check_report_folder(folder: Path) -> None:
    """Find out before a long run whether its report can be written."""
    from tdd_deploy.simulator.reports.html import require

    require()
    _check_is_no_file(folder)


def _check_is_no_file(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise BadFile(folder, "is a file", "name a folder")


def _write_report(folder: Path, simulation: "Simulation") -> None:
    from tdd_deploy.simulator.reports.html import write_html
    from tdd_deploy.simulator.reports.report import write_csv

    make_folder(folder)
    report = simulation.as_json()
    write_json(folder / "report.json", report)
    write_csv(folder / "steps.csv", report)
    write_html(folder / "report.html", report)


@dataclass(frozen=True, kw_only=True)
class Verified:
    """One or more comparisons of machines; ``left_out`` says why a machine is missing."""

    hops: "tuple[Hop, ...]"
    seconds: Mapping[str, float]  # per machine, for all samples
    accuracies: Mapping[str, float]  # per machine; empty for data without labels
    n_samples: int
    left_out: tuple[str, ...]
    data: Mapping[str, Any] = field(default_factory=dict)  # how samples became inputs

    @property
    def passed(self) -> bool:
        """Whether every hop kept its bound."""
        return bool(self.hops) and all(hop.passed for hop in self.hops)

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "schema_version": 1,
            "passed": self.passed,
            **asdict(self),
            "hops": [hop.as_json() for hop in self.hops],
        }


def verify(
    path: Path,
    *,
    data: str,
    dialect: str | None = None,
    strict: bool = False,
    split: str | None = None,
    data_dir: Path | None = None,
    binning: Binning | None = None,
    input_scale: float | None = None,
    frames: bool = False,
    samples: int = 20,
    steps: int | None = None,
    against: Sequence[str] | None = None,
    bits: int | None = None,
    per: "Per" = "layer",
    input_bits: int | None = None,
    mapping: "LavaMapping" = "fused",
    timeout_s: float = 3600,
    output: Reading = "spikes",
    batch: int = 32,
    progress: Progress = lambda done, total: None,
) -> Verified:
    """Run the same samples on several machines, each compared with the one before.

    Args:
        path: a .nir, .net or .onnx file, or a run folder.
        data: a name of ``data.DATASETS`` or a path to an .npz.
        dialect: how to read a file of another tool, ``NAME[,KEY=VALUE...]``.
        strict: refuse a file that would have to be repaired.
        split: part of the data; by default the test set, or a whole .npz.
        data_dir: where the files of a named set lie.
        binning: how events of a camera are cut.
        input_scale: stored values are multiplied by it; by default the scale of the data.
        frames: the axis of x after N is time.
        samples: how many, from the first on.
        steps: time steps per sample; by default as in data with a time axis, else as stated.
        against: names of ``machines.MACHINES``, executed in that order; by default all that are there.
        bits: of a weight, where the program is quantized on the way to ``integer`` and ``lava``; 8 by default.
        per: one scale per ``layer`` or per ``neuron``.
        input_bits: of an analog input; by default those that lose least.
        mapping: of ``lava``.
        timeout_s: seconds that Lava may take for a batch.
        output: of the last layer: its ``spikes``, or its ``potential`` before the reset.
        batch: samples executed at once.
        progress: receives the number of finished samples.

    Raises:
        BadOption: no such machine, or too few of them.
        BadOptions: options of quantisation, for a program that is in integers.
        MissingEnvironment: Lava was asked for and is not set up.
        TddDeployError: anything wrong with the file, the data or an option.
    """
    from tdd_deploy.program.quantization.quantize import quantize
    from tdd_deploy.verification.backends import Machines
    from tdd_deploy.verification.comparison import joined

    program = with_reading(read_program(path, dialect=dialect, strict=strict), output)
    given = (("--bits", bits is not None), ("--per", per != "layer"), ("--input-bits", input_bits is not None))
    if program.number_format == "integer" and any(is_given for _, is_given in given):
        words = "given, and the program is in integers already", "only with a program in floats"
        raise BadOptions("these options", [Violation(option, *words) for option, is_given in given if is_given])
    binning = binning and binning.in_steps(steps)
    source = open_data(data, split=split, data_dir=data_dir, binning=binning, input_scale=input_scale)
    feed = Feed.of(program, source, steps=steps, frames=frames)

    def quantized() -> Program:
        weight_bits = DEPLOYED_BITS if bits is None else bits
        return quantize(program, bits=weight_bits, per=per, input_bits=input_bits, **_seen(source, samples)).program

    chosen = Machines(path=path, program=program, quantized=quantized, mapping=mapping, timeout_s=timeout_s)
    machines, left_out = chosen.all_there() if against is None else (chosen.named(against), [])
    n_samples = min(samples, source.n_samples)
    sent = Sent()
    integers: Program | None = None  # of a program in floats
    rounded = Sent()
    hops: list[list[Hop]] = []
    seconds: dict[str, float] = {}
    right: dict[str, int] = {}
    done = 0
    for encoded, labels in feed.batches(source, batch, limit=samples):
        inputs = np.stack([encoded.at(t) for t in range(feed.n_steps)])
        found = [machine(inputs) for machine in machines]
        sent += Sent.of(encoded, program)
        if program.number_format != "integer":
            integers = next((each.program for each in found if each.program.number_format == "integer"), None)
            rounded += Sent() if integers is None else Sent.of(encoded, integers)
        for recorded in found:
            seconds[recorded.machine] = seconds.get(recorded.machine, 0.0) + recorded.seconds
            if labels is not None:
                correct = int((predicted(recorded.output) == labels).sum())
                right[recorded.machine] = right.get(recorded.machine, 0) + correct
        hops.append(_side_by_side(found))
        done += inputs.shape[1]
        progress(done, n_samples)
    return Verified(
        hops=tuple(joined(batches) for batches in zip(*hops, strict=True)),
        seconds=seconds,
        accuracies={name: n / n_samples for name, n in right.items()},
        n_samples=n_samples,
        left_out=tuple(left_out),
        data={
            **_data_json(feed, source, path),
            "sent": sent.checked(program, source.name).as_json(program),
            **({} if integers is None else {"sent_in_integers": rounded.as_json(integers)}),
        },
    )


def _side_by_side(found: "Sequence[Recorded]") -> "list[Hop]":
    """Compare each machine with the one before."""
    from tdd_deploy.verification.comparison import compare, informed

    hops = []
    before = found[0]
    for after in found[1:]:
        hops.append(compare(before, after))
        before = informed(before, after, hops[-1])
    return hops


def inspect(path: Path, *, dialect: str | None = None, strict: bool = False) -> dict[str, Any]:
    """Return what a .nir, .net or .onnx file or run folder holds, every choice named, as plain values.

    Of a file of another tool without a dialect: what stands there, and what each dialect would make of it.

    Args:
        path: the file or folder.
        dialect: how to read a file of another tool, ``NAME[,KEY=VALUE...]``.
        strict: refuse a file that would have to be repaired.
    """
    from tdd_deploy.importers import AmbiguousGraph, survey

    try:
        program = read_program(path, dialect=dialect, strict=strict)
    except AmbiguousGraph:
        return survey(RunFolder.network_of(path), strict=strict)
    nodes = [
        {
            "name": node.name,
            "kind": describe.kind(node),
            "shape": list(program.shapes[node.name]),
            "parameters": describe.parameters(node),
            "from": [f"{e.source} ({e.delay} step ago)" if e.delay else e.source for e in program.incoming[node.name]],
        }
        for node in program.nodes
    ]
    return {
        "nodes": nodes,
        "neurons": sum(math.prod(layer.shape) for layer in program.neuron_layers),
        "weights": sum(_n_weights(node) for node in program.linear_maps if isinstance(node, Dense | Conv)),
        "time step": f"{program.dt_s:g} s",
        "time constants": ", ".join(describe.time_constants(program)) or "none",
        "time steps per sample": program.n_steps or "not stated: data without a time axis need --steps",
        "integration": program.integration,
        "encoder": program.encoder,
        "number format": program.number_format,
        "currents that can round": ", ".join(rounding_receivers(program)) or _unrounded(program),
        **_overflow(program),
        "digest": program.digest,
        **program.provenance,
    }


def _n_weights(node: Dense | Conv) -> int:
    """Count the weights of a map, without zeros that even out padding."""
    return int(node.taps.sum()) * math.prod(node.weight.shape[:2]) if isinstance(node, Conv) else node.weight.size


def _unrounded(program: Program) -> str:
    """Describe for which inputs the currents of a program cannot round."""
    is_any = program.number_format == "integer" or program.encoder != "direct"
    return f"none{'' if is_any else ', for inputs k/256 up to 1'}: every code gives the same spikes"


def _overflow(program: Program) -> dict[str, str]:
    """Say of an integer program where 24 bits may not do."""
    if program.number_format != "integer":
        return {}
    return {"layers whose current can wrap": ", ".join(wrapping_layers(program)) or "none, whatever the input"}


def _calibrated(program: Program, source: Source, feed: Feed) -> Program:
    from tdd_deploy.simulator.engine.codes import choose_codes
    from tdd_deploy.simulator.engine.engine import Engine

    engine = Engine(program)
    first, _ = next(feed.batches(source, CALIBRATION_SAMPLES, limit=CALIBRATION_SAMPLES))
    return choose_codes(program, engine.run(first, n_steps=feed.n_steps).trace)


def train(
    out: Path,
    *,
    data: str | None = None,
    data_dir: Path | None = None,
    frames: bool | None = None,
    input_scale: float | None = None,
    config: Path | None = None,
    device: str | None = None,
    tensorboard: bool | None = None,
    resume: bool = False,
    watcher: "Watcher | None" = None,
    **given: Any,
) -> dict[str, Any]:
    """Train a network into the run folder ``out``; return the contents of its train.json.

    Started by torchrun, it is one of several processes that do so together; the first writes the files.

    Args:
        out: a new folder, or with ``resume`` one that holds a run.
        data: a name of ``data.DATASETS``, or a path to a labelled .npz; digits by default.
        data_dir: where the files of a named set lie.
        frames: the .npz is in time, ``[N, n_steps, ...]``; events of a camera need only to be cut (``bin_us``, ...).
        input_scale: stored values are multiplied by it; by default the scale of the data.
        config: a .toml whose table [train] gives what is not given here.
        device: ``cpu``, ``cuda``, or ``auto`` (default): cuda where there is one.
        tensorboard: also write TensorBoard's files, into the folder's ``tensorboard``.
        resume: go on from the last checkpoint, with the options that the run began with.
        watcher: receives every batch and epoch.
        given: fields of ``train.TrainOptions``, and of ``data.Binning``; what is not given has its default.

    Raises:
        Interrupted: Ctrl-C; the folder holds everything needed to ``resume``.
        TddDeployError: anything wrong with the folder, the data or an option.
    """
    room = _training_room("tdd-deploy train")
    from tdd_deploy.exporters import TARGETS

    place: dict[str, Any] = {"data_dir": data_dir, "device": device, "tensorboard": tensorboard}
    everything = {"data": data, "frames": frames, "input_scale": input_scale, **place, **given}
    chosen = {name: value for name, value in everything.items() if value is not None}
    if config is not None:
        chosen = {**read_options(config, "train", _option_types()), **chosen}
    place = {name: chosen.pop(name, None) for name in place}
    run = RunFolder(out)
    before = _recorded(run, chosen) if resume else {}
    choices = {"data": "digits", "frames": False, **before.get("options", chosen)}
    of_data = {name: choices.pop(name, None) for name in room.OF_DATA}
    data, frames, binning = of_data["data"], of_data["frames"], _binning_of(of_data, choices.get("steps"))
    input_scale = of_data["input_scale"]
    opened = partial(open_data, data, data_dir=place["data_dir"], binning=binning, input_scale=input_scale)
    _check_method(choices.get("method"), frames=frames, binning=binning)
    choices = _steps_of_events(opened, binning) | choices
    options = _train_options(choices, run, resume=resume)
    if not resume and out.is_dir() and any(out.iterdir()):
        raise BadFile(out, "is not empty", "name a new folder, or continue its run with --resume")
    if place["tensorboard"]:
        room.require_tensorboard()
    with room.executing(place["device"] or "auto") as execution:
        learned, facts = _training_data(opened, options, in_time=frames or binning is not None)
        measured_on = (opened(split="val"), opened(split=None)) if options.is_ann else ()  # of simulate, by default
        if resume and _without_origins(facts) != _without_origins(before["data"]):
            raise BadData(
                data, [Violation("its samples", "have changed since the run began", "the samples it began with")]
            )
        recorded = {
            "schema_version": 1,
            "options": {**of_data, **options.as_json()},
            "config": None if config is None else str(config),
            "versions": _versions(*(["kornia"] if options.augment else [])),
            "threads": room.n_threads(),  # bit for bit the same weights come from as many threads
            "execution": execution.as_json(),
            "data": facts,
            "finished": False,
            "epochs": before.get("epochs", []),
        }
        processes = execution.processes
        processes.wait()  # until all have seen the folder as it was
        board: Board | None = None
        if processes.is_first:
            run.make()
            write_json(run.train_json, recorded)
            if place["tensorboard"]:
                board = room.Board(run.tensorboard, epochs=len(recorded["epochs"]))
        journal = _Journal(run, recorded, watcher, board)
        with nullcontext() if board is None else closing(board):
            trained = room.fit(options, learned, out, resume=resume, watcher=journal, execution=execution)
        finished = {
            **recorded,
            "finished": True,
            "program": None if trained.program is None else trained.program.digest,
            "kept_epoch": trained.kept_epoch,
            "epochs": trained.history,
        }
        if processes.is_first:
            if trained.program is None:
                _write_ann(
                    run,
                    room.lower(trained.network, n_steps=1, encoder=options.encoder),
                    _baseline_json(options, trained.network, learned, facts, measured_on),
                )
            else:
                TARGETS["nir"](trained.program, run.network_nir)
            room.write_metrics(run.metrics_csv, trained.history)
            write_json(run.train_json, finished)
    return finished


def _write_ann(run: RunFolder, program: Program, measured: Mapping[str, Any]) -> None:
    """Write what an ANN is as a baseline, and where onnx is installed, as a network for ``simulate``."""
    from tdd_deploy.exporters.onnx import relu_network

    write_json(run.baseline_json, measured)
    if find_spec("onnx") is not None:
        relu_network.write(program, run.network_onnx)


def _baseline_json(
    options: "TrainOptions",
    network: "ReluNetwork",
    learned: "TrainingData",
    facts: Mapping[str, Any],
    sources: Sequence[Source],
) -> dict[str, Any]:
    """Measure a trained ReLU network; return the contents of its baseline."""
    from tdd_deploy.training import Samples, measure

    def samples(source: Source) -> Iterator[Samples]:
        for batch in source.batches(MEASURED_BATCH):
            assert batch.y is not None  # as are the samples that were learned from
            yield Samples(batch.x.reshape(-1, *learned.input_shape), batch.y)

    measured = measure(network, learned.train.x, {source.split: samples(source) for source in sources})
    splits = {source.split: {"n_samples": source.n_samples, "files": source.digests} for source in sources}
    return {
        "schema_version": BASELINE_VERSION,
        "network": options.network,
        "input_shape": facts["input_shape"],
        "n_classes": facts["n_classes"],
        "data": {
            **{name: facts[name] for name in ("name", "train_samples", "sha256")},
            "input_scale": facts["input"]["scale"],
            "splits": splits,
        },
        **measured.as_json(),
    }


def _option_types() -> dict[str, Any]:
    """Return what a configuration file may say of ``train``."""
    from tdd_deploy.training import TrainOptions

    of_events = {"bin_us": int, "bins": int, "bin_value": str, "downsample": int}
    here = {
        "data": str,
        "frames": bool,
        "input_scale": float,
        **of_events,
        "data_dir": Path,
        "device": str,
        "tensorboard": bool,
    }
    return here | get_type_hints(TrainOptions)


@dataclass(frozen=True)
class _Journal:
    """Keeps the record and the metrics of a run true after every epoch, and informs a watcher."""

    run: RunFolder
    recorded: Mapping[str, Any]
    watcher: "Watcher | None"
    board: "Board | None"

    def batch(self, done: int, total: int, loss: float) -> None:
        if self.watcher is not None:
            self.watcher.batch(done, total, loss)

    def epoch(self, history: list[dict[str, Any]]) -> None:
        from tdd_deploy.training import write_metrics

        write_json(self.run.train_json, {**self.recorded, "epochs": history})
        write_metrics(self.run.metrics_csv, history)
        if self.board is not None:
            self.board.epoch(history)
        if self.watcher is not None:
            self.watcher.epoch(history)


def _recorded(run: RunFolder, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a run recorded; refuse options other than those it began with."""
    from tdd_deploy import training as room

    recorded = run.read_record("start a new run in another folder, without `resume`")
    options = room.by_field(recorded["options"])
    known = {"data": recorded["data"], "epochs": recorded["epochs"], "options": options}
    changed = [
        Violation(
            room.flag(name),
            str(value),
            f"{'not given' if options.get(name) is None else options[name]}, as the run began",
        )
        for name, value in chosen.items()
        if options.get(name) != value
    ]
    if changed:
        raise BadOptions("--resume continues a run as it began", changed)
    return known


def _check_method(method: str | None, *, frames: bool, binning: Binning | None) -> None:
    if method == "ann" and (frames or binning):
        option = "--frames" if frames else "--bin-us or --bins"
        raise BadOption(option, "given with --method ann, which has no time steps", "only with a spiking network")


def _binning_of(of_data: Mapping[str, Any], steps: int | None) -> Binning | None:
    """Return how a run cuts events into time steps, by its options."""
    from tdd_deploy.training import OF_EVENTS

    binning = Binning.of(**{name: of_data.get(name) for name in OF_EVENTS})
    return binning and binning.in_steps(steps)


def _train_options(choices: Mapping[str, Any], run: RunFolder, *, resume: bool) -> "TrainOptions":
    """Check the options of a run; to resume one, those that it recorded."""
    from tdd_deploy import training as room

    try:
        return room.checked(room.TrainOptions.of(**choices))
    except TypeError as error:
        if not resume:
            raise
        raise BadFile(run.train_json, f"is damaged ({error})", "start a new run in another folder") from error


def _steps_of_events(opened: Callable[..., Source], binning: Binning | None) -> dict[str, Any]:
    """Return the time steps that events are cut into, as an option of a run."""
    return {} if binning is None else {"steps": opened(split="train").sample_shape[0]}


def _training_data(
    opened: Callable[..., Source], options: "TrainOptions", *, in_time: bool
) -> "tuple[TrainingData, dict[str, Any]]":
    """Load what is learned from; return it, and the facts by which a resumed run knows it again."""
    from tdd_deploy.training import Samples, TrainingData

    parts = [opened(split=split) for split in ("train", "val")]
    source = parts[0]
    name = source.name
    if not source.labelled or source.n_classes is None:
        found = f"y holds {source.targets}" if source.targets else "there are none"
        raise BadData(name, [Violation("its labels", found, "y, one integer per sample")])
    shape = source.sample_shape[1:] if in_time else source.sample_shape
    input_shape = (1, *shape) if len(shape) == 2 else shape
    if len(input_shape) not in (1, 3):
        raise BadData(
            name, [Violation("a sample", f"shape {shape}", "(n,), (height, width) or (channels, height, width)")]
        )
    if in_time and source.sample_shape[0] < options.steps:
        raise BadOption("--steps", str(options.steps), f"1 to {source.sample_shape[0]}, the frames of a sample")
    sha = hashlib.sha256()
    loaded = []
    for part in parts:
        wanted = options.train_samples if part is source else None
        if wanted is not None and wanted > part.n_samples:
            raise BadOption("--train-samples", str(wanted), f"1 to {part.n_samples}, as many as there are")
        (whole,) = part.batches(wanted or part.n_samples, limit=wanted)
        x, y = whole.x, whole.y
        assert y is not None
        if part is source and len(y) < 2:
            raise BadData(name, [Violation("its training samples", "1", "2 or more, as batch norm needs")])
        if options.encoder == "poisson" and not (x.min() >= 0 and x.max() <= 1):
            raise BadData(name, [Violation("x", f"{x.min()} to {x.max()}", "0 to 1, the probability of a spike")])
        sha.update(np.ascontiguousarray(x).data)
        sha.update(y.data)
        lead = x.shape[:2] if in_time else x.shape[:1]
        loaded.append(Samples(x.reshape(*lead, *input_shape), y))
    facts = {
        "name": name,
        "train_samples": len(loaded[0].y),
        "validation_samples": len(loaded[1].y),
        "n_classes": source.n_classes,
        "input_shape": list(input_shape),
        "input": source.as_json(),
        "static": not in_time,
        "n_steps": options.steps,
        "n_steps_from": "from the options of the run",
        "n_steps_of_data": source.sample_shape[0] if in_time else None,
        "sha256": sha.hexdigest(),
    }
    learned = TrainingData(
        train=loaded[0], validation=loaded[1], input_shape=input_shape, n_classes=source.n_classes, in_time=in_time
    )
    return learned, facts


def _without_origins(facts: Any) -> Any:
    """Drop the entries that only say where a choice comes from, in words that may change between versions."""
    if not isinstance(facts, dict):
        return facts
    return {name: _without_origins(value) for name, value in facts.items() if not name.endswith("_from")}


def _versions(*more: str) -> dict[str, str]:
    packages = ("torch", "numpy", "nir", *more)
    found = {package: metadata.version(package) for package in packages}
    return {"tdd-deploy": __version__, "python": platform.python_version(), **found}


def analyse(
    run: Path,
    *,
    data: str,
    split: str | None = None,
    data_dir: Path | None = None,
    binning: Binning | None = None,
    input_scale: float | None = None,
    frames: bool = False,
    samples: int = ANALYSED_SAMPLES,
    layers: Sequence[str] = (),
    sample: int = 0,
    out: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> "Analysis":
    """Analyze what a trained network sends from step to step: what repeats, where deltas pay, where information lies.

    Args:
        run: a run folder.
        data: a name of ``data.DATASETS`` or a path to an .npz.
        split: part of the data; by default the test set, or a whole .npz.
        data_dir: where the files of a named set lie.
        binning: how events of a camera are cut.
        input_scale: stored values are multiplied by it; by default the scale of the data.
        frames: the axis of x after N is time.
        samples: how many, from the first on.
        layers: whose spikes are drawn; by default those of the first two.
        sample: whose spikes are drawn, from 0 on.
        out: a folder for analysis.json and pictures.
        progress: receives the number of finished samples.

    Raises:
        BadFile: not a finished run.
        BadOption: no such layer, or no such sample.
        MissingDependency: torch, or for ``out`` matplotlib, is not installed.
        TddDeployError: anything else wrong with a file or the data.
    """
    room = _training_room("tdd-deploy analyse")
    from tdd_deploy.training.analysis import Analysis, examine, rasters

    if out is not None:
        from tdd_deploy.training.figures import require

        require()
        _check_is_no_file(out)
    program, finished = _finished_run(run, room)
    source = open_data(data, split=split, data_dir=data_dir, binning=binning, input_scale=input_scale)
    n_samples = min(samples, source.n_samples)
    names = finished.deployed.layers
    if not 0 <= sample < n_samples:
        raise BadOption("--sample", str(sample), f"0 to {n_samples - 1}, of those that are analysed")
    for layer in layers:
        if layer not in names:
            raise BadOption("--layer", repr(layer), " or ".join(names))
    feed = Feed.of(program, source, frames=frames)
    findings = None
    spikes: Mapping[str, Any] = {}
    done = 0
    for encoded, labels in feed.batches(source, ANALYSIS_BATCH, limit=samples):
        inputs = encoded.values[None] if encoded.static else encoded.values
        found = examine(finished, inputs, labels, feed.n_steps)
        findings = found if findings is None else findings + found
        if done <= sample < done + inputs.shape[1]:
            spikes = rasters(finished, inputs[:, [sample - done]], feed.n_steps)
        done += inputs.shape[1]
        progress(done, n_samples)
    assert findings is not None  # a source without samples is refused
    analysis = Analysis(
        program=program.digest,
        data=_data_json(feed, source, run),
        shapes={name: program.shapes[name] for name in names},
        findings=findings,
        epochs=finished.recorded["epochs"],
    )
    if out is not None:
        _write_analysis(out, analysis, {name: spikes[name][:, 0] for name in layers or names[:2]}, sample)
    return analysis


def _finished_run(folder: Path, room: Any) -> "tuple[Program, Finished]":
    """Read the program of a finished run, and its network in torch."""
    if not folder.is_dir():
        raise BadFile(folder, "is not a run folder", "name a folder that train wrote")
    if RunFolder(folder).is_ann:
        raise BadFile(folder, "is the run of an ANN (`method=ann`)", "name the run of a spiking network")
    program = read_program(folder)
    return program, room.load_run(folder, program)


def _training_room(command: str) -> Any:
    """Return the package ``train``, if torch is there."""
    try:
        from tdd_deploy import training as room
    except ImportError as error:
        raise MissingDependency(str(error.name), command, "'tdd-deploy[train]'") from error
    return room


def _write_analysis(folder: Path, analysis: "Analysis", spikes: Mapping[str, Any], sample: int) -> None:
    from tdd_deploy.training import figures

    make_folder(folder)
    report = analysis.as_json()
    write_json(folder / "analysis.json", report)
    for layer, raster in spikes.items():
        of_sample = f"sample {sample} of {report['data']['name']} ({report['data']['split']})"
        figures.feature_maps(folder / f"features-{layer}.png", raster, layer=layer, sample=of_sample)
    figures.event_curves(folder / "events.png", report)
    if len(report["steps"]) > 1:
        figures.overlap_maps(folder / "overlap.png", report)
    if report["fisher"]["traces"] is not None:
        figures.fisher_curves(folder / "fisher.png", report["fisher"])


@dataclass(frozen=True, kw_only=True)
class PrunedRound:
    """A round of pruning, measured on validation samples; counts are per sample. Round 0 is where it began."""

    round: int
    sparsity: float
    accuracy: float
    raw_events: float
    delta_events: float
    delta_synops: float
    spike_synops: float


def prune(
    run: Path,
    *,
    data: str,
    out: Path,
    data_dir: Path | None = None,
    progress: Progress = lambda done, total: None,
    **given: Any,
) -> dict[str, Any]:
    """Take weights out of a trained network, round by round, and let it learn on.

    Return what train.json then says of the rounds and the data.

    Args:
        run: a run folder; it stays as it is.
        data: what it was trained on: a name of ``data.DATASETS`` or a path to a labelled .npz.
        out: a new run folder.
        data_dir: where the files of a named set lie.
        progress: is told how many rounds are done.
        given: fields of ``train.prune.PruneOptions``.

    Raises:
        Interrupted: Ctrl-C; the rounds that were finished are kept.
        TddDeployError: anything wrong with a folder, the data or an option.
    """
    room = _training_room("tdd-deploy prune")
    from tdd_deploy.exporters import TARGETS
    from tdd_deploy.training.prune import PruneOptions
    from tdd_deploy.training.prune import prune as rounds_of

    chosen = PruneOptions(**given).checked()
    program, finished = _finished_run(run, room)
    if finished.options.qat is not None:
        raise BadFile(run, "was trained for integers (--qat)", "prune a run in floats, then export it with --bits")
    before = finished.recorded["options"]
    binning = _binning_of(before, finished.options.steps)
    input_scale = before.get("input_scale")
    opened = partial(open_data, data, data_dir=data_dir, binning=binning, input_scale=input_scale)
    in_time = before["frames"] or binning is not None
    learned, facts = _training_data(opened, finished.options, in_time=in_time)
    changed = [
        Violation(f"its {name.replace('_', ' ')}", str(facts[name]), f"{finished.recorded['data'][name]}, as in {run}")
        for name in ("input_shape", "n_classes")
        if facts[name] != finished.recorded["data"][name]
    ]
    if changed:
        raise BadData(data, changed)
    validation = opened(split="val")
    rows: list[PrunedRound] = []
    pruned: dict[str, Any] = {}
    stopped = False
    with appearing(out) as part:
        made = RunFolder(part)
        try:
            for each in rounds_of(finished.network, finished.options, learned, chosen):
                rows.append(_measured(each, validation, in_time=in_time))
                progress(each.number, chosen.rounds)
                if each.number == 0:
                    continue
                pruned = _pruning_json(run, program, finished.recorded, chosen, rows)
                with replacing(made.network_safetensors) as file:
                    file.write_bytes(each.tensors)
                TARGETS["nir"](each.program, made.network_nir)
                recorded = {**finished.recorded, "program": each.program.digest, "versions": _versions()}
                write_json(made.train_json, {**recorded, "data": facts, "pruning": pruned})
        except Interrupted as interrupted:
            if not pruned:
                raise Interrupted("no round was finished, so nothing was written") from interrupted
            stopped = True
    if stopped:
        raise Interrupted(f"{out} holds the network after round {rows[-1].round} of {chosen.rounds}")
    return {**pruned, "data": facts}


def _measured(each: "Round", source: Source, *, in_time: bool) -> PrunedRound:
    """Count on all samples of a source what a round's network executes."""
    from tdd_deploy.simulator.engine.engine import Engine

    engine = Engine(each.program)
    feed = Feed.of(each.program, source, frames=in_time)
    synops = dict.fromkeys(("delta", "spike"), 0)
    for frames, _ in feed.batches(source, CALIBRATION_SAMPLES, limit=None):
        trace = engine.run(frames, n_steps=feed.n_steps).trace
        synops["delta"] += trace.delta_code.total("synops_effective")
        synops["spike"] += trace.spike_code.total("synops_effective")
    return PrunedRound(
        round=each.number,
        sparsity=each.sparsity,
        **asdict(each.evaluation),
        **{f"{code}_synops": count / source.n_samples for code, count in synops.items()},
    )


def _pruning_json(
    run: Path, program: Program, recorded: Mapping[str, Any], chosen: "PruneOptions", rows: Sequence[PrunedRound]
) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "from": {"run": str(run), "program": program.digest, "pruning": recorded.get("pruning")},
        "options": asdict(chosen),
        "rounds": [asdict(row) for row in rows],
    }


def lava_setup(*, python: Path | None = None, tell: Callable[[str], None] = lambda sentence: None) -> Path:
    """Make the Python 3.10 environment that Lava runs in, unless it is there; return its interpreter.

    Args:
        python: a Python 3.10; by default the first that is found on PATH, in pyenv or by uv.
        tell: is told what is being done.

    Raises:
        TddDeployError: no Python 3.10, or the environment could not be made.
    """
    from tdd_deploy.exporters.lava import environment

    return environment.setup(python, tell)


def lava_doctor() -> "list[Check]":
    """Examine everything that a run of Lava needs, and try one."""
    from tdd_deploy.exporters.lava.doctor import doctor

    return doctor()


def lava_run(
    bundle: Path,
    *,
    inputs: Path,
    out: Path,
    layers: bool = False,
    potentials: bool = False,
    timeout_s: float | None = None,
) -> "LavaRun":
    """Execute in Lava what ``export --target lava`` wrote; return what it took.

    Args:
        bundle: the folder that was written.
        inputs: an .npz with ``x``, as the bundle's README describes it.
        out: the .npz to write.
        layers: also write every layer's spikes.
        potentials: also write every layer's potential before the reset.
        timeout_s: wall-clock seconds after which Lava is stopped; by default an hour.

    Raises:
        MissingEnvironment: ``lava_setup`` has not been run.
        WorkerFailed: Lava failed or was too slow, or refused the inputs.
    """
    from tdd_deploy.exporters.lava import environment, worker

    return worker.run_bundle(
        bundle,
        inputs,
        out,
        python=environment.require("tdd-deploy lava run"),
        layers=layers,
        potentials=potentials,
        timeout_s=worker.TIMEOUT_S if timeout_s is None else timeout_s,
    )
