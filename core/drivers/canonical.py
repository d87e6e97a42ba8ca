"""The canonical form of a state: of all states that differ only in names of actors and pages, one."""

import numpy as np

from gmembench.core.drivers.pages import NAMES, PAGES, Pages, keep_all_names, name_others, name_pages, rename_pages
from gmembench.core.drivers.prepared import Prepared
from gmembench.core.drivers.symmetry import Symmetry, sort_actors
from gmembench.core.jit import inlined_part, kernel
from gmembench.core.views import Record
from gmembench.core.world import small_head

NO_TWINS = np.zeros((0, 2), np.int64)


@inlined_part
def make_canonical(
    w: Record,
    buffer: np.ndarray,
    base: int,
    twins: np.ndarray,
    begins: np.ndarray,
    compared: np.ndarray,
    was: np.ndarray,
    paged: int,
    apart: int,
    fields: np.ndarray,
    blocks: np.ndarray,
    naming: np.ndarray,
    spare: np.ndarray,
) -> None:
    """Bring the state of the world at `base` to its canonical form.

    Pages that anything but an actor refers to are named first, so that actors can be compared by the names. Then the
    actors are brought into order, and the pages that only they refer to are named in that order. Actors that differ in
    nothing but such pages stay as they are: both states are kept then, which is right, if one more than needed.
    """
    named = False
    if paged != 0:
        named = name_pages(w, buffer, base, apart, fields, blocks, naming)
        if not named:
            keep_all_names(naming)
    if len(twins) > 0:
        sort_actors(w, twins, begins, compared, was, naming)
    if named and name_others(w, buffer, base, apart, fields, blocks, naming):
        rename_pages(w, buffer, base, fields, blocks, naming, spare)


@kernel
def _make_canonical(
    buffer: np.ndarray,
    twins: np.ndarray,
    begins: np.ndarray,
    compared: np.ndarray,
    was: np.ndarray,
    paged: int,
    apart: int,
    fields: np.ndarray,
    blocks: np.ndarray,
    naming: np.ndarray,
    spare: np.ndarray,
) -> None:
    w = small_head(buffer)
    make_canonical(w, buffer, 0, twins, begins, compared, was, paged, apart, fields, blocks, naming, spare)


@kernel
def _name(buffer: np.ndarray, apart: int, fields: np.ndarray, blocks: np.ndarray, naming: np.ndarray) -> bool:
    w = small_head(buffer)
    if not name_pages(w, buffer, 0, apart, fields, blocks, naming):
        return False
    return name_others(w, buffer, 0, apart, fields, blocks, naming)


@kernel
def _rename(buffer: np.ndarray, fields: np.ndarray, blocks: np.ndarray, naming: np.ndarray, spare: np.ndarray) -> None:
    rename_pages(small_head(buffer), buffer, 0, fields, blocks, naming, spare)


class Canonical:
    """The canonical form of the states of an instance. `vcpus`, `pages`: whose names it leaves out, where it can."""

    def __init__(self, prepared: Prepared, *, vcpus: bool, pages: bool) -> None:
        self.symmetry, self.pages = Symmetry(prepared), Pages(prepared)
        self.symmetric = vcpus and self.symmetry.applies
        self.paged = pages and self.pages.applies
        self.twins = self.symmetry.twins if self.symmetric else NO_TWINS

    def sort(self, buffer: np.ndarray) -> np.ndarray:
        """Bring a small world to its canonical form. Returns by actor, which one it had been."""
        s, p = self.symmetry, self.pages
        s.was[:] = np.arange(len(s.was))
        arrays = (p.fields, p.blocks, p.naming, p.spare)
        _make_canonical(buffer, self.twins, s.begins, s.compared, s.was, int(self.paged), p.apart, *arrays)
        return s.was.copy()

    def rename(self, buffer: np.ndarray, names: np.ndarray) -> bool:
        """Give the pages of a small world other names, by pfn. False if they cannot be renamed in this state."""
        p = self.pages
        if not _name(buffer, p.apart, p.fields, p.blocks, p.naming):
            return False
        p.naming[NAMES] = names
        p.naming[PAGES, names] = np.arange(len(names))
        _rename(buffer, p.fields, p.blocks, p.naming, p.spare)
        return True
