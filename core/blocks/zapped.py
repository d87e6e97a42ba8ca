"""Private entries that keep their page while they are zapped (RFC v3 36/59 of 2021), in place of removal.

A zap blocks the private entry and marks it; a flush tracks; a drop removes the entry and its pin. The hardware
has its part of each: the hooks `block`, `unblock` and `remove` speak of the gfn at the actor's cursor.
"""

from dataclasses import replace

from gmembench.core.blocks.program import Rows
from gmembench.core.programs import Program, Row, hook, row

INSTEAD = {"zap.gfn": "vgup.zap_leaf", "mig.install_pte": "vgup.install_pte", "gup.set_pte": "vgup.set_pte"}
"""Steps of ordinary memory -> what stands in their place where a page can be the guest's."""


def _zapping(r: Row) -> Rows:
    """A row of ordinary memory, or what stands in its place: entries are zapped without yielding (kvm_zap_rmapp)."""
    if r.step == "hook:zap":
        return (
            hook("block", p=r.phase, at=" ".join(r.labels)),
            row(f"{r.phase}.mark_zapped", {"next": r.to["back"]}, step="vgup.mark_zapped"),
        )
    if r.step == "zap.gfn":
        to = {outcome: label for outcome, label in r.to.items() if outcome != "yield"}
        return (replace(r, step=INSTEAD[r.step], to=to, operands={}),)
    if r.step == "mm.restore_pte" and r.name.endswith("restore_back"):
        return (replace(r, step="vgup.restore_pte"),)
    if r.name.endswith(".flush_wait"):
        return (hook("track", p=r.phase), r)
    return (replace(r, step=INSTEAD.get(r.step, r.step)),)


def keeping_zapped(program: Program) -> Program:
    """A program of ordinary memory with the private entries of its zaps kept, blocked and marked."""
    return replace(program, rows=tuple(new for r in program.rows if ".yield_" not in r.name for new in _zapping(r)))


def telling_guest_pages(program: Program, walk: str, refused: str) -> Program:
    """A program that walks the host page table without FOLL_GUEST: a PROT_NONE entry may be a guest page's."""
    check = f"{walk.rpartition('.')[0]}.check_page_guest"
    hint = program.rows[program.span(walk).start].to["protnone"]
    test = row(check, {"guest_page": refused, "next": hint}, step="vgup.check_user")
    led = program.redirected(walk, "protnone", check)
    return replace(led, rows=(*led.rows, test))


def drop(p: str, what: int, done: str) -> Rows:
    """Drop zapped entries: the hardware gives the page back, the entry is emptied, the pin goes.

    `what`: OF_GFN, OF_RANGE, OF_SLOT or OF_VM of vgup. The entries were flushed since they were zapped.
    """
    return (
        row(f"{p}.begin_drop", {"none": done}, step="vgup.begin_drop", value=what),
        row(f"{p}.find_zapped", {"none": done}, step="vgup.find_zapped"),
        hook("remove", p=p),
        row(f"{p}.drop_spte", step="vgup.drop_spte"),
        row(f"{p}.unpin", {"next": f"{p}.find_zapped"}, step="vgup.unpin"),
    )
