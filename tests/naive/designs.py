"""The designs, as what each does otherwise than another.

| | private memory | who says private | a conversion | the VMM's touch of a private gfn |
|---|---|---|---|---|
| LegacyVma | none | – | – | – |
| GuestMemfd | a second page, in a file | KVM's attributes | keeps both pages | the shared page |
| FdRestricted | the same, perhaps huge | KVM's attributes | keeps both pages | the shared page |
| FdPrivate | a second page, in a file | the page is there | allocates or frees it | the shared page |
| VmaEncrypted | a second page, in a file | an overlay bit | keeps both pages | refused |
| VmaGup | the VMA's page, pinned by KVM | a flag of the VMA | frees the page | refused, but allocates |
| GuestMemfdMmap | none; all is in the file | – | – | – |
| GuestMemfdInplace | the file's only page | the file's attributes | keeps the page and its data | refused |
| GuestMemfdInplace1G | the same, in folios of 1G | the file's attributes | the same, cuts or joins | refused |
"""

from naive.host import UNCLEARED, ZERO, NoMemory, Pin, Refused
from naive.vm import Naive, Shape


class LegacyVma(Naive):
    """All memory is the VMA's."""

    file = False


class GuestMemfd(Naive):
    """Private pages in a file that KVM asks; conversion and freeing are two calls."""


class FdRestricted(GuestMemfd):
    """A shmem file behind private memory: a memslot holds it, its folios may be huge, a failed fallocate is undone.

    * A huge folio comes when all of a region inside the file is empty; punching a part of it leaves small pages.
    * A folio is cleared as a whole when it is first used. An fallocate clears what it finds and nobody has used.
    * Closing the file frees nothing as long as a memslot is there.
    * Whoever finds a broken page of the file gets SIGBUS. The page stays, and the guest may go on with it. A huge
      folio with a broken page is cut.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.huge_private: set[int] = set()

    def folio(self, gfn: int) -> range:
        """The gfns of the folio that holds a gfn's page."""
        first = gfn - gfn % self.private_region
        return range(first, first + self.private_region) if first in self.huge_private else range(gfn, gfn + 1)

    def need_private(self, gfn: int) -> None:
        """Let the file have a page of a gfn."""
        first = gfn - gfn % self.private_region
        region = range(first, first + self.private_region)
        empty = region.stop <= self.gfns and not any(g in self.private for g in region)
        if self.private_region > 1 and empty and self.host.take_block():
            self.huge_private.add(first)
            self.private.update((g, UNCLEARED) for g in region)
        else:
            super().need_private(gfn)

    def fault_private(self, gfn: int) -> str:
        """The page comes from the file, which a memslot holds."""
        try:
            self.need_private(gfn)
        except NoMemory:
            return "ENOMEM"
        self.clear(gfn)
        return "OK"

    def clear(self, gfn: int) -> None:
        """A folio is cleared as a whole."""
        if self.private[gfn] == UNCLEARED:
            self.private.update((g, ZERO) for g in self.folio(gfn))

    def free_private(self, gfns: range) -> None:
        """Let the file's pages go; a huge folio goes as one block, or is cut."""
        for first in sorted(self.huge_private):
            folio = range(first, first + self.private_region)
            if set(folio) & set(gfns):
                self.huge_private.remove(first)
                if set(folio) <= set(gfns):
                    for g in folio:
                        del self.private[g]
                    self.host.give("block")
        super().free_private(gfns)

    def allocate(self, gfns: range) -> str:
        """fallocate(): all of the range, or nothing."""
        if self.closed:
            return "EBADF"
        if gfns.stop > self.gfns:
            return "EINVAL"
        return self.add_pages(gfns)

    def add_pages(self, gfns: range) -> str:
        """Let the file have pages of all these gfns, or take back what was added."""
        added: list[range] = []
        for gfn in gfns:
            if any(gfn in folio for folio in added):
                continue
            if gfn in self.private:
                self.clear(gfn)
                continue
            try:
                self.need_private(gfn)
            except NoMemory:
                self.note_peaks()
                for folio in added:
                    self.free_private(folio)
                return "ENOMEM"
            added.append(self.folio(gfn))
        return "OK"

    def poison_private(self, gfns: range) -> str:
        """Pages of the file break; the last one that is found says what the finder gets."""
        result = "OK"
        for gfn in gfns:
            if gfn in self.private:
                result = "EHWPOISON" if gfn in self.broken_private else "SIGBUS"
                self.broken_private.add(gfn)
                self.huge_private.discard(self.folio(gfn).start)
        return result

    def close(self) -> str:
        """The VMM closes its descriptor; memslots hold the file on."""
        if self.closed:
            return "EBADF"
        self.closed = True
        self.let_file_go()
        return "OK"

    def slot_delete(self, number: int) -> str:
        """A memslot goes, and with the last one a file that was closed."""
        result = super().slot_delete(number)
        self.let_file_go()
        return result

    def let_file_go(self) -> None:
        """Nobody holds the file any more: its pages are free."""
        if self.closed and not self.slots:
            self.free_private(range(self.gfns))


