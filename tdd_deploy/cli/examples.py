"""The examples in the help of each command, without the name of the program."""

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "": (
        "train --data digits --out runs/digits",
        "simulate runs/digits --data digits --energy --out report",
        "export runs/digits --target nir --out digits.nir",
    ),
    "train": (
        "train --data digits --out runs/digits",
        "train --data cifar10 --data-dir data --network conv-medium --augment crop-flip --out runs/cifar",
        "train --data digits --method ann --out runs/ann",
        "train --resume --out runs/digits",
    ),
    "prune": ("prune runs/digits --data digits --sparsity 0.8 --out runs/pruned",),
    "tune-exit": (
        "tune-exit runs/digits --data digits --lose 0.5",
        "simulate runs/digits --data digits --early-exit tuned",
    ),
    "analyze": ("analyze runs/digits --data digits --out analysis",),
    "inspect": ("inspect foreign.nir", "inspect foreign.nir --dialect snntorch"),
    "export": (
        "export runs/digits --target nir --out digits.nir",
        "export digits.nir --target lava --bits 8 --data digits --out bundle",
        "export digits.nir --target onnx --form scan --out digits.onnx",
    ),
    "verify": (
        "verify runs/digits --data digits",
        "verify digits.nir --data digits --against reference,event,lava",
    ),
    "check": ("check digits.nir --chip loihi2", "check digits.nir --chip truenorth --data digits"),
    "lava": ("lava setup", "lava run bundle --inputs x.npz --out y.npz"),
    "lava setup": ("lava setup", "lava setup --python /usr/bin/python3.10"),
    "lava doctor": ("lava doctor",),
    "lava run": ("lava run bundle --inputs x.npz --out y.npz",),
    "simulate": (
        "simulate runs/digits --data digits --energy",
        "simulate foreign.nir --data samples.npz --energy --profile odin --profile truenorth",
        "simulate runs/digits --data digits --energy --baseline runs/ann --out report",
        "simulate runs/digits --data digits --by layer --json",
    ),
    "stream": (
        "stream ecg.npz --dt 0.004 --out stream",
        "stream events.npz --bin-us 1000 --downsample 4 --thresholds 1,2,4",
    ),
    "sweep": ("sweep runs/a runs/b --data digits --code delta,spike --bits float,8,4 --out sweep",),
    "report": (
        "report out --by layer",
        "report out --by term --format latex --caption Energy --label tab:energy",
        "report out --by profile --format csv",
    ),
    "compare": ("compare out-delta out-spike", "compare out-delta out-spike --format md"),
    "profiles": ("profiles", "profiles loihi1-davies2018", "profiles loihi1-davies2018 odin --bibtex"),
    "schema": ("schema report", "schema profile"),
    "doctor": ("doctor",),
    "completion": ("completion bash", "completion fish"),
}
