"""The search over collapsed states: a state is the numbers of its blocks, and what a row does is run once.

Blocks of 64 bytes are numbered as they come up, and few differ: four million states of an instance have four thousand.
What a row does depends on those blocks alone that it, and what is judged after it, can read (core/footprints). So the
effect of a move on what it can see is remembered, and the next state in which it sees the same is made by looking that
up: one move in fifty runs its row. What others look at in an actor is a block of its own, so that rows which look at
all actors see little of them. A fingerprint is the exclusive-or of a random word for each block, and an effect knows
what it changes in it. States and transitions are those of search.py, which goes through whole states.
"""

import numpy as np

from gmembench.core.drivers.fingerprints import EMPTY, FULL, bucket_of, find_beyond, find_in_line, find_or_insert
from gmembench.core.drivers.instance import EXIT, IDLE, STEP, YIELD
from gmembench.core.drivers.moves import (
    CHOICE_SHIFT,
    EXIT_BIT,
    LEFT,
    MAY_COUNT,
    WAITED,
    YIELD_BIT,
    count_way,
    forget,
    make_move,
    may_leave,
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
    left_model,
    note_failure,
    take_waiting,
)
from gmembench.core.drivers.watching import some_unseen, watch
from gmembench.core.intrinsics.blocks import BLOCK, copy_words, hash_words, prefetch_item
from gmembench.core.intrinsics.blocks import LANES as LINE
from gmembench.core.intrinsics.chains import OUTCOME_BITS
from gmembench.core.intrinsics.items import item, put_item
from gmembench.core.intrinsics.lanes import (
    LANES,
    MIX,
    MOST_BLOCKS,
    MOVE_LANE,
    PRINT,
    STATE_WORDS,
    change_state,
    copy_state,
    join_block,
    mask_block,
    put_seen,
    same_block,
    same_part,
    seen_before,
    seen_hash,
)
from gmembench.core.intrinsics.words import fold_product, high_product
from gmembench.core.jit import inlined_part, kernel, lean_kernel
from gmembench.core.judges import judge_state
from gmembench.core.outcomes import BLOCKED
from gmembench.core.views import Record, Word
from gmembench.core.world import actor, small_head_at

BATCH = 64
"""Successors that are made before they are looked up."""

NUMBERED, REMEMBERED, UNCHECKED = range(3)
"""Items of `counts`: one more than the last number of a block, and of an effect; how many effects are still looked up
before one is checked."""

EFFECT_WORDS = 2 * STATE_WORDS
"""Words of an effect, a cache line: what was seen, then its exclusive-or with what it became, the fingerprint too.
Beside the move stand the outcome, the row, and the rules by which the state that it leads to is judged."""

OUTCOME_LANE, ROW_LANE, JUDGED_LANE = MOVE_LANE + 1, MOVE_LANE + 2, MOVE_LANE + 3

NUMBER_BITS = 25
"""Of an entry of the index: from 0 the number of an effect, and above it bits of the hash of what is seen, which keep
most other effects from being looked at."""

NUMBER_MASK = (1 << NUMBER_BITS) - 1

TAG_MASK = (1 << 32 - NUMBER_BITS) - 1

FIRST_EFFECT = BATCH
"""The number of the first effect that is remembered. Those before it are a batch's, of rows that are always run."""

NO_ROW = (1 << 16) - 1
"""The row of a vCPU that left the guest."""

EVERYTHING = (1 << MOST_BLOCKS) - 1
"""The sight of all blocks."""

SEES_ALL = 1 << 16
"""Bit of a sight: the row looks at all of all actors, and seldom sees the same twice, so that it is always run."""

SIGHT_MASK = 2 * SEES_ALL - 1

MOVE_CHOICE, MOVE_AT = 20, 32
"""Bits of a move before it is looked up: from 0 which lanes it can see, the choice, which state of the batch."""

CHOICE_MASK = (1 << 8) - 1

IDLE_BIT, ROW_SHIFT, SIGHT_SHIFT = 3, 4, 32
"""Bits of what is told of an actor's block: from 0 kinds of moves (STEP, YIELD, and EXIT if the row lets it go); if it
is idle; the row that is next, and which lanes that can see, 0 for an actor that is done."""

