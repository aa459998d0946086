"""The raw recording of one camera as one sample without a label: Prophesee's .raw and iniVation's .aedat4."""

from pathlib import Path
from typing import Protocol

from tdd_deploy.errors import BadData, Violation

from .aedat4 import open_aedat4
from .binning import Binning
from .event_file import LARGEST_SENSOR
from .events import Events, Recordings, Sensor, survey
from .raw_file import open_raw
from .source import Source

CAMERA_FILES = (".raw", ".aedat4")


class CameraFile(Recordings, Protocol):
    """The file of one recording."""

    def ignored(self) -> str:
        """Describe what the last reading left out; an empty text: nothing."""
        ...


def open_camera_file(path: Path, binning: Binning) -> Source:
    """Open the recording of a camera as frames in time; the whole file is one sample.

    The file is read once from end to end: every event is checked, and its duration gives the number of steps.

    Raises:
        BadFile: the file is damaged, cut short or of another format.
        MissingDependency: the package that unpacks the file is not installed.
        BadData: an event lies beyond the sensor, or the recording is too long; all broken rules are named.
    """
    file: CameraFile = open_aedat4(path) if path.suffix == ".aedat4" else open_raw(path)
    check_sensor(path, file.sensor)
    durations = survey(file, 1, str(path))
    ignored = file.ignored()
    return Source(
        name=str(path),
        split="all",
        n_samples=1,
        n_classes=None,
        files=(path,),
        stored="events",
        scale=1.0,
        scale_from=f"{binning.counted}; ignored: {ignored}" if ignored else binning.counted,
        tables=(Events(subject=str(path), recordings=file, binning=binning, durations_us=durations),),
    )


def check_sensor(path: Path, sensor: Sensor) -> None:
    """Raise BadData when a file states a size that no sensor has."""
    sizes = (("height", sensor.height), ("width", sensor.width))
    found = [
        Violation(f"the {name} of the sensor", str(size), f"1 to {LARGEST_SENSOR:,}")
        for name, size in sizes
        if not 1 <= size <= LARGEST_SENSOR
    ]
    if found:
        raise BadData(str(path), found)
