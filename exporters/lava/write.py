"""Write a Program as a bundle: a folder that anybody with lava-nc can run."""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from tdd_deploy.errors import BadFile, BadOption, NotExportable, any_of
from tdd_deploy.files import sha256
from tdd_deploy.options.vocabulary import Mapping
from tdd_deploy.program import Program

from .plan import KIND, Plan, plan_bundle
from .rules import MAPPINGS, violations

BUNDLE = Path(__file__).parent / "bundle"  # the files that all bundles share
MANIFEST = "manifest.json"
AT_ONCE = 16 << 20  # bytes of an array that are converted at once, as numpy writes them


def write(program: Program, folder: Path, *, mapping: Mapping = "fused") -> None:
    """Write a bundle for Lava; a failure changes nothing, and an existing bundle is replaced.

    An integer program runs in Lava's ``fixed_pt`` arithmetic, others in ``floating_pt``.

    Args:
        program: what to write.
        folder: new, empty, or an existing bundle.
        mapping: ``fused`` (one process of ours per layer of neurons, each edge in its own code), ``stock`` (Sigma, LIF,
            Delta: Lava's own processes, delta code), or ``spike`` (LIF alone, plain spikes).

    Raises:
        NotExportable: the mapping cannot hold the program; every reason is named.
        BadOption: no such mapping.
        BadFile: the folder holds something else, or cannot be written.
    """
    check(program, mapping)
    if not _is_free(folder):
        raise BadFile(folder, "exists already and is no bundle", "name a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent)
    except OSError as error:
        raise BadFile(
            folder, f"cannot be made ({error.strerror})", "name a folder in a place you can write to"
        ) from error
    with beside as name:
        part, replaced = Path(name) / "new", Path(name) / "replaced"
        try:
            _fill(part, program, mapping)
            if folder.exists():
                folder.rename(replaced)
            part.rename(folder)
        except OSError as error:
            found = f"cannot be written ({error.strerror})"
            raise BadFile(folder, found, "name a folder on a disk with free space") from error


def check(program: Program, mapping: Mapping) -> None:
    """Refuse a program that a mapping cannot hold, as ``write`` does.

    Raises:
        NotExportable: every reason is named.
        BadOption: no such mapping.
    """
    if mapping not in MAPPINGS:
        raise BadOption("mapping", repr(mapping), any_of(MAPPINGS))
    found = violations(program, mapping)
    if found:
        raise NotExportable(f"this program does not fit Lava with `mapping={mapping}`", found)


def _is_free(folder: Path) -> bool:
    """Whether the place is empty or holds a bundle; other tools have files named manifest.json too."""
    try:
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return True
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") == KIND


def _fill(folder: Path, program: Program, mapping: Mapping) -> None:
    plan = plan_bundle(program, mapping)
    shutil.copytree(BUNDLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    folder.chmod(0o755)
    _write_arrays(folder / "weights.npz", plan)
    manifest = {**plan.manifest, "sha256": {"weights.npz": sha256(folder / "weights.npz")}}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _write_arrays(path: Path, plan: Plan) -> None:
    """Write the bytes that ``numpy.savez_compressed`` writes, but convert the arrays in parts."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for name, array in plan.arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"descr": npy.dtype_to_descr(plan.dtype), "fortran_order": False, "shape": array.shape}
                npy.write_array_header_1_0(file, header)
                parts = np.nditer(
                    array,
                    flags=["external_loop", "buffered", "zerosize_ok"],
                    op_dtypes=[plan.dtype],
                    casting="unsafe",
                    buffersize=AT_ONCE // plan.dtype.itemsize,
                    order="C",
                )
                for part in parts:
                    file.write(np.ascontiguousarray(part).data)