ROW_MASK = (1 << SIGHT_SHIFT - ROW_SHIFT) - 1


@inlined_part
def unfold(
    work_words: np.ndarray,
    state_at: int,
    state_lanes: np.ndarray,
    base: int,
    blocks: np.ndarray,
    block_of: np.ndarray,
    lanes: int,
    whole: int,
) -> None:
    """Write the collapsed state whose lanes begin at `base` into the world: `whole` blocks, then what is split off."""
    for lane in range(whole):
        copy_words(work_words, state_at // 8 + BLOCK * lane, blocks, BLOCK * item(state_lanes, base + lane), BLOCK)
    for lane in range(whole, lanes):
        at = state_at // 8 + BLOCK * item(block_of, lane)
        join_block(work_words, at, blocks, BLOCK * item(state_lanes, base + lane))


@inlined_part
def tell_moves(
    w: Record,
    number: int,
    flags: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    ends: np.ndarray,
    sees: np.ndarray,
) -> int:
    """What an actor can do next, in one number: its kinds of moves, its row, and what that can see."""
    a = actor(w, number)
    row = a["row"]
    may = item(flags, row + 1)
    told: Word = (may >> YIELD_BIT & 1) << YIELD | (may >> EXIT_BIT & 1) << EXIT
    if row == IDLE:
        told |= 1 << IDLE_BIT
        if a["next"] == ends[number]:
            return told
        row = entries[operations[a["next"]]["program"]]
    return told | 1 << STEP | row << ROW_SHIFT | sees[number, row + 1] << SIGHT_SHIFT


@inlined_part
def slot_of_block(bytes_of: np.ndarray, number: int, lane: int, block_keys: np.ndarray, slots: int) -> Word:
    """Where the search for the number of a block begins that lies in the place of a number."""
    told = hash_words(small_head_at(bytes_of, 0), 8 * BLOCK * number, block_keys)
    return np.int64(high_product(fold_product(told ^ np.uint64(lane), np.uint64(MIX)), np.uint64(slots)))


@inlined_part
def number_of(
    work: np.ndarray,
    work_words: np.ndarray,
    state_at: int,
    lane: int,
    first_actor: int,
    first_public: int,
    block_of: np.ndarray,
    parts: np.ndarray,
    blocks: np.ndarray,
    bytes_of: np.ndarray,
    lane_of: np.ndarray,
    numbers: np.ndarray,
    told: np.ndarray,
    leaves: np.ndarray,
    block_keys: np.ndarray,
    counts: np.ndarray,
    flags: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    ends: np.ndarray,
    timer: int,
    sees: np.ndarray,
) -> int:
    """The number of what a lane has of the world. Numbers begin at 1; with an actor's goes what that can do."""
    fresh = item(counts, NUMBERED)
    mask_block(blocks, BLOCK * fresh, work_words, state_at // 8 + BLOCK * item(block_of, lane), parts, BLOCK * lane)
    slot = slot_of_block(bytes_of, fresh, lane, block_keys, len(numbers))
    while True:
        number = item(numbers, slot)
        if number == 0:
            break
        if item(lane_of, number) == lane and same_block(blocks, BLOCK * number, blocks, BLOCK * fresh):
            return number
        slot += 1
        if slot == len(numbers):
            slot = 0
    put_item(counts, NUMBERED, fresh + 1)
    put_item(numbers, slot, fresh)
    put_item(lane_of, fresh, lane)
    w = small_head_at(work, 0)
    of = lane - first_actor
    if of >= 0 and of < w["actors_n"]:
        told[fresh] = tell_moves(w, of, flags, entries, operations, ends, sees)
    of = lane - first_public
    if of >= 0 and of < w["actors_n"]:
        leaves[fresh] = may_leave(w, of, timer)
    return fresh


@lean_kernel
def number_all(
    work: np.ndarray,
    work_words: np.ndarray,
    state_at: int,
    states: np.ndarray,
    state_lanes: np.ndarray,
    lanes: int,
    first_actor: int,
    first_public: int,
    block_of: np.ndarray,
    parts: np.ndarray,
    blocks: np.ndarray,
    bytes_of: np.ndarray,
    lane_of: np.ndarray,
    numbers: np.ndarray,
    told: np.ndarray,
    leaves: np.ndarray,
    block_keys: np.ndarray,
    block_prints: np.ndarray,
    counts: np.ndarray,
    flags: np.ndarray,
    entries: np.ndarray,
    operations: np.ndarray,
    ends: np.ndarray,
    timer: int,
    sees: np.ndarray,
) -> None:
    """Collapse the world: write the numbers of its blocks and its fingerprint into the first one of some states."""
    for lane in range(lanes):
        number = number_of(
            work,
            work_words,
            state_at,
            lane,
            first_actor,
            first_public,
            block_of,
            parts,
            blocks,
            bytes_of,
            lane_of,
            numbers,
            told,
            leaves,
            block_keys,
            counts,
            flags,
            entries,
            operations,
            ends,
            timer,
            sees,
        )
        state_lanes[lane] = number
        states[PRINT] ^= block_prints[number]


@inlined_part
def not_empty(told_print: Word) -> Word:
    """A fingerprint as the table has it: never EMPTY."""
    return told_print if told_print != np.uint64(EMPTY) else np.uint64(1)


@kernel
def insert_collapsed(states: np.ndarray, table: np.ndarray) -> int:
    """Put the fingerprint of the first of some states into the table."""
    return find_or_insert(table, not_empty(states[PRINT]))


@inlined_part
def settle_moved(w: Record, number: int, went: int, flags: np.ndarray, keep: np.ndarray, neutral: np.ndarray) -> None:
    """Settle the state after a move, as the search of whole states does it."""
    if went != LEFT and flags[(went >> OUTCOME_BITS) + 1] & MAY_COUNT != 0:
        settle_counts(w)
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
def rules_left(w: Record, number: int, went: int, judged: np.ndarray, near: np.ndarray) -> int:
    """Mask of the rules that a move may break, but for those that see no more than it, and hold."""
    if went < 0:
        return 0
    row = went >> OUTCOME_BITS
    mask = item(judged, row)
    seen = mask & item(near, row)
    return mask & ~seen if seen != 0 and judge_state(seen, w, actor(w, number), 0) == 0 else mask


@inlined_part
def tag_of(hashed: Word) -> Word:
    """What the index has of a hash beside the number of the effect."""
    return np.int64(hashed & np.uint64(TAG_MASK))


@inlined_part
def find_effect(
    states: np.ndarray,
    at: int,
    sight: int,
    choice: int,
    hashed: Word,
    index: np.ndarray,
    effects: np.ndarray,
) -> int:
    """The number of the effect of a move in the state at a position; -1 - the place for it in the index, if none."""
    tag = tag_of(hashed)
    place: Word = np.int64(high_product(hashed, np.uint64(len(index))))
    while True:
        entry = item(index, place)
        if entry == 0:
            return -1 - place
        number = entry & NUMBER_MASK
        if entry >> NUMBER_BITS == tag and seen_before(
            states, STATE_WORDS * at, sight, choice + 1, effects, EFFECT_WORDS * number
        ):
            return number
        place += 1
        if place == len(index):
            place = 0


@inlined_part
def guess_effect(hashed: Word, index: np.ndarray) -> int:
    """The number of the first effect of which the index says that it may be the one that is looked up; 0 if none."""
    tag = tag_of(hashed)
    place: Word = np.int64(high_product(hashed, np.uint64(len(index))))
    entry = item(index, place)
    while entry != 0 and entry >> NUMBER_BITS != tag:
        place += 1
        if place == len(index):
            place = 0
        entry = item(index, place)
    return entry & NUMBER_MASK


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
    effect: int,
    lanes: int,
    whole: int,
    first_actor: int,
    first_public: int,
    block_of: np.ndarray,
    parts: np.ndarray,
    blocks: np.ndarray,
    bytes_of: np.ndarray,
    lane_of: np.ndarray,
    numbers: np.ndarray,
    told: np.ndarray,
    leaves: np.ndarray,
    block_keys: np.ndarray,
    block_prints: np.ndarray,
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
    gates: np.ndarray,
    gate_rows: np.ndarray,
    keep: np.ndarray,
    neutral: np.ndarray,
    judged: np.ndarray,
    near: np.ndarray,
    masks: np.ndarray,
    sees: np.ndarray,
    search: np.ndarray,
) -> int:
    """Make a move in a whole world, and remember what it changed. Returns DONE, FAILED or BEYOND."""
    base = LANES * at
    unfold(work_words, state_at, state_lanes, base, blocks, block_of, lanes, whole)
    w = small_head_at(work, 0)
    number = choice >> CHOICE_SHIFT
    row = item(told, item(state_lanes, base + first_actor + number)) >> ROW_SHIFT & ROW_MASK
    before = actor(w, number)["row"]
    went = make_move(w, choice, before, rows, uncounted, entries, operations, forces, force_rows, gates, gate_rows)
    first_lane = LANES * 2 * effect
    if sight & SEES_ALL == 0:
        put_seen(effects, EFFECT_WORDS * effect, states, STATE_WORDS * at, sight, choice + 1)
    for word in range(STATE_WORDS, EFFECT_WORDS):
        put_item(effects, EFFECT_WORDS * effect + word, np.uint64(0))
    put_item(effect_lanes, first_lane + ROW_LANE, row_of(went, row))
    put_item(effect_lanes, first_lane + OUTCOME_LANE, outcome_of(went))
    if (went >= 0 and judge_move(w, number, actor(w, number)["program"], masks, search)) or left_model(w, search):
        return FAILED
    changed: Word = np.uint64(0)
    if went != WAITED:
        settle_moved(w, number, went, flags, keep, neutral)
        put_item(effect_lanes, first_lane + JUDGED_LANE, rules_left(w, number, went, judged, near))
        if left_model(w, search):
            return FAILED
        for lane in range(lanes):
            old = item(state_lanes, base + lane)
            at_block = state_at // 8 + BLOCK * item(block_of, lane)
            if same_part(work_words, at_block, blocks, BLOCK * old, parts, BLOCK * lane):
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
                first_public,
                block_of,
                parts,
                blocks,
                bytes_of,
                lane_of,
                numbers,
                told,
                leaves,
                block_keys,
                counts,
                flags,
                entries,
                operations,
                ends,
                timer,
                sees,
            )
            put_item(effect_lanes, first_lane + LANES + lane, old ^ new)
            changed ^= item(block_prints, old) ^ item(block_prints, new)
    put_item(effects, EFFECT_WORDS * effect + STATE_WORDS + PRINT, changed)
    return DONE


