"""The search over collapsed states: a state is the numbers of its blocks, and what a row does is run once.

Blocks of 64 bytes are numbered as they come up, and few differ: four million states of an instance have five thousand
blocks. What a row does depends on those blocks alone that it, and what is judged after it, can read (core/footprints).
So the effect of a move on what it can see is remembered, and the next state in which it sees the same is made by
looking that up: one in twenty moves runs the row. States and transitions are those of search.py, which goes through
whole states.
"""

import numpy as np

from gmembench.core.drivers.fingerprints import FULL, bucket_of, find_beyond, find_in_line, find_or_insert, print_of
from gmembench.core.drivers.instance import EXIT, IDLE, STEP, YIELD
from gmembench.core.drivers.moves import (
    CHOICE_SHIFT,
    KIND_MASK,
    LEFT,
    MAY_COUNT,
    WAITED,
    count_way,
    forget,
    list_moves_of,
    make_move,
    settle_counts,
)
from gmembench.core.drivers.search import (
    BEYOND,
    BLOCKS_FULL,
    DONE,
    EFFECTS_FULL,
    ENOUGH_STATES,
    FAILED,
    STUCK_STATE,
    judge_move,
    judge_new,
    lacks_room,
    note_failure,
    take_waiting,
)
from gmembench.core.drivers.watching import some_unseen, watch
from gmembench.core.intrinsics.blocks import BLOCK, copy_words, hash_words, prefetch_item
from gmembench.core.intrinsics.blocks import LANES as LINE
from gmembench.core.intrinsics.chains import OUTCOME_BITS
from gmembench.core.intrinsics.items import item, put_item
from gmembench.core.intrinsics.lanes import (
    FREE,
    LANES,
    LAST,
    MIX,
    STATE_WORDS,
    change_state,
    copy_state,
    put_seen,
    same_block,
    seen_before,
    seen_hash,
    state_hash,
)
from gmembench.core.intrinsics.words import fold_product, high_product
from gmembench.core.jit import inlined_part, kernel, lean_kernel
from gmembench.core.outcomes import BLOCKED
from gmembench.core.views import Record, Word
from gmembench.core.world import actor, small_head_at

BATCH = 64
"""Successors that are made before they are looked up."""

NUMBERED, REMEMBERED, UNCHECKED = range(3)
"""Items of `counts`: one more than the last number of a block; effects that are remembered; effects that are still
looked up before one is checked."""

EFFECT_WORDS = 2 * STATE_WORDS
"""Words of an effect, a cache line: what was seen, then its exclusive-or with what it became. The last lanes of the
latter say how the move went: OUTCOME_LANE and ROW_LANE, of the whole effect."""

OUTCOME_LANE, ROW_LANE = LANES + FREE, LANES + LAST

NO_ROW = (1 << 16) - 1
"""The row of a vCPU that left the guest."""

MADE_STATE, MADE_CHOICE, MADE_ROW = range(3)
"""What is kept of a successor: the number of the state it came from, the choice, and the row that ran or NO_ROW."""

MADE_ITEMS = 4

SEES_ALL = 1 << 16
"""Bit of a sight: the row looks at all actors, and seldom sees the same twice, so that it is always run."""

SIGHT_MASK = 2 * SEES_ALL - 1

MOVE_CHOICE, MOVE_AT = 20, 32
"""Bits of a move before it is looked up: from 0 which blocks it can see, the choice, where its state waits."""

CHOICE_MASK = (1 << 8) - 1

IDLE_BIT, ROW_SHIFT, SIGHT_SHIFT = 3, 4, 32
"""Bits of what is told of an actor's block: from 0 kinds of moves (STEP, YIELD, EXIT); whether it is idle; the row that
is next, and which blocks that can see, 0 for an actor that is done."""

ROW_MASK = (1 << SIGHT_SHIFT - ROW_SHIFT) - 1


