"""What every naive VM stands on: the host's free pages, pins, and what a page holds."""

from dataclasses import dataclass

ZERO: tuple[str, int, int] = ("zero", 0, 0)
UNCLEARED: tuple[str, int, int] = ("uncleared", 0, 0)
Content = tuple[str, int, int]


class NoMemory(Exception):
    """The host has no page left."""


class Broken(Exception):
    """The page behind the VMA is poisoned."""


class Refused(Exception):
    """The VMM's mapping shows no page there: SIGBUS for a load or store, EFAULT for a pin or KVM's own access."""


@dataclass(eq=False)
class Orphan:
    """A page, or a huge one, that only pins hold: `kind` is "single", "block" or "broken"."""

    kind: str


@dataclass(eq=False)
class Pin:
    """A device's hold on the page behind a gfn; `orphan`: that page, once the VMA has lost it."""

    actor: int
    gfn: int
    long: bool
    orphan: Orphan | None = None


class Host:
    """The free pages of the host: huge blocks and single pages. A block that was cut is never put together again.

    `pool`: pages of 1G that were set aside, and are never cut for others; `pool_pages`: small pages of one.
    """

    def __init__(self, blocks: int, singles: int, block_pages: int, pool: int = 0, pool_pages: int = 0) -> None:
        self.blocks, self.singles, self.block_pages = blocks, singles, block_pages
        self.pool, self.pool_pages = pool, pool_pages
        self.lost = 0

    @property
    def free(self) -> int:
        """Free pages of 4 KiB."""
        return self.blocks * self.block_pages + self.singles + self.pool * self.pool_pages

    def take(self) -> None:
        """Take a page, out of a block if there is no single one."""
        if self.singles == 0:
            if self.blocks == 0:
                raise NoMemory
            self.blocks -= 1
            self.singles += self.block_pages
        self.singles -= 1

    def give(self, kind: str) -> None:
        """Take a page back: a block, a single one, or a broken one, which is lost."""
        self.blocks += kind == "block"
        self.singles += kind == "single"
        self.lost += kind == "broken"

    def take_from_pool(self) -> None:
        """Take a page of 1G."""
        if self.pool == 0:
            raise NoMemory
        self.pool -= 1

    def take_block(self) -> bool:
        """Take a huge block if there is one."""
        if self.blocks == 0:
            return False
        self.blocks -= 1
        return True
