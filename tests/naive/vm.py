"""The slow, obvious reference: what a guest, its VMM and the host see of private memory, in dictionaries and sets.

It shares no code and no number with the model. There are no steps, locks, stage-2 entries or TLBs here:
an operation happens at once, and afterwards memory is as Linux 7.3 leaves it. What must hold:

* A guest access to a gfn without a memslot exits: EFAULT if the gfn is private, MMIO if it is shared
  (kvm_mmu_faultin_pfn). A private access takes its page from the file, a shared one from the VMA.
* A missing page is allocated and reads zero. fallocate() allocates without clearing; the page is cleared
  when the guest first touches it (kvm_gmem_get_pfn).
* KVM_SET_MEMORY_ATTRIBUTES changes attributes, with or without memslots, and moves or frees no data.
* A punch frees the pages of its range, needs no memslot, and succeeds beyond the end of the file.
* A huge page comes when all of a region inside the guest is empty; cutting it leaves small pages.
* Without memory: a private fault fails with ENOMEM; a shared one with EFAULT, because get_user_pages
  failed (kvm_handle_error_pfn). What was done before stays done.
* A prefault that finished at least one page succeeds (kvm_vcpu_pre_fault_memory); where it would have
  to emulate it answers ENOENT (kvm_tdp_map_page).
* KVM_SET_USER_MEMORY_REGION2 on a number that is in use asks for a change: EINVAL, because memslots of
  a file are immutable and another hva or size is refused; without a file and without a difference it is
  nothing to do. A range that overlaps another memslot: EEXIST. Deleting what is not there: EINVAL.
* A memslot made with a file never changes: EINVAL. Another one may log dirty pages, or move, not onto another.
* A pin keeps its page when the VMA loses it, and a pinned page is neither swapped out nor collapsed. A page that
  is to be pinned for long leaves the movable zone first; if it cannot, the pin fails with ENOMEM.
* A page that went to swap comes back with its data. A collapse makes a huge page of a region that has any page:
  holes read zero; pins make it EAGAIN, swapped or broken pages EINVAL.
* A broken page is gone for the host. Behind the VMA the guest's access and the VMM's get SIGBUS until the range is
  punched; in the file it answers EHWPOISON.
* Closing the file frees its pages. Its memslots stay, and a private access there fails with EFAULT.
* kvm_gmem_populate copies the VMM's page into the private page once, before anybody used it.
"""

from dataclasses import dataclass

from naive.host import UNCLEARED, ZERO, Broken, Content, Host, NoMemory, Orphan, Pin, Refused

THE_VM = -1
"""Who holds the pins of a registered region."""


@dataclass(frozen=True)
class Shape:
    """A VM of `gfns` gfns, on a host.

    `slots`: (first gfn, gfns), numbered from 0. `slot_limit`: memslots the VM can have. `region`: gfns of a huge page
    of the VMA. `huge`: whether the VMA gets any. `private_region`: gfns of the largest folio of the file.
    `pin_limit`: pins there can be. `movable`: new pages behind the VMA come from a movable zone.
    """

    gfns: int
    slots: tuple[tuple[int, int], ...]
    slot_limit: int
    host: Host
    region: int
    private_region: int
    huge: bool
    pin_limit: int
    movable: bool


