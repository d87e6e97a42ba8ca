"""Invariants as drivers ask them: all rules of one kind in one compiled call, and what was found in words.

`judge_state` and its siblings hold the invariants of the package; a compiled driver names them as globals. A
`Panel` says which of them count, and holds invariants from elsewhere as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gmembench.core.catalog import load_invariants
from gmembench.core.intrinsics.judging import NUMBER_SHIFT, judge_of
from gmembench.core.invariant import STUCK, WHENS, Invariant
from gmembench.core.jit import INTERPRETED, compiling, kernel, uncached_kernel
from gmembench.core.world import LAYOUTS, World, actor, head, small_head

ARGUMENTS = {"state": 1, "use": 2, "rest": 1, "end": 3}
STATE, USE, REST, AT_END = range(len(WHENS))


def _of_kind(invariants: Mapping[str, Invariant], when: str) -> list[Invariant]:
    return [i for i in invariants.values() if when in i.when]


def _judge(invariants: Mapping[str, Invariant], when: str) -> Any:
    rules = [getattr(i, when).compiled for i in _of_kind(invariants, when)]
    return judge_of(rules, ARGUMENTS[when], LAYOUTS)


SHIPPED = load_invariants()
judge_state = _judge(SHIPPED, "state")
judge_use = _judge(SHIPPED, "use")
judge_rest = _judge(SHIPPED, "rest")
judge_end = _judge(SHIPPED, "end")


@dataclass(frozen=True)
class Violation:
    """An invariant that does not hold. `index`: the number that its rule found. `trail`: the steps that led there."""

    invariant: str
    when: str
    index: int
    why: str
    trail: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.invariant}: {self.why}", *(f"  {step}" for step in self.trail)])


def violation_of(invariants: Mapping[str, Invariant], when: str, found: int) -> Violation:
    """What a judge over these invariants found, in words."""
    item = _of_kind(invariants, when)[found >> NUMBER_SHIFT]
    index = (found & ((1 << NUMBER_SHIFT) - 1)) - 1
    return Violation(item.name, when, index, item.why(when, index))


class Panel:
    """The invariants that a run is judged by. `masks`: i8 array, by when: which of the package's count."""

    def __init__(self, invariants: Mapping[str, Invariant] | None = None) -> None:
        chosen = SHIPPED if invariants is None else invariants
        self.invariants = dict(chosen)
        self.others = {name: i for name, i in chosen.items() if SHIPPED.get(name) is not i}
        self.masks = np.array(
            [sum(1 << n for n, i in enumerate(_of_kind(SHIPPED, w)) if chosen.get(i.name) is i) for w in WHENS],
            np.int64,
        )

    @property
    def judges_stuck(self) -> bool:
        """Whether one of the invariants is the driver's to judge."""
        return any(STUCK in i.when for i in self.invariants.values())

    def stuck(self) -> Violation:
        """The violation of the invariant that the driver judges."""
        item = next(i for i in self.invariants.values() if STUCK in i.when)
        return Violation(item.name, STUCK, -1, item.stuck)

    @cached_property
    def _other_judges(self) -> dict[str, Any]:
        return {when: _runner(_judge(self.others, when)) for when in WHENS if _of_kind(self.others, when)}

    def judge_others(self, whens: Sequence[str], buffer: np.ndarray, number: int, program: int) -> Violation | None:
        """Judge a small world by the invariants that are not the package's."""
        for when in whens:
            if when in self._other_judges:
                found = int(self._other_judges[when](buffer, number, program))
                if found != 0:
                    return violation_of(self.others, when, found)
        return None


def _runner(judge: Any) -> Any:
    def run(buffer: np.ndarray, number: int, program: int) -> int:
        w = small_head(buffer)
        return judge(-1, w, actor(w, number), program)

    if INTERPRETED:
        return run
    with compiling():
        return uncached_kernel(run)


@kernel
def judge_now(buffer: np.ndarray, when: int, mask: int, number: int, program: int) -> int:
    """Ask the package's rules of one kind (index in WHENS) that the mask names."""
    w = head(buffer)
    a = actor(w, number)
    if when == STATE:
        return judge_state(mask, w, a, program)
    if when == USE:
        return judge_use(mask, w, a, program)
    if when == REST:
        return judge_rest(mask, w, a, program)
    return judge_end(mask, w, a, program)


def check_world(world: World, panel: Panel | None = None) -> list[Violation]:
    """All invariants of states that do not hold in a world in which nobody is inside an operation."""
    asked = Panel() if panel is None else panel
    found = []
    for when in (STATE, REST):
        for number in range(len(_of_kind(SHIPPED, WHENS[when]))):
            answer = int(judge_now(world.buffer, when, int(asked.masks[when]) & 1 << number, 0, 0))
            if answer != 0:
                found.append(violation_of(SHIPPED, WHENS[when], answer))
    other = asked.judge_others(("state", "rest"), world.buffer, 0, 0) if asked.others else None
    return [*found, other] if other is not None else found
