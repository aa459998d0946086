"""The record of a run that is continued, and what must be as it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tdd_deploy.data import Choice
from tdd_deploy.errors import BadData, BadFile, BadOptions, Violation
from tdd_deploy.options.declare import gather, options_of
from tdd_deploy.options.functions import OPTIONS
from tdd_deploy.options.training import LearnedData, TrainOptions
from tdd_deploy.run_folder import RunFolder
from tdd_deploy.training import is_history

OWNERS = OPTIONS["train"]
REMEDY = "Start the run again in another folder, without `resume`."


@dataclass(frozen=True)
class Before:
    """The record of a run that is continued, and the options that it began with."""

    recorded: Mapping[str, Any]
    options: Mapping[str, object]

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The measurements of the finished epochs, as far as they were recorded."""
        epochs: list[dict[str, Any]] = self.recorded["epochs"]
        return epochs

    @property
    def origin(self) -> Mapping[str, Any] | None:
        """The run whose weights this run began with, as recorded."""
        found: Mapping[str, Any] | None = self.recorded.get("from")
        return found

    def is_finished(self, options: TrainOptions) -> bool:
        """Decide whether this is the whole record of a finished run with these options."""
        kept, program = self.recorded.get("kept_epoch"), self.recorded.get("program")
        return (
            self.recorded.get("finished") is True
            and type(kept) is int
            and 1 <= kept <= len(self.epochs)
            and is_history(self.epochs, options)
            and (isinstance(program, str) if options.has_program else program is None)
        )

    def needs_checkpoint(self, folder: RunFolder) -> bool:
        """Decide whether the run continues from a checkpoint; one that was killed before its first one begins again."""
        return bool(self.epochs) or self.recorded.get("finished") is True or folder.checkpoint_pt.exists()

    def check_data(self, data: Choice, facts: Mapping[str, Any]) -> None:
        """Refuse samples other than those that the run began with.

        Raises:
            BadData: they have changed.
        """
        if _without_origins(facts) != _without_origins(self.recorded["data"]):
            changed = Violation(
                "its samples", "have changed since the run began", remedy="Restore the samples it began with."
            )
            raise BadData(str(data.options.data), [changed])


def read_before(folder: RunFolder, given: Mapping[str, object]) -> Before:
    """Read the train.json of a run.

    Raises:
        BadFile: no run has begun in the folder, or its record is damaged.
        BadOptions: options other than those that it began with.
    """
    if folder.is_new:
        raise BadFile(folder.path, "holds no run yet", "Leave out `resume` to begin one.")
    recorded = folder.read_record(REMEDY)
    options: dict[str, object] = dict(TrainOptions.from_json(recorded["options"]))
    again = converted(given)
    if "data_dir" in again:  # it is not recorded: the data may have moved, and their hashes are compared
        options["data_dir"] = again["data_dir"]
    changed = [
        Violation(f"`{name}`", str(value), f"{_began(options.get(name))}, as the run began")
        for name, value in again.items()
        if options.get(name) != value
    ]
    if changed:
        raise BadOptions("`resume` continues a run as it began", changed)
    try:
        gather({name: value for name, value in options.items() if value is not None}, *OWNERS)
    except BadOptions as error:
        raise BadFile(folder.train_json, f"is damaged ({error})", REMEDY) from error
    return Before(recorded, options)


def _began(value: object) -> str:
    return "not given" if value is None else str(value)


def converted(given: Mapping[str, object]) -> dict[str, object]:
    """Return the options of the run itself, in the types of their fields; a wrong type is kept."""
    values = {}
    for each in (each for owner in (LearnedData, TrainOptions) for each in options_of(owner)):
        if each.name in given:
            try:
                values[each.name] = each.converted(given[each.name])
            except TypeError:
                values[each.name] = given[each.name]
    return values


def _without_origins(facts: Any) -> Any:
    """Drop the entries that only describe the origin of a choice, in words that may change between versions."""
    if not isinstance(facts, dict):
        return facts
    return {name: _without_origins(value) for name, value in facts.items() if not name.endswith("_from")}
