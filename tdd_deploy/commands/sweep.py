"""A grid of runs: networks, codes, bits, thresholds; what each knows and costs."""

import csv
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from tdd_deploy.data import Binning, open_data
from tdd_deploy.errors import BadFile, BadOption, Interrupted
from tdd_deploy.files import make_folder, replacing, write_json
from tdd_deploy.program import Code, Program
from tdd_deploy.run_folder import RunFolder
from tdd_deploy.simulator.reports.tables import input_lines

from .pipeline import export, read_program, simulate

SCHEMA_VERSION = 1
TRAINED = ("method", "keep", "lambda", "steps", "qat")  # options of a training run that rows name
Choice = Code | Literal["auto"]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run of a grid. ``bits`` is None in floats."""

    run: str
    program: str  # its digest, before it is quantized
    code: Choice
    bits: int | None
    input_threshold: float
    delta_threshold: float | None  # None is as the file says


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What all points have in common, and by which an unfinished sweep knows its own."""

    data: str
    split: str
    files: Mapping[str, str]
    binning: Binning | None
    input_scale: float | None
    frames: bool
    samples: int
    steps: int | None
    seed: int
    profiles: tuple[str, ...]


def sweep(
    runs: Sequence[Path],
    *,
    data: str,
    out: Path,
    split: str | None = None,
    data_dir: Path | None = None,
    binning: Binning | None = None,
    input_scale: float | None = None,
    frames: bool = False,
    samples: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    codes: Sequence[Choice] = ("delta", "spike"),
    bits: Sequence[int | None] = (None,),
    input_thresholds: Sequence[float] = (0.0,),
    delta_thresholds: Sequence[float] | None = None,
    dialect: str | None = None,
    strict: bool = False,
    profiles: Sequence[str],
    batch: int = 64,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Simulate every combination; write sweep.json, sweep.csv and sweep.svg, again after each one.

    A sweep that was stopped goes on where it was: points of the same networks, data, samples and prices are kept.

    Args:
        runs: .nir or .net files, or run folders; those trained with other options, such as ``--keep``, are its axis.
        data: a name of ``data.DATASETS`` or a path to an .npz.
        out: a folder.
        split: part of the data; by default the test set, or a whole .npz.
        data_dir: where the files of a named set lie.
        binning: how events of a camera are cut.
        input_scale: stored values are multiplied by it; by default the scale of the data.
        frames: the axis of x after N is time.
        samples: how many, from the first on; all by default.
        steps: time steps per sample; by default as in data with a time axis, else as stated.
        seed: of a random encoder.
        codes: what edges send.
        bits: of a weight; None for floats.
        input_thresholds: see ``simulate``.
        delta_thresholds: see ``simulate``; by default as in the file.
        dialect: how to read files of other tools; see ``read_program``.
        strict: see ``read_program``.
        profiles: names of hardware; the picture shows the first that has prices.
        batch: samples executed at once.
        progress: receives the number of finished points.

    Raises:
        Interrupted: Ctrl-C; the points that were finished are kept.
        TddDeployError: anything wrong with a file, the data or an option.
    """
    if out.exists() and not out.is_dir():
        raise BadFile(out, "is a file", "name a folder")
    binning = binning and binning.in_steps(steps)
    source = open_data(data, split=split, data_dir=data_dir, binning=binning, input_scale=input_scale)
    grid = Grid(
        data=source.name,
        split=source.split,
        files=source.digests,
        binning=binning,
        input_scale=input_scale,
        frames=frames,
        samples=min(samples or source.n_samples, source.n_samples),
        steps=steps,
        seed=seed,
        profiles=tuple(profiles),
    )
    reading: dict[str, Any] = {"dialect": dialect, "strict": strict}
    programs = {path: read_program(path, **reading) for path in runs}
    points = list(_points(programs, codes, bits, input_thresholds, delta_thresholds or (None,)))
    rows = _finished(out / "sweep.json", grid)
    make_folder(out)
    common = {
        "data": data,
        "split": source.split,
        "data_dir": data_dir,
        "binning": binning,
        "input_scale": input_scale,
        "frames": frames,
        "samples": grid.samples,
        "steps": steps,
        "seed": seed,
    }
    try:
        for done, (path, point) in enumerate(points):
            progress(done, len(points))
            if point not in rows:
                rows[point] = _run(path, point, reading, profiles=profiles, batch=batch, **common)
                _write(out, grid, rows)
    except KeyboardInterrupt as interrupt:
        saved = f"{len(rows)} of {len(points)} points are in {out}; the same command goes on"
        raise Interrupted(saved) from interrupt
    progress(len(points), len(points))
    kept = {point: rows[point] for _, point in points}
    return _write(out, grid, kept)


def _points(
    programs: Mapping[Path, Program],
    codes: Sequence[Choice],
    bits: Sequence[int | None],
    input_thresholds: Sequence[float],
    delta_thresholds: Sequence[float | None],
) -> Iterator[tuple[Path, Point]]:
    for path, program in programs.items():
        if program.number_format == "integer" and any(n is not None for n in bits):
            raise BadOption("--bits", f"of {path}, a program in integers", "floats, or networks in floats")
        for code, n, of_input, of_layers in product(codes, bits, input_thresholds, delta_thresholds):
            point = Point(
                run=str(path),
                program=program.digest,
                code=code,
                bits=n,
                input_threshold=of_input,
                delta_threshold=of_layers,
            )
            yield path, point


def _run(
    path: Path, point: Point, reading: Mapping[str, Any], *, profiles: Sequence[str], batch: int, **common: Any
) -> dict[str, Any]:
    """Execute one point; return its row."""
    with tempfile.TemporaryDirectory() as folder:
        file = path
        if point.bits is not None:
            file = RunFolder(Path(folder)).network_nir
            given = {name: common[name] for name in ("data", "data_dir", "binning", "input_scale", "frames", "steps")}
            export(path, target="nir", out=file, bits=point.bits, **reading, **given)
        simulation = simulate(
            file,
            **(reading if file is path else {}),
            code=point.code,
            input_threshold=point.input_threshold,
            delta_threshold=point.delta_threshold,
            profiles=profiles,
            batch=batch,
            **common,
        )
    report = simulation.as_json()
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


def _finished(path: Path, grid: Grid) -> dict[Point, dict[str, Any]]:
    """Return the rows of a sweep that was begun on the same data at the same prices."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema_version"] != SCHEMA_VERSION or found["grid"] != json.loads(json.dumps(asdict(grid))):
            return {}
        fields = Point.__dataclass_fields__
        return {Point(**{name: row[name] for name in fields}): row for row in found["points"]}
    except (OSError, ValueError, KeyError, TypeError):  # none, or damaged: it is done again
        return {}


