"""Moves: what an actor of a small world can do next, doing it, and bringing the state to its settled form.

Every driver that chooses who steps next makes its choices among the same moves. A choice is one number:
`actor << CHOICE_SHIFT | kind`.
"""

import numpy as np

from gmembench.core.drivers.instance import EXIT, FORCE, IDLE, STEP, YIELD
from gmembench.core.drivers.sequential import begin
from gmembench.core.intrinsics.blocks import keep_bytes
from gmembench.core.intrinsics.chains import OUTCOME_BITS
from gmembench.core.intrinsics.items import item, put_item
from gmembench.core.jit import inlined_part
from gmembench.core.outcomes import BLOCKED, OUTCOMES
from gmembench.core.steps.table import run_small
from gmembench.core.views import Record
from gmembench.core.world import IN_GUEST, OUTSIDE_GUEST, actor, event, sept, tlb

CHOICE_SHIFT = 4
KIND_MASK = (1 << CHOICE_SHIFT) - 1

YIELD_BIT, EXIT_BIT, COUNTS_BIT = range(3)

MAY_YIELD, MAY_EXIT, MAY_COUNT = 1 << YIELD_BIT, 1 << EXIT_BIT, 1 << COUNTS_BIT
"""Flags of a row: its zap may yield; a vCPU in the guest may leave it before this row; the row may count up what a
settled state tells by differences. `flags` are by row + 1, as a vCPU may leave where it idles."""

WAY_TARGET, WAY_TAKEN = range(2)
"""Items of `ways`, i8 (row, outcome, 2): where it leads, and how often it was taken. They share a cache line."""

SPARE_MOVES = 2
"""Items behind the last move that listing moves may write to."""

LEFT = -2
"""What `make_move` returns when a vCPU left the guest: no row ran."""

WAITED = -1
"""What `make_move` returns when the row must wait: the move cannot be made now."""

FORCE_OUTCOME, FORCE_ACTORS, FORCE_GFN, FORCE_MUST = range(4)
GATE_ACTORS, GATE_GFN = range(2)

DEAD, STALE, FRESH = -2, -1, 0
"""A snapshot of the invalidation sequence in a settled state. It is DEAD if the actor does not read it again, so that
what becomes of it as the sequence counts on does not depend on the row before which the actor stands."""

EPOCHS_KEPT = 2
"""The TD epoch of a settled state is at most this: what is older than two epochs is as old as any."""


@inlined_part
def is_open(w: Record, gate: int, gates: np.ndarray, gate_rows: np.ndarray) -> bool:
    """Whether somebody stands where the gate asks for it."""
    if event(w, w["events_n"] - len(gates) + gate)["skip"] != 0:
        return False
    for i in range(w["actors_n"]):
        b = actor(w, i)
        stands = gates[gate, GATE_ACTORS] >> i & 1 != 0 and gate_rows[gate, b["row"] + 1] != 0
        if stands and (gates[gate, GATE_GFN] < 0 or gates[gate, GATE_GFN] == b["gfn"]):
            return True
    return False


@inlined_part
def can_force(w: Record, number: int, i: int, forces: np.ndarray, force_rows: np.ndarray) -> bool:
    """Whether an event concerns the row before which an actor stands. It may have to let hits go by first."""
    a = actor(w, number)
    if force_rows[i, a["row"]] == 0 or event(w, i)["left"] == 0 or forces[i, FORCE_ACTORS] >> number & 1 == 0:
        return False
    return forces[i, FORCE_GFN] < 0 or forces[i, FORCE_GFN] == a["gfn"]


@inlined_part
def is_done(a: Record, number: int, ends: np.ndarray, gate_of: np.ndarray) -> bool:
    """Whether an actor owes nothing any more. Operations behind a gate are not owed."""
    return a["row"] == IDLE and (a["next"] == ends[number] or gate_of[number] >= 0)


@inlined_part
def all_done(w: Record, ends: np.ndarray, gate_of: np.ndarray) -> bool:
    """Whether all scripts are done."""
    for number in range(w["actors_n"]):
        if not is_done(actor(w, number), number, ends, gate_of):
            return False
    return True


@inlined_part
def at_rest(w: Record) -> bool:
    """Whether nobody is inside an operation."""
    for number in range(w["actors_n"]):
        if actor(w, number)["row"] != IDLE:
            return False
    return True


