"""Why an invariant broke, in one sentence: which field it relied on, who changed that last, and between which steps.

An invariant speaks of a few fields: an entry and the page behind it, an entry and an attribute. The violating step
changed one of them, or used a page; another actor had changed another of them. The sentence names both, and the two
steps of the violating actor between which the other one came.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gmembench.core.judges import Violation
from gmembench.core.world import ATTR_PRIVATE, HW_OWNED, LIFE_FREED, PAGE_FREE, SPTE_PRESENT, World
from gmembench.inject.fields import Change
from gmembench.inject.locks import parts, told

Phrase = tuple[str, str, str]
"""A verb in the present, in the past, and what follows it."""


@dataclass(frozen=True)
class Event:
    """A step as the sentence needs it. `gfn`, `pfn`: registers of its actor, the gfn before the step."""

    actor: int
    row: str
    changes: tuple[Change, ...]
    gfn: int
    pfn: int


@dataclass(frozen=True)
class Hindered:
    """Who does not get on at the end, and before which row.

    `waits`: it waits there, for `lock` if that is known; else it goes round and round.
    """

    actor: int
    row: str
    waits: bool
    lock: str


@dataclass(frozen=True)
class Story:
    """All that a sentence is made from. `names`: of the actors. `hindered`: who does not get on at the end."""

    world: World
    violation: Violation
    events: Sequence[Event]
    names: Sequence[str]
    hindered: Sequence[Hindered] = ()


def _entry(c: Change, numbers: list[int]) -> Phrase:
    if c.path.endswith(".pfn"):
        return (
            ("maps", "mapped", f"pfn {c.new} at gfn {numbers[0]}") if c.new else ("zaps", "zapped", f"gfn {numbers[0]}")
        )
    present = c.new & SPTE_PRESENT
    return ("maps", "mapped", f"gfn {numbers[0]}") if present else ("zaps", "zapped", f"gfn {numbers[0]}")


def _attribute(c: Change, numbers: list[int]) -> Phrase:
    return "makes", "made", f"gfn {numbers[0]} {'private' if c.new & ATTR_PRIVATE else 'shared'}"


def _cached(c: Change, numbers: list[int]) -> Phrase:
    if c.new == 0:
        return "removes", "removed", f"pfn {c.old} from the file"
    return "adds", "added", f"pfn {c.new} to the file at index {numbers[0]}"


def _page_state(c: Change, numbers: list[int]) -> Phrase:
    return (
        ("frees", "freed", f"pfn {numbers[0]}")
        if c.new == PAGE_FREE
        else ("takes", "took", f"the free pfn {numbers[0]}")
    )


def _references(c: Change, numbers: list[int]) -> Phrase:
    return (
        ("takes", "took", f"a reference to pfn {numbers[0]}")
        if c.new > c.old
        else ("drops", "dropped", f"a reference to pfn {numbers[0]}")
    )


def _host_entry(c: Change, numbers: list[int]) -> Phrase:
    if c.new == 0:
        return "takes", "took", f"gfn {numbers[0]} out of the host page table"
    return "changes", "changed", f"the host page table at gfn {numbers[0]}"


def _content(c: Change, numbers: list[int]) -> Phrase:
    return "changes", "changed", f"what pfn {numbers[0]} holds"


def _owner(c: Change, numbers: list[int]) -> Phrase:
    if c.new & HW_OWNED and not c.old & HW_OWNED:
        return "gives", "gave", f"pfn {numbers[0]} to the VM in the owner table"
    if c.old & HW_OWNED and not c.new & HW_OWNED:
        return "takes", "took", f"pfn {numbers[0]} back in the owner table"
    return "changes", "changed", f"pfn {numbers[0]} in the owner table"


def _secure(c: Change, numbers: list[int]) -> Phrase:
    return "changes", "changed", f"the secure EPT entry of gfn {numbers[0]}"


def _life(c: Change, numbers: list[int]) -> Phrase:
    return (
        ("frees", "freed", f"memslot object {numbers[0]}")
        if c.new == LIFE_FREED
        else ("changes", "changed", f"memslot object {numbers[0]}")
    )


def _binding(c: Change, numbers: list[int]) -> Phrase:
    return (
        ("binds", "bound", f"index {numbers[0]} of the file")
        if c.new
        else ("unbinds", "unbound", f"index {numbers[0]} of the file")
    )


def _counted(c: Change, numbers: list[int]) -> Phrase:
    return (
        ("counts", "counted", "an invalidation in") if c.new > c.old else ("counts", "counted", "an invalidation out")
    )


def _translation(c: Change, numbers: list[int]) -> Phrase:
    return "caches", "cached", "the translation"


PHRASES: tuple[tuple[str, Callable[[Change, list[int]], Phrase]], ...] = (
    (r"frames\[\d+\]\.spte", _entry),
    (r"frames\[\d+\]\.attr", _attribute),
    (r"frames\[\d+\]\.h(pte|pfn)", _host_entry),
    (r"cache\[\d+\]\.pfn", _cached),
    (r"cache\[\d+\]\.", _binding),
    (r"pages\[\d+\]\.state", _page_state),
    (r"pages\[\d+\]\.(refs|pins)", _references),
    (r"pages\[\d+\]\.content", _content),
    (r"pages\[\d+\]\.hw", _owner),
    (r"septs\[\d+\]", _secure),
    (r"slots\[\d+\]", _life),
    (r"header\.(inval_count|mn_active)", _counted),
    (r"tlbs\[\d+\]", _translation),
)
"""Fields, and how a sentence tells that they changed."""


def phrase(change: Change) -> Phrase:
    """A change in words."""
    numbers = [int(n) for n in re.findall(r"\[(\d+)\]", change.path)]
    for pattern, say in PHRASES:
        if re.match(pattern, change.path):
            return say(change, numbers)
    return "changes", "changed", f"{change.path} from {change.old} to {change.new}"


def _gfn_paths(gfn: int, *fields: str) -> list[str]:
    return [rf"frames\[{gfn}\]\.{name}" for name in fields]


def _page_paths(pages: Sequence[int], *fields: str) -> list[str]:
    return [rf"pages\[{pfn}\]\.{name}" for pfn in pages for name in fields]


def _mapped(world: World, gfn: int) -> list[int]:
    """Pages that the entries over a gfn map, with the heads of larger entries."""
    found = []
    entries = world.arrays["frames"]["spte"]
    for order in (0, world.geometry.region_shift, 2 * world.geometry.region_shift):
        head = gfn >> order << order
        for root in range(2):
            entry = entries[head, root]
            if entry["bits"] & SPTE_PRESENT:
                found.append(int(entry["pfn"]) + gfn - head)
    return sorted(set(found))


def _heads(world: World, gfn: int) -> list[int]:
    orders = (0, world.geometry.region_shift, 2 * world.geometry.region_shift)
    return sorted({gfn >> order << order for order in orders}, reverse=True)


OF_ALL = {
    "CNT": (r"header\.inval_count", r"header\.mn_active", r"header\.warns"),
    "2X": (r"pages\[{}\]\.(refs|pins|state)", r"cache\[\d+\]\.pfn", r"frames\[\d+\]\.hpfn"),
    "OBJ": (r"slots\[{}\]\.", r"files\[0\]\.(life|refs|closed)", r"cache\[\d+\]\.(slot|tag)"),
}
"""Fields that an invariant speaks of which is about no gfn: `{}` is the number that it found."""


def subjects(story: Story) -> list[str]:
    """Patterns of the fields that the broken invariant speaks of, the most telling first."""
    world, violation = story.world, story.violation
    index, name = violation.index, violation.invariant
    if name in OF_ALL:
        return [pattern.replace("{}", str(index)) for pattern in OF_ALL[name]]
    if not 0 <= index < len(world.arrays["frames"]):
        return []
    used = violation.when == "use"
    pages = [story.events[-1].pfn] if used else _mapped(world, index)
    heads = [path for head in _heads(world, index) for path in _gfn_paths(head, r"spte\[\d\]\.pfn", r"spte")]
    backing = [rf"cache\[{index}\]\.pfn", *_page_paths(pages, "state"), *_gfn_paths(index, "attr", "hpfn", "hpte")]
    content = _page_paths(pages, "content", "content_gen", "content_gfn", "hw")
    if name in ("ALIAS", "HUGE"):
        region = range(index >> world.geometry.region_shift << world.geometry.region_shift, index + 1)
        backing = [path for gfn in (index, *region) for path in _gfn_paths(gfn, "attr")] + backing[:1]
    if name == "HW":
        backing = [*_page_paths([*pages, index], "hw", "state", "flags"), rf"septs\[{index}\]"]
    return [*backing, *content, *heads] if used else [*heads, *backing]


def _relevant(story: Story) -> Iterator[tuple[int, Change]]:
    """(step, change) of the fields that the invariant speaks of, the latest step first."""
    patterns = [re.compile(pattern) for pattern in subjects(story)]
    for number in range(len(story.events) - 1, -1, -1):
        for pattern in patterns:
            for change in story.events[number].changes:
                if pattern.match(change.path):
                    yield number, change


def _at(story: Story, number: int) -> str:
    return f"step {number + 1}, {story.events[number].row}"


def _between(story: Story, actor: int, middle: int) -> str:
    """Between which steps of an actor another one's came."""
    own = [number for number, event in enumerate(story.events) if event.actor == actor]
    before = [number for number in own if number < middle]
    after = [number for number in own if number > middle]
    if not before or not after:
        return f"before {story.names[actor]} began" if after else f"after {story.names[actor]} had stopped"
    first, then = before[-1], after[0]
    return (
        f"between {story.names[actor]}'s {story.events[first].row} (step {first + 1}) "
        f"and its {story.events[then].row} (step {then + 1})"
    )


