"""khugepaged collapses small pages behind the VMA into a huge one."""

from gmembench.inject.event import Event

EVENT = Event(
    "collapse",
    (__doc__ or "").strip(),
    "collapse_huge_page (mm/khugepaged.c)",
    operations=("collapse {gfn} {count}",),
)
