"""The search through all reachable states: a compiled loop over arrays that returns when an array is full.

Several waiting states are expanded together, and all their successors made before any of them is looked up, so that
the processor fetches the buckets of the table meanwhile. States are told apart by their fingerprints.
"""

import numpy as np

from gmembench.core.drivers.fingerprints import bucket_of, find_or_insert, fingerprint
from gmembench.core.drivers.instance import IDLE, STEP
from gmembench.core.drivers.moves import (
    CHOICE_SHIFT,
    LEFT,
    MAY_EXIT,
    WAITED,
    all_done,
    at_rest,
    list_moves,
    make_move,
    settle,
)
from gmembench.core.drivers.symmetry import sort_actors
from gmembench.core.drivers.watching import watch
from gmembench.core.jit import LANES, OUTCOME_BITS, copy_words, inlined_part, lean_kernel, prefetch_item
from gmembench.core.judges import AT_END, REST, STATE, USE, judge_end, judge_rest, judge_state, judge_use
from gmembench.core.views import Record, Word
from gmembench.core.world import IN_GUEST, actor, small_head_at

MOST_MOVES = 64
"""Moves that one state can have."""

ROOM = 128
"""Successors that there is room for before they are looked up: they fit into the second-level cache."""

DONE, FAILED, TABLE_FULL, WAITING_FULL, LINKS_FULL, EDGES_FULL, PAUSED, ENOUGH_STATES = range(8)
"""Why the loop returned."""

SEARCH = np.dtype(
    [
        ("first", "i8"),  # waiting states: the oldest, and one behind the newest; positions modulo their number
        ("last", "i8"),
        ("states", "i8"),
        ("transitions", "i8"),
        ("moves", "i8"),  # moves made: more than transitions where rows went on alone
        ("edges", "i8"),
        ("finished", "i8"),  # states in which all scripts are done
        ("pause_at", "i8"),  # transitions at which the loop returns
        ("when", "i8"),  # what was found: index in WHENS, or STUCK_STATE
        ("found", "i8"),
        ("failed_state", "i8"),  # number of the state at which it was found
        ("failed_choice", "i8"),  # choice from there; -1 if the state itself is wrong
    ]
)
"""Where a search is, and what it found."""

STUCK_STATE = 4


@inlined_part
def judge_move(w: Record, number: int, program: int, masks: np.ndarray, search: np.ndarray) -> bool:
    """Judge the use of a page, and the end of an operation. True if something does not hold."""
    a = actor(w, number)
    if a["used"] != 0:
        search[0]["when"] = USE
        search[0]["found"] = judge_use(masks[USE], w, a, program)
        if search[0]["found"] != 0:
            return True
    if a["row"] == IDLE:
        search[0]["when"] = AT_END
        search[0]["found"] = judge_end(masks[AT_END], w, a, program)
        return search[0]["found"] != 0
    return False


@inlined_part
def judge_new(w: Record, number: int, mask: int, masks: np.ndarray, search: np.ndarray) -> bool:
    """Judge a state that was not seen before. True if something does not hold."""
    a = actor(w, number)
    if mask != 0:
        search[0]["when"] = STATE
        search[0]["found"] = judge_state(mask, w, a, 0)
        if search[0]["found"] != 0:
            return True
    if a["row"] == IDLE and at_rest(w):
        search[0]["when"] = REST
        search[0]["found"] = judge_rest(masks[REST], w, a, 0)
        return search[0]["found"] != 0
    return False


@inlined_part
def touches_apart(
    w: Record,
    number: int,
    at: int,
    ends: np.ndarray,
    reads: np.ndarray,
    writes: np.ndarray,
    holds: np.ndarray,
    future: np.ndarray,
    rest: np.ndarray,
) -> bool:
    """Whether no other actor can touch anything that a row does not leave alone, until this actor has run the row.

    `future`: u8 (2, lockset, row), what may yet be read and written in this operation; `rest`: u8 (2, lockset,
    operation), in it and all that follow it in its script. The last column of both is empty.
    """
    held = holds[at]
    for other in range(w["actors_n"]):
        if other != number:
            b = actor(w, other)
            row = b["row"]
            following = b["next"] if b["next"] < ends[other] else rest.shape[2] - 1
            read = future[0, held, row] | rest[0, held, following]
            written = future[1, held, row] | rest[1, held, following]
            if other < w["vcpus"]:
                read |= future[0, held, -2]
                written |= future[1, held, -2]
            if writes[at] & (read | written) != 0 or reads[at] & written != 0:
                return False
    return True


