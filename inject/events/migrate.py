"""Pages are moved to another node: move_pages(), compaction, the hot-unplug of memory."""

from gmembench.inject.event import Event

EVENT = Event(
    "migrate",
    (__doc__ or "").strip(),
    "migrate_pages (mm/migrate.c:728-765, 1116-1213)",
    operations=("migrate {gfn} {count} node {node}",),
)
