"""Locks of a recorded schedule: who took and dropped which, and who had to wait."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gmembench.inject.fields import Change

READ, WRITE, ONLY = " read", " write", ""

LOCKS = {
    "header.mmu_writer": ("mmu_lock", WRITE),
    "header.mmu_readers": ("mmu_lock", READ),
    "header.slots_lock": ("slots_lock", ONLY),
    "header.slots_arch_lock": ("slots_arch_lock", ONLY),
    "header.mmap_writer": ("mmap_lock", WRITE),
    "header.mmap_readers": ("mmap_lock", READ),
    "header.mf_mutex": ("mf_mutex", ONLY),
    "header.tdx_tree_lock": ("sept_tree_lock", ONLY),
    "header.mn_lock": ("mn_invalidate_lock", ONLY),
    "files[].inval_writer": ("invalidate_lock", WRITE),
    "files[].inval_readers": ("invalidate_lock", READ),
    "files[].inode_lock": ("inode_lock", ONLY),
    "pages[].lock": ("folio_lock", ONLY),
    "actors[].srcu": ("srcu", READ),
}
"""Field of the world -> the lock, and how it is held. Readers are counts, everything else names the holder."""


def lock_of(path: str) -> tuple[str, str] | None:
    """(lock, how) of a field, None if it is no lock. Folio locks are told apart by their page."""
    found = LOCKS.get(re.sub(r"\[\d+\]", "[]", path))
    if found is None:
        return None
    name, how = found
    return (f"{name} {path[6 : path.index(']')]}" if name == "folio_lock" else name), how


def told(changes: Sequence[Change]) -> tuple[str, ...]:
    """What a step took and dropped: `+mmu_lock read`, `-folio_lock 3`."""
    found = []
    for change in changes:
        lock = lock_of(change.path)
        if lock is not None and (lock[1] == READ or 0 in (change.old, change.new)):
            found.append(("+" if change.new > change.old else "-") + "".join(lock))
    return tuple(found)


def parts(text: str) -> tuple[str, bool]:
    """The lock that a `+` or `-` text names, and whether it is held by one actor only."""
    name = text[1:]
    return (name.removesuffix(READ), False) if name.endswith(READ) else (name.removesuffix(WRITE), True)


@dataclass
class Held:
    """Who holds what while a schedule goes on: lock -> actor -> whether nobody else can hold it."""

    by: dict[str, dict[int, bool]] = field(default_factory=dict)

    def step(self, actor: int, locks: Sequence[str]) -> None:
        """Note what a step took and dropped."""
        for text in locks:
            name, alone = parts(text)
            holders = self.by.setdefault(name, {})
            if text[0] == "+":
                holders[actor] = alone
            else:
                holders.pop(actor, None)

    def keeps_out(self, actor: int, name: str, alone: bool) -> bool:
        """Whether an actor cannot take a lock now because of what others hold."""
        return any(other != actor and (alone or theirs) for other, theirs in self.by.get(name, {}).items())

    def holders(self, name: str) -> list[int]:
        """Who holds a lock."""
        return sorted(self.by.get(name, {}))


def waits(actors: Sequence[int], locks: Sequence[Sequence[str]], inside: Sequence[bool]) -> list[list[tuple[int, str]]]:
    """For each step the (actor, lock) of those who stand before a lock that others hold.

    `inside`: whether the actor of a step is inside an operation after it. Who has not begun does not wait.
    """
    found: list[list[tuple[int, str]]] = [[] for _ in actors]
    held = Held()
    states = []
    for actor, taken in zip(actors, locks, strict=True):
        held.step(actor, taken)
        states.append({name: dict(holders) for name, holders in held.by.items() if holders})
    last: dict[int, int] = {}
    for j, (actor, taken) in enumerate(zip(actors, locks, strict=True)):
        i = last.get(actor)
        if i is not None and inside[i]:
            for name, alone in (parts(text) for text in taken if text[0] == "+"):
                for k in range(i, j):
                    if Held(states[k]).keeps_out(actor, name, alone):
                        found[k].append((actor, name))
        last[actor] = j
    return found