def _write(out: Path, grid: Grid, rows: Mapping[Point, Mapping[str, Any]]) -> dict[str, Any]:
    """Write what is known so far; return what sweep.json says."""
    from tdd_deploy.simulator.reports.pictures import accuracy_by_energy

    profile = next((name for name in _priced(rows)), None)
    best = pareto([(row["energy_nj"].get(profile), row["accuracy"]) for row in rows.values()])
    points = [{**row, "is_best": is_best} for row, is_best in zip(rows.values(), best, strict=True)]
    found = {"schema_version": SCHEMA_VERSION, "grid": asdict(grid), "profile": profile, "points": points}
    write_json(out / "sweep.json", found)
    with replacing(out / "sweep.csv") as part, part.open("w", newline="", encoding="utf-8") as file:
        flat = [_flat(row) for row in points]
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in flat for name in row)))
        writer.writeheader()
        writer.writerows(flat)
    if profile is not None and all(row["accuracy"] is not None for row in points):
        with replacing(out / "sweep.svg") as part:
            part.write_text(accuracy_by_energy(points, profile), encoding="utf-8")
    return found


def _priced(rows: Mapping[Point, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the profiles that have prices."""
    for row in rows.values():
        yield from (name for name, energy in row["energy_nj"].items() if energy is not None)


def pareto(points: Sequence[tuple[float | None, float | None]]) -> list[bool]:
    """Say of each (energy, accuracy) whether no other knows as much for less, or more for as little."""

    def beats(a: tuple[float | None, float | None], b: tuple[float | None, float | None]) -> bool:
        if a[0] is None or a[1] is None or b[0] is None or b[1] is None:
            return False
        return a[0] <= b[0] and a[1] >= b[1] and a != b

    return [None not in point and not any(beats(other, point) for other in points) for point in points]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without tables in it."""
    others = {name: value for name, value in row.items() if name not in ("trained", "energy_nj", "inputs")}
    return {**others, **row["trained"], **{f"{name}_nj": energy for name, energy in row["energy_nj"].items()}}
