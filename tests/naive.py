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
"""

ZERO: tuple[str, int, int] = ("zero", 0, 0)
UNCLEARED: tuple[str, int, int] = ("uncleared", 0, 0)
Content = tuple[str, int, int]


class NoMemory(Exception):
    """The host has no page left."""


class Host:
    """The free pages of the host: huge blocks and single pages. A block that was cut is never put together again."""

    def __init__(self, blocks: int, singles: int, block_pages: int) -> None:
        self.blocks, self.singles, self.block_pages = blocks, singles, block_pages

    @property
    def free(self) -> int:
        """Free pages of 4 KiB."""
        return self.blocks * self.block_pages + self.singles

    def take(self) -> None:
        """Take a page, out of a block if there is no single one."""
        if self.singles == 0:
            if self.blocks == 0:
                raise NoMemory
            self.blocks -= 1
            self.singles += self.block_pages
        self.singles -= 1

    def take_block(self) -> bool:
        """Take a huge block if there is one."""
        if self.blocks == 0:
            return False
        self.blocks -= 1
        return True


class Naive:
    """A VM of `gfns` gfns. `file`: private memory lies in a guest_memfd file as large as the guest, else all is VMA.

    `slots`: (first gfn, gfns), numbered from 0. `region`: gfns of a huge page of the VMA, 1 for none.
    `slot_limit`: memslots the VM can have. `huge`: whether the VMA gets huge pages.
    """

    def __init__(
        self,
        *,
        file: bool,
        gfns: int,
        slots: tuple[tuple[int, int], ...],
        slot_limit: int,
        host: Host,
        region: int,
        huge: bool,
    ) -> None:
        self.file, self.gfns, self.slot_limit = file, gfns, slot_limit
        self.region, self.huge, self.host = region, huge, host
        self.slots = dict(enumerate(slots))
        self.attributes: set[int] = set()
        self.private: dict[int, Content] = {}
        self.shared: dict[int, Content] = {}
        self.huge_regions: set[int] = set()
        self.generations: dict[tuple[str, int], int] = {}
        self.seen: dict[int, Content] = {}
        self.peaks = {"private": 0, "shared": 0, "all": 0, "double": 0}

    def run(self, program: str, *, actor: int, gfn: int, count: int, write: bool, private: bool, slot: int) -> str:
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
            "slot_create": lambda: self.slot_create(slot, gfn, count),
            "slot_delete": lambda: self.slot_delete(slot),
            "reuse": self.reuse,
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
        region = self.whole_region(gfn)
        empty = region.stop <= self.gfns and not any(g in self.shared for g in region)
        if self.huge and empty and self.host.take_block():
            self.huge_regions.add(region.start)
            self.shared.update((g, ZERO) for g in region)
        else:
            self.host.take()
            self.shared[gfn] = ZERO

    def need_private(self, gfn: int) -> None:
        """Let the file have a page behind a gfn."""
        if gfn not in self.private:
            self.host.take()
            self.private[gfn] = UNCLEARED

    def fault(self, gfn: int) -> str:
        """What a guest's touch of a gfn comes to."""
        if self.slot_of(gfn) is None:
            return "EFAULT" if gfn in self.attributes else "MMIO"
        try:
            if gfn in self.attributes:
                self.need_private(gfn)
                if self.private[gfn] == UNCLEARED:
                    self.private[gfn] = ZERO
            else:
                self.need_shared(gfn)
        except NoMemory:
            return "ENOMEM" if gfn in self.attributes else "EFAULT"
        return "OK"

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
            self.use(actor, "private" if gfn in self.attributes else "shared", gfn, write)
        return "OK"

    def host_access(self, actor: int, gfns: range, write: bool) -> str:
        """The VMM touches its mapping, which shows shared pages only."""
        for gfn in gfns:
            try:
                self.need_shared(gfn)
            except NoMemory:
                return "ENOMEM"
            self.use(actor, "shared", gfn, write)
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
            for gfn in gfns:
                if self.private.pop(gfn, None) is not None:
                    self.host.singles += 1
            return "OK"
        for gfn in gfns:
            region = self.whole_region(gfn)
            if region.start in self.huge_regions:
                self.huge_regions.remove(region.start)
                if set(region) <= set(gfns):
                    self.host.blocks += 1
                    for g in region:
                        del self.shared[g]
            if self.shared.pop(gfn, None) is not None:
                self.host.singles += 1
        return "OK"

    def allocate(self, gfns: range) -> str:
        """fallocate() of the file, or populating the VMA."""
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
        return "OK"

    def slot_create(self, number: int, gfn: int, count: int) -> str:
        """KVM_SET_USER_MEMORY_REGION2 with a size."""
        if number in self.slots:
            return "OK" if not self.file and self.slots[number] == (gfn, count) else "EINVAL"
        if any(self.slot_of(g) is not None for g in range(gfn, gfn + count)):
            return "EEXIST"
        if len(self.slots) == self.slot_limit:
            return "ENOMEM"
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

    def teardown(self) -> str:
        """The VM and its VMM go."""
        self.host.blocks += len(self.huge_regions)
        self.host.singles += len(self.private) + len(self.shared) - len(self.huge_regions) * self.region
        self.huge_regions.clear()
        self.private.clear()
        self.shared.clear()
        self.slots.clear()
        return "OK"
