"""Encrypted memory with a VMA: the file is mapped once, and its page-table entries are markers.

memfd_encrypted() makes a file like memfd_secret's: the VMM maps all of it with one VMA, so that mbind(), madvise() and
GUP with a flag work, but a page-table entry is a fake swap entry that only says which page it is. A touch by the host
is SIGBUS. Pages are in the file's page cache. Shared pages are ordinary memory in ordinary memslots, which overlay the
encrypted ones: the overlay bit of a gfn says which memslot is on top, and converting moves it. Nobody pins.

David Hildenbrand's sketch (list mail of August and September 2021). No code was posted; what it leaves open is decided
in docs/decisions/vma-encrypted.md. Faults and memslots follow Linux 7.3, so that it can be compared.
"""

from dataclasses import replace

from gmembench.core import blocks
from gmembench.core.designs.guest_memfd import DESIGN as GUEST_MEMFD
from gmembench.core.designs.guest_memfd import FILE_HOLDS_VM, NO_REGION, REFILLED_HOLE
from gmembench.core.parts.zaps import KIND_CONVERTED_FROM, PRIVATE_ONLY
from gmembench.core.programs import Design, Program, Where, hook, row
from gmembench.core.steps.enc import REFUSED_KERNEL, REFUSED_USER

ENCRYPTED_SLOT = Where(place="kvm-memslot", site="kvm_set_encrypted_region")
OVERLAY = Where(place="kvm-attributes", site="kvm_set_overlay")
FAULT = Where(place="backing", site="encrypted_fault")

FROM_MARKER = (
    row("gup.lock_encrypted", step="mm.lock_mmap"),
    row("gup.find_encrypted", {"other": "X_unlock_mmap"}, step="enc.find_vma"),
    row("gup.read_marker", {"absent": "L_absent", "poisoned": "X_unlock_mmap"}, step="enc.read_marker"),
    row("gup.unlock_encrypted", {"next": "L_got"}, step="mm.unlock_mmap", at="L_marked"),
)
"""GUP with the flag: the marker says which page it is."""

FAULT_IN = (
    row("enc.lock_inval", step="gmem.lock_inval_shared", at="L_absent", **FAULT),
    row("enc.find_folio", {"absent": "L_alloc"}, step="gmem.find_folio", at="L_look"),
    row("enc.lock_folio", step="gmem.lock_folio"),
    row("enc.recheck_mapping", {"truncated": "L_look", "next": "L_have"}, step="gmem.recheck_mapping"),
    row("enc.alloc_folio", {"nomem": "X_unlock_inval", "raced": "L_look"}, step="gmem.alloc_folio", at="L_alloc"),
    row("enc.check_poison", {"poisoned": "X_unlock_folio"}, step="gmem.check_poison", at="L_have", **FAULT),
    row("enc.clear_page", {"uptodate": "L_assign"}, step="gmem.clear_page", **FAULT),
    row("enc.mark_uptodate", step="gmem.mark_uptodate"),
    hook("assign", at="L_assign", fail="X_unlock_folio"),
    row("enc.set_marker"),
    row("enc.unlock_folio", step="gmem.unlock_folio"),
    row("enc.unlock_inval", {"next": "L_marked"}, step="gmem.unlock_inval_shared", **FAULT),
    row("unwind.unlock_folio", step="gmem.unlock_folio", at="X_unlock_folio"),
    row("unwind.put_folio", step="fault.release_page", place="backing", site="folio_put"),
    row(
        "unwind.unlock_inval", {"next": "X_unlock_mmap"}, step="gmem.unlock_inval_shared", at="X_unlock_inval", **FAULT
    ),
)
"""No marker yet: the page of the file, a new one if it has none. The invalidate_lock keeps a truncation out."""

ACCESS = blocks.access(
    (row("fault.choose_backing", {"shared": "L_gup"}), *FROM_MARKER),
    attributes=True,
    aside=(*blocks.from_vma("X_unlock_mmap"), *FAULT_IN),
)

CONVERT = blocks.program(
    "convert",
    (
        row("convert.lock_slots", step="slot.lock_slots", **OVERLAY),
        row("convert.check_noop", {"same": "L_out"}, **OVERLAY),
        row("convert.start.find_slot", {"none": "L_store"}, step="convert.find_slot"),
    ),
    blocks.invalidate_begin("convert.start", kind=KIND_CONVERTED_FROM, **OVERLAY),
    (
        row("convert.set_overlay", step="convert.store_attr", at="L_store", **OVERLAY),
        row("convert.end.find_slot", {"none": "L_out"}, step="convert.find_slot"),
    ),
    blocks.invalidate_end("convert.end", site="kvm_set_overlay"),
    (row("convert.unlock_slots", step="slot.unlock_slots", at="L_out", **OVERLAY),),
    aside=blocks.beside_zap("convert.start"),
)