@lean_kernel
def check_effect(
    work: np.ndarray,
    work_words: np.ndarray,
    state_at: int,
    state_lanes: np.ndarray,
    at: int,
    choice: int,
    effect: int,
    lanes: int,
    whole: int,
    first_actor: int,
    block_of: np.ndarray,
    parts: np.ndarray,
    blocks: np.ndarray,
    told: np.ndarray,
    block_prints: np.ndarray,
    effects: np.ndarray,
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
    judged: np.ndarray,
    near: np.ndarray,
    masks: np.ndarray,
    search: np.ndarray,
) -> int:
    """Make a move whose effect is remembered, judge it as then, and compare. Returns DONE or BEYOND."""
    base = LANES * at
    unfold(work_words, state_at, state_lanes, base, blocks, block_of, lanes, whole)
    w = small_head_at(work, 0)
    number = choice >> CHOICE_SHIFT
    row = item(told, item(state_lanes, base + first_actor + number)) >> ROW_SHIFT & ROW_MASK
    before = actor(w, number)["row"]
    went = make_move(w, choice, before, rows, uncounted, entries, operations, forces, force_rows, gates, gate_rows)
    first_lane = LANES * 2 * effect
    same = row_of(went, row) == item(effect_lanes, first_lane + ROW_LANE)
    same = same and outcome_of(went) == item(effect_lanes, first_lane + OUTCOME_LANE)
    if went >= 0 and judge_move(w, number, actor(w, number)["program"], masks, search):
        search[0]["found"] = 0
        same = False
    changed: Word = np.uint64(0)
    if went != WAITED:
        settle_moved(w, number, went, flags, keep, neutral)
        same = same and rules_left(w, number, went, judged, near) == item(effect_lanes, first_lane + JUDGED_LANE)
        for lane in range(lanes):
            old = item(state_lanes, base + lane)
            new = old ^ item(effect_lanes, first_lane + LANES + lane)
            at_block = state_at // 8 + BLOCK * item(block_of, lane)
            same = same and same_part(work_words, at_block, blocks, BLOCK * new, parts, BLOCK * lane)
            changed ^= item(block_prints, old) ^ item(block_prints, new)
    if same and changed == item(effects, EFFECT_WORDS * effect + STATE_WORDS + PRINT):
        return DONE
    search[0]["failed_choice"] = row
    return BEYOND


