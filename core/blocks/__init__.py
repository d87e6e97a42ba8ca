"""Blocks of rows that several programs share, written once (Linux 7.3).

A block is a function of a phase prefix. It returns its rows; rows that stand aside from the straight
path (the yield of a zap, the cancelled entry) come from a function of their own, for the program's end.
"""

from gmembench.core.blocks.close import close
from gmembench.core.blocks.entry import beside_entry, enter
from gmembench.core.blocks.fault import access, beside_map, exits, file_exits, from_file, head, map_page, prefault
from gmembench.core.blocks.inplace import (
    batched,
    convert_in_place,
    from_shared_file,
    shared_file_exits,
    without_reference,
)
from gmembench.core.blocks.invalidation import (
    beside_zap,
    invalidate_begin,
    invalidate_end,
    notify_begin,
    notify_end,
)
from gmembench.core.blocks.mapped_file import (
    beside_unmap,
    close_mapped,
    file_fault,
    host_access_file,
    poison_mapped,
    unmap_folio,
    unmap_range,
)
from gmembench.core.blocks.memslot_changes import slot_flags, slot_move, zap_gfn_range
from gmembench.core.blocks.memslots import slot_create, slot_delete, slot_wait, zap_slot_leaves, zap_slot_root
from gmembench.core.blocks.pages import collapse, migrate_range, swap_out
from gmembench.core.blocks.pins import host_pin, host_unpin, kernel_access
from gmembench.core.blocks.poison import poison, poison_file
from gmembench.core.blocks.populate import populate
from gmembench.core.blocks.program import Rows, program
from gmembench.core.blocks.reaper import oom_reap
from gmembench.core.blocks.region import register_region, unregister_region
from gmembench.core.blocks.vma import (
    fault_in,
    from_vma,
    host_access,
    migrate,
    move_page,
    numa_zap,
    reuse,
    vma_teardown,
)
from gmembench.core.blocks.vmsa import kick_vmsa, vmsa_load

__all__ = [
    "Rows",
    "access",
    "batched",
    "beside_entry",
    "beside_map",
    "beside_unmap",
    "beside_zap",
    "close",
    "close_mapped",
    "collapse",
    "convert_in_place",
    "enter",
    "exits",
    "fault_in",
    "file_exits",
    "file_fault",
    "from_file",
    "from_shared_file",
    "from_vma",
    "head",
    "host_access",
    "host_access_file",
    "host_pin",
    "host_unpin",
    "invalidate_begin",
    "invalidate_end",
    "kernel_access",
    "kick_vmsa",
    "map_page",
    "migrate",
    "migrate_range",
    "move_page",
    "notify_begin",
    "notify_end",
    "numa_zap",
    "oom_reap",
    "poison",
    "poison_file",
    "poison_mapped",
    "populate",
    "prefault",
    "program",
    "register_region",
    "reuse",
    "shared_file_exits",
    "slot_create",
    "slot_delete",
    "slot_flags",
    "slot_move",
    "slot_wait",
    "swap_out",
    "unmap_folio",
    "unmap_range",
    "unregister_region",
    "vma_teardown",
    "vmsa_load",
    "without_reference",
    "zap_gfn_range",
    "zap_slot_leaves",
    "zap_slot_root",
]
