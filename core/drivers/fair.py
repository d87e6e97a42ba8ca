"""Running scripts to their end fairly: how LIVE is judged.

The actors run in turns, each alone until it has to wait, is done, or comes back to a state that it has been in. If a
whole turn of all of them ends in the state in which it began, and turns of one step each come back to a state too,
nobody gets on any more. That alone is no violation: others than the fair order may lead out. LIVE is violated if none
does, so all states that can follow are visited, and none of them may be an end of all scripts.
"""

from gmembench.core.drivers.stepper import EXIT, Stepper
from gmembench.core.intrinsics.chains import OUTCOME_BITS
from gmembench.core.outcomes import BLOCKED

MOST_STEPS = 100_000
"""No script of a small world needs as many steps; an actor that makes them alone never ends."""

MOST_TURNS = 1000
"""Turns of all actors after which nothing is said of LIVE."""

MOST_STATES = 10_000
"""States that are visited to see whether an end can follow; each takes some 0.1 ms."""


def let_kicked_leave(stepper: Stepper) -> None:
    """Every vCPU that was kicked, and stands between two instructions of the guest, leaves it."""
    for number, kind in stepper.options().tolist():
        if kind == EXIT and stepper.world.arrays["actors"]["kicked"][number] != 0:
            stepper.take(number, EXIT)


def run_alone(stepper: Stepper, number: int) -> None:
    """Let one actor run until it waits, is done, or comes back to a state that it has been in."""
    seen = {stepper.state()}
    for _ in range(MOST_STEPS):
        if not stepper.unfinished(number) or stepper.violation is not None:
            return
        if stepper.take(number) & ((1 << OUTCOME_BITS) - 1) == BLOCKED:
            return
        now = stepper.state()
        if now in seen:
            return
        seen.add(now)


def in_a_circle(stepper: Stepper) -> bool:
    """Let everybody make one step in turn; whether that comes back to a state that it has been in.

    Who runs alone stops where it began, perhaps with a lock in hand that another one waits for. Step by step the
    other one finds the lock free at some point of the circle, or never.
    """
    seen: set[int] = set()
    while stepper.violation is None and not stepper.finished and len(seen) < MOST_STEPS:
        now = stepper.state()
        if now in seen:
            return True
        seen.add(now)
        for number in range(len(stepper.world.arrays["actors"])):
            let_kicked_leave(stepper)
            if stepper.violation is None and stepper.unfinished(number):
                stepper.take(number)
    return False


def without_end(stepper: Stepper, most: int = MOST_STATES) -> int:
    """How many states can follow, if in none of them all scripts are done. 0 if one is, or if they are too many."""
    first = stepper.world.buffer.copy()
    seen, waiting = {stepper.state()}, [first]
    ends = stepper.finished
    while waiting and not ends and len(seen) <= most:
        for state in stepper.followers(waiting.pop()):
            key = stepper.state()
            ends = ends or stepper.finished
            if key not in seen:
                seen.add(key)
                waiting.append(state)
    stepper.world.buffer[:] = first
    return 0 if ends or len(seen) > most else len(seen)


def finish(stepper: Stepper) -> int:
    """Run all scripts to their end; LIVE is violated if that can never be reached.

    Returns the states that were visited to show that, else 0. It may come to a circle that another order leads out of.
    """
    for _ in range(MOST_TURNS):
        if stepper.finished or stepper.violation is not None:
            break
        before = stepper.state()
        for number in range(len(stepper.world.arrays["actors"])):
            let_kicked_leave(stepper)
            if stepper.violation is None and stepper.unfinished(number):
                run_alone(stepper, number)
        if stepper.violation is None and not stepper.finished and stepper.state() == before and in_a_circle(stepper):
            visited = without_end(stepper)
            if visited:
                stepper.fail(stepper.panel.stuck())
            return visited
    return 0