PUNCH = blocks.program(
    "punch",
    (row("punch.fdget", {"dying": "END"}, value=1), row("enc.lock_inval", step="gmem.lock_inval")),
    blocks.notify_begin(),
    (row("enc.clear_marker"),),
    blocks.notify_end(),
    (
        row("enc.lock_folio", {"none": "L_out"}, step="punch.lock_folio", at="L_trunc"),
        row("enc.remove_folio", step="punch.remove_folio"),
        hook("reclaim"),
        row("enc.put_folio", step="punch.put_folio"),
        row("enc.unlock_folio", {"again": "L_trunc"}, step="punch.unlock_folio"),
        row("enc.unlock_inval", step="gmem.unlock_inval", at="L_out"),
        row("punch.fdput"),
        row("fallocate.returned", step="punch.returned"),
    ),
    aside=blocks.beside_zap("mn.start"),
).with_operand("mn.start.zap", kind=PRIVATE_ONLY)


def _over_marker(program: Program, before: str, refused: str, result: int) -> Program:
    """A program that walks a gfn's hva: where the encrypted memslot is on top it meets a marker."""
    test = row(
        f"{before.partition('.')[0]}.check_overlay", {"guest_page": refused}, step="enc.check_overlay", value=result
    )
    return program.inserted(test, before=before)


def _encrypted_slot(program: Program) -> Program:
    """A memslot program of guest_memfd: binding is taking the VMA of the encrypted file, which has no kvm_gmem_*."""
    families = ("bind.", "gmem.", "slot.set_file", "slot.clear_file")
    return replace(
        program,
        rows=tuple(
            replace(r, **ENCRYPTED_SLOT) if r.step.startswith(families) and "hook:" not in r.step else r
            for r in program.rows
        ),
    )


OF_GUEST_MEMFD = GUEST_MEMFD.programs

DESIGN = Design(
    name="vma-encrypted",
    kernel="7.3 (sketch of 2021)",
    doc=(__doc__ or "").strip(),
    programs={
        "access": ACCESS,
        "convert": CONVERT,
        "punch": PUNCH,
        "allocate": OF_GUEST_MEMFD["allocate"],
        "host_access": _over_marker(blocks.host_access(), "host.lookup_tlb", "END", REFUSED_USER),
        "host_pin": _over_marker(blocks.host_pin(), "pin.reserve", "L_out", REFUSED_KERNEL),
        "host_unpin": blocks.host_unpin(),
        "kernel_access": _over_marker(blocks.kernel_access(), "kernel.copy", "kernel.failed", REFUSED_KERNEL),
        "numa_zap": blocks.numa_zap(),
        "migrate": blocks.migrate_range(),
        "swap_out": blocks.swap_out(),
        "slot_create": _encrypted_slot(OF_GUEST_MEMFD["slot_create"]),
        "slot_delete": _encrypted_slot(OF_GUEST_MEMFD["slot_delete"]),
        "teardown": _encrypted_slot(OF_GUEST_MEMFD["teardown"]),
        "reuse": blocks.reuse(),
        "oom_reap": blocks.oom_reap(),
    },
    not_applicable={
        "prefault": "KVM_PRE_FAULT_MEMORY came with Linux 6.11; the sketch has no such call",
        "populate": "the sketch does not say how initial data get into encrypted pages",
        "poison": "what a broken page makes of its marker is not in the sketch",
        "collapse": "pages are 4K: a marker speaks for one page (decision)",
        "zap_gfn_range": "no attribute or memory type of a range changes in the sketch",
        "slot_flags": "dirty logging of encrypted memory is not in the sketch",
        "slot_move": "the relation of gfn and page is fixed (requirement of the sketch)",
        **NO_REGION,
        "vm_create": FILE_HOLDS_VM,
        "vmsa_load": "the sketch says nothing of a page that a vCPU runs on",
        "close": "the VMA cannot vanish in parts and holds the file until the process ends",
    },
    file=True,
    private_memory=True,
    sizes=("4K",),
    pins="nobody pins: pages of the encrypted file never move",
    origin="sketch of memfd_encrypted() with a VMA (David Hildenbrand, list mail of Aug-Sep 2021)",
    findings=(
        replace(
            REFILLED_HOLE,
            source="inference: as in guest_memfd, the allocation tests neither the overlay nor the sequence",
        ),
    ),
)