class Naive:
    """A VM with shared memory in a VMA and, if the design has a file, private memory in a file.

    The switches below say what a design is; `designs.py` sets them and has what they cannot say.
    """

    file = True
    """There is a file, as large as the guest. Without one all is in the VMA."""

    private_at_first = False
    """Every gfn begins private."""

    def __init__(self, shape: Shape) -> None:
        self.gfns, self.slot_limit, self.host = shape.gfns, shape.slot_limit, shape.host
        self.region, self.private_region, self.huge = shape.region, shape.private_region, shape.huge
        self.slots = dict(enumerate(shape.slots))
        self.attributes: set[int] = set(range(shape.gfns)) if self.private_at_first else set()
        self.private: dict[int, Content] = {}
        self.shared: dict[int, Content] = {}
        self.huge_regions: set[int] = set()
        self.generations: dict[tuple[str, int], int] = {}
        self.seen: dict[int, Content] = {}
        self.pins: list[Pin | None] = [None] * shape.pin_limit
        self.new_pages_move, self.movable = shape.movable, set[int]()
        self.swapped: dict[int, Content] = {}
        self.broken_shared: set[int] = set()
        self.broken_private: set[int] = set()
        self.mapped: set[int] = set()
        self.closed = False
        self.registered: range | None = None
        self.error_offset = -1
        self.peaks = {"private": 0, "shared": 0, "all": 0, "double": 0}

    def run(
        self, program: str, *, actor: int, gfn: int, count: int, write: bool, private: bool, long: bool, slot: int
    ) -> str:
        """Do one operation; the result is "OK", "MMIO" or the name of an errno."""
        gfns = range(gfn, gfn + count)
        do = {
            "access": lambda: self.access(actor, gfns, write),
            "host_access": lambda: self.host_access(actor, gfns, write),
            "prefault": lambda: self.prefault(gfns),
            "convert": lambda: self.convert(gfns, private),
            "punch": lambda: self.punch(gfns),
            "allocate": lambda: self.allocate(gfns),
            "numa_zap": lambda: "OK",  # a hint changes nothing that anybody can read
            "populate": lambda: self.populate(gfns),
            "host_pin": lambda: self.host_pin(actor, gfns, long),
            "host_unpin": lambda: self.host_unpin(actor, gfns, write),
            "kernel_access": lambda: self.kernel_access(actor, gfns, write),
            "migrate": lambda: self.migrate(gfns),
            "swap_out": lambda: self.swap_out(gfns),
            "collapse": lambda: self.collapse(gfns),
            "poison": lambda: self.poison_private(gfns) if private else self.poison_shared(gfns),
            "zap_gfn_range": lambda: "OK",  # what was mapped is mapped again at the next touch
            "close": self.close,
            "slot_flags": lambda: self.slot_flags(slot),
            "slot_move": lambda: self.slot_move(slot, gfn),
            "slot_create": lambda: self.slot_create(slot, gfn, count),
            "slot_delete": lambda: self.slot_delete(slot),
            "reuse": self.reuse,
            "oom_reap": lambda: self.oom_reap(gfns),
            "vmsa_load": lambda: "EINVAL",  # only SNP has it, and this VM is not encrypted
            "register_region": lambda: self.register_region(gfns),
            "unregister_region": lambda: self.unregister_region(gfns),
            "vm_create": lambda: "EINVAL",  # there is a VM
            "teardown": self.teardown,
        }
        result = do[program]()
        self.note_peaks()
        return result

    def note_peaks(self) -> None:
        """Remember the most pages there ever were of each kind."""
        for name, value in self.backing().items():
            self.peaks[name] = max(self.peaks[name], value)

    def backing(self) -> dict[str, int]:
        """Pages of each kind."""
        double = len(self.private.keys() & self.shared.keys())
        private, shared = len(self.private), len(self.shared)
        return {"private": private, "shared": shared, "all": private + shared, "double": double}

    def slot_of(self, gfn: int) -> int | None:
        """Number of the memslot that holds a gfn."""
        for number, (base, count) in self.slots.items():
            if base <= gfn < base + count:
                return number
        return None

    def whole_region(self, gfn: int) -> range:
        """The gfns of the region of a gfn."""
        first = gfn - gfn % self.region
        return range(first, first + self.region)

    def need_shared(self, gfn: int) -> None:
        """Let the VMA have a page behind a gfn."""
        if gfn in self.shared:
            return
        if gfn in self.broken_shared:
            raise Broken
        region = self.whole_region(gfn)
        empty = region.stop <= self.gfns and not any(self.has_entry(g) for g in region)
        if self.huge and empty and self.host.take_block():
            self.huge_regions.add(region.start)
            self.shared.update((g, ZERO) for g in region)
            self.mark_movable(region)
        else:
            self.host.take()
            self.shared[gfn] = self.swapped.pop(gfn, ZERO)
            self.mark_movable(range(gfn, gfn + 1))

    def has_entry(self, gfn: int) -> bool:
        """Whether the host page table says anything of a gfn."""
        return gfn in self.shared or gfn in self.swapped or gfn in self.broken_shared

    def mark_movable(self, gfns: range) -> None:
        """New pages came behind these gfns."""
        if self.new_pages_move:
            self.movable.update(gfns)

    def need_private(self, gfn: int) -> None:
        """Let the file have a page behind a gfn."""
        if gfn not in self.private:
            self.host.take()
            self.private[gfn] = UNCLEARED

    def kind(self, gfn: int) -> str:
        """Which pages the guest's touch of a gfn means: "private" or "shared"."""
        return "private" if gfn in self.attributes else "shared"

    def fault(self, gfn: int) -> str:
        """What a guest's touch of a gfn comes to."""
        if self.slot_of(gfn) is None:
            return "EFAULT" if gfn in self.attributes else "MMIO"
        return self.fault_private(gfn) if self.kind(gfn) == "private" else self.fault_shared(gfn)

    def fault_shared(self, gfn: int) -> str:
        """The page comes from the VMA."""
        try:
            self.need_shared(gfn)
        except NoMemory:
            return "EFAULT"
        except Broken:
            return "SIGBUS"
        return "OK"

    def fault_private(self, gfn: int) -> str:
        """The page comes from the file."""
        if self.closed:
            return "EFAULT"
        try:
            self.need_private(gfn)
        except NoMemory:
            return "ENOMEM"
        if gfn in self.broken_private:
            return "EHWPOISON"
        self.clear(gfn)
        return "OK"

    def clear(self, gfn: int) -> None:
        """The file's page of a gfn is about to be used: it reads zero if nobody used it before."""
        if self.private[gfn] == UNCLEARED:
            self.private[gfn] = ZERO

    def need_for_host(self, gfn: int) -> None:
        """Let the VMM's mapping show a page of a gfn: the shared one, whatever the gfn is."""
        self.need_shared(gfn)

    def host_kind(self) -> str:
        """Which pages the VMM's mapping shows."""
        return "shared"

    def use(self, actor: int, kind: str, gfn: int, write: bool) -> None:
        """Load from the private or shared page of a gfn, or store to it."""
        pages = self.private if kind == "private" else self.shared
        if write:
            generation = self.generations.get((kind, gfn), 0) + 1
            self.generations[kind, gfn] = generation
            pages[gfn] = ("data", gfn, generation)
        self.seen[actor] = pages[gfn]

    def access(self, actor: int, gfns: range, write: bool) -> str:
        """The guest touches gfn after gfn, until one faults for good."""
        for gfn in gfns:
            result = self.fault(gfn)
            if result != "OK":
                return result
            self.use(actor, self.kind(gfn), gfn, write)
        return "OK"

    def host_access(self, actor: int, gfns: range, write: bool) -> str:
        """The VMM touches its mapping."""
        for gfn in gfns:
            try:
                self.need_for_host(gfn)
            except NoMemory:
                return "ENOMEM"
            except (Broken, Refused):
                return "SIGBUS"
            self.use(actor, self.host_kind(), gfn, write)
        return "OK"

    def kernel_access(self, actor: int, gfns: range, write: bool) -> str:
        """KVM itself reads or writes what the VMM's mapping shows of gfns that have a memslot."""
        for gfn in gfns:
            try:
                if self.slot_of(gfn) is None:
                    return "EFAULT"
                self.need_for_host(gfn)
            except (NoMemory, Broken, Refused):
                return "EFAULT"
            self.use(actor, self.host_kind(), gfn, write)
        return "OK"

    def prefault(self, gfns: range) -> str:
        """KVM_PRE_FAULT_MEMORY."""
        for gfn in gfns:
            result = self.fault(gfn)
            if result != "OK" and gfn > gfns.start:
                return "OK"
            if result != "OK":
                return "ENOENT" if result == "MMIO" else result
        return "OK"

    def convert(self, gfns: range, private: bool) -> str:
        """KVM_SET_MEMORY_ATTRIBUTES."""
        if private:
            self.attributes.update(gfns)
        else:
            self.attributes.difference_update(gfns)
        return "OK"

    def punch(self, gfns: range) -> str:
        """fallocate(FALLOC_FL_PUNCH_HOLE) of the file, or madvise(MADV_DONTNEED) of the VMA."""
        if self.file:
            if self.closed:
                return "EBADF"
            self.free_private(gfns)
            return "OK"
        self.empty_vma(gfns)
        return "OK"

    def empty_vma(self, gfns: range) -> None:
        """The VMA loses what it has behind these gfns."""
        for gfn in gfns:
            region = self.whole_region(gfn)
            if region.start in self.huge_regions:
                self.huge_regions.remove(region.start)
                if set(region) <= set(gfns):
                    for g in region:
                        del self.shared[g]
                    self.lose(region, "block")
            if self.shared.pop(gfn, None) is not None:
                self.lose(range(gfn, gfn + 1), "single")
            self.swapped.pop(gfn, None)
            self.broken_shared.discard(gfn)

    def lose(self, gfns: range, kind: str) -> None:
        """The VMA lets the page behind these gfns go: to the host, unless it is pinned."""
        pinned = [pin for pin in self.holders() if pin.orphan is None and pin.gfn in gfns]
        orphan = Orphan(kind)
        for pin in pinned:
            pin.orphan = orphan
        self.movable.difference_update(gfns)
        if not pinned:
            self.host.give(kind)

    def free_private(self, gfns: range) -> None:
        """Let the file's pages of these gfns go."""
        for gfn in gfns:
            if self.private.pop(gfn, None) is not None:
                self.host.give("broken" if gfn in self.broken_private else "single")
        self.broken_private.difference_update(gfns)

    def attached(self, gfn: int) -> list[Pin]:
        """Who holds the page that the VMM's mapping shows of a gfn."""
        return [pin for pin in self.holders() if pin.gfn == gfn and pin.orphan is None]

    def host_pin(self, actor: int, gfns: range, long: bool) -> str:
        """A device pins the pages behind the VMA."""
        for gfn in gfns:
            if None not in self.pins:
                return "ENOMEM"
            try:
                self.need_for_host(gfn)
                if long and gfn in self.movable and self.whole_region(gfn).start not in self.huge_regions:
                    self.host.take()
                    self.host.give("single")
                    if self.attached(gfn):
                        return "ENOMEM"
                    self.movable.remove(gfn)
            except NoMemory:
                return "ENOMEM"
            except Broken:
                return "EHWPOISON"
            except Refused:
                return "EFAULT"
            self.pins[self.pins.index(None)] = Pin(actor, gfn, long)
        return "OK"

    def host_unpin(self, actor: int, gfns: range, write: bool) -> str:
        """The device lets go, perhaps after a last write; to a page that is no longer the gfn's nobody sees it."""
        found = False
        for gfn in gfns:
            mine = [i for i, pin in enumerate(self.pins) if pin and (pin.actor, pin.gfn) == (actor, gfn)]
            if not mine:
                continue
            found = True
            pin = self.pins[mine[0]]
            assert pin
            if write and pin.orphan is None:
                self.use(actor, self.host_kind(), gfn, write)
            self.let_go(mine[0])
        return "OK" if found else "EINVAL"

    def holders(self) -> list[Pin]:
        """Everybody who holds pages beside the VMA and the file."""
        return [pin for pin in self.pins if pin]

    def let_go(self, number: int) -> None:
        """A pin goes."""
        pin = self.pins[number]
        self.pins[number] = None
        self.release(pin)

    def release(self, pin: Pin | None) -> None:
        """Whoever held a page has let it go; one that nobody else holds is free."""
        if pin and pin.orphan and not any(other.orphan is pin.orphan for other in self.holders()):
            self.host.give(pin.orphan.kind)

    def migrate(self, gfns: range) -> str:
        """Pages go to a node where they are already; pages of the file never move."""
        only_file = any(g in self.private and g not in self.shared for g in gfns)
        return "EOPNOTSUPP" if only_file else "OK"

    def swap_out(self, gfns: range) -> str:
        """Reclaim takes single pages that nobody pins."""
        for gfn in gfns:
            huge = self.whole_region(gfn).start in self.huge_regions
            if gfn in self.shared and not huge and not self.attached(gfn):
                self.swapped[gfn] = self.shared.pop(gfn)
                self.lose(range(gfn, gfn + 1), "single")
        return "OK"

    def collapse(self, gfns: range) -> str:
        """MADV_COLLAPSE."""
        heads = [g for g in gfns if g % self.region == 0 and g + self.region <= min(gfns.stop, self.gfns)]
        result = "OK" if heads and self.huge else "EINVAL"
        for region in [range(g, g + self.region) for g in heads if self.huge and g not in self.huge_regions]:
            single = [g for g in region if g in self.shared]
            if not single or any(g in self.swapped or g in self.broken_shared for g in region):
                result = "EINVAL"
            elif not self.host.take_block():
                return "ENOMEM"
            elif any(self.attached(g) for g in region):
                result = "EAGAIN"
                self.host.give("block")
            else:
                self.host.singles += len(single)
                self.shared.update((g, ZERO) for g in region if g not in self.shared)
                self.huge_regions.add(region.start)
                self.mark_movable(region)
        return result

    def poison_shared(self, gfns: range) -> str:
        """Pages behind the VMA break; a huge one is split."""
        for gfn in gfns:
            if gfn in self.shared:
                self.huge_regions.discard(self.whole_region(gfn).start)
                del self.shared[gfn]
                self.lose(range(gfn, gfn + 1), "broken")
                self.broken_shared.add(gfn)
        return "OK"

    def poison_private(self, gfns: range) -> str:
        """Pages of the file break and stay in it."""
        known = any(g in self.broken_private for g in gfns)
        self.broken_private.update(g for g in gfns if g in self.private)
        return "EHWPOISON" if known else "OK"

    def populate(self, gfns: range) -> str:
        """kvm_gmem_populate, as far as the first gfn's memslot reaches."""
        number = self.slot_of(gfns.start)
        if number is None:
            return "EINVAL"
        if self.closed:
            return "EFAULT"
        base, count = self.slots[number]
        for gfn in range(gfns.start, min(gfns.stop, base + count)):
            result = self.populate_one(gfn)
            if result != "OK":
                return "OK" if gfn > gfns.start else result
        return "OK"

    def populate_one(self, gfn: int) -> str:
        """Fill one private page."""
        try:
            self.need_shared(gfn)
            self.need_private(gfn)
        except NoMemory:
            return "ENOMEM"
        except Broken:
            return "EHWPOISON"
        if gfn in self.broken_private:
            return "EHWPOISON"
        if self.private[gfn] != UNCLEARED:
            return "EEXIST"
        if gfn not in self.attributes:
            return "EINVAL"
        self.private[gfn] = self.shared[gfn]
        if self.shared[gfn] != ZERO:
            self.generations["private", gfn] = self.shared[gfn][2]
        return "OK"

    def close(self) -> str:
        """The VMM closes the file while the VM lives."""
        if self.closed:
            return "EBADF"
        self.closed = True
        self.free_private(range(self.gfns))
        return "OK"

    def slot_flags(self, number: int) -> str:
        """Switch dirty logging of a memslot."""
        return "EINVAL" if self.file or number not in self.slots else "OK"

    def slot_move(self, number: int, gfn: int) -> str:
        """Give a memslot another first gfn."""
        if self.file or number not in self.slots or gfn + self.slots[number][1] > self.gfns:
            return "EINVAL"
        base, count = self.slots[number]
        others = {self.slot_of(g) for g in range(gfn, gfn + count)} - {None, number}
        if gfn != base and others:
            return "EEXIST"
        self.slots[number] = (gfn, count)
        return "OK"

    def allocate(self, gfns: range) -> str:
        """fallocate() of the file, or populating the VMA."""
        if self.file and self.closed:
            return "EBADF"
        if self.file and gfns.stop > self.gfns:
            return "EINVAL"
        try:
            for gfn in gfns:
                if self.file:
                    self.need_private(gfn)
                else:
                    self.need_shared(gfn)
        except NoMemory:
            return "ENOMEM"
        except Broken:
            return "EHWPOISON"
        return "OK"

    def slot_create(self, number: int, gfn: int, count: int) -> str:
        """KVM_SET_USER_MEMORY_REGION2 with a size."""
        if number in self.slots:
            return "OK" if not self.file and self.slots[number] == (gfn, count) else "EINVAL"
        if any(self.slot_of(g) is not None for g in range(gfn, gfn + count)):
            return "EEXIST"
        if len(self.slots) == self.slot_limit:
            return "ENOMEM"
        if self.closed:
            return "EBADF"
        self.slots[number] = (gfn, count)
        return "OK"

    def slot_delete(self, number: int) -> str:
        """KVM_SET_USER_MEMORY_REGION2 with size 0."""
        return "OK" if self.slots.pop(number, None) is not None else "EINVAL"

    def reuse(self) -> str:
        """Another process takes a page and gives it back."""
        try:
            self.host.take()
        except NoMemory:
            return "ENOMEM"
        self.host.singles += 1
        return "OK"

    def oom_reap(self, gfns: range) -> str:
        """The OOM reaper empties a range of the VMA."""
        self.empty_vma(gfns)
        return "OK"

    def register_region(self, gfns: range) -> str:
        """KVM pins a range of the VMA for good: all of it, or nothing."""
        if self.registered is not None:
            return "ENOMEM"
        if self.host_pin(THE_VM, gfns, long=True) != "OK":
            self.unpin_region(gfns)
            return "ENOMEM"
        self.registered = gfns
        return "OK"

    def unregister_region(self, gfns: range) -> str:
        """KVM lets the range go that was registered."""
        if self.registered != gfns:
            return "EINVAL"
        self.registered = None
        self.unpin_region(gfns)
        return "OK"

    def unpin_region(self, gfns: range) -> None:
        """The VM's pins of these gfns go."""
        for number, pin in enumerate(self.pins):
            if pin and pin.actor == THE_VM and pin.gfn in gfns:
                self.let_go(number)

    def teardown(self) -> str:
        """The VM and its VMM go."""
        for number in range(len(self.pins)):
            self.let_go(number)
        self.host.blocks += len(self.huge_regions)
        self.host.singles += len(self.shared) - len(self.huge_regions) * self.region
        self.mapped.clear()
        self.free_private(range(self.gfns))
        self.huge_regions.clear()
        self.shared.clear()
        self.swapped.clear()
        self.broken_shared.clear()
        self.slots.clear()
        return "OK"
