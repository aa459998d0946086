"""Examine an installation: what is there, what is missing, and what it would add."""

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata, util
from typing import Any

from tdd_deploy import memory
from tdd_deploy.errors import MissingDependency
from tdd_deploy.version import __version__

ADDS = {  # by extra of pyproject.toml; a test compares them
    "train": "train, prune, analyze, and verify with `against=torch`",
    "augment": "train with `augment`",
    "tensorboard": "train with `tensorboard`",
    "report": "report.html, and the pictures of sweep and analyze",
    "onnx": "reading and writing .onnx, and verify with `against=onnx`",
    "openvino": "verify with `against=openvino`",
    "lava": "lava, and verify with `against=lava`",
    "events": "data sets of Tonic: `data=tonic:NAME`",
    "nirtorch": "NIR graphs of your own PyTorch modules",
    "scale": "simulate with `workers` or `scheduler`",
}
CORE = ("numpy", "nir", "h5py", "click", "rich", "numba")
REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*extra\s*==\s*['\"]([a-z0-9-]+)['\"]")


@dataclass(frozen=True)
class Extra:
    """An optional part: what it adds, and which of its packages are missing."""

    name: str
    adds: str
    packages: dict[str, str | None]  # versions; None for a missing one

    @property
    def is_installed(self) -> bool:
        """Whether every package is there."""
        return None not in self.packages.values()

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"pip install 'tdd-deploy[{self.name}]'"


@dataclass(frozen=True)
class Diagnosis:
    """What an installation holds."""

    versions: dict[str, str | None]
    extras: tuple[Extra, ...]
    machine: dict[str, Any]
    engine: dict[str, Any]
    lava: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether everything is there that every command needs."""
        return None not in self.versions.values()

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        extras = [{**asdict(each), "installed": each.is_installed, "install": each.install} for each in self.extras]
        return {"schema_version": 1, "ok": self.ok, **asdict(self), "extras": extras}


def doctor() -> Diagnosis:
    """Examine this installation."""
    versions = {
        "tdd-deploy": __version__,
        "python": platform.python_version(),
        **{each: _version(each) for each in CORE},
    }
    return Diagnosis(
        versions=versions,
        extras=tuple(_extras()),
        machine={
            "processor": platform.machine(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "free_memory_mb": None if (free := memory.available()) is None else free // memory.MB,
        },
        engine=_engine(),
        lava=_lava(),
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> Iterator[Extra]:
    """Yield the optional parts, with the packages that the installed distribution asks for."""
    packages: dict[str, dict[str, str | None]] = {name: {} for name in ADDS}
    for line in metadata.requires("tdd-deploy") or ():
        found = REQUIREMENT.match(line)
        if found and found[2] in packages:
            packages[found[2]][found[1]] = _version(found[1])
    yield from (Extra(name, ADDS[name], packages[name]) for name in ADDS)


def _engine() -> dict[str, Any]:
    """Say where the compiled loops of the engine are kept."""
    if util.find_spec("numba") is None:
        return {"cache": None, "compiled": 0}
    from tdd_deploy.simulator.engine.cache import examine_cache

    cache = examine_cache()
    return {"cache": None if cache.folder is None else str(cache.folder), "compiled": cache.n_compiled}


def _lava() -> dict[str, Any]:
    """Say whether Lava's environment is set up."""
    from tdd_deploy.exporters.lava import environment

    try:
        python = environment.find()
    except MissingDependency:
        python = None
    return {"python": None if python is None else str(python), "setup": environment.SETUP}