class FdPrivate(FdRestricted):
    """A gfn is private if its page is in the file: fallocate converts, and nobody but the VMM allocates."""

    def need_private(self, gfn: int) -> None:
        """A page comes, and the gfn is private."""
        super().need_private(gfn)
        self.attributes.add(gfn)

    def free_private(self, gfns: range) -> None:
        """A page goes, and the gfn is shared."""
        super().free_private(gfns)
        self.attributes.difference_update(gfns)

    def convert(self, gfns: range, private: bool) -> str:
        """To private by fallocate, to shared by punching."""
        if self.closed:
            return "EBADF"
        return self.add_pages(gfns) if private else self.punch(gfns)


class VmaEncrypted(GuestMemfd):
    """The file is mapped by markers: where a gfn is private, its hva shows no page."""

    def need_for_host(self, gfn: int) -> None:
        """The ordinary memslot's mapping, where that is on top."""
        if gfn in self.attributes:
            raise Refused
        super().need_for_host(gfn)

    def host_pin(self, actor: int, gfns: range, long: bool) -> str:
        """A pin meets the marker before anything else."""
        for gfn in gfns:
            if gfn in self.attributes:
                return "EFAULT"
            result = super().host_pin(actor, range(gfn, gfn + 1), long)
            if result != "OK":
                return result
        return "OK"


class VmaGup(LegacyVma):
    """One page a gfn, in the VMA; a part of the VMA is marked as the guest's, and KVM pins what it maps of it.

    * A conversion frees the page behind a gfn. What KVM had pinned there is let go; so it is when the memslot goes.
    * Whoever in the host touches a gfn of the guest's part makes it have a page, and is refused.
    * Once the VMA has lost a page that KVM pins, a private access fails with EFAULT until KVM lets the page go.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.kvm: dict[int, Pin] = {}

    def holders(self) -> list[Pin]:
        """Devices and KVM."""
        return [*super().holders(), *self.kvm.values()]

    def forget(self, gfns: range) -> None:
        """KVM lets what it pinned of these gfns go."""
        for gfn in gfns:
            self.release(self.kvm.pop(gfn, None))

    def need_private(self, gfn: int) -> None:
        """Let the guest's part of the VMA have a page behind a gfn."""
        if gfn not in self.private:
            self.host.take()
            self.private[gfn] = ZERO
            self.mark_movable(range(gfn, gfn + 1))

    def fault_private(self, gfn: int) -> str:
        """GUP brings the page, and KVM pins it; another one than it has pinned already is an error."""
        try:
            self.need_private(gfn)
        except NoMemory:
            return "EFAULT"
        pinned = self.kvm.setdefault(gfn, Pin(-1, gfn, long=False))
        return "EFAULT" if pinned.orphan else "OK"

    def need_for_host(self, gfn: int) -> None:
        """Only what is not the guest's is shown."""
        if gfn in self.attributes:
            self.need_private(gfn)
            raise Refused
        super().need_for_host(gfn)

    def empty_vma(self, gfns: range) -> None:
        """The VMA loses what it has behind these gfns, whosever it is."""
        super().empty_vma(gfns)
        for gfn in gfns:
            if self.private.pop(gfn, None) is not None:
                self.lose(range(gfn, gfn + 1), "single")

    def allocate(self, gfns: range) -> str:
        """The file of the mapping allocates, for both kinds."""
        try:
            for gfn in gfns:
                if gfn in self.attributes:
                    self.need_private(gfn)
                else:
                    self.need_shared(gfn)
        except NoMemory:
            return "ENOMEM"
        return "OK"

    def convert(self, gfns: range, private: bool) -> str:
        """mprotect(): each gfn that changes loses its page."""
        for gfn in gfns:
            if (gfn in self.attributes) != private:
                self.empty_vma(range(gfn, gfn + 1))
                self.forget(range(gfn, gfn + 1))
                self.attributes ^= {gfn}
        return "OK"

    def migrate(self, gfns: range) -> str:
        """All pages are the VMA's, and where they are to go already."""
        return "OK"

    def slot_delete(self, number: int) -> str:
        """A memslot goes, and with it what KVM pinned of it."""
        base, count = self.slots.get(number, (0, 0))
        self.forget(range(base, base + count))
        return super().slot_delete(number)

    def teardown(self) -> str:
        """KVM lets go, then the mapping does."""
        self.forget(range(self.gfns))
        self.empty_vma(range(self.gfns))
        return super().teardown()


