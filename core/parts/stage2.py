"""The stage-2 tables: which entry a gfn uses, where huge entries stand, and zapping one gfn."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import SPTE_GIGANTIC, SPTE_HUGE, SPTE_PRESENT, region, spte


@part
def root_of(w: Record, a: Record) -> int:
    """The root an actor's fault uses: by kind where roots are separate, else the root it has loaded."""
    if w["separate_roots"] != 0:
        return a["is_private"]
    return a["root"]


@part
def region_head(w: Record, gfn: int) -> int:
    """First gfn of the region that holds a gfn."""
    return gfn >> w["region_shift"] << w["region_shift"]


@part
def region_end(w: Record, gfn: int) -> int:
    """First gfn after the region that holds a gfn."""
    return ((gfn >> w["region_shift"]) + 1) << w["region_shift"]


@part
def entry_gfn(w: Record, gfn: int, root: int) -> int:
    """The gfn at which the present leaf entry that maps `gfn` stands; -1 if none does."""
    if spte(w, gfn, root)["bits"] & SPTE_PRESENT:
        return gfn
    if w["largest_order"] != 0:
        return huge_entry_gfn(w, gfn, root)
    return -1


@part
def huge_entry_gfn(w: Record, gfn: int, root: int) -> int:
    """The gfn at which the huge entry that maps `gfn` stands, of 2M or 1G; -1 if none does."""
    first = region_head(w, gfn)
    if spte(w, first, root)["bits"] & SPTE_HUGE:
        return first
    if w["largest_order"] > w["region_shift"]:
        first = level_head(w, 3, gfn)
        if spte(w, first, root)["bits"] & SPTE_GIGANTIC:
            return first
    return -1


@part
def level_head(w: Record, level: int, gfn: int) -> int:
    """First gfn of what an entry of `level` (1 to 3) that maps `gfn` covers."""
    shift = w["region_shift"] * (level - 1)
    return gfn >> shift << shift


@part
def level_gfns(w: Record, level: int) -> int:
    """Gfns that an entry of `level` (1 to 3) maps."""
    return 1 << (w["region_shift"] * (level - 1))


@part
def entry_level(bits: int) -> int:
    """Level of a leaf entry by its bits."""
    if bits & SPTE_GIGANTIC:
        return 3
    if bits & SPTE_HUGE:
        return 2
    return 1


@part
def under_larger_entry(w: Record, gfn: int, root: int, level: int) -> bool:
    """Whether an entry of a level above `level` maps a gfn."""
    at = huge_entry_gfn(w, gfn, root)
    return at >= 0 and entry_level(spte(w, at, root)["bits"]) > level


@part
def translate_pfn(w: Record, gfn: int, root: int) -> int:
    """The page that the stage-2 tables give for a gfn; 0 if none."""
    at = entry_gfn(w, gfn, root)
    if at < 0:
        return 0
    return spte(w, at, root)["pfn"] + gfn - at


@part
def table_index(w: Record, level: int, gfn: int) -> int:
    """Index in `regions` of what the entry of `level` (2 to 4) above a gfn covers."""
    if level == 2:
        return gfn >> w["region_shift"]
    if level == 3:
        return w["regions_3"] + (gfn >> (2 * w["region_shift"]))
    return w["regions_4"] + (gfn >> (3 * w["region_shift"]))


@part
def region_mixed(w: Record, level: int, gfn: int) -> bool:
    """Whether the region of `level` (2 or 3) that holds a gfn is marked as of mixed attributes."""
    return region(w, table_index(w, level, gfn))["mixed"] != 0


@part
def clear_entry(w: Record, gfn: int, root: int) -> int:
    """Zap the leaf entry that maps a gfn in one root: 1 if there was one. A huge entry goes whole."""
    at = entry_gfn(w, gfn, root)
    if at < 0:
        return 0
    entry = spte(w, at, root)
    entry["bits"] = 0
    entry["pfn"] = 0
    return 1


@part
def region_empty(w: Record, gfn: int) -> bool:
    """Whether nothing can be mapped in the region of a gfn: no table below it and no huge entry."""
    if region(w, gfn >> w["region_shift"])["tables"] != 0:
        return False
    if w["largest_order"] == 0:
        return True
    return huge_entry_gfn(w, gfn, 0) < 0 and huge_entry_gfn(w, gfn, 1) < 0