@inlined_part
def list_eventful_moves(
    w: Record,
    number: int,
    flags: np.ndarray,
    ends: np.ndarray,
    forces: np.ndarray,
    force_rows: np.ndarray,
    gate_of: np.ndarray,
    gates: np.ndarray,
    gate_rows: np.ndarray,
    moves: np.ndarray,
    found: int,
) -> int:
    """Append the rows that one actor may run, and how they may end, to moves[found:]. Returns how many then."""
    a = actor(w, number)
    at = a["row"]
    choice = number << CHOICE_SHIFT
    if at == IDLE:
        if a["next"] < ends[number] and (gate_of[number] < 0 or is_open(w, gate_of[number], gates, gate_rows)):
            moves[found] = choice | STEP
            found += 1
    else:
        forced = False
        for i in range(len(forces)):
            if can_force(w, number, i, forces, force_rows) and event(w, i)["skip"] == 0:
                moves[found] = choice | FORCE + i
                found += 1
                if forces[i, FORCE_MUST] != 0:
                    forced = True
        if not forced:
            moves[found] = choice | STEP
            found += 1
            if flags[at + 1] & MAY_YIELD != 0:
                moves[found] = choice | YIELD
                found += 1
    return found


@inlined_part
def may_leave(w: Record, number: int, timer: int) -> int:
    """1 if an actor is a vCPU in the guest and a kick or the timer takes it out, where its row lets it go."""
    a = actor(w, number)
    return int((number < w["vcpus"]) & (a["mode"] == IN_GUEST) & (a["kicked"] | timer != 0))


@inlined_part
def list_moves_of(
    w: Record,
    number: int,
    flags: np.ndarray,
    ends: np.ndarray,
    timer: int,
    forces: np.ndarray,
    force_rows: np.ndarray,
    gate_of: np.ndarray,
    gates: np.ndarray,
    gate_rows: np.ndarray,
    moves: np.ndarray,
    found: int,
) -> int:
    """Append the choices of one actor to moves[found:]; some may turn out to have to wait. Returns how many then.

    Up to SPARE_MOVES behind them are overwritten: without events no branch is taken, as it could not be predicted.
    """
    a = actor(w, number)
    at = a["row"]
    may = item(flags, at + 1)
    choice = number << CHOICE_SHIFT
    if len(forces) + len(gates) != 0:
        found = list_eventful_moves(w, number, flags, ends, forces, force_rows, gate_of, gates, gate_rows, moves, found)
    else:
        put_item(moves, found, choice | STEP)
        found += 1 - int((at == IDLE) & (a["next"] == item(ends, number)))
        put_item(moves, found, choice | YIELD)
        found += may >> YIELD_BIT & 1
    put_item(moves, found, choice | EXIT)
    return found + (may >> EXIT_BIT & may_leave(w, number, timer))


@inlined_part
def list_moves(
    w: Record,
    flags: np.ndarray,
    ends: np.ndarray,
    timer: int,
    forces: np.ndarray,
    force_rows: np.ndarray,
    gate_of: np.ndarray,
    gates: np.ndarray,
    gate_rows: np.ndarray,
    moves: np.ndarray,
) -> int:
    """Write the choices that there are into `moves`; some may turn out to have to wait. Returns how many."""
    found = 0
    for number in range(w["actors_n"]):
        found = list_moves_of(
            w, number, flags, ends, timer, forces, force_rows, gate_of, gates, gate_rows, moves, found
        )
    return found


@inlined_part
def leave(a: Record) -> None:
    """A vCPU leaves the guest, for a kick or a timer: its next exit is told as a kick, unless it idles."""
    a["mode"] = OUTSIDE_GUEST
    a["kicked"] = 0 if a["row"] == IDLE else 1


@inlined_part
def count_arrival(w: Record, number: int, gates: np.ndarray, gate_rows: np.ndarray) -> None:
    """Count an actor that has just come to stand where a gate asks for it."""
    a = actor(w, number)
    for gate in range(len(gates)):
        e = event(w, w["events_n"] - len(gates) + gate)
        if e["skip"] > 0 and gates[gate, GATE_ACTORS] >> number & 1 and gate_rows[gate, a["row"] + 1] != 0:
            e["skip"] -= 1


@inlined_part
def count_way(ways: np.ndarray, at: int, outcome: int) -> int:
    """Count that a row ended in an outcome. Returns the row that follows, or IDLE."""
    way = 2 * (at * len(OUTCOMES) + outcome)
    put_item(ways, way + WAY_TAKEN, item(ways, way + WAY_TAKEN) + 1)
    return item(ways, way + WAY_TARGET)


