"""The compiled table of all steps: the machine code of rows, and the run of a chain of rows."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gmembench.core.jit import INTERPRETED, chain_runner, compiling, kernel, link_filler
from gmembench.core.steps.registry import all_steps
from gmembench.core.world import ACTOR, HEADER

FUSED = (
    "enter.set_outside srcu.lock enter.decode",
    (
        "enter.service_requests enter.load_root enter.set_in_guest srcu.unlock enter.recheck_requests "
        "guest.translate guest.use"
    ),
    "guest.translate guest.use",
    "fault.classify fault.lookup_slot fault.try_fast fault.topup_caches fault.snapshot_seq",
    (
        "fault.check_attr fault.check_slot fault.precheck_stale fault.choose_backing "
        "gmem.get_file gmem.check_file gmem.check_binding gmem.lock_folio"
    ),
    "gmem.alloc_folio gmem.check_poison gmem.clear_page gmem.mark_uptodate gmem.unlock_folio gmem.put_file",
    (
        "fault.precheck_stale fault.lock_mmu_read fault.recheck_root fault.recheck_stale fault.choose_level "
        "fault.link_table fault.set_spte fault.release_page fault.unlock_mmu"
    ),
)
"""Steps of adjacent rows that also have machine code together: a fault runs them most.

Only speed depends on it. Each row is counted all the same, and rows that an edit took apart run one by one.
"""

_functions = [step.function for step in all_steps()]
_codes = {step.name: code for code, step in enumerate(all_steps())}
_fused = [[_codes[name] for name in names.split()] for names in FUSED]
_fill = link_filler([*([f] for f in _functions), *([_functions[c] for c in codes] for codes in _fused)], HEADER, ACTOR)

run_chain = chain_runner(_functions, HEADER, ACTOR)


@kernel
def _fill_table(table: np.ndarray) -> None:
    _fill(table)


def link_addresses() -> np.ndarray:
    """i8 array: the address of each step's machine code by step code, then of FUSED; zeros when interpreted."""
    table = np.zeros(len(_functions) + len(_fused), np.int64)
    if not INTERPRETED:
        with compiling():
            _fill_table(table)
    return table


def row_addresses(rows: np.ndarray) -> np.ndarray:
    """i8 array: the machine code of each of some rows (ROW array); where a fused sequence begins, that of all of it."""
    table = link_addresses()
    addresses = table[rows["step"]]
    for number, codes in enumerate(_fused, len(_functions)):
        if len(rows) >= len(codes):
            steps, jumps = (sliding_window_view(rows[field], len(codes)) for field in ("step", "jump"))
            begins = (steps == codes).all(axis=1) & ~jumps[:, :-1].any(axis=1)
            addresses[np.flatnonzero(begins)] = table[number]
    return addresses