class GuestMemfdMmap(GuestMemfd):
    """One page a gfn, in the file, for guest and VMM: the VMM maps the file, and nothing is behind a VMA.

    * The VMM's mapping shows a page once it was touched there, until it is punched, broken, or the file is closed.
    * Closing unmaps the file. Where nothing is mapped any more, or a page is broken, the VMM's touch is refused.
    * Memory failure finds a page by its mapping, or (private) in the file.
    """

    def kind(self, gfn: int) -> str:
        """There is but one page."""
        return "private"

    def host_kind(self) -> str:
        """The same page."""
        return "private"

    def need_for_host(self, gfn: int) -> None:
        """Let the mapping show the file's page."""
        if gfn in self.mapped:
            return
        if self.closed:
            raise Refused
        self.need_private(gfn)
        if gfn in self.broken_private:
            raise Refused
        self.clear(gfn)
        self.mapped.add(gfn)

    def free_private(self, gfns: range) -> None:
        """The file's pages go, unless somebody has pinned them."""
        self.mapped.difference_update(gfns)
        for gfn in gfns:
            if self.private.pop(gfn, None) is not None:
                self.lose(range(gfn, gfn + 1), "broken" if gfn in self.broken_private else "single")
        self.broken_private.difference_update(gfns)

    def migrate(self, gfns: range) -> str:
        """The mapping's pages are where they are to go; another page of the file cannot move."""
        return "EOPNOTSUPP" if any(g in self.private and g not in self.mapped for g in gfns) else "OK"

    def poison_shared(self, gfns: range) -> str:
        """Mapped pages break."""
        for gfn in gfns:
            if gfn in self.mapped:
                self.mapped.remove(gfn)
                self.broken_private.add(gfn)
        return "OK"

    def poison_private(self, gfns: range) -> str:
        """Pages of the file break, mapped or not."""
        result = super().poison_private(gfns)
        self.mapped -= self.broken_private
        return result


class GuestMemfdInplace(GuestMemfdMmap):
    """The file says what is private, and a conversion keeps the page with its data.

    To private it unmaps the range from the VMM, and is refused with EAGAIN, and the first gfn that is to blame, if
    anybody holds a page of it. Nothing is converted then. A range that is wanted already is nothing to do.
    """

    private_at_first = True

    def need_for_host(self, gfn: int) -> None:
        """Only what is shared is shown."""
        if gfn in self.attributes:
            raise Refused
        super().need_for_host(gfn)

    def convert(self, gfns: range, private: bool) -> str:
        """KVM_SET_MEMORY_ATTRIBUTES2 on the file."""
        if self.closed:
            return "EBADF"
        if all((gfn in self.attributes) == private for gfn in gfns):
            return "OK"
        if private:
            self.mapped.difference_update(gfns)
            for gfn in gfns:
                if gfn in self.private and self.attached(gfn):
                    self.error_offset = gfn
                    return "EAGAIN"
        return super().convert(gfns, private)


class GuestMemfdInplaceShared(GuestMemfdInplace):
    """The same on a file that was made with INIT_SHARED."""

    private_at_first = False


