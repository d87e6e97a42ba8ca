"""Opening a trace: plain, gzip, xz or zstandard, told by the first bytes and not by the name, read in blocks."""

import gzip
import lzma
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from gmembench.core.errors import UserError

ZSTD_STEP_BYTES = 1024
"""So much compressed text is taken at a time: zstandard can make 32 MiB of it, and no more."""

_GZIP, _XZ, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
_MAGIC_BYTES = 10

_BINARY_TRACES = {
    b"\x17\x08\x44tracing": ("is the binary file of trace-cmd", "give the text: trace-cmd report FILE > kvm.trace"),
    b"PERFILE2": ("is the binary file of perf", "give the text: perf script -i FILE > kvm.trace"),
}


class Reader(Protocol):
    """What a decompressor offers."""

    def read(self, size: int, /) -> bytes:
        """At most about `size` bytes of text; empty at the end."""


class _ZstdReader:
    """Zstandard frames of a file. Unlike `zstandard.stream_reader` it notices a file that ends within a frame."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        try:
            import zstandard
        except ImportError as error:
            mend = "pip install zstandard, or unpack it first: zstd -d FILE"
            raise UserError("is zstandard, and the package that reads it is not installed", str(path), mend) from error
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._error = zstandard.ZstdError
        self._file, self._frame, self._fresh, self._rest = file, self._new(), True, b""

    def read(self, size: int, /) -> bytes:
        """At least `size` bytes of text unless the file ends."""
        parts, length = [], 0
        while length < size:
            data = self._rest or self._file.read(ZSTD_STEP_BYTES)
            if not data:
                if not self._fresh:
                    raise EOFError
                break
            text = self._step(data)
            parts.append(text)
            length += len(text)
        return b"".join(parts)

    def _step(self, data: bytes) -> bytes:
        try:
            text: bytes = self._frame.decompress(data)
        except self._error as error:
            raise lzma.LZMAError(str(error)) from error
        self._fresh, self._rest = self._frame.eof, self._frame.unused_data
        if self._frame.eof:
            self._frame = self._new()
        return text


def _decompressor(file: BinaryIO, path: Path, magic: bytes) -> Reader:
    if magic.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file)
    if magic.startswith(_XZ):
        return lzma.LZMAFile(file)
    if magic.startswith(_ZSTD):
        return _ZstdReader(file, path)
    for start, (what, mend) in _BINARY_TRACES.items():
        if magic.startswith(start):
            raise UserError(what, str(path), mend)
    return file


class TraceFile:
    """An open trace. `total_bytes` is the size of the file as stored, 0 if it has none (a pipe)."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        status = os.fstat(file.fileno())
        self.total_bytes = status.st_size if stat.S_ISREG(status.st_mode) else 0
        magic = file.peek(_MAGIC_BYTES)[:_MAGIC_BYTES]  # type: ignore[attr-defined]  # open() gives a BufferedReader
        if not magic:
            raise UserError("is empty", str(path), "give the text of a trace with KVM events")
        self._reader = _decompressor(file, path, magic)

    def bytes_read(self) -> int:
        """How far the file as stored has been read; 0 for a pipe."""
        return self._file.tell() if self.total_bytes else 0

    def blocks(self, size_bytes: int) -> Iterator[bytes]:
        """The text in blocks of about `size_bytes`. Raises UserError where compressed data is damaged or cut off."""
        while True:
            try:
                block = self._reader.read(size_bytes)
            except EOFError as error:
                raise UserError("ends in the middle of its compressed data", str(self._path), _COPY_AGAIN) from error
            except (lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
                raise UserError(f"has damaged compressed data ({error})", str(self._path), _COPY_AGAIN) from error
            except OSError as error:
                raise UserError(f"cannot be read ({error.strerror})", str(self._path), "check the disk") from error
            if not block:
                return
            yield block


_COPY_AGAIN = "copy or record the file again"


@contextmanager
def open_trace(path: Path) -> Iterator[TraceFile]:
    """Open a trace for reading. Raises UserError if it is missing, a folder, empty, binary or not readable."""
    try:
        file = path.open("rb")
    except IsADirectoryError as error:
        raise UserError("is a folder", str(path), "name one trace file in it") from error
    except FileNotFoundError as error:
        raise UserError("does not exist", str(path), "check the name") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot be opened ({reason})", str(path), "check the name and its permissions") from error
    with file:
        yield TraceFile(file, path)
