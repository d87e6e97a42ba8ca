"""Blessings: changes that are meant, each a small TOML file with a note, so that they can be merged and reviewed.

cell = "boot-populate/*"            # glob over names of cells
run = "20260102T030405Z-1a2b3c"     # beginning of the name of a run's file, or of its commit
kind = "any"                        # "counted", "time" or "any"
note = "every page is now zeroed twice, on purpose: see the design's document"
"""

import fnmatch
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from gmembench.core.errors import UserError
from gmembench.reports.history.changepoints import SEGMENT_AT_LEAST
from gmembench.reports.history.store import BLESSED, entries


class Blessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which change is meant, and why."""

    cell: str
    run: str
    note: str
    kind: Literal["any", "counted", "time"] = "any"


def read_blessings(folder: Path) -> list[Blessing]:
    """All blessings of a history. Raises UserError for one that cannot be understood."""
    found = []
    for path in sorted((folder / BLESSED).glob("*.toml")):
        try:
            found.append(msgspec.toml.decode(path.read_bytes(), type=Blessing))
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UserError(f"not a blessing ({error})", str(path), "mend it, or remove it") from None
    return found


def new_blessing(folder: Path, blessing: Blessing) -> tuple[Path, bytes]:
    """The file for a blessing: where, and what. Raises UserError if no run, or no single commit, has that name."""
    matching = [entry for entry in entries(folder) if _names(blessing.run, entry.file)]
    if not matching:
        raise UserError(f"no run begins with {blessing.run!r}", "--run", "gmembench history check names the runs")
    if len({entry.commit for entry in matching}) > 1:
        raise UserError(f"{len(matching)} runs begin with {blessing.run!r}", "--run", "give more of its name")
    if not blessing.note.strip():
        raise UserError("the note is empty", "--note", "say why the change is meant")
    # TOML's basic strings are JSON's, once control characters are escaped, and JSON escapes them.
    text = "".join(
        f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in msgspec.structs.asdict(blessing).items()
    ).replace("\x7f", "\\u007f")
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return folder / BLESSED / f"{matching[-1].time}-{digest}.toml", text.encode()


def blessing_of(
    cell: str, kind: str, run: str, blessings: Sequence[Blessing], order: Mapping[str, int]
) -> Blessing | None:
    """The first blessing of a change. A change of time may move by a few runs as more are known."""
    for blessing in blessings:
        if blessing.kind not in {"any", kind} or not fnmatch.fnmatchcase(cell, blessing.cell):
            continue
        near = SEGMENT_AT_LEAST if kind == "time" else 0
        at = order.get(run, -1)
        if any(_names(blessing.run, file) for file, number in order.items() if abs(number - at) <= near):
            return blessing
    return None


def _names(given: str, file: str) -> bool:
    """Whether a text is the beginning of a file's name or of the commit in it."""
    return file.startswith(given) or file.partition("-")[2].startswith(given)
