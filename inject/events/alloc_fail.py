"""An allocation fails: a page of the backing, page tables, nodes of the attributes' tree, a memslot's metadata.

The row that asked ends with nomem and has changed nothing.
"""

from gmembench.inject.event import Event, Forced

STEPS = "bind.store|col.*|convert.*|fault.*|fd.*|gmem.*|gup.*|hugetlb.*|inplace.*|mig.*|pin.*|shmem.*|slot.*"
"""All that can end so but the actor that reuses freed pages: it is no program of the kernel's."""

EVENT = Event(
    "alloc_fail",
    (__doc__ or "").strip(),
    "fail_page_alloc and failslab of Documentation/fault-injection: any allocation that may sleep can fail",
    forced=(Forced(STEPS, "nomem"),),
)
