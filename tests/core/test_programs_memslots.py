"""Memslots that go while somebody else is inside KVM."""

import pytest
from small_worlds import H0, V0, V1, code_of, geometry
from stepping import Turns

from gmembench.core.rows import END

DELETED = 1
"""Number of the memslot that is deleted; the other one is touched."""


def prefault_beside_a_deletion(design: str) -> Turns:
    """A prefault of the first memslot stands before its last tests, and the second one's zap is over."""
    turns = Turns(code_of(design), geometry(design, slots=((0, 4), (4, 4))))
    turns.do(V0, "access", 0)
    turns.start(H0, "slot_delete")
    turns.world.arrays["actors"][H0]["wanted_slot"] = DELETED
    zap = next(name for name in turns.names if name in {"slot_delete.root.lock_mmu", "slot_delete.slot.lock_mmu"})
    turns.run(H0, until=zap)
    turns.start(V1, "prefault", 1)
    turns.run(V1, until="prefault.fault.lock_mmu")
    turns.run(H0, until="slot_delete.slot.srcu_start_2")
    return turns


@pytest.mark.parametrize("design", ["legacy-vma", "guest-memfd-mmap"])
def test_a_prefault_with_a_stale_root_never_ends(design: str) -> None:
    """LIVE: the loop keeps the invalid root and SRCU, and the deletion of another memslot waits for that SRCU."""
    turns = prefault_beside_a_deletion(design)
    assert turns.run(H0) == "slot_delete.slot.srcu_wait_2"
    for _ in range(2000):
        turns.step(V1)
    assert turns.at[V1] != END
    assert turns.run(H0) == "slot_delete.slot.srcu_wait_2"


def test_a_prefault_goes_on_where_leaves_are_zapped() -> None:
    """A VM that can have private memory keeps its root: the prefault maps its page, and the deletion ends."""
    turns = prefault_beside_a_deletion("guest-memfd")
    assert turns.run(V1) == ""
    assert turns.run(H0) == ""
