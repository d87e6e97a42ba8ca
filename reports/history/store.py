"""The folder of a history: packed result files, one a run, named by time, commit and content.

`runs/<UTC time>-<commit>-<digest>.json.zst`: their order is the order of their names. The digest is of the
unpacked content, so a file that was added is known again. A counted run of another commit may have the same content: it
is another run. `blessed/` holds
a file for each change that is meant. Everything else can be made anew from these.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from gmembench.core.errors import UserError
from gmembench.reports.pyperf_file import read_bytes
from gmembench.reports.runs import read_run

RUNS, BLESSED = "runs", "blessed"
SUFFIX = ".json.zst"
NO_COMMIT = "none"

_NAME = re.compile(r"(\d{8}T\d{6}Z)-([0-9A-Za-z]{1,40}\+?)-([0-9a-f]{16})\.json\.zst")
_COMMIT = re.compile(r"([0-9A-Za-z]+)(\+?)")


@dataclass(frozen=True)
class Entry:
    """What the name of a run's file says."""

    file: str
    time: str
    commit: str
    digest: str

    @property
    def when(self) -> dt.datetime:
        """The time of the run."""
        return dt.datetime.strptime(self.time, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)


def run_files(folder: Path) -> list[Path]:
    """The files of all runs, oldest first; none for an empty folder. Raises UserError for a folder of other things."""
    return [folder / RUNS / entry.file for entry in entries(folder)]


def entries(folder: Path) -> list[Entry]:
    """The runs of a history, oldest first."""
    try:
        names = sorted(path.name for path in (folder / RUNS).iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        if folder.is_dir() and not any(map(_is_strange, folder.iterdir())):
            return []
        raise UserError("this is no history", str(folder), "name a folder of gmembench history add") from None
    except OSError as error:
        raise UserError(error.strerror or "cannot be read", str(folder), "name a readable folder") from None
    return [entry_of(name, folder) for name in names]


def _is_strange(path: Path) -> bool:
    """True for what a history that has no runs yet does not hold: it may be a checkout, and have been searched."""
    return not path.name.startswith(".") and path.name not in {BLESSED, "index.sqlite", "changes.json"}


def entry_of(name: str, folder: Path) -> Entry:
    """Read the name of a file. Raises UserError for one that is none of ours."""
    found = _NAME.fullmatch(name)
    if not found:
        raise UserError("this file is no run of a history", str(folder / RUNS / name), "move it elsewhere")
    return Entry(name, *found.groups())


def packed(path: Path, folder: Path, commit: str | None, time: dt.datetime | None) -> tuple[Entry, bytes | None]:
    """The entry of a result file in a history and the bytes to write; None in place of them if it is there already.

    `commit` and `time`, where given, go before what the file says. Raises UserError if it is not a result file.
    """
    run = read_run(path)
    content = read_bytes(path)
    digest = hashlib.sha256(content).hexdigest()[:16]
    named = _short_commit(str(commit or run.metadata.get("gmembench.commit") or NO_COMMIT))
    for entry in entries(folder) if folder.exists() else []:
        if (entry.digest, entry.commit) == (digest, named):
            return entry, None
    stamp = f"{time or _time_of(run.metadata, path):%Y%m%dT%H%M%SZ}"
    entry = Entry(f"{stamp}-{named}-{digest}{SUFFIX}", stamp, named, digest)
    return entry, zstandard.compress(content, 9)


def _short_commit(name: str) -> str:
    """The hash of a commit, and `+` if files were changed."""
    found = _COMMIT.fullmatch(name)
    if not found:
        raise UserError(f"{name[:40]!r} is not the name of a commit", "--commit", "give its hash")
    return found[1][:40] + found[2]


def _time_of(metadata: Mapping[str, Any], path: Path) -> dt.datetime:
    """When the run was, as it says itself, else when its file was written."""
    for key in ("gmembench.date", "date"):
        try:
            found = dt.datetime.fromisoformat(str(metadata[key]))
            return found.astimezone(dt.UTC)
        except (KeyError, ValueError, OverflowError):
            continue
    return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