@inlined_part
def find_alone(
    w: Record,
    ends: np.ndarray,
    flags: np.ndarray,
    reads: np.ndarray,
    writes: np.ndarray,
    holds: np.ndarray,
    future: np.ndarray,
    rest: np.ndarray,
    alone_rows: np.ndarray,
) -> int:
    """An actor whose row all others can do without, so that it alone may go first; -1 if there is none.

    The row is its only move and never waits, nothing that is judged or watched for can tell whether it has run, and no
    other actor can do anything, ever, that depends on it before it has run: a persistent set of one.
    """
    for number in range(w["actors_n"]):
        a = actor(w, number)
        at = a["row"]
        if at == IDLE or alone_rows[number, at] == 0:
            continue
        if number < w["vcpus"] and a["mode"] == IN_GUEST and flags[at] & MAY_EXIT != 0:
            continue
        if touches_apart(w, number, at, ends, reads, writes, holds, future, rest):
            return number
    return -1


@inlined_part
def go_on_alone(
    w: Record,
    rows: np.ndarray,
    taken: np.ndarray,
    targets: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    ends: np.ndarray,
    flags: np.ndarray,
    forces: np.ndarray,
    force_rows: np.ndarray,
    gates: np.ndarray,
    gate_rows: np.ndarray,
    keep: np.ndarray,
    neutral: np.ndarray,
    seq_live: np.ndarray,
    reads: np.ndarray,
    writes: np.ndarray,
    holds: np.ndarray,
    future: np.ndarray,
    rest: np.ndarray,
    alone_rows: np.ndarray,
    masks: np.ndarray,
    search: np.ndarray,
) -> int:
    """Run rows that may go alone until there is none. Returns how many; `search` says if something does not hold."""
    count = 0
    while True:
        number = find_alone(w, ends, flags, reads, writes, holds, future, rest, alone_rows)
        if number < 0:
            return count
        choice = number << CHOICE_SHIFT | STEP
        make_move(w, choice, rows, taken, targets, entries, operations, forces, force_rows, gates, gate_rows)
        count += 1
        if judge_move(w, number, actor(w, number)["program"], masks, search):
            return count
        settle(w, number, seq_live, keep, neutral)


@inlined_part
def lacks_room(s: Record, room: int, links: int, most_edges: int, live: int, most_prints: int) -> int:
    """What must grow, or be looked at, before the next batch is expanded; DONE if nothing."""
    if s["transitions"] >= s["pause_at"]:
        return PAUSED
    if s["states"] + ROOM > most_prints:
        return TABLE_FULL
    if s["last"] - s["first"] + ROOM > room:
        return WAITING_FULL
    if s["states"] + ROOM > links:
        return LINKS_FULL
    if live > 0 and s["edges"] + ROOM > most_edges:
        return EDGES_FULL
    return DONE


@inlined_part
def take_waiting(s: Record, room: int, breadth: int) -> int:
    """Take the oldest or the newest waiting state. Returns its position."""
    if breadth != 0:
        s["first"] += 1
        return (s["first"] - 1) & (room - 1)
    s["last"] -= 1
    return s["last"] & (room - 1)


@inlined_part
def note_failure(s: Record, state: Word, choice: int) -> None:
    """Note where something was found that does not hold."""
    s["failed_state"] = state
    s["failed_choice"] = choice


