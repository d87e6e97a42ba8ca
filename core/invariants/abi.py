"""An operation ends with a result that its interface does not have.

KVM_RUN leaves with a memory fault, an MMIO exit, a SIGBUS for a poisoned page or a dead VM; a system call fails with
the errnos of its manual page.
A memory fault is right during a conversion of the gfn, so it is never judged by the attribute at the end. An MMIO exit
is wrong where a memslot is being deleted or moved: its INVALID copy asks for a retry.
"""

from gmembench.core.errno import (
    EAGAIN,
    EBADF,
    EBUSY,
    EEXIST,
    EFAULT,
    EHWPOISON,
    EINVAL,
    EIO,
    ENOENT,
    ENOMEM,
    EOPNOTSUPP,
    EXIT_MMIO,
    OK,
    SIGBUS,
    VM_DEAD,
)
from gmembench.core.invariant import Invariant, Rule
from gmembench.core.jit import part
from gmembench.core.operations import PROGRAM_NUMBER
from gmembench.core.parts.memslots import slot_of_gfn
from gmembench.core.views import Record
from gmembench.core.world import LIFE_INVALID, slot

ACCESS = PROGRAM_NUMBER["access"]
PREFAULT = PROGRAM_NUMBER["prefault"]
POPULATE = PROGRAM_NUMBER["populate"]
FIRST_SLOT_PROGRAM, LAST_SLOT_PROGRAM = PROGRAM_NUMBER["slot_create"], PROGRAM_NUMBER["slot_move"]


@part
def of_a_run(result: int) -> bool:
    """Results of KVM_RUN."""
    fault = result in (EFAULT, EHWPOISON, EIO, ENOMEM)
    return fault or result in (EXIT_MMIO, VM_DEAD, SIGBUS)


@part
def of_a_call(result: int) -> bool:
    """Results of the system calls of the VMM."""
    if result in (EAGAIN, EBADF, EBUSY, EFAULT, EINVAL):
        return True
    return result in (ENOMEM, EOPNOTSUPP, EHWPOISON)


@part
def of_prefault(result: int) -> bool:
    """Results of KVM_PRE_FAULT_MEMORY."""
    fault = result in (EFAULT, EHWPOISON, EIO, ENOMEM)
    return fault or result in (EAGAIN, ENOENT, SIGBUS)


@part
def has_result(program: int, result: int) -> bool:
    """Whether a program's interface has a result."""
    if result == OK:
        return True
    if program == ACCESS:
        return of_a_run(result)
    if program == PREFAULT:
        return of_prefault(result)
    if program == POPULATE or (program >= FIRST_SLOT_PROGRAM and program <= LAST_SLOT_PROGRAM):
        return result == EEXIST or of_a_call(result)
    return result == SIGBUS or of_a_call(result)


def result_is_wrong(w: Record, a: Record, program: int) -> int:
    """1 + the result, if the program's interface does not have it there."""
    if not has_result(program, a["result"]):
        return 1 + a["result"]
    if program == ACCESS and a["result"] == EXIT_MMIO:
        found = slot_of_gfn(w, a["gfn"])
        if found >= 0 and slot(w, found)["life"] == LIFE_INVALID:
            return 1 + a["result"]
    return 0


INVARIANT = Invariant(
    "ABI",
    (__doc__ or "").strip(),
    end=Rule(result_is_wrong, "the operation ended with result {}, which its interface does not have here"),
)
