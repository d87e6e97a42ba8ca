"""Results appear whole or not at all, and never on top of something else: write aside, fsync, rename."""

import os
import tempfile
from pathlib import Path

from gmembench.core.errors import UserError


def check_new_path(path: Path, option: str) -> None:
    """Raise UserError unless `path` can be created: nothing there yet, in a folder that can be written to."""
    if os.path.lexists(path):
        raise UserError("this path exists already", f"{option} {path}", "name a new one, nothing is overwritten")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UserError("the folder does not exist", f"{option} {path}", f"make it first: mkdir -p {folder}")
    try:
        # Tried, not asked: permissions say nothing about a read-only file system or one that makes its own files.
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        what = f"the folder cannot be written to ({error.strerror})"
        raise UserError(what, f"{option} {path}", "name a path in another folder") from error


def write_new(path: Path, text: str | bytes) -> None:
    """Write `text` (UTF-8, or bytes) to `path`, which must not exist; the file appears only when it is complete.

    Raises UserError if `path` appeared meanwhile; the text is then kept in the file aside, which the error names.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("xb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UserError(f"cannot write ({error.strerror})", str(path), "make room or name another path") from error
    if os.path.lexists(path):
        raise UserError("this path appeared during the work", str(path), f"the results are in {aside}")
    aside.rename(path)
    _sync_folder(path.absolute().parent)


def replace_file(path: Path, text: str | bytes) -> None:
    """Write `text` to `path`, which may exist: it holds all of the old text or all of the new one, at any moment.

    Raises OSError; the old text then stays.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.absolute().parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename durable: the entry of a new file is data of its folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
