"""How the file of a network is read."""

from dataclasses import dataclass

from tdd_deploy.errors import any_of

from .declare import Options, option
from .vocabulary import DIALECTS


@dataclass(frozen=True, kw_only=True)
class Model(Options):
    """How a file of another tool is read."""

    heading = "The network file"

    dialect: str | None = option(
        None,
        metavar="NAME[,KEY=VALUE...]",
        help=f"Read a file of another tool in this dialect: {any_of(DIALECTS)}. "
        "inspect FILE shows the result of each. KEY[NODE]=VALUE sets a choice for one node.",
    )
    strict: bool = option(False, help="Refuse a file that would have to be repaired.")
