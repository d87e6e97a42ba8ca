"""The search through all reachable states: a compiled loop over arrays that returns when an array is full.

Several waiting states are expanded together, and all their successors made before any of them is looked up, so that
the processor fetches the buckets of the table meanwhile. States are told apart by their fingerprints.
"""

import numpy as np

from gmembench.core.drivers.canonical import make_canonical
from gmembench.core.drivers.fingerprints import FULL, bucket_of, find_beyond, find_in_line, fingerprint
from gmembench.core.drivers.instance import IDLE, STEP
from gmembench.core.drivers.moves import (
    CHOICE_SHIFT,
    LEFT,
    MAY_COUNT,
    MAY_EXIT,
    SPARE_MOVES,
    WAITED,
    all_done,
    at_rest,
    forget,
    list_moves,
    make_move,
    settle,
    settle_counts,
)
from gmembench.core.drivers.pages import pages_touched
from gmembench.core.drivers.watching import some_unseen, watch
from gmembench.core.intrinsics.blocks import LANES, copy_words, prefetch_item
from gmembench.core.intrinsics.chains import OUTCOME_BITS
from gmembench.core.intrinsics.items import item, put_item
from gmembench.core.jit import inlined_part, lean_kernel
from gmembench.core.judges import AT_END, REST, STATE, USE, judge_end, judge_rest, judge_state, judge_use
from gmembench.core.views import Record, Word
from gmembench.core.world import IN_GUEST, actor, small_head_at

BATCH = 32
"""Successors that are made before they are looked up: they fit into the first-level cache, and as many lines of the
table can be on their way at once."""

(
    DONE,
    FAILED,
    TABLE_FULL,
    WAITING_FULL,
    LINKS_FULL,
    EDGES_FULL,
    PAUSED,
    ENOUGH_STATES,
    BLOCKS_FULL,
    EFFECTS_FULL,
    BEYOND,
) = range(11)
"""Why a loop returned. The last three: only that of collapsed.py."""

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

MADE_STATE, MADE_CHOICE, MADE_ROW, MADE_FROM = range(4)
"""What is kept of a successor: the number of the state it came from, the choice, the row that ran or -1, and where the
state that it came from lies among those that wait."""

MADE_ITEMS = 4

STUCK_STATE, LEFT_MODEL = 4, 5
"""`when`, beside those of rules: nobody gets on; a row, or a rule after it, used what is not there (`found` says what,
as the header does)."""


@inlined_part
def left_model(w: Record, search: np.ndarray) -> bool:
    """Whether something was used that is not there; noted as what was found."""
    if w["outside"] == 0:
        return False
    search[0]["when"] = LEFT_MODEL
    search[0]["found"] = w["outside"]
    return True


@inlined_part
def broken_by_move(w: Record, number: int, program: int, masks: np.ndarray, search: np.ndarray) -> bool:
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
def judge_move(w: Record, number: int, program: int, masks: np.ndarray, search: np.ndarray) -> bool:
    """Judge a move. True if something does not hold, or if the row or a rule left the model, which comes first."""
    broken = broken_by_move(w, number, program, masks, search)
    return left_model(w, search) or broken


@inlined_part
def broken_state(w: Record, number: int, mask: int, masks: np.ndarray, search: np.ndarray) -> bool:
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
def judge_new(w: Record, number: int, mask: int, masks: np.ndarray, search: np.ndarray) -> bool:
    """Judge a state that was not seen before. True if something does not hold, or a rule left the model."""
    broken = broken_state(w, number, mask, masks, search)
    return left_model(w, search) or broken


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
        if number < w["vcpus"] and a["mode"] == IN_GUEST and flags[at + 1] & MAY_EXIT != 0:
            continue
        if touches_apart(w, number, at, ends, reads, writes, holds, future, rest):
            return number
    return -1


