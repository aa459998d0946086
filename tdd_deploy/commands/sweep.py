"""A grid of simulations: networks, codes, bits and thresholds, with the accuracy and the energy of each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any

from tdd_deploy.data import Choice
from tdd_deploy.documents import read_json
from tdd_deploy.errors import BadFile, BadOption, Interrupted
from tdd_deploy.files import check_folder, make_folder, replacing, write_json
from tdd_deploy.options.dataset import CalibrationData, StoredData
from tdd_deploy.options.declare import gather, options_of
from tdd_deploy.options.encoding import Coding, Encoding, SeededSteps
from tdd_deploy.options.execution import Execution
from tdd_deploy.options.grid import Grid
from tdd_deploy.options.model import Model
from tdd_deploy.options.pricing import Pricing
from tdd_deploy.options.quantization import Quantization
from tdd_deploy.options.vocabulary import CodeChoice
from tdd_deploy.program import Program
from tdd_deploy.run_folder import RunFolder
from tdd_deploy.runtime.progress import Progress, unseen
from tdd_deploy.runtime.run import run
from tdd_deploy.shapes import FRACTION, NUMBER, POSITIVE, TEXT, Each, ListOf, Maybe, Number, Shape, Table, fault_in
from tdd_deploy.simulator.reports import pictures
from tdd_deploy.simulator.reports.lines import input_lines
from tdd_deploy.simulator.reports.sweep_picture import accuracy_by_energy
from tdd_deploy.text import csv_table

from .load import chosen_samples, load, load_all
from .pricing import Prices, place_program, price
from .quantization import quantize
from .simulate import summarize

SCHEMA_VERSION = 1
TRAINED = ("method", "keep", "penalty_weight", "steps", "qat")  # options of a training run that are repeated in rows
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One simulation of a grid. ``bits`` is None in floats."""

    run: str
    program: str  # its digest, before it is quantized
    code: CodeChoice
    bits: int | None
    input_threshold: float
    delta_threshold: float | None  # None is as the file says


_AMOUNT = Number(least=0, most=1e30)  # more overflows in a picture
_ROW: dict[str, Shape] = {
    **dict.fromkeys(("run", "program", "code"), TEXT),
    "bits": Maybe(POSITIVE),
    "input_threshold": NUMBER,
    "delta_threshold": Maybe(NUMBER),
    "trained": Table({}),
    "accuracy": Maybe(FRACTION),
    "inputs": ListOf(TEXT),
    **dict.fromkeys(("spikes", "delta_events", "synops_effective"), _AMOUNT),
    "energy_nj": Each(Maybe(_AMOUNT)),
}
_SWEEP = Table({"schema_version": POSITIVE, "grid": Table({}), "points": ListOf(Table(_ROW))})


@dataclass(frozen=True, eq=False, kw_only=True)
class _Sweep:
    """What all points have in common."""

    programs: Mapping[Path, Program]
    data: Choice
    steps: SeededSteps
    grid: Grid
    prices: Prices

    @property
    def is_drawn(self) -> bool:
        """Whether there is a picture: points need labels, and a profile with prices."""
        return (
            any(profile.has_prices for profile in self.prices.profiles) and self.data.open_chosen(by_step=True).labeled
        )

    def points(self) -> Iterator[tuple[Path, Point]]:
        """Yield every combination.

        Raises:
            BadOption: bits for a network in integers.
        """
        bits = self.grid.weight_bits
        for path, program in self.programs.items():
            if program.number_format == "integer" and any(n is not None for n in bits):
                found = f"needs programs in floats ({path} is in integers already)"
                raise BadOption("bits", found, remedy="Use `bits=float`, or leave this file out.")
            axes = (self.grid.codes, bits, self.grid.input_thresholds, self.grid.delta_thresholds or (None,))
            for code, n, of_input, of_layers in product(*axes):
                point = Point(
                    run=str(path),
                    program=program.digest,
                    code=code,
                    bits=n,
                    input_threshold=of_input,
                    delta_threshold=of_layers,
                )
                yield path, point

    def execute(self, path: Path, point: Point) -> Row:
        """Execute one point; return its row."""
        encoding = Encoding(steps=self.steps.steps, seed=self.steps.seed, input_threshold=point.input_threshold)
        coding = Coding(code=point.code, delta_threshold=point.delta_threshold)
        program = self.programs[path] if point.bits is None else self._quantized(path, point.bits)
        loaded = load_all(
            program, self.data, encoding=encoding, coding=coding, path=path if point.bits is None else None
        )
        placed = place_program(loaded.program, self.prices)
        execution = Execution(batch=self.grid.batch)
        routes = placed.placement.routes if placed.placement else None
        total = run(loaded.inputs, loaded.source, self.data, execution, n_samples=loaded.n_samples, routes=routes)
        report = price(summarize(loaded, total, coding, execution), self.prices, placed).as_json()
        n, totals = report["totals"]["samples"], report["totals"]
        return {
            **asdict(point),
            "trained": RunFolder(path).options(TRAINED),
            "accuracy": report["accuracy"],
            "inputs": list(input_lines(report["data"])),
            **{name: totals[name] / n for name in ("spikes", "delta_events", "synops_effective")},
            "energy_nj": {
                energy["profile"]: None if energy["dynamic_pj"] is None else energy["dynamic_pj"] / n / 1e3
                for energy in report["energies"]
            },
        }

    @cache  # noqa: B019  (a sweep lives as long as its command)
    def _quantized(self, path: Path, bits: int) -> Program:
        """Return a network in integers, its input bounded by training samples."""
        stored = {each.name: getattr(self.data.options, each.name) for each in options_of(StoredData)}
        data = replace(self.data, options=gather(stored, CalibrationData)[CalibrationData])
        return quantize(self.programs[path], Quantization(bits=bits), data=data).program


