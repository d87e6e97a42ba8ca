"""Small worlds of a design on a hardware: what both of them fix is filled in."""

from typing import Any

from gmembench.core.programs import Design, Hardware
from gmembench.core.world import Geometry


def fixed_parts(design: Design, hardware: Hardware) -> dict[str, Any]:
    """The fields of a geometry that follow from the design and the hardware."""
    return {
        "file": design.file,
        "private_memory": design.private_memory,
        "one_backing": design.one_backing,
        "one_copy": design.one_copy,
        "gmem_only": design.gmem_only,
        "init_private": design.init_private,
        "separate_roots": hardware.separate_roots,
        "hardware": hardware.number,
        "sept": hardware.sept,
        "fresh_junk": hardware.fresh_content == "junk",
    }


def small_geometry(design: Design, hardware: Hardware, **changes: Any) -> Geometry:
    """One gfn in one memslot, a vCPU and a host actor, one translation in a TLB; `changes` replace parts of it.

    A design whose folios are all of 1G gets regions of two gfns and folios of four: the least in which a folio, a
    region and a page differ.
    """
    parts = {"gfns": 1, "region_gfns": 1, "tlb_entries": 1, "consumers": 2, **changes}
    if design.private_sizes == ("1G",) and "private_order" not in changes:
        parts |= gigantic_parts(parts["gfns"])
    slots = parts.pop("slots", None) or ((0, parts["gfns"]),)
    return Geometry(**{**fixed_parts(design, hardware), **parts}, slots=slots)


def gigantic_parts(gfns: int) -> dict[str, Any]:
    """A world in which a folio of order 2 has room; its pages are a pool, so their number is not chosen."""
    return {"gfns": -(-gfns // 4) * 4, "region_gfns": 2, "private_order": 2, "pages": 0}