@lean_kernel
def index_effects(
    effects: np.ndarray, effect_lanes: np.ndarray, count: int, index: np.ndarray, keys: np.ndarray
) -> None:
    """Put all effects into an empty index."""
    for number in range(FIRST_EFFECT, count):
        move = item(effect_lanes, LANES * 2 * number + MOVE_LANE)
        hashed = seen_hash(effects, EFFECT_WORDS * number, EVERYTHING, move, keys)
        place: Word = np.int64(high_product(hashed, np.uint64(len(index))))
        while item(index, place) != 0:
            place += 1
            if place == len(index):
                place = 0
        put_item(index, place, number | tag_of(hashed) << NUMBER_BITS)


@lean_kernel
def move_numbers(
    bytes_of: np.ndarray, lane_of: np.ndarray, count: int, numbers: np.ndarray, block_keys: np.ndarray
) -> None:
    """Put the numbers of blocks into a larger table."""
    for number in range(1, count):
        slot = slot_of_block(bytes_of, number, lane_of[number], block_keys, len(numbers))
        while numbers[slot] != 0:
            slot += 1
            if slot == len(numbers):
                slot = 0
        numbers[slot] = number


@inlined_part
def take_moves(
    s: Record,
    waiting: np.ndarray,
    waiting_ids: np.ndarray,
    taken: np.ndarray,
    taken_lanes: np.ndarray,
    taken_ids: np.ndarray,
    told: np.ndarray,
    leaves: np.ndarray,
    sees: np.ndarray,
    listed: np.ndarray,
    actors: int,
    first_actor: int,
    first_public: int,
    breadth: int,
    enough: int,
) -> int:
    """Take states that wait, and list their moves until there are more than enough. Returns how many there are."""
    found = at = 0
    while s["first"] != s["last"] and found <= enough and at < len(taken_ids):
        place = take_waiting(s, len(waiting_ids), breadth)
        copy_state(taken, STATE_WORDS * at, waiting, STATE_WORDS * place)
        put_item(taken_ids, at, item(waiting_ids, place))
        before = found
        for number in range(actors):
            can = item(told, item(taken_lanes, LANES * at + first_actor + number))
            move = at << MOVE_AT | number << CHOICE_SHIFT + MOVE_CHOICE
            put_item(listed, found, move | can >> SIGHT_SHIFT)
            found += can >> STEP & 1
            put_item(listed, found, move | can >> SIGHT_SHIFT | YIELD << MOVE_CHOICE)
            found += can >> YIELD & 1
            put_item(listed, found, move | sees[number, 0] | EXIT << MOVE_CHOICE)
            found += can >> EXIT & item(leaves, item(taken_lanes, LANES * at + first_public + number))
        if found == before:
            s["finished"] += 1
        at += 1
    return found


