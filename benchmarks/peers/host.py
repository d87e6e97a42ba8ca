"""The peer that is no model: this host's kernel, faults on two memfds and holes punched into one of them."""

import ctypes
import mmap
import os
import resource
from collections.abc import Callable, Mapping

import numpy as np

from gmembench.benchmarks.peers.work import CONVERT, PAGE_BYTES, PUNCH, TOUCH_PRIVATE, Counts, MissingPeerError

KEEP_SIZE, PUNCH_HOLE = 1, 2
"""FALLOC_FL_* of fallocate(2)."""

BLOCK_BYTES = 512
"""Unit of st_blocks."""


class _File:
    """A memfd and its mapping."""

    def __init__(self, name: str, gfns: int) -> None:
        self.descriptor = os.memfd_create(name)
        os.ftruncate(self.descriptor, gfns * PAGE_BYTES)
        self.mapping = mmap.mmap(self.descriptor, gfns * PAGE_BYTES)
        self.mapping.madvise(mmap.MADV_NOHUGEPAGE)
        self.first_bytes = np.frombuffer(self.mapping, np.uint8)[::PAGE_BYTES]

    @property
    def pages(self) -> int:
        """Pages that it holds, as the kernel counts them."""
        return os.fstat(self.descriptor).st_blocks * BLOCK_BYTES // PAGE_BYTES

    def close(self) -> None:
        """Give its memory back."""
        del self.first_bytes
        self.mapping.close()
        os.close(self.descriptor)


def _fallocate() -> Callable[[int, int, int, int], int]:
    """fallocate(2) of the C library. Raises MissingPeerError."""
    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate
    except (OSError, AttributeError):
        raise MissingPeerError("no fallocate on this host: Linux is needed") from None
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    function: Callable[[int, int, int, int], int] = call
    return function


def _thread_faults() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt


class HostPeer:
    """The memfd of this kernel: one file for private memory, one for shared."""

    name = "host kernel"
    lacks: Mapping[str, str] = {CONVERT: "a memfd has no attributes"}
    same = (
        "real page faults of this thread on two memfds, private and shared, 4K, written by one loop of NumPy, and one "
        "fallocate(PUNCH_HOLE) a page, called through ctypes; no stage 2 and no KVM, but the page cache, the zeroing "
        "and the host page table are real"
    )

    def __init__(self) -> None:
        if not hasattr(os, "memfd_create") or mmap.PAGESIZE != PAGE_BYTES:
            raise MissingPeerError("no memfd with 4K pages on this host: Linux on such a machine is needed")
        self.fallocate = _fallocate()

    def begin(self, gfns: int) -> None:
        """Two empty files."""
        self.gfns = gfns
        self.private, self.shared = _File("gmembench-private", gfns), _File("gmembench-shared", gfns)
        self.faults = self.zeroed_pages = 0

    def run(self, phase: str) -> None:
        """Do a phase. Raises MissingPeerError if the kernel refuses, or gives more than a page a fault."""
        if phase == PUNCH:
            self._punch()
        else:
            self._touch(self.private if phase == TOUCH_PRIVATE else self.shared)

    def _touch(self, file: _File) -> None:
        pages, faults = file.pages, _thread_faults()
        file.first_bytes[:] = 1
        made, took = file.pages - pages, _thread_faults() - faults
        if took < made:
            raise MissingPeerError(f"{took} faults made {made} pages: switch huge pages of shmem off")
        self.faults += made
        self.zeroed_pages += made

    def _punch(self) -> None:
        how, descriptor, call = KEEP_SIZE | PUNCH_HOLE, self.private.descriptor, self.fallocate
        for start in range(0, self.gfns * PAGE_BYTES, PAGE_BYTES):
            if call(descriptor, how, start, PAGE_BYTES):
                raise MissingPeerError(f"fallocate: {os.strerror(ctypes.get_errno())}")

    def counts(self) -> Counts:
        """What was done so far."""
        return Counts(self.faults, self.zeroed_pages * PAGE_BYTES, self.private.pages, self.shared.pages)

    def end(self) -> None:
        """Close the files."""
        self.private.close()
        self.shared.close()
