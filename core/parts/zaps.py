"""Zapping at a walk's cursor."""

from gmembench.core.jit import part
from gmembench.core.operations import PRIVATE
from gmembench.core.parts.stage2 import clear_entry, entry_gfn, region_empty, region_end
from gmembench.core.views import Record
from gmembench.core.world import PAGE_FILE, SPTE_HUGE, page, spte

PRIVATE_ONLY, SHARED_ONLY, KIND_CONVERTED_FROM = 1, 2, 3
"""The attribute filter of an invalidation; 0 is both kinds, 3 the kind that a conversion ends."""


@part
def filter_of(a: Record, kind: int) -> int:
    """The filter with the kind that the conversion under way ends filled in."""
    if kind == KIND_CONVERTED_FROM:
        return SHARED_ONLY if a["flags"] & PRIVATE else PRIVATE_ONLY
    return kind


@part
def pass_gfn(w: Record, a: Record, huge: bool) -> None:
    """Move the cursor past a gfn, or past the whole region."""
    a["cursor"] = min(a["stop"], region_end(w, a["cursor"])) if huge else a["cursor"] + 1


@part
def zap_at(w: Record, a: Record, kind: int) -> None:
    """Zap what maps the gfn at the cursor and move on. The filter counts only where roots are separate."""
    gfn = a["cursor"]
    if region_empty(w, gfn):
        pass_gfn(w, a, True)
        return
    huge = False
    kind = filter_of(a, kind)
    for root in range(2):
        if w["separate_roots"] != 0 and ((kind == PRIVATE_ONLY and root == 0) or (kind == SHARED_ONLY and root == 1)):
            continue
        at = entry_gfn(w, gfn, root)
        if at >= 0:
            huge = huge or at != gfn or (spte(w, at, root)["bits"] & SPTE_HUGE) != 0
            a["zapped"] += clear_entry(w, gfn, root)
    pass_gfn(w, a, huge)


@part
def zap_filtered(w: Record, a: Record, kind: int) -> None:
    """Zap what maps the gfn at the cursor if it is of the filter's kind, told by the page behind it."""
    gfn = a["cursor"]
    kind = filter_of(a, kind)
    at = entry_gfn(w, gfn, 0)
    if at >= 0:
        private = page(w, spte(w, at, 0)["pfn"])["state"] == PAGE_FILE
        if kind == 0 or private == (kind == PRIVATE_ONLY):
            a["zapped"] += clear_entry(w, gfn, 0)
    pass_gfn(w, a, False)