@inlined_part
def make_move(
    w: Record,
    choice: int,
    at: int,
    rows: np.ndarray,
    ways: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    forces: np.ndarray,
    force_rows: np.ndarray,
    gates: np.ndarray,
    gate_rows: np.ndarray,
) -> int:
    """Do one thing, and count it in `ways`. `at`: the row before which the actor stands.

    Who has it at hand says it: a state that was only just copied gives it late, and the jump to the step waits for it.
    Returns row << OUTCOME_BITS | outcome, WAITED or LEFT. After WAITED nothing has changed but registers of the actor.
    """
    number = choice >> CHOICE_SHIFT
    kind = choice & KIND_MASK
    a = actor(w, number)
    if kind == EXIT:
        leave(a)
        return LEFT
    if at == IDLE:
        op = operations[a["next"]]
        at = entries[op["program"]]
        a["program"] = op["program"]
        a["row"] = at
        a["next"] += 1
        begin(a, op)
        a["range_slot"] = -1
    a["used"] = 0
    if kind >= FORCE:
        event(w, kind - FORCE)["left"] -= 1
        outcome = forces[kind - FORCE, FORCE_OUTCOME]
    else:
        gone_by = 0
        for i in range(len(forces)):
            if can_force(w, number, i, forces, force_rows) and event(w, i)["skip"] > 0:
                gone_by |= 1 << i
        a["yield_now"] = int(kind == YIELD)
        outcome = run_small(w, a, rows, at)
        a["yield_now"] = 0
        if outcome == BLOCKED:
            count_way(ways, at, BLOCKED)
            return WAITED
        for i in range(len(forces)):
            event(w, i)["skip"] -= gone_by >> i & 1
    a["row"] = count_way(ways, at, outcome)
    count_arrival(w, number, gates, gate_rows)
    return at << OUTCOME_BITS | outcome


@inlined_part
def settle_sequence(w: Record) -> None:
    """Tell snapshots of the invalidation sequence only as fresh or stale. Those that are forgotten stay so."""
    seq = w["inval_seq"]
    for i in range(w["actors_n"]):
        b = actor(w, i)
        if b["seq"] != DEAD:
            b["seq"] = FRESH if b["seq"] == seq else STALE
    w["inval_seq"] = FRESH


@inlined_part
def settle_tlb(w: Record, number: int) -> None:
    """Clear the entries of a TLB that were flushed."""
    b = actor(w, number)
    first = number * (w["tlb_mask"] + 1)
    for i in range(first, first + w["tlb_mask"] + 1):
        t = tlb(w, i)
        if t["generation"] == b["tlb_generation"]:
            t["generation"] = 1
        else:
            t["gfn"] = 0
            t["pfn"] = 0
            t["generation"] = 0
    b["tlb_generation"] = 1


@inlined_part
def settle_epochs(w: Record) -> None:
    """Count TD epochs from two before the present one."""
    older = w["tdx_epoch"] - EPOCHS_KEPT
    w["tdx_epoch"] = EPOCHS_KEPT
    for i in range(w["vcpus"]):
        b = actor(w, i)
        b["entered_epoch"] = max(b["entered_epoch"] - older, 0)
    for gfn in range(w["septs_n"]):
        s = sept(w, gfn)
        s["epoch"] = max(s["epoch"] - older, 0)


@inlined_part
def settle_counts(w: Record) -> None:
    """Tell what only counts up by differences: it would pass a byte."""
    if w["inval_seq"] != FRESH:
        settle_sequence(w)
    for i in range(w["actors_n"]):
        if actor(w, i)["tlb_generation"] != 1:
            settle_tlb(w, i)
    if w["tdx_epoch"] > EPOCHS_KEPT:
        settle_epochs(w)


@inlined_part
def forget(a: Record, keep: np.ndarray, neutral: np.ndarray) -> None:
    """Give the registers that an actor will not read again one value each: the first one, and DEAD to a snapshot."""
    keep_bytes(a, keep, neutral, a["row"] + 1)


@inlined_part
def settle(w: Record, number: int, keep: np.ndarray, neutral: np.ndarray) -> None:
    """Bring the state after a step of an actor to the form in which equal states are equal bytes.

    What only counts up is told by differences; registers that the actor will not read again have one value each.
    """
    settle_counts(w)
    forget(actor(w, number), keep, neutral)