def _used(story: Story) -> str:
    last = story.events[-1]
    return f"uses gfn {story.violation.index} through pfn {last.pfn}"


def _holders(story: Story) -> dict[str, dict[int, int]]:
    """Lock -> who holds it at the end -> since which step."""
    found: dict[str, dict[int, int]] = {}
    for number, event in enumerate(story.events):
        for text in told(event.changes):
            holders = found.setdefault(parts(text)[0], {})
            if text[0] == "+":
                holders[event.actor] = number
            else:
                holders.pop(event.actor, None)
    return found


def _stuck(story: Story) -> tuple[str, tuple[int, ...]]:
    """Who waits for what, and who holds it since when."""
    held, marked, told_of = _holders(story), [], []
    for one in story.hindered:
        text = f"{story.names[one.actor]} {'waits at' if one.waits else 'goes round and round at'} {one.row}"
        for holder, since in held.get(one.lock, {}).items():
            text += f" for {one.lock}, which {story.names[holder]} holds since {_at(story, since)}"
            marked.append(since)
        told_of.append(text)
    return "; ".join(told_of) or story.violation.why, tuple(sorted(set(marked)))


def explain(story: Story) -> tuple[str, tuple[int, ...]]:
    """The sentence, and the steps (from 0) that it names: the violating one last."""
    if story.violation.when == "stuck" or not story.events:
        return _stuck(story)
    end = len(story.events) - 1
    found = list(_relevant(story))
    if story.violation.when == "use":
        does, number = _used(story), end
    elif found:
        number, change = found[0]
        present, _, rest = phrase(change)
        does = f"{present} {rest}"
    else:
        return f"{story.names[story.events[end].actor]} ends at {_at(story, end)}: {story.violation.why}", (end,)
    actor = story.events[number].actor
    sentence = f"{story.names[actor]} {does} ({_at(story, number)})"
    other = next(((n, c) for n, c in found if n < number and story.events[n].actor != actor), None)
    if other is None:
        return sentence + _alone(story, found, number), (number,)
    middle, change = other
    _, past, rest = phrase(change)
    whose = story.names[story.events[middle].actor]
    sentence += f" after {whose} {past} {rest} ({_at(story, middle)}), because that came "
    return sentence + _between(story, actor, middle), (middle, number)


def _alone(story: Story, found: Sequence[tuple[int, Change]], number: int) -> str:
    """The clause where nobody else changed anything of it."""
    earlier = next(((n, c) for n, c in found if n < number), None)
    if earlier is None:
        return f": {story.violation.why}"
    _, past, rest = phrase(earlier[1])
    return f", having {past} {rest} ({_at(story, earlier[0])})"
