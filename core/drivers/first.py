"""The first state, which what is prepared leads to: settled, judged and watched like any other before anybody steps."""

import numpy as np

from gmembench.core.drivers.moves import settle
from gmembench.core.drivers.prepared import Prepared
from gmembench.core.drivers.watching import watch
from gmembench.core.invariant import WHENS
from gmembench.core.jit import kernel
from gmembench.core.judges import REST, SHIPPED, STATE, Violation, judge_rest, judge_state, violation_of
from gmembench.core.world import actor, small_head


@kernel
def _settle_all(buffer: np.ndarray, keep: np.ndarray, neutral: np.ndarray) -> None:
    w = small_head(buffer)
    for number in range(w["actors_n"]):
        settle(w, number, keep, neutral)


def settle_first(p: Prepared) -> None:
    """Bring the world that a driver begins with to its settled form, in place."""
    _settle_all(p.world.buffer, p.keep, p.neutral)


@kernel
def _judge_first(
    buffer: np.ndarray,
    masks: np.ndarray,
    tags: np.ndarray,
    wanted: np.ndarray,
    conditions: np.ndarray,
    seen: np.ndarray,
    out: np.ndarray,
) -> None:
    """Judge and watch a state in which nobody is inside an operation. `out`: when and what does not hold."""
    w = small_head(buffer)
    a = actor(w, 0)
    out[0] = STATE
    out[1] = judge_state(masks[STATE], w, a, 0)
    if out[1] == 0:
        out[0] = REST
        out[1] = judge_rest(masks[REST], w, a, 0)
    watch(w, tags, wanted, conditions, seen)


def judge_first(p: Prepared) -> tuple[int, int]:
    """When (index in WHENS) and what does not hold in the settled first state; what is 0 if all does.

    Notes the watched states that it is. Invariants that are not the package's are not judged.
    """
    out, watches = np.zeros(2, np.int64), p.watches
    _judge_first(p.world.buffer, p.masks, watches.tags, watches.wanted, watches.conditions, watches.seen, out)
    p.stay_inside("a rule about the first state")
    return int(out[0]), int(out[1])


def first_violation(p: Prepared) -> Violation | None:
    """What does not hold in the settled first state; None if all does."""
    when, found = judge_first(p)
    return violation_of(SHIPPED, WHENS[when], found) if found else None
