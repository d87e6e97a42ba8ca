"""The compiled table of all steps: the machine code of rows, and the run of a chain of rows."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gmembench.core.cold import compile_once
from gmembench.core.intrinsics.chains import chain_runner, code_size, link_filler, step_filler, step_runner
from gmembench.core.jit import INTERPRETED, MACHINE, STEPS_FOLDER, compiling, step_kernel
from gmembench.core.steps.registry import Step, all_steps
from gmembench.core.world import SMALL, WIDE

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
        "gmem.get_file gmem.check_file gmem.check_binding gmem.find_folio"
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

CHUNKS = 4
"""All links are compiled in this many pieces, which as many processes can share when the cache is cold."""

_steps = all_steps()
_functions = [step.function for step in _steps]
_codes = {step.name: code for code, step in enumerate(_steps)}
_fused = [[_codes[name] for name in names.split()] for names in FUSED]
_links = [*([function] for function in _functions), *([_functions[code] for code in codes] for codes in _fused)]

run_chain = chain_runner(_functions, WIDE)
run_small = step_runner(_functions, SMALL)


def _family(step: Step) -> str:
    return step.name.partition(".")[0]


def _chunks() -> list[list[int]]:
    """Numbers of links in chunks of about the same work. A family stays together: its steps share parts.

    The first chunk has all fused links, and so the families that stand in them.
    """
    sizes = Counter({_family(step): 0 for step in _steps})
    for step in _steps:
        sizes[_family(step)] += code_size(step.function)
    chunk_of = {_family(_steps[code]): 0 for codes in _fused for code in codes}
    loads = [sum(sizes[family] for family in chunk_of), *([0] * (CHUNKS - 1))]
    for family, size in sizes.most_common():
        if family not in chunk_of:
            chunk_of[family] = loads.index(min(loads))
            loads[chunk_of[family]] += size
    chunks = [[code for code, step in enumerate(_steps) if chunk_of[_family(step)] == n] for n in range(CHUNKS)]
    chunks[0] += range(len(_steps), len(_links))
    return chunks


_fill_0, _fill_1, _fill_2, _fill_3 = (
    link_filler({number: _links[number] for number in chunk}, WIDE) for chunk in _chunks()
)
_small_0, _small_1, _small_2, _small_3 = (
    step_filler({code: _functions[code] for code in chunk if code < len(_steps)}, SMALL) for chunk in _chunks()
)


@step_kernel
def _fill_table_0(table: np.ndarray) -> None:
    _fill_0(table)


@step_kernel
def _fill_table_1(table: np.ndarray) -> None:
    _fill_1(table)


@step_kernel
def _fill_table_2(table: np.ndarray) -> None:
    _fill_2(table)


@step_kernel
def _fill_table_3(table: np.ndarray) -> None:
    _fill_3(table)


@step_kernel
def _fill_small_0(table: np.ndarray) -> None:
    _small_0(table)


@step_kernel
def _fill_small_1(table: np.ndarray) -> None:
    _small_1(table)


@step_kernel
def _fill_small_2(table: np.ndarray) -> None:
    _small_2(table)


@step_kernel
def _fill_small_3(table: np.ndarray) -> None:
    _small_3(table)


TABLE_KERNELS = (_fill_table_0, _fill_table_1, _fill_table_2, _fill_table_3)
"""Each fills the table with the addresses of one chunk of links."""

SMALL_KERNELS = (_fill_small_0, _fill_small_1, _fill_small_2, _fill_small_3)
"""The same for steps of small worlds, which no driver runs in sequences."""


def _fill(kernels: Sequence[Callable[[np.ndarray], None]], chunks: Iterable[int]) -> np.ndarray:
    table = np.zeros(len(_links), np.int64)
    with compiling():
        for chunk in chunks:
            kernels[chunk](table)
    return table


def fill_chunks(chunks: Iterable[int]) -> np.ndarray:
    """i8 array: the address of each step's machine code by step code, then of FUSED; 0 outside these chunks."""
    return _fill(TABLE_KERNELS, chunks)


def fill_small_chunks(chunks: Iterable[int]) -> np.ndarray:
    """The same for small worlds, without FUSED."""
    return _fill(SMALL_KERNELS, chunks)


def link_addresses() -> np.ndarray:
    """i8 array: the address of each step's machine code by step code, then of FUSED; zeros when interpreted."""
    if INTERPRETED:
        return np.zeros(len(_links), np.int64)
    compile_once(STEPS_FOLDER / f"links-{MACHINE}", CHUNKS, fill_chunks)
    return fill_chunks(range(CHUNKS))


def small_addresses(rows: np.ndarray) -> np.ndarray:
    """i8 array: the machine code of each of some rows (ROW array) in small worlds; zeros when interpreted."""
    if INTERPRETED:
        return np.zeros(len(rows), np.int64)
    compile_once(STEPS_FOLDER / f"small-links-{MACHINE}", CHUNKS, fill_small_chunks)
    return fill_small_chunks(range(CHUNKS))[rows["step"]]


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