@inlined_part
def unfold(
    work_words: np.ndarray, state_at: int, state_lanes: np.ndarray, base: int, blocks: np.ndarray, lanes: int
) -> None:
    """Write the collapsed state whose lanes begin at `base` into the world, block by block."""
    for lane in range(lanes):
        copy_words(work_words, state_at // 8 + BLOCK * lane, blocks, BLOCK * item(state_lanes, base + lane), BLOCK)


@inlined_part
def tell_moves(
    w: Record,
    number: int,
    flags: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    ends: np.ndarray,
    timer: int,
    forces: np.ndarray,
    force_rows: np.ndarray,
    gate_of: np.ndarray,
    gates: np.ndarray,
    gate_rows: np.ndarray,
    moves: np.ndarray,
    sees: np.ndarray,
) -> int:
    """What an actor can do next, in one number: its kinds of moves, its row, and what that can see."""
    found = list_moves_of(w, number, flags, ends, timer, forces, force_rows, gate_of, gates, gate_rows, moves, 0)
    told = 0
    for m in range(found):
        told |= 1 << (item(moves, m) & KIND_MASK)
    a = actor(w, number)
    row = a["row"]
    if row == IDLE:
        told |= 1 << IDLE_BIT
        if a["next"] == ends[number]:
            return told
        row = entries[operations[a["next"]]["program"]]
    return told | row << ROW_SHIFT | sees[number, row + 1] << SIGHT_SHIFT


@inlined_part
def slot_of_block(record: Record, at: int, lane: int, block_keys: np.ndarray, slots: int) -> Word:
    """Where the search for the number of a block begins that lies at a distance in bytes."""
    told = hash_words(record, at, block_keys)
    return np.int64(high_product(fold_product(told ^ np.uint64(lane), np.uint64(MIX)), np.uint64(slots)))


@inlined_part
def number_of(
    work: np.ndarray,
    work_words: np.ndarray,
    state_at: int,
    lane: int,
    first_actor: int,
    blocks: np.ndarray,
    lane_of: np.ndarray,
    numbers: np.ndarray,
    told: np.ndarray,
    block_keys: np.ndarray,
    counts: np.ndarray,
    flags: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    ends: np.ndarray,
    timer: int,
    forces: np.ndarray,
    force_rows: np.ndarray,
    gate_of: np.ndarray,
    gates: np.ndarray,
    gate_rows: np.ndarray,
    moves: np.ndarray,
    sees: np.ndarray,
) -> int:
    """The number of one block of the world. Numbers begin at 1; a new one of an actor is told what that can do."""
    at = state_at // 8 + BLOCK * lane
    w = small_head_at(work, 0)
    slot = slot_of_block(w, 8 * at, lane, block_keys, len(numbers))
    while True:
        number = item(numbers, slot)
        if number == 0:
            break
        if item(lane_of, number) == lane and same_block(blocks, BLOCK * number, work_words, at):
            return number
        slot += 1
        if slot == len(numbers):
            slot = 0
    number = item(counts, NUMBERED)
    put_item(counts, NUMBERED, number + 1)
    put_item(numbers, slot, number)
    put_item(lane_of, number, lane)
    copy_words(blocks, BLOCK * number, work_words, at, BLOCK)
    of = lane - first_actor
    if of >= 0 and of < w["actors_n"]:
        told[number] = tell_moves(
            w,
            of,
            flags,
            entries,
            operations,
            ends,
            timer,
            forces,
            force_rows,
            gate_of,
            gates,
            gate_rows,
            moves,
            sees,
        )
    return number


@lean_kernel
def number_all(
    work: np.ndarray,
    work_words: np.ndarray,
    state_at: int,
    states: np.ndarray,
    lanes: int,
    first_actor: int,
    blocks: np.ndarray,
    lane_of: np.ndarray,
    numbers: np.ndarray,
    told: np.ndarray,
    block_keys: np.ndarray,
    counts: np.ndarray,
    flags: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    ends: np.ndarray,
    timer: int,
    forces: np.ndarray,
    force_rows: np.ndarray,
    gate_of: np.ndarray,
    gates: np.ndarray,
    gate_rows: np.ndarray,
    moves: np.ndarray,
    sees: np.ndarray,
) -> None:
    """Collapse the world: write the numbers of its blocks into the first state of `states` (u2)."""
    for lane in range(lanes):
        states[lane] = number_of(
            work,
            work_words,
            state_at,
            lane,
            first_actor,
            blocks,
            lane_of,
            numbers,
            told,
            block_keys,
            counts,
            flags,
            entries,
            operations,
            ends,
            timer,
            forces,
            force_rows,
            gate_of,
            gates,
            gate_rows,
            moves,
            sees,
        )


@kernel
def insert_collapsed(states: np.ndarray, keys: np.ndarray, table: np.ndarray) -> int:
    """Put the fingerprint of the first of some states into the table."""
    return find_or_insert(table, print_of(state_hash(states, 0, keys)))


@inlined_part
def settle_moved(
    w: Record, number: int, went: int, flags: np.ndarray, seq_live: np.ndarray, keep: np.ndarray, neutral: np.ndarray
) -> None:
    """Settle the state after a move, as the search of whole states does it."""
    if went != LEFT and flags[(went >> OUTCOME_BITS) + 1] & MAY_COUNT != 0:
        settle_counts(w, seq_live)
    forget(actor(w, number), keep, neutral)


@inlined_part
def row_of(went: int, row: int) -> int:
    """The row of a move that `make_move` made, or that waited."""
    if went == LEFT:
        return NO_ROW
    return row if went == WAITED else went >> OUTCOME_BITS


@inlined_part
def outcome_of(went: int) -> int:
    """The outcome of a move, BLOCKED if it waited."""
    if went == LEFT:
        return 0
    return BLOCKED if went == WAITED else went & (1 << OUTCOME_BITS) - 1


@inlined_part
def remember(
    work: np.ndarray,
    work_words: np.ndarray,
    state_at: int,
    states: np.ndarray,
    state_lanes: np.ndarray,
    at: int,
    choice: int,
    sight: int,
    slot: int,
    lanes: int,
    first_actor: int,
    blocks: np.ndarray,
    lane_of: np.ndarray,
    numbers: np.ndarray,
    told: np.ndarray,
    block_keys: np.ndarray,
    counts: np.ndarray,
    effects: np.ndarray,
    effect_lanes: np.ndarray,
    rows: np.ndarray,
    uncounted: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    ends: np.ndarray,
    flags: np.ndarray,
    timer: int,
    forces: np.ndarray,
    force_rows: np.ndarray,
    gate_of: np.ndarray,
    gates: np.ndarray,
    gate_rows: np.ndarray,
    keep: np.ndarray,
    neutral: np.ndarray,
    seq_live: np.ndarray,
    masks: np.ndarray,
    moves: np.ndarray,
    sees: np.ndarray,
    search: np.ndarray,
) -> int:
    """Make a move in a whole world, and remember what it changed. Returns DONE, FAILED or BEYOND."""
    base = LANES * at
    unfold(work_words, state_at, state_lanes, base, blocks, lanes)
    w = small_head_at(work, 0)
    number = choice >> CHOICE_SHIFT
    row = item(told, item(state_lanes, base + first_actor + number)) >> ROW_SHIFT & ROW_MASK
    before = actor(w, number)["row"]
    went = make_move(w, choice, before, rows, uncounted, entries, operations, forces, force_rows, gates, gate_rows)
    effect = LANES * 2 * slot
    for lane in range(LANES):
        put_item(effect_lanes, effect + LANES + lane, 0)
    put_item(effect_lanes, effect + ROW_LANE, row_of(went, row))
    put_item(effect_lanes, effect + OUTCOME_LANE, outcome_of(went))
    if went >= 0 and judge_move(w, number, actor(w, number)["program"], masks, search):
        return FAILED
    if went != WAITED:
        settle_moved(w, number, went, flags, seq_live, keep, neutral)
        for lane in range(lanes):
            old = item(state_lanes, base + lane)
            if same_block(work_words, state_at // 8 + BLOCK * lane, blocks, BLOCK * old):
                continue
            if sight >> lane & 1 == 0:
                search[0]["failed_choice"] = row
                return BEYOND
            new = number_of(
                work,
                work_words,
                state_at,
                lane,
                first_actor,
                blocks,
                lane_of,
                numbers,
                told,
                block_keys,
                counts,
                flags,
                entries,
                operations,
                ends,
                timer,
                forces,
                force_rows,
                gate_of,
                gates,
                gate_rows,
                moves,
                sees,
            )
            put_item(effect_lanes, effect + LANES + lane, old ^ new)
    put_seen(effects, EFFECT_WORDS * slot, states, STATE_WORDS * at, sight, choice + 1)
    if sight & SEES_ALL == 0:
        counts[REMEMBERED] += 1
    return DONE


@lean_kernel
def check_effect(
    work: np.ndarray,
    work_words: np.ndarray,
    state_at: int,
    state_lanes: np.ndarray,
    at: int,
    choice: int,
    slot: int,
    lanes: int,
    first_actor: int,
    blocks: np.ndarray,
    told: np.ndarray,
    effect_lanes: np.ndarray,
    rows: np.ndarray,
    uncounted: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    flags: np.ndarray,
    forces: np.ndarray,
    force_rows: np.ndarray,
    gates: np.ndarray,
    gate_rows: np.ndarray,
    keep: np.ndarray,
    neutral: np.ndarray,
    seq_live: np.ndarray,
    masks: np.ndarray,
    search: np.ndarray,
) -> int:
    """Make a move whose effect is remembered, judge it as then, and compare. Returns DONE or BEYOND."""
    base = LANES * at
    unfold(work_words, state_at, state_lanes, base, blocks, lanes)
    w = small_head_at(work, 0)
    number = choice >> CHOICE_SHIFT
    row = item(told, item(state_lanes, base + first_actor + number)) >> ROW_SHIFT & ROW_MASK
    before = actor(w, number)["row"]
    went = make_move(w, choice, before, rows, uncounted, entries, operations, forces, force_rows, gates, gate_rows)
    effect = LANES * 2 * slot
    same = row_of(went, row) == item(effect_lanes, effect + ROW_LANE)
    same = same and outcome_of(went) == item(effect_lanes, effect + OUTCOME_LANE)
    if went >= 0 and judge_move(w, number, actor(w, number)["program"], masks, search):
        search[0]["found"] = 0
        same = False
    if went != WAITED:
        settle_moved(w, number, went, flags, seq_live, keep, neutral)
        for lane in range(lanes):
            new = item(state_lanes, base + lane) ^ item(effect_lanes, effect + LANES + lane)
            same = same and same_block(work_words, state_at // 8 + BLOCK * lane, blocks, BLOCK * new)
    if same:
        return DONE
    search[0]["failed_choice"] = row
    return BEYOND


@lean_kernel
def move_effects(effects: np.ndarray, effect_lanes: np.ndarray, larger: np.ndarray, keys: np.ndarray) -> None:
    """Put all effects into a larger table."""
    slots = len(larger) // EFFECT_WORDS - 1
    for i in range(len(effects) // EFFECT_WORDS - 1):
        move = item(effect_lanes, LANES * 2 * i + LAST)
        if move != 0:
            told = seen_hash(effects, EFFECT_WORDS * i, -1, move, keys)
            slot: Word = np.int64(high_product(told, np.uint64(slots)))
            while item(larger, EFFECT_WORDS * slot + STATE_WORDS - 1) != np.uint64(0):
                slot += 1
                if slot == slots:
                    slot = 0
            copy_words(larger, EFFECT_WORDS * slot, effects, EFFECT_WORDS * i, EFFECT_WORDS)


@lean_kernel
def move_numbers(
    blocks: np.ndarray, bytes_of: np.ndarray, lane_of: np.ndarray, count: int, numbers: np.ndarray, keys: np.ndarray
) -> None:
    """Put the numbers of blocks into a larger table. `bytes_of`: the blocks as u1."""
    for number in range(1, count):
        slot = slot_of_block(small_head_at(bytes_of, 0), 8 * BLOCK * number, lane_of[number], keys, len(numbers))
        while numbers[slot] != 0:
            slot += 1
            if slot == len(numbers):
                slot = 0
        numbers[slot] = number


@lean_kernel
def search_collapsed(  # noqa: PLR0911 - each reason to return stands where it is found
    work: np.ndarray,
    work_words: np.ndarray,
    waiting: np.ndarray,
    waiting_lanes: np.ndarray,
    waiting_ids: np.ndarray,
    table: np.ndarray,
    ids: np.ndarray,
    parents: np.ndarray,
    choices: np.ndarray,
    edges: np.ndarray,
    keys: np.ndarray,
    next_states: np.ndarray,
    next_lanes: np.ndarray,
    lanes: int,
    first_actor: int,
    blocks: np.ndarray,
    lane_of: np.ndarray,
    numbers: np.ndarray,
    told: np.ndarray,
    block_keys: np.ndarray,
    counts: np.ndarray,
    sees: np.ndarray,
    effects: np.ndarray,
    effect_lanes: np.ndarray,
    listed: np.ndarray,
    slot_of: np.ndarray,
    uncounted: np.ndarray,
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
    later: np.ndarray,
    state_at: int,
    timer: int,
    check: int,
    most_moves: int,
    breadth: int,
    live: int,
    most_prints: int,
    most_states: int,
    search: np.ndarray,
) -> int:
    """Search on until something is full, found or done; says which. As search_on, but for what is collapsed.

    `waiting`, `next_states`: u8, collapsed states behind one another. `blocks`: u8, by number, and `lane_of` which of a
    state's blocks each is. `numbers`: u4, hash table of blocks. `told`: i8 by number, of an actor's block, what the
    actor can do. `sees`: i8 (actor, row + 1), mask of the blocks that a row can see, at 0 for leaving the guest.
    `effects`: u8, hash table of EFFECT_WORDS each, and one more behind it. `listed`: i8, moves before they are looked
    up, and `slot_of` where their effects should be. `check`: one in so many effects is checked as it is looked up.
    Names that end in `_lanes`: the same as u2. `uncounted`: ways whose counts nobody reads.
    """
    s = search[0]
    batch = len(prints)
    room = len(waiting_ids)
    actors = small_head_at(work, 0)["actors_n"]
    slots = len(effects) // EFFECT_WORDS - 1
    while True:
        if s["first"] == s["last"]:
            return DONE
        lacking = lacks_room(s, batch, room, len(parents), len(edges), live, most_prints)
        if lacking != DONE:
            return lacking
        if item(counts, NUMBERED) + batch * lanes > len(lane_of):
            return BLOCKS_FULL
        if 2 * (item(counts, REMEMBERED) + batch) > slots:
            return EFFECTS_FULL
        watching = some_unseen(seen, wanted)
        found = 0
        while s["first"] != s["last"] and found + most_moves <= batch:
            at = take_waiting(s, room, breadth)
            before = found
            for number in range(actors):
                can = item(told, item(waiting_lanes, LANES * at + first_actor + number))
                move = at << MOVE_AT | number << CHOICE_SHIFT + MOVE_CHOICE
                put_item(listed, found, move | can >> SIGHT_SHIFT)
                found += can >> STEP & 1
                put_item(listed, found, move | can >> SIGHT_SHIFT | YIELD << MOVE_CHOICE)
                found += can >> YIELD & 1
                put_item(listed, found, move | 1 << first_actor + number | EXIT << MOVE_CHOICE)
                found += can >> EXIT & 1
            if found == before:
                s["finished"] += 1
        for m in range(found):
            move = item(listed, m)
            sight = move & SIGHT_MASK
            asked = (move >> MOVE_CHOICE & CHOICE_MASK) + 1
            hashed = seen_hash(waiting, STATE_WORDS * (move >> MOVE_AT), sight, asked, keys)
            slot: Word = np.int64(high_product(hashed, np.uint64(slots)))
            if sight & SEES_ALL != 0:
                slot = slots
            prefetch_item(effects, EFFECT_WORDS * slot)
            put_item(slot_of, m, slot)
        count = before = 0
        for m in range(found):
            move = item(listed, m)
            at = move >> MOVE_AT
            choice = move >> MOVE_CHOICE & CHOICE_MASK
            sight = move & SIGHT_MASK
            slot = item(slot_of, m)
            while sight & SEES_ALL != 0 or not seen_before(
                waiting, STATE_WORDS * at, sight, choice + 1, effects, EFFECT_WORDS * slot
            ):
                if sight & SEES_ALL != 0 or item(effects, EFFECT_WORDS * slot + STATE_WORDS - 1) == np.uint64(0):
                    why = remember(
                        work,
                        work_words,
                        state_at,
                        waiting,
                        waiting_lanes,
                        at,
                        choice,
                        sight,
                        slot,
                        lanes,
                        first_actor,
                        blocks,
                        lane_of,
                        numbers,
                        told,
                        block_keys,
                        counts,
                        effects,
                        effect_lanes,
                        rows,
                        uncounted,
                        entries,
                        operations,
                        ends,
                        flags,
                        timer,
                        forces,
                        force_rows,
                        gate_of,
                        gates,
                        gate_rows,
                        keep,
                        neutral,
                        seq_live,
                        masks,
                        moves,
                        sees,
                        search,
                    )
                    if why == FAILED:
                        row = item(effect_lanes, LANES * 2 * slot + ROW_LANE)
                        count_way(ways, row, item(effect_lanes, LANES * 2 * slot + OUTCOME_LANE))
                        note_failure(s, item(waiting_ids, at), choice)
                    if why != DONE:
                        return why
                    break
                slot += 1
                if slot == slots:
                    slot = 0
            unchecked = item(counts, UNCHECKED) - 1
            if unchecked < 0:
                unchecked = check - 1
                why = check_effect(
                    work,
                    work_words,
                    state_at,
                    waiting_lanes,
                    at,
                    choice,
                    slot,
                    lanes,
                    first_actor,
                    blocks,
                    told,
                    effect_lanes,
                    rows,
                    uncounted,
                    entries,
                    operations,
                    flags,
                    forces,
                    force_rows,
                    gates,
                    gate_rows,
                    keep,
                    neutral,
                    seq_live,
                    masks,
                    search,
                )
                if why != DONE:
                    return why
            put_item(counts, UNCHECKED, unchecked)
            row = item(effect_lanes, LANES * 2 * slot + ROW_LANE)
            outcome = item(effect_lanes, LANES * 2 * slot + OUTCOME_LANE)
            if row != NO_ROW:
                count_way(ways, row, outcome)
            if outcome != BLOCKED:
                effect = EFFECT_WORDS * slot
                change_state(next_states, STATE_WORDS * count, waiting, STATE_WORDS * at, effects, effect + STATE_WORDS)
                put_item(made, MADE_ITEMS * count + MADE_STATE, item(waiting_ids, at))
                put_item(made, MADE_ITEMS * count + MADE_CHOICE, choice)
                put_item(made, MADE_ITEMS * count + MADE_ROW, row)
                count += 1
            if m + 1 == found or item(listed, m + 1) >> MOVE_AT != at:
                if count == before and live >= 0:
                    s["when"] = STUCK_STATE
                    note_failure(s, item(waiting_ids, at), -1)
                    return FAILED
                before = count
        s["transitions"] += count
        s["moves"] += count
        for j in range(count):
            told_print = print_of(state_hash(next_states, STATE_WORDS * j, keys))
            put_item(prints, j, told_print)
            prefetch_item(table, bucket_of(table, told_print))
        n = k = 0
        while k < count + n:
            j = k if k < count else item(later, k - count)
            told_print = item(prints, j)
            place = bucket_of(table, told_print)
            k += 1
            if k <= count:
                line = place
                place = find_in_line(table, line, told_print)
                if place == FULL:
                    prefetch_item(table, line ^ LINE)
                    put_item(later, n, j)
                    n += 1
                    continue
            else:
                place = find_beyond(table, place, told_print)
            new = s["states"]
            if place >= 0:
                if new == most_states:
                    s["transitions"] -= count - (k - 1 - n)
                    return ENOUGH_STATES
                s["states"] += 1
                choice = item(made, MADE_ITEMS * j + MADE_CHOICE)
                row = item(made, MADE_ITEMS * j + MADE_ROW)
                put_item(parents, new, item(made, MADE_ITEMS * j))
                put_item(choices, new, choice)
                number = choice >> CHOICE_SHIFT
                mask = item(judged, row) if row != NO_ROW else 0
                can = item(told, item(next_lanes, LANES * j + first_actor + number))
                if mask != 0 or watching or can >> IDLE_BIT & 1 != 0:
                    unfold(work_words, state_at, next_lanes, LANES * j, blocks, lanes)
                    v = small_head_at(work, 0)
                    if judge_new(v, number, mask, masks, search):
                        note_failure(s, new, -1)
                        return FAILED
                    if watching:
                        watch(v, tags, wanted, conditions, seen)
                to = s["last"] & (room - 1)
                s["last"] += 1
                put_item(waiting_ids, to, new)
                copy_state(waiting, STATE_WORDS * to, next_states, STATE_WORDS * j)
                if live > 0:
                    put_item(ids, place, new)
            elif live > 0:
                new = item(ids, -1 - place)
            if live > 0:
                put_item(edges, 2 * s["edges"], item(made, MADE_ITEMS * j))
                put_item(edges, 2 * s["edges"] + 1, new)
                s["edges"] += 1