@lean_kernel
def search_on(  # noqa: PLR0911 - each reason to return stands where it is found
    work: np.ndarray,
    work_words: np.ndarray,
    waiting: np.ndarray,
    waiting_ids: np.ndarray,
    table: np.ndarray,
    ids: np.ndarray,
    parents: np.ndarray,
    choices: np.ndarray,
    edges: np.ndarray,
    keys: np.ndarray,
    rows: np.ndarray,
    taken: np.ndarray,
    targets: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    ends: np.ndarray,
    flags: np.ndarray,
    forces: np.ndarray,
    force_rows: np.ndarray,
    gate_of: np.ndarray,
    gates: np.ndarray,
    gate_rows: np.ndarray,
    keep: np.ndarray,
    neutral: np.ndarray,
    seq_live: np.ndarray,
    judged: np.ndarray,
    masks: np.ndarray,
    tags: np.ndarray,
    wanted: np.ndarray,
    conditions: np.ndarray,
    seen: np.ndarray,
    moves: np.ndarray,
    made: np.ndarray,
    prints: np.ndarray,
    reads: np.ndarray,
    writes: np.ndarray,
    holds: np.ndarray,
    future: np.ndarray,
    rest: np.ndarray,
    alone_rows: np.ndarray,
    twins: np.ndarray,
    begins: np.ndarray,
    compared: np.ndarray,
    was: np.ndarray,
    state_at: int,
    timer: int,
    partial: int,
    breadth: int,
    live: int,
    most_prints: int,
    most_states: int,
    search: np.ndarray,
) -> int:
    """Search on until something is full, found or done; says which.

    `work`: u1, ROOM + 1 worlds behind one another; `work_words` the same as u8. `waiting`: u8, states behind one
    another, a power of two of them. `made`: i8 (successor, 4): state it came from, choice, mask of rules, actor.
    `most_prints`: that the table may hold before it grows. `most_states`: it returns before it visits one more.
    """
    s = search[0]
    world_bytes = len(work) // (ROOM + 1)
    words = len(keys)
    at_word = state_at // 8
    room = len(waiting_ids)
    world_words = world_bytes // 8
    scratch = ROOM
    while True:
        if s["first"] == s["last"]:
            return DONE
        lacking = lacks_room(s, room, len(parents), len(edges), live, most_prints)
        if lacking != DONE:
            return lacking
        count = 0
        while s["first"] != s["last"] and count + MOST_MOVES <= ROOM:
            at = take_waiting(s, room, breadth)
            origin = np.int64(waiting_ids[at])
            copy_words(work_words, scratch * world_words + at_word, waiting, at * words, words)
            w = small_head_at(work, scratch * world_bytes)
            before = count
            found = list_moves(w, flags, ends, timer, forces, force_rows, gate_of, gates, gate_rows, moves)
            for m in range(found):
                choice = moves[m]
                number = choice >> CHOICE_SHIFT
                copy_words(work_words, count * world_words + at_word, waiting, at * words, words)
                v = small_head_at(work, count * world_bytes)
                went = make_move(
                    v, choice, rows, taken, targets, entries, operations, forces, force_rows, gates, gate_rows
                )
                if went == WAITED:
                    continue
                mask = 0
                if went != LEFT:
                    mask = judged[went >> OUTCOME_BITS]
                    if judge_move(v, number, actor(v, number)["program"], masks, search):
                        note_failure(s, origin, choice)
                        return FAILED
                settle(v, number, seq_live, keep, neutral)
                s["moves"] += 1
                if partial != 0:
                    s["moves"] += go_on_alone(
                        v,
                        rows,
                        taken,
                        targets,
                        entries,
                        operations,
                        ends,
                        flags,
                        forces,
                        force_rows,
                        gates,
                        gate_rows,
                        keep,
                        neutral,
                        seq_live,
                        reads,
                        writes,
                        holds,
                        future,
                        rest,
                        alone_rows,
                        masks,
                        search,
                    )
                    if s["found"] != 0:
                        note_failure(s, origin, choice)
                        return FAILED
                sort_actors(v, twins, begins, compared, was)
                made[count, 0] = origin
                made[count, 1] = choice
                made[count, 2] = mask
                made[count, 3] = number
                count += 1
            if count == before:
                if all_done(w, ends, gate_of):
                    s["finished"] += 1
                elif live >= 0:
                    s["when"] = STUCK_STATE
                    note_failure(s, origin, -1)
                    return FAILED
        s["transitions"] += count
        for j in range(count):
            prints[j] = fingerprint(small_head_at(work, j * world_bytes), state_at, keys)
            at = bucket_of(table, prints[j])
            prefetch_item(table, at)
            prefetch_item(table, at ^ LANES)
        for j in range(count):
            at = find_or_insert(table, prints[j])
            new = s["states"]
            if at >= 0:
                if new == most_states:
                    s["transitions"] -= count - j
                    return ENOUGH_STATES
                s["states"] += 1
                parents[new] = made[j, 0]
                choices[new] = made[j, 1]
                v = small_head_at(work, j * world_bytes)
                if judge_new(v, made[j, 3], made[j, 2], masks, search):
                    note_failure(s, new, -1)
                    return FAILED
                watch(v, tags, wanted, conditions, seen)
                to = s["last"] & (room - 1)
                s["last"] += 1
                waiting_ids[to] = new
                copy_words(waiting, to * words, work_words, j * world_words + at_word, words)
                if live > 0:
                    ids[at] = new
            elif live > 0:
                new = np.int64(ids[-1 - at])
            if live > 0:
                edges[s["edges"], 0] = made[j, 0]
                edges[s["edges"], 1] = new
                s["edges"] += 1


@lean_kernel
def mark_reaching(edges: np.ndarray, count: int, reaches: np.ndarray) -> int:
    """Clear in `reaches` (u1, by state) each state from which none without a way out is reached. Returns the sweeps.

    All are marked before. Most edges lead to a state found later, so a sweep from the last edge to the first marks
    nearly all that it can.
    """
    for i in range(count):
        reaches[edges[i, 0]] = 0
    sweeps = 0
    while True:
        changed = False
        for i in range(count - 1, -1, -1):
            if reaches[edges[i, 0]] == 0 and reaches[edges[i, 1]] != 0:
                reaches[edges[i, 0]] = 1
                changed = True
        sweeps += 1
        if not changed:
            return sweeps
