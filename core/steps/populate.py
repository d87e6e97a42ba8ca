"""kvm_gmem_populate: initial data of private pages, copied from the VMM's memory (guest_memfd.c)."""

from gmembench.core.errno import EEXIST, EHWPOISON, EINVAL, ENOMEM, SIGBUS
from gmembench.core.outcomes import AGAIN, MISMATCH, NEXT, NONE, UPTODATE
from gmembench.core.parts.huge import block_head
from gmembench.core.parts.memslots import slot_of_gfn
from gmembench.core.parts.pool import put_page
from gmembench.core.steps.registry import step
from gmembench.core.views import Record
from gmembench.core.world import (
    ATTR_PRIVATE,
    CONTENT_DATA,
    ORACLE_DATA_PRIVATE,
    ORACLE_ZERO_PRIVATE,
    PG_UPTODATE,
    frame,
    page,
    slot,
)


@step("kvm-memslot", "check", "kvm_gmem_populate", ("none",))
def find_slot(w: Record, a: Record, r: Record) -> int:
    """Find the memslot of the first gfn; the range ends with it."""
    a["slot"] = slot_of_gfn(w, a["first"])
    a["error"] = EINVAL
    if a["slot"] < 0:
        return NONE
    s = slot(w, a["slot"])
    a["stop"] = min(a["end"], s["base"] + s["npages"])
    return NEXT


@step("kvm-memslot", "state", "kvm_gmem_populate")
def hold_source(w: Record, a: Record, r: Record) -> int:
    """Keep the source page, and its reference, aside."""
    a["target"] = a["pfn"]
    return NEXT


@step("kvm-memslot", "check", "__kvm_gmem_populate", ("uptodate",))
def check_new(w: Record, a: Record, r: Record) -> int:
    """A page that the guest may have seen already is not filled again."""
    if page(w, a["pfn"])["flags"] & PG_UPTODATE:
        a["error"] = EEXIST
        return UPTODATE
    return NEXT


@step("kvm-memslot", "check", "__kvm_gmem_populate", ("mismatch",))
def check_attr(w: Record, a: Record, r: Record) -> int:
    """Only a private gfn is populated."""
    if frame(w, a["gfn"])["attr"] & ATTR_PRIVATE == 0:
        a["error"] = EINVAL
        return MISMATCH
    return NEXT


@step("kvm-memslot", "state", "sev_gmem_post_populate")
def copy(w: Record, a: Record, r: Record) -> int:
    """Copy the source into the private page; the oracle learns what the guest may read now."""
    f, old, new = frame(w, a["gfn"]), page(w, a["target"]), page(w, a["pfn"])
    new["content"] = old["content"]
    new["content_gfn"] = old["content_gfn"]
    new["content_gen"] = old["content_gen"]
    if old["content"] == CONTENT_DATA:
        f["gen_private"] = old["content_gen"]
        f["oracle"] = f["oracle"] & ~ORACLE_ZERO_PRIVATE | ORACLE_DATA_PRIVATE
    else:
        f["oracle"] = f["oracle"] & ~ORACLE_DATA_PRIVATE | ORACLE_ZERO_PRIVATE
    return NEXT


@step("kvm-memslot", "refcount", "kvm_gmem_populate")
def put_source(w: Record, a: Record, r: Record) -> int:
    """Drop the source page and go on with the next gfn."""
    put_page(w, block_head(w, a["target"]))
    a["done"] += 1
    a["gfn"] += 1
    a["index"] += 1
    if a["gfn"] < a["stop"]:
        return AGAIN
    return NEXT


@step("kvm-memslot", "refcount", "kvm_gmem_populate")
def drop_source(w: Record, a: Record, r: Record) -> int:
    """Drop the source page after a failure."""
    put_page(w, block_head(w, a["target"]))
    return NEXT


@step("kvm-memslot", "check", "kvm_gmem_populate")
def source_failed(w: Record, a: Record, r: Record) -> int:
    """The source page cannot be had."""
    a["error"] = EHWPOISON if a["error"] == SIGBUS else ENOMEM
    return NEXT


@step("kvm-memslot", "state", "kvm_gmem_populate")
def failed(w: Record, a: Record, r: Record) -> int:
    """Pages that were populated make it a success with a shorter range; else the errno is returned."""
    a["result"] = 0 if a["done"] != 0 else a["error"]
    return NEXT
