"""Write a Program as a bundle: a folder that anybody with lava-nc can run."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from tdd_deploy.errors import BadFile, BadOption, NotExportable, any_of
from tdd_deploy.options.vocabulary import Mapping
from tdd_deploy.program import Program

from .folder import BUNDLE, MANIFEST, WEIGHTS, check_free, digests, replacing_bundle
from .plan import Plan, plan_bundle
from .rules import MAPPINGS, violations

AT_ONCE = 16 << 20  # bytes of an array that are converted at once, as numpy writes them


def write(program: Program, folder: Path, *, mapping: Mapping = "fused") -> None:
    """Write a bundle for Lava; a failure changes nothing. An existing bundle is replaced, and other files in it stay.

    An integer program runs in Lava's ``fixed_pt`` arithmetic, others in ``floating_pt``.

    Args:
        program: what to write.
        folder: new, empty, or an existing bundle; its manifest lists the files that are replaced.
        mapping: ``fused`` (one process of ours per layer of neurons, each edge in its own code), ``stock`` (Sigma, LIF,
            Delta: Lava's own processes, delta code), or ``spike`` (LIF alone, plain spikes).

    Raises:
        NotExportable: the mapping cannot hold the program; every reason is named.
        BadOption: no such mapping.
        BadFile: the folder holds something else or a bundle that was edited, or cannot be written.
    """
    check(program, mapping)
    place = Path(os.path.realpath(folder)) if folder.is_symlink() else folder  # a link stays; what it names changes
    try:
        check_free(place)
    except OSError as error:
        raise BadFile(folder, f"cannot be read ({error.strerror})", "name a new folder") from error
    with replacing_bundle(place) as part:
        _fill(part, program, mapping)


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


def _fill(folder: Path, program: Program, mapping: Mapping) -> None:
    plan = plan_bundle(program, mapping)
    for name in digests(BUNDLE):  # copytree gathers its errors in one that names no reason
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(BUNDLE / name, folder / name)
    folder.chmod(0o755)
    _write_arrays(folder / WEIGHTS, plan)
    manifest = {**plan.manifest, "sha256": digests(folder)}
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
