"""Blocks of rows that several programs share, written once (Linux 7.3).

A block is a function of a phase prefix. It returns its rows; rows that stand aside from the straight
path (the yield of a zap, the cancelled entry) come from a function of their own, for the program's end.
"""

from gmembench.core.blocks.entry import beside_entry, enter
from gmembench.core.blocks.fault import access, beside_map, exits, file_exits, from_file, head, map_page, prefault
from gmembench.core.blocks.invalidation import (
    beside_zap,
    invalidate_begin,
    invalidate_end,
    notify_begin,
    notify_end,
)
from gmembench.core.blocks.memslots import slot_create, slot_delete, slot_wait, zap_slot_leaves, zap_slot_root
from gmembench.core.blocks.program import Rows, program
from gmembench.core.blocks.vma import from_vma, host_access, migrate, numa_zap, reuse, vma_teardown

__all__ = [
    "Rows",
    "access",
    "beside_entry",
    "beside_map",
    "beside_zap",
    "enter",
    "exits",
    "file_exits",
    "from_file",
    "from_vma",
    "head",
    "host_access",
    "invalidate_begin",
    "invalidate_end",
    "map_page",
    "migrate",
    "notify_begin",
    "notify_end",
    "numa_zap",
    "prefault",
    "program",
    "reuse",
    "slot_create",
    "slot_delete",
    "slot_wait",
    "vma_teardown",
    "zap_slot_leaves",
    "zap_slot_root",
]
