"""The level at which a fault maps: 4K, 2M or 1G (mmu.c: kvm_mmu_hugepage_adjust, kvm_max_private_mapping_level)."""

from gmembench.core.jit import part
from gmembench.core.parts.stage2 import level_gfns, level_head, region_mixed
from gmembench.core.views import Record
from gmembench.core.world import HARDWARE_TDX, HW_HUGE, HW_OWNED, SPTE_GIGANTIC, SPTE_HUGE, SPTE_PRESENT, page, slot


@part
def bits_of_level(level: int) -> int:
    """Bits of a present leaf entry of a level."""
    if level == 3:
        return SPTE_PRESENT | SPTE_GIGANTIC
    if level == 2:
        return SPTE_PRESENT | SPTE_HUGE
    return SPTE_PRESENT


@part
def largest_level(w: Record, a: Record) -> int:
    """The largest level for the actor's gfn: within the folio, inside the memslot, of one attribute."""
    s = slot(w, a["slot"])
    level = min(hardware_level(w, a), 3 if a["order"] > w["region_shift"] else 2)
    while level > 1:
        first = level_head(w, level, a["gfn"])
        inside = s["base"] <= first and first + level_gfns(w, level) <= s["base"] + s["npages"]
        if inside and not region_mixed(w, level, first):
            return level
        level -= 1
    return 1


@part
def hardware_level(w: Record, a: Record) -> int:
    """What the hardware allows: TDX maps private memory by 4K, SNP no larger than the page's RMP entry."""
    if a["is_private"] == 0:
        return 3
    if w["hardware"] == HARDWARE_TDX:
        return 1
    owner = page(w, a["pfn"])["hw"]
    if owner & HW_OWNED:
        return 2 if owner & HW_HUGE else 1
    return 3