@inlined_part
def go_on_alone(
    w: Record,
    rows: np.ndarray,
    ways: np.ndarray,
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
        at = actor(w, number)["row"]
        make_move(w, choice, at, rows, ways, entries, operations, forces, force_rows, gates, gate_rows)
        count += 1
        if judge_move(w, number, actor(w, number)["program"], masks, search):
            return count
        settle(w, number, keep, neutral)


@inlined_part
def lacks_room(s: Record, batch: int, room: int, links: int, most_edges: int, live: int, most_prints: int) -> int:
    """What must grow, or be looked at, before the next batch is expanded; DONE if nothing."""
    if s["transitions"] >= s["pause_at"]:
        return PAUSED
    if s["states"] + batch > most_prints:
        return TABLE_FULL
    if s["last"] - s["first"] + batch > room:
        return WAITING_FULL
    if s["states"] + batch > links:
        return LINKS_FULL
    if live > 0 and s["edges"] + batch > most_edges:
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
    ways: np.ndarray,
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
    judged: np.ndarray,
    masks: np.ndarray,
    tags: np.ndarray,
    wanted: np.ndarray,
    conditions: np.ndarray,
    seen: np.ndarray,
    moves: np.ndarray,
    made: np.ndarray,
    prints: np.ndarray,
    later: np.ndarray,
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
    paged: int,
    apart: int,
    fields: np.ndarray,
    blocks: np.ndarray,
    naming: np.ndarray,
    touched: np.ndarray,
    spare: np.ndarray,
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

    `work`: u1, worlds behind one another, one more than `prints` has items; `work_words` the same as u8. `waiting`: u8,
    states behind one another, a power of two of them. `made`: i8, MADE_ITEMS of each successor.
    `most_prints`: that the table may hold before it grows. `most_states`: it returns before it visits one more.
    """
    s = search[0]
    batch = len(prints)
    world_bytes = len(work) // (batch + 1)
    words = len(keys) // 2
    at_word = state_at // 8
    room = len(waiting_ids)
    world_words = world_bytes // 8
    scratch = batch
    most_moves = len(moves) - SPARE_MOVES
    while True:
        if s["first"] == s["last"]:
            return DONE
        lacking = lacks_room(s, batch, room, len(parents), len(edges), live, most_prints)
        if lacking != DONE:
            return lacking
        watching = some_unseen(seen, wanted)
        count = 0
        while s["first"] != s["last"] and count + most_moves <= batch:
            at = take_waiting(s, room, breadth)
            origin = item(waiting_ids, at)
            copy_words(work_words, scratch * world_words + at_word, waiting, at * words, words)
            w = small_head_at(work, scratch * world_bytes)
            before = count
            found = list_moves(w, flags, ends, timer, forces, force_rows, gate_of, gates, gate_rows, moves)
            for m in range(found):
                choice = item(moves, m)
                number = choice >> CHOICE_SHIFT
                row = actor(w, number)["row"]
                copy_words(work_words, count * world_words + at_word, waiting, at * words, words)
                v = small_head_at(work, count * world_bytes)
                went = make_move(v, choice, row, rows, ways, entries, operations, forces, force_rows, gates, gate_rows)
                if went == WAITED:
                    if left_model(v, search):
                        note_failure(s, origin, choice)
                        return FAILED
                    continue
                if went != LEFT and judge_move(v, number, actor(v, number)["program"], masks, search):
                    note_failure(s, origin, choice)
                    return FAILED
                put_item(made, MADE_ITEMS * count, origin)
                put_item(made, MADE_ITEMS * count + MADE_CHOICE, choice)
                put_item(made, MADE_ITEMS * count + MADE_ROW, went >> OUTCOME_BITS)
                put_item(made, MADE_ITEMS * count + MADE_FROM, at * words)
                count += 1
            if count == before:
                if all_done(w, ends, gate_of):
                    s["finished"] += 1
                elif live >= 0:
                    s["when"] = STUCK_STATE
                    note_failure(s, origin, -1)
                    return FAILED
        s["transitions"] += count
        s["moves"] += count
        for j in range(count):
            v = small_head_at(work, j * world_bytes)
            choice = item(made, MADE_ITEMS * j + MADE_CHOICE)
            row = item(made, MADE_ITEMS * j + MADE_ROW)
            number = choice >> CHOICE_SHIFT
            if row >= 0 and item(flags, row + 1) & MAY_COUNT != 0:
                settle_counts(v)
            forget(actor(v, number), keep, neutral)
            if partial != 0:
                s["moves"] += go_on_alone(
                    v,
                    rows,
                    ways,
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
                    note_failure(s, item(made, MADE_ITEMS * j), choice)
                    return FAILED
            begin = item(made, MADE_ITEMS * j + MADE_FROM)
            state = j * world_words + at_word
            if len(twins) > 0 or (paged != 0 and pages_touched(work_words, state, waiting, begin, touched)):
                make_canonical(
                    v,
                    work,
                    j * world_bytes,
                    twins,
                    begins,
                    compared,
                    was,
                    paged,
                    apart,
                    fields,
                    blocks,
                    naming,
                    spare,
                )
        for j in range(count):
            told = fingerprint(small_head_at(work, j * world_bytes), state_at, keys)
            put_item(prints, j, told)
            prefetch_item(table, bucket_of(table, told))
        n = k = 0
        while k < count + n:
            j = k if k < count else item(later, k - count)
            told = item(prints, j)
            at = bucket_of(table, told)
            k += 1
            if k <= count:
                place = find_in_line(table, at, told)
                if place == FULL:
                    prefetch_item(table, at ^ LANES)
                    put_item(later, n, j)
                    n += 1
                    continue
            else:
                place = find_beyond(table, at, told)
            at = place
            new = s["states"]
            if at >= 0:
                if new == most_states:
                    s["transitions"] -= count - (k - 1 - n)
                    return ENOUGH_STATES
                s["states"] += 1
                choice = item(made, MADE_ITEMS * j + MADE_CHOICE)
                row = item(made, MADE_ITEMS * j + MADE_ROW)
                put_item(parents, new, item(made, MADE_ITEMS * j))
                put_item(choices, new, choice)
                v = small_head_at(work, j * world_bytes)
                mask = item(judged, row) if row >= 0 else 0
                if judge_new(v, choice >> CHOICE_SHIFT, mask, masks, search):
                    note_failure(s, new, -1)
                    return FAILED
                if watching:
                    watch(v, tags, wanted, conditions, seen)
                to = s["last"] & (room - 1)
                s["last"] += 1
                put_item(waiting_ids, to, new)
                copy_words(waiting, to * words, work_words, j * world_words + at_word, words)
                if live > 0:
                    put_item(ids, at, new)
            elif live > 0:
                new = item(ids, -1 - at)
            if live > 0:
                put_item(edges, 2 * s["edges"], item(made, MADE_ITEMS * j))
                put_item(edges, 2 * s["edges"] + 1, new)
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
