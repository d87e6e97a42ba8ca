"""A NUMA scan makes the host's entries of a range protnone, and the notifier zaps what the guest maps there.

Pages that are pinned are scanned like all others: nothing tells the scan what a guest's private page is.
"""

from gmembench.inject.event import Event

EVENT = Event(
    "numa_zap",
    (__doc__ or "").strip(),
    "task_numa_work, change_prot_numa (mm/mprotect.c:574-631); seed's question on AutoNUMA and pinned private pages",
    operations=("numa_zap {gfn} {count}",),
)
