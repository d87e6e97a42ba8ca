"""A device takes a long pin of guest memory and drops it later: the page's reference count is elevated meanwhile."""

from gmembench.inject.event import Event

EVENT = Event(
    "host_pin",
    (__doc__ or "").strip(),
    "pin_user_pages(FOLL_LONGTERM), unpin_user_pages (mm/gup.c)",
    operations=("host_pin {gfn} {count} long", "host_unpin {gfn} {count}"),
)