def sweep(
    runs: Sequence[str | PathLike[str]],
    data: Choice,
    out: Path,
    *,
    grid: Grid = Grid(),
    model: Model = Model(),
    steps: SeededSteps = SeededSteps(),
    progress: Progress = unseen,
) -> dict[str, Any]:
    """Simulate every combination; write sweep.json, sweep.csv and sweep.svg, again after each one.

    A sweep that was stopped continues: points of the same networks, data, samples and prices are kept.

    Args:
        runs: .nir or .net files, or run folders; runs trained with other options are an axis of their own.
        data: the samples.
        out: a folder.
        grid: the other axes.
        model: how files of other tools are read.
        steps: time steps per sample, and the seed of a random encoder.
        progress: receives the number of finished points.

    Raises:
        Interrupted: Ctrl-C; the finished points are kept.
        MissingDependency: matplotlib is not installed, which sweep.svg needs; nothing was simulated.
        TddDeployError: anything else wrong with a file, the data or an option.
    """
    check_folder(out, ("sweep.json", "sweep.csv", "sweep.svg"))
    programs = {Path(path): load(path, model) for path in runs}
    prices = Prices.of(Pricing(energy=bool(grid.profiles), profiles=grid.profiles))
    job = _Sweep(programs=programs, data=data, steps=steps, grid=grid, prices=prices)
    if job.is_drawn:
        pictures.require("sweep.svg")
    known = _known(job)
    points = list(job.points())
    rows = _finished(out / "sweep.json", known)
    make_folder(out)
    try:
        todo = [(path, point) for path, point in points if point not in rows]
        for left, (path, point) in zip(range(len(todo), 0, -1), todo, strict=True):
            progress(len(points) - left, len(points))
            rows[point] = job.execute(path, point)
            _write(out, known, rows)
    except KeyboardInterrupt as interrupt:
        saved = f"{len(rows)} of {len(points)} points are in {out}; the same command continues"
        raise Interrupted(saved) from interrupt
    progress(len(points), len(points))
    kept = {point: rows[point] for _, point in points}
    return _write(out, known, kept)


def _known(job: _Sweep) -> dict[str, Any]:
    """Return the entries by which an unfinished sweep recognizes its own points."""
    source = job.data.open_chosen(by_step=True)
    options = job.data.options
    binning = job.data.binning
    return {
        "data": source.name,
        "split": source.split,
        "files": source.digests,
        "binning": None if binning is None else asdict(binning),
        "input_scale": job.data.options.input_scale,
        "frames": job.data.options.frames,
        "samples": chosen_samples(source, job.data),
        "steps": job.steps.steps,
        "seed": job.steps.seed,
        "profiles": list(job.grid.profiles),
        **({} if options.window is None else {"window": options.window, "stride": options.stride}),
    }


def _finished(path: Path, known: Mapping[str, Any]) -> dict[Point, Row]:
    """Return the rows of a sweep that was begun on the same data at the same prices."""
    try:
        found = read_json(path, "sweep again")
    except BadFile:  # none, or damaged: it is done again
        return {}
    if fault_in(found, _SWEEP) or found["schema_version"] != SCHEMA_VERSION:
        return {}
    if found["grid"] != json.loads(json.dumps(known)):
        return {}
    fields = Point.__dataclass_fields__
    return {Point(**{name: row[name] for name in fields}): row for row in found["points"]}


def _write(out: Path, known: Mapping[str, Any], rows: Mapping[Point, Mapping[str, Any]]) -> dict[str, Any]:
    """Write the finished points; return the contents of sweep.json."""
    profile = next(_priced(rows), None)
    best = pareto([(row["energy_nj"].get(profile), row["accuracy"]) for row in rows.values()])
    points = [{**row, "is_best": is_best} for row, is_best in zip(rows.values(), best, strict=True)]
    found = {"schema_version": SCHEMA_VERSION, "grid": known, "profile": profile, "points": points}
    write_json(out / "sweep.json", found)
    with replacing(out / "sweep.csv") as part:
        part.write_text(csv_table([_flat(row) for row in points]), encoding="utf-8")
    if profile is not None and all(row["accuracy"] is not None for row in points):
        drawn = [row for row in points if row["energy_nj"].get(profile) is not None]
        with replacing(out / "sweep.svg") as part:
            part.write_text(accuracy_by_energy(drawn, profile), encoding="utf-8")
    return found


def _priced(rows: Mapping[Point, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the profiles that have prices."""
    for row in rows.values():
        yield from (name for name, energy in row["energy_nj"].items() if energy is not None)


def pareto(points: Sequence[tuple[float | None, float | None]]) -> list[bool]:
    """Decide for each (energy, accuracy) whether no other is as accurate with less energy, or more with as little."""

    def beats(a: tuple[float | None, float | None], b: tuple[float | None, float | None]) -> bool:
        if a[0] is None or a[1] is None or b[0] is None or b[1] is None:
            return False
        return a[0] <= b[0] and a[1] >= b[1] and a != b

    return [None not in point and not any(beats(other, point) for other in points) for point in points]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without tables in it."""
    others = {name: value for name, value in row.items() if name not in ("trained", "energy_nj", "inputs")}
    return {**others, **row["trained"], **{f"{name}_nj": energy for name, energy in row["energy_nj"].items()}}
