"""Where an exported network goes, and in which form."""

from collections.abc import Iterator
from dataclasses import dataclass

from tdd_deploy.errors import Violation

from .declare import Options, option
from .vocabulary import Code, Form, Mapping


@dataclass(frozen=True, kw_only=True)
class Export(Options):
    """What a target lets a user choose; ``target`` itself is an argument of the command."""

    heading = "The form"

    mapping: Mapping | None = option(
        None, help="lava: write processes of ours (fused), or Lava's own (stock, spike). Default: fused."
    )
    form: Form | None = option(None, help="onnx: write one time step, or a loop over all. Default: step.")
    fast: bool = option(
        False,
        help="onnx, floats: use Conv and Gemm. They are faster, but OpenVINO may compute them in bfloat16. "
        "Default: exact operators.",
    )
    code: Code | None = option(
        None, help="Send changes or spikes. Default: delta for lava with the fused mapping; spike for onnx."
    )
    floats: bool = option(False, help="lava: keep floats, for its floating-point simulation.")

    def conflicts_with(self, target: str) -> Iterator[Violation]:
        """Yield every option that the target does not have."""
        yield from super().conflicts()
        owners = {
            "mapping": ("lava",),
            "floats": ("lava",),
            "form": ("onnx",),
            "fast": ("onnx",),
            "code": ("lava", "onnx"),
        }
        default = type(self)()
        for name, targets in owners.items():
            if getattr(self, name) != getattr(default, name) and target not in targets:
                yield Violation(f"`{name}`", f"needs `target={'` or `target='.join(targets)}` (got {target})")
        if target == "lava" and self.code is not None and self.mapping in ("stock", "spike"):
            found = f"cannot be combined with `mapping={self.mapping}`, which has one code of its own"
            yield Violation("`code`", found, remedy="Use `mapping=fused`.")
