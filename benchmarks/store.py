"""The folder of a run under way: every finished piece is on disk at once, so that a run that ended goes on later.

It stands beside the result file, as FILE.json.run, and goes when the result is complete. It holds the plan (what the
run is, which a resume must be too), a lock, a file for each counted cell and each job, and the digest of the result
that an interrupted run left.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gmembench.benchmarks.output import replace_file
from gmembench.core.errors import UserError

PLAN, LOCK, UNFINISHED = "plan.json", "lock", "unfinished.sha256"


def folder_of(output: Path) -> Path:
    """The folder of the run that will write a result file."""
    return output.with_name(f"{output.name}.run")


def _file_name(name: str) -> str:
    """A file name for any name; a digest, because names of cells have slashes and may be long."""
    return f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"


@dataclass
class Store:
    """The folder of a run, locked by this process."""

    folder: Path
    _lock: IO[str]

    def keep(self, kind: str, name: str, found: Mapping[str, Any]) -> None:
        """Put a finished piece on disk. Raises OSError where that is not possible."""
        (self.folder / kind).mkdir(exist_ok=True)
        replace_file(self.folder / kind / _file_name(name), json.dumps({"name": name, "found": found}))

    def kept(self, kind: str) -> dict[str, dict[str, Any]]:
        """Everything that was kept of a kind, by name. A file that is damaged counts as missing."""
        found = {}
        for path in sorted((self.folder / kind).glob("*.json")):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                read = json.loads(path.read_bytes())
                found[read["name"]] = read["found"]
        return found

    def write_result(self, output: Path, text: str, *, complete: bool) -> None:
        """Write the result file, over the unfinished one of this run, if that is there and nothing else is.

        Raises UserError if another file is there, or if it cannot be written; pieces are then kept.
        """
        if os.path.lexists(output) and not self._is_ours(output):
            raise UserError(
                "another file appeared during the work", str(output), f"move it away, then add --resume ({self.folder})"
            )
        try:
            replace_file(self.folder / UNFINISHED, hashlib.sha256(text.encode()).hexdigest())
            replace_file(output, text)
        except OSError as error:
            what = f"cannot write ({error.strerror})"
            mend = f"make room, then add --resume: what was measured is in {self.folder}"
            raise UserError(what, str(output), mend) from error
        if complete:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _is_ours(self, output: Path) -> bool:
        with contextlib.suppress(OSError):
            digest = hashlib.sha256(output.read_bytes()).hexdigest()
            return digest == (self.folder / UNFINISHED).read_text(encoding="utf-8")
        return False

    @property
    def empty(self) -> bool:
        """Whether nothing was kept yet."""
        return not any(path.is_dir() for path in self.folder.iterdir())

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Put the plan on disk. Raises UserError, and leaves nothing, if that is not possible."""
        try:
            replace_file(self.folder / PLAN, json.dumps(plan))
        except OSError as error:
            self.discard()
            mend = "free some space, or name another file with -o"
            raise UserError(f"cannot be written ({error.strerror})", str(self.folder), mend) from error

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _locked(folder: Path, option: str) -> IO[str]:
    """The lock of a folder. The kernel drops it when this process ends, however that happens."""
    file = (folder / LOCK).open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        mend = "wait for it, or name another file with -o"
        raise UserError(f"process {holder} is at work on this result", option, mend) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


@contextlib.contextmanager
def opened(output: Path, plan: Mapping[str, Any], *, resume: bool) -> Iterator[Store]:
    """The store of a run: a new one, or with `resume` the one that a run with the same plan left.

    Raises UserError if there is one and it is not wanted, if there is none to resume, if the plan is not the same,
    or if another process is at work on it.
    """
    folder, option = folder_of(output), f"-o {output}"
    if resume and not (folder / PLAN).exists():
        raise UserError("no interrupted run to resume", option, "leave out --resume")
    try:
        folder.mkdir(exist_ok=True)
        lock = _locked(folder, option)
    except OSError as error:
        raise UserError(f"cannot be made ({error.strerror})", str(folder), "name another file with -o") from error
    with lock:
        store = Store(folder, lock)
        if resume:
            _check_same(json.loads((folder / PLAN).read_text(encoding="utf-8")), plan)
        elif (folder / PLAN).exists():
            raise UserError("an interrupted run left its work", str(folder), "add --resume, or remove the folder")
        else:
            store.begin(plan)
        yield store


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for key in {**before, **now}:
        then, here = before.get(key), json.loads(json.dumps(now.get(key)))
        if then != here:
            raise UserError(
                f"this run has {_short(here)} for {key}, the interrupted one had {_short(then)}",
                "--resume",
                "repeat its command with --resume added, or leave out --resume and name another file",
            )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
