"""The index of a history: an SQLite file with a row a run and cell, made from the result files and never the truth.

It is brought up to date whenever it is opened: runs that it lacks are read, those that are gone are dropped. One
that is missing, broken or of another version is made anew. Where the folder cannot be written to, it is
made in memory.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gmembench.core.errors import UserError
from gmembench.reports import machine
from gmembench.reports.compare.counted import COSTS
from gmembench.reports.history.store import RUNS, entries
from gmembench.reports.runs import Numbers, Run, quiet_collector, read_run
from gmembench.reports.schema import NAME_PARTS

NAME = "index.sqlite"
VERSION = 1

_COMMIT_EVERY = 50

_COLUMNS = ", ".join(f'"{name}" INTEGER' for name in COSTS)
_TABLES = f"""
CREATE TABLE runs (run INTEGER PRIMARY KEY, file TEXT UNIQUE NOT NULL, stamp TEXT NOT NULL, machine TEXT NOT NULL,
                   about TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE series (series INTEGER PRIMARY KEY, cell TEXT NOT NULL, facts TEXT NOT NULL, UNIQUE (cell, facts));
CREATE TABLE points (run INTEGER NOT NULL, series INTEGER NOT NULL, time_s REAL, processes INTEGER NOT NULL, {_COLUMNS},
                     PRIMARY KEY (run, series)) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""

Told = Callable[[str], None]


@contextlib.contextmanager
def opened(folder: Path, tell: Told = lambda text: None) -> Iterator[sqlite3.Connection]:
    """The index of a history, up to date. Raises UserError if a file of the history cannot be read."""
    wanted = {entry.file: _stamp(folder / RUNS / entry.file) for entry in entries(folder)}
    connection = _connected(folder / NAME, tell)
    try:
        _update(connection, folder, wanted, tell)
        yield connection
    finally:
        connection.close()


def _stamp(path: Path) -> str:
    """Size and time of a file, by which a change is noticed."""
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}"


def _connected(path: Path, tell: Told) -> sqlite3.Connection:
    """A connection to an index of this version; one in memory if there can be no file."""
    for again in (False, True):
        connection = None
        try:
            connection = sqlite3.connect(path, timeout=60, isolation_level=None)
            if _usable(connection):
                return connection
        except sqlite3.OperationalError as error:
            tell(f"the index is kept in memory ({error})")
            return _in_memory()
        except sqlite3.DatabaseError:
            pass
        if connection:
            connection.close()
        if not again:
            tell("the index is broken or of another version: it is made anew")
            path.unlink(missing_ok=True)
    return _in_memory()


def _in_memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _usable(connection)
    return connection


def _usable(connection: sqlite3.Connection) -> bool:
    """Make the tables in an empty file; False for a file of another version."""
    connection.execute("PRAGMA synchronous = OFF")  # it can be made anew
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            version = VERSION
        return bool(version == VERSION)
    finally:
        connection.execute("COMMIT")


def _update(connection: sqlite3.Connection, folder: Path, wanted: dict[str, str], tell: Told) -> None:
    """Make the rows those of the wanted files."""
    present = dict(connection.execute("SELECT file, stamp FROM runs"))
    gone = [file for file, stamp in present.items() if wanted.get(file) != stamp]
    missing = [file for file, stamp in wanted.items() if present.get(file) != stamp]
    if not gone and not missing:
        return
    known = {(cell, facts): number for number, cell, facts in connection.execute("SELECT * FROM series")}
    with quiet_collector():
        for start in range(0, max(len(missing), 1), _COMMIT_EVERY):
            connection.execute("BEGIN IMMEDIATE")
            try:
                _forget(connection, gone if start == 0 else [])
                for file in missing[start : start + _COMMIT_EVERY]:
                    _insert(connection, file, wanted[file], read_run(folder / RUNS / file), known)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            if len(missing) > _COMMIT_EVERY:
                tell(f"indexed {min(start + _COMMIT_EVERY, len(missing)):,} of {len(missing):,} runs")


def _forget(connection: sqlite3.Connection, files: Sequence[str]) -> None:
    connection.executemany(
        "DELETE FROM points WHERE run = (SELECT run FROM runs WHERE file = ?)", [(file,) for file in files]
    )
    connection.executemany("DELETE FROM runs WHERE file = ?", [(file,) for file in files])


def _insert(connection: sqlite3.Connection, file: str, stamp: str, run: Run, known: dict[tuple[str, str], int]) -> None:
    """Add the rows of a run. `known`: number of each series, of cell and facts."""
    facts = machine.facts(run.metadata)
    about = "; ".join(f"{key} {value}" for key, value in facts.items())
    values = (file, stamp, machine.identity(run.metadata), about, str(run.metadata.get("gmembench.digest", "")))
    number = connection.execute(
        "INSERT OR REPLACE INTO runs (file, stamp, machine, about, digest) VALUES (?, ?, ?, ?, ?)", values
    ).lastrowid
    rows = []
    for cell, numbers in run.cells.items():
        key = (cell, _facts(run, numbers))
        if key not in known:
            found = connection.execute("INSERT INTO series (cell, facts) VALUES (?, ?)", key).lastrowid
            if found is None:
                raise UserError("the index cannot be written", file, f"remove {NAME}")
            known[key] = found
        rows.append((number, known[key], _time(numbers), len(numbers.means_s), *map(numbers.counted.get, COSTS)))
    connection.executemany(f"INSERT OR REPLACE INTO points VALUES ({', '.join('?' * (4 + len(COSTS)))})", rows)  # noqa: S608


def _facts(run: Run, numbers: Numbers) -> str:
    """What must be equal for numbers of a cell to be of one series."""
    size = run.metadata.get("gmembench.size", "")
    own = [f"{key} {value}" for key, value in sorted(numbers.facts.items()) if key not in NAME_PARTS]
    return "; ".join([f"size {size}", *own])


def _time(numbers: Numbers) -> float | None:
    """Seconds an operation; None if it was not timed, or as plain Python, which says nothing about later runs."""
    means = () if numbers.interpreted else numbers.means_s
    return sum(means) / len(means) if means else None
