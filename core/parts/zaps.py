"""Zapping at a walk's cursor."""

from gmembench.core.jit import part
from gmembench.core.operations import PRIVATE
from gmembench.core.parts.stage2 import clear_entry, entry_gfn, entry_level, level_gfns, level_head, region_empty
from gmembench.core.views import Record
from gmembench.core.world import PAGE_FILE, page, spte

PRIVATE_ONLY, SHARED_ONLY, KIND_CONVERTED_FROM = 1, 2, 3
"""The attribute filter of an invalidation; 0 is both kinds, 3 the kind that a conversion ends."""


@part
def filter_of(a: Record, kind: int) -> int:
    """The filter with the kind that the conversion under way ends filled in."""
    if kind == KIND_CONVERTED_FROM:
        return SHARED_ONLY if a["flags"] & PRIVATE else PRIVATE_ONLY
    return kind


@part
def pass_level(w: Record, a: Record, level: int) -> None:
    """Move the cursor past what an entry of `level` covers."""
    a["cursor"] = min(a["stop"], level_head(w, level, a["cursor"]) + level_gfns(w, level))


@part
def zap_at(w: Record, a: Record, kind: int) -> None:
    """Zap what maps the gfn at the cursor and move on. The filter counts only where roots are separate."""
    gfn = a["cursor"]
    if region_empty(w, gfn):
        pass_level(w, a, 2)
        return
    level = 1
    kind = filter_of(a, kind)
    for root in range(2):
        if w["separate_roots"] != 0 and ((kind == PRIVATE_ONLY and root == 0) or (kind == SHARED_ONLY and root == 1)):
            continue
        at = entry_gfn(w, gfn, root)
        if at >= 0:
            level = max(level, entry_level(spte(w, at, root)["bits"]))
            a["zapped"] += clear_entry(w, gfn, root)
    pass_level(w, a, level)


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
    pass_level(w, a, 1)
