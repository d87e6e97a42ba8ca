"""The host reclaims: pages behind the VMA are swapped out."""

from gmembench.inject.event import Event

EVENT = Event(
    "memory_pressure",
    (__doc__ or "").strip(),
    "shrink_folio_list, try_to_unmap (mm/vmscan.c, mm/rmap.c)",
    operations=("swap_out {gfn} {count}",),
)