class GuestMemfdInplace1G(GuestMemfdInplace):
    """In folios of 1G from a pool: one is cut as long as any gfn of it is shared, and one piece else.

    * A folio comes and goes as a whole. Behind the last whole one of the file there is no memory.
    * A piece in one is cleared as a whole at its first use. When pieces are joined, what nobody used reads zero,
      if any of it was used.
    * Punching a part of a folio clears that part. A cut folio of which somebody holds a page is not punched: EAGAIN.
    * An fallocate is for the whole folios that lie in its range.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.cut: set[int] = set()

    def folio(self, gfn: int) -> range:
        """The gfns of the 1G of a gfn."""
        first = gfn - gfn % self.private_region
        return range(first, first + self.private_region)

    def folios(self, gfns: range) -> list[range]:
        """The folios that the file has in a range, in order."""
        found = sorted({self.folio(gfn).start for gfn in gfns if gfn in self.private})
        return [self.folio(first) for first in found]

    def need_private(self, gfn: int) -> None:
        """Let the file have the folio of a gfn."""
        if gfn in self.private:
            return
        folio = self.folio(gfn)
        if folio.stop > self.gfns:
            raise NoMemory
        self.host.take_from_pool()
        self.private.update((g, UNCLEARED) for g in folio)
        if not set(folio) <= self.attributes:
            self.cut.add(folio.start)

    def clear(self, gfn: int) -> None:
        """A folio in one piece is cleared as a whole."""
        if self.private[gfn] == UNCLEARED:
            folio = self.folio(gfn)
            self.private.update((g, ZERO) for g in ([gfn] if folio.start in self.cut else folio))

    def convert(self, gfns: range, private: bool) -> str:
        """The file's attributes change, then its folios are cut or joined."""
        result = super().convert(gfns, private)
        if result == "OK" and not self.closed:
            for folio in self.folios(gfns):
                if not set(folio) <= self.attributes:
                    self.cut.add(folio.start)
                elif folio.start in self.cut:
                    self.cut.remove(folio.start)
                    if any(self.private[g] != UNCLEARED for g in folio):
                        self.private.update((g, ZERO) for g in folio if self.private[g] == UNCLEARED)
        return result

    def punch(self, gfns: range) -> str:
        """Folio by folio: all of it goes, or a part is cleared."""
        if self.closed:
            return "EBADF"
        for folio in self.folios(gfns):
            if not set(folio) <= set(gfns):
                self.private.update((g, ZERO) for g in folio if g in gfns and self.private[g] != UNCLEARED)
                continue
            if folio.start in self.cut:
                self.mapped.difference_update(folio)
                if any(self.attached(g) for g in folio):
                    self.error_offset = folio.start
                    return "EAGAIN"
            self.free_private(folio)
        return "OK"

    def allocate(self, gfns: range) -> str:
        """Whole folios, as many as the range holds."""
        if self.closed:
            return "EBADF"
        if gfns.stop > self.gfns:
            return "EINVAL"
        first, stop = self.folio(gfns.start).start, self.folio(gfns.stop).start
        return super().allocate(range(first, stop))

    def free_private(self, gfns: range) -> None:
        """Folios go back to the pool; one that somebody holds a page of goes page by page, and not to the pool."""
        for folio in self.folios(gfns):
            self.cut.discard(folio.start)
            if any(self.attached(g) for g in folio):
                super().free_private(folio)
            else:
                self.mapped.difference_update(folio)
                for g in folio:
                    del self.private[g]
                self.host.pool += 1


NAIVE: dict[str, type[Naive]] = {
    "legacy-vma": LegacyVma,
    "vma-gup": VmaGup,
    "vma-encrypted": VmaEncrypted,
    "fd-private": FdPrivate,
    "fd-restricted": FdRestricted,
    "guest-memfd": GuestMemfd,
    "guest-memfd-mmap": GuestMemfdMmap,
    "guest-memfd-inplace": GuestMemfdInplace,
    "guest-memfd-inplace-shared": GuestMemfdInplaceShared,
    "guest-memfd-inplace-1g": GuestMemfdInplace1G,
}
"""Name of a design -> its naive twin."""
