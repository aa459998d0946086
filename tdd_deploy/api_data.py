"""The functions of ``api`` that need samples alone, and no network."""

from typing import TYPE_CHECKING, Unpack

from numpy.typing import ArrayLike

from tdd_deploy import keywords
from tdd_deploy.commands.arguments import X, gather_all
from tdd_deploy.commands.load import FilePath, chosen_samples, file_path
from tdd_deploy.data import Source
from tdd_deploy.options.stream import StreamOptions
from tdd_deploy.runtime.progress import Shown, progress_of

if TYPE_CHECKING:
    from tdd_deploy.commands.stream import Stream


def open_data(x: X | None = None, y: ArrayLike | None = None, **options: Unpack[keywords.OpenData]) -> Source:
    """Open one part of a data set; ``load()`` of the result gives arrays ``x`` and ``y``.

    Args:
        x: samples ``[N, ...]``, a torch DataLoader, or the name of a data set.
        y: labels ``[N]``.
        options: the part, and how stored values become numbers.

    Raises:
        TddDeployError: no such data, or they are damaged.
    """
    _, choice = gather_all("open_data", options, x, y)
    source = choice.open_chosen()
    return source.part(source.split, range(chosen_samples(source, choice)))


def stream(
    x: X | None = None,
    y: ArrayLike | None = None,
    *,
    out: FilePath | None = None,
    progress: Shown = None,
    **options: Unpack[keywords.Stream],
) -> "Stream":
    """Measure whether a delta code pays on a sensor's stream; no network is needed.

    Args:
        x: samples ``[N, T, ...]``, their first axis time; without them, the option ``data`` names some.
        y: labels, which are not used.
        out: a folder for stream.json, channels.csv, thresholds.csv and stream.svg.
        progress: receives the numbers of finished and of all samples; by default a bar on a terminal or in a notebook.
        options: the data, thresholds, and the seconds per time step.

    Raises:
        MissingDependency: matplotlib is not installed, which ``out`` needs.
        TddDeployError: anything wrong with the folder, the data or an option.
    """
    from tdd_deploy.commands.stream import stream as job

    folder = None if out is None else file_path("out", out)
    gathered, choice = gather_all("stream", options, x, y)
    with progress_of("measuring", progress) as update:
        return job(choice, options=gathered[StreamOptions], out=folder, progress=update)