@inlined_part
def guess_effects(
    taken: np.ndarray,
    listed: np.ndarray,
    found: int,
    keys: np.ndarray,
    hashes: np.ndarray,
    index: np.ndarray,
    effects: np.ndarray,
    effect_of: np.ndarray,
) -> None:
    """Note which effects the moves of a batch may have, and have them fetched ahead."""
    for m in range(found):
        move = item(listed, m)
        asked = (move >> MOVE_CHOICE & CHOICE_MASK) + 1
        hashed = seen_hash(taken, STATE_WORDS * (move >> MOVE_AT), move & SIGHT_MASK, asked, keys)
        put_item(hashes, m, hashed)
        likely: Word = np.int64(high_product(hashed, np.uint64(len(index))))
        prefetch_item(index, likely)
    for m in range(found):
        effect = m if item(listed, m) & SEES_ALL != 0 else guess_effect(item(hashes, m), index)
        prefetch_item(effects, EFFECT_WORDS * effect)
        put_item(effect_of, m, effect)


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
    taken: np.ndarray,
    taken_lanes: np.ndarray,
    taken_ids: np.ndarray,
    lanes: int,
    whole: int,
    first_actor: int,
    first_public: int,
    block_of: np.ndarray,
    parts: np.ndarray,
    blocks: np.ndarray,
    bytes_of: np.ndarray,
    lane_of: np.ndarray,
    numbers: np.ndarray,
    told: np.ndarray,
    leaves: np.ndarray,
    block_keys: np.ndarray,
    block_prints: np.ndarray,
    counts: np.ndarray,
    sees: np.ndarray,
    index: np.ndarray,
    effects: np.ndarray,
    effect_lanes: np.ndarray,
    listed: np.ndarray,
    hashes: np.ndarray,
    effect_of: np.ndarray,
    uncounted: np.ndarray,
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
    judged: np.ndarray,
    near: np.ndarray,
    masks: np.ndarray,
    tags: np.ndarray,
    wanted: np.ndarray,
    conditions: np.ndarray,
    seen: np.ndarray,
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

    `waiting`, `taken`: u8, collapsed states behind one another, and `taken_ids` their numbers. `block_of`: i8, by lane,
    the block of a state that it lies in, and `parts` (u8) which of its bits; `whole`: so many are blocks, in order. By
    number of a block: `blocks` (u8), `lane_of`, `block_prints` (u8) what it adds to a fingerprint, `told` (i8) what
    an actor can do, `leaves` (u1) whether a kick or the timer takes it out of the guest. `numbers`: u4, hash table of
    blocks. `sees`: i8 (actor, row + 1), mask of the lanes that a row can see, at 0 for leaving the guest. `near`: i8,
    by row, mask of the rules that see no more. `effects`: u8, EFFECT_WORDS each, by number, and `index` (u4) a hash
    table of their numbers. `listed`: i8, moves of a batch, and of each `hashes` (u8) of what it sees, `effect_of` (i8)
    the number of its effect. `check`: one in so many effects is checked as it is looked up. Names that end in `_lanes`:
    the same as u2; `bytes_of`: `blocks` as u1. `uncounted`: ways whose counts nobody reads.
    """
    s = search[0]
    batch = len(prints)
    room = len(waiting_ids)
    actors = small_head_at(work, 0)["actors_n"]
    while True:
        if s["first"] == s["last"]:
            return DONE
        lacking = lacks_room(s, batch, room, len(parents), len(edges), live, most_prints)
        if lacking != DONE:
            return lacking
        if item(counts, NUMBERED) + batch * lanes >= len(lane_of):
            return BLOCKS_FULL
        if EFFECT_WORDS * (item(counts, REMEMBERED) + batch) > len(effects):
            return EFFECTS_FULL
        watching = some_unseen(seen, wanted)
        found = take_moves(
            s,
            waiting,
            waiting_ids,
            taken,
            taken_lanes,
            taken_ids,
            told,
            leaves,
            sees,
            listed,
            actors,
            first_actor,
            first_public,
            breadth,
            batch - most_moves,
        )
        guess_effects(taken, listed, found, keys, hashes, index, effects, effect_of)
        count = before = 0
        for m in range(found):
            move = item(listed, m)
            at = move >> MOVE_AT
            choice = move >> MOVE_CHOICE & CHOICE_MASK
            sight = move & SIGHT_MASK
            effect = item(effect_of, m)
            run = sight & SEES_ALL
            if run == 0 and not seen_before(taken, STATE_WORDS * at, sight, choice + 1, effects, EFFECT_WORDS * effect):
                effect = find_effect(taken, at, sight, choice, item(hashes, m), index, effects)
                if effect < 0:
                    run = item(counts, REMEMBERED)
                    put_item(counts, REMEMBERED, run + 1)
                    put_item(index, -1 - effect, run | tag_of(item(hashes, m)) << NUMBER_BITS)
                    effect = run
                put_item(effect_of, m, effect)
            if run != 0:
                why = remember(
                    work,
                    work_words,
                    state_at,
                    taken,
                    taken_lanes,
                    at,
                    choice,
                    sight,
                    effect,
                    lanes,
                    whole,
                    first_actor,
                    first_public,
                    block_of,
                    parts,
                    blocks,
                    bytes_of,
                    lane_of,
                    numbers,
                    told,
                    leaves,
                    block_keys,
                    block_prints,
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
                    gates,
                    gate_rows,
                    keep,
                    neutral,
                    judged,
                    near,
                    masks,
                    sees,
                    search,
                )
                if why == FAILED:
                    row = item(effect_lanes, LANES * 2 * effect + ROW_LANE)
                    count_way(ways, row, item(effect_lanes, LANES * 2 * effect + OUTCOME_LANE))
                    note_failure(s, item(taken_ids, at), choice)
                if why != DONE:
                    return why
            unchecked = item(counts, UNCHECKED) - 1
            if unchecked < 0:
                unchecked = check - 1
                why = check_effect(
                    work,
                    work_words,
                    state_at,
                    taken_lanes,
                    at,
                    choice,
                    effect,
                    lanes,
                    whole,
                    first_actor,
                    block_of,
                    parts,
                    blocks,
                    told,
                    block_prints,
                    effects,
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
                    judged,
                    near,
                    masks,
                    search,
                )
                if why != DONE:
                    return why
            put_item(counts, UNCHECKED, unchecked)
            row = item(effect_lanes, LANES * 2 * effect + ROW_LANE)
            outcome = item(effect_lanes, LANES * 2 * effect + OUTCOME_LANE)
            if row != NO_ROW:
                count_way(ways, row, outcome)
            if outcome != BLOCKED:
                changed = item(effects, EFFECT_WORDS * effect + STATE_WORDS + PRINT)
                told_print = not_empty(item(taken, STATE_WORDS * at + PRINT) ^ changed)
                prefetch_item(table, bucket_of(table, told_print))
                put_item(prints, count, told_print)
                put_item(made, count, m)
                count += 1
            if m + 1 == found or item(listed, m + 1) >> MOVE_AT != at:
                if count == before and live >= 0:
                    s["when"] = STUCK_STATE
                    note_failure(s, item(taken_ids, at), -1)
                    return FAILED
                before = count
        s["transitions"] += count
        s["moves"] += count
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
                m = item(made, j)
                effect = item(effect_of, m)
                at = item(listed, m) >> MOVE_AT
                choice = item(listed, m) >> MOVE_CHOICE & CHOICE_MASK
                put_item(parents, new, item(taken_ids, at))
                put_item(choices, new, choice)
                to = s["last"] & (room - 1)
                s["last"] += 1
                put_item(waiting_ids, to, new)
                change = EFFECT_WORDS * effect + STATE_WORDS
                change_state(waiting, STATE_WORDS * to, taken, STATE_WORDS * at, effects, change)
                mask = item(effect_lanes, LANES * 2 * effect + JUDGED_LANE)
                number = choice >> CHOICE_SHIFT
                can = item(told, item(waiting_lanes, LANES * to + first_actor + number))
                if mask != 0 or watching or can >> IDLE_BIT & 1 != 0:
                    unfold(work_words, state_at, waiting_lanes, LANES * to, blocks, block_of, lanes, whole)
                    v = small_head_at(work, 0)
                    if judge_new(v, number, mask, masks, search):
                        note_failure(s, new, -1)
                        return FAILED
                    if watching:
                        watch(v, tags, wanted, conditions, seen)
                if live > 0:
                    put_item(ids, place, new)
            elif live > 0:
                new = item(ids, -1 - place)
            if live > 0:
                put_item(edges, 2 * s["edges"], item(taken_ids, item(listed, item(made, j)) >> MOVE_AT))
                put_item(edges, 2 * s["edges"] + 1, new)
                s["edges"] += 1
