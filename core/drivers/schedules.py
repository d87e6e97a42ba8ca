"""Schedules at random: a compiled loop over many of one instance.

A schedule is made by the seed and its number alone: splitmix64 of both begins a stream of wyrand, which takes one
multiplication a number. A number is scaled by a multiplication, so interpreted and compiled runs draw the same.
"""

import numpy as np

from gmembench.core.drivers.instance import IDLE
from gmembench.core.drivers.menus import (
    SAME,
    changed_menu,
    choice_of,
    menu_change,
    part_of_menu,
    picked_bit,
    whole_menu,
)
from gmembench.core.drivers.moves import (
    CHOICE_SHIFT,
    LEFT,
    WAITED,
    all_done,
    list_moves,
    list_moves_of,
    make_move,
    settle_counts,
)
from gmembench.core.drivers.search import STUCK_STATE, judge_move, judge_new, left_model
from gmembench.core.drivers.sequential import OUTCOME_MASK
from gmembench.core.drivers.watching import some_unseen, watch
from gmembench.core.intrinsics.blocks import copy_words, count_ones
from gmembench.core.intrinsics.chains import OUTCOME_BITS
from gmembench.core.intrinsics.items import item, put_item
from gmembench.core.intrinsics.words import add_words, fold_product, high_product, load_word, multiply_words, store_word
from gmembench.core.jit import inlined_part, lean_kernel
from gmembench.core.outcomes import OUTCOMES
from gmembench.core.views import Record, Word
from gmembench.core.world import actor, small_head

GOLDEN = 0x9E3779B97F4A7C15
"""What splitmix64 adds for each number."""

WYRAND, WYRAND_MASK = 0xA0761D6478BD642F, 0xE7037ED1A0B428DB
"""What wyrand adds for each number, and what one factor is changed by."""

STREAM, SCHEDULE, READY = range(3)
"""Items of `random`: where the stream of the present schedule is; the stream that schedules are begun from; and the
number that is drawn next, made ahead of its use."""

DONE, FAILED, CAPPED, PAUSED = range(4)
"""Why the loop returned."""

COUNTS_EVERY = 64
"""Steps between two looks at fields that only count up and would pass a byte. A power of two."""

SAMPLES = np.dtype(
    [
        ("next", "i8"),  # number of the schedule that begins next, or that failed
        ("end", "i8"),  # where to stop
        ("steps", "i8"),
        ("waits", "i8"),  # moves that were drawn and could not be made
        ("demotions", "i8"),  # retries after which an actor got the lowest priority
        ("finished", "i8"),  # schedules in which all scripts were done
        ("capped", "i8"),  # schedules that were cut off
        ("told", "i8"),  # the loop returns when so many were cut off
        ("longest", "i8"),
        ("pause_at", "i8"),  # steps at which the loop returns
        ("length", "i8"),  # choices of the schedule for which it returned
        ("when", "i8"),  # what was found: index in WHENS, or STUCK_STATE
        ("found", "i8"),
    ]
)
"""Where a run of samples is, and what it found."""


@inlined_part
def mix(word: Word) -> Word:
    """The number that splitmix64 makes of a word."""
    word = multiply_words(word ^ word >> np.uint64(30), np.uint64(0xBF58476D1CE4E5B9))
    word = multiply_words(word ^ word >> np.uint64(27), np.uint64(0x94D049BB133111EB))
    return word ^ word >> np.uint64(31)


@inlined_part
def make_ready(random: np.ndarray) -> None:
    """Make the number that is drawn next."""
    stream = add_words(random[STREAM], np.uint64(WYRAND))
    random[STREAM] = stream
    random[READY] = fold_product(stream, stream ^ np.uint64(WYRAND_MASK))


@inlined_part
def draw(random: np.ndarray, bound: int) -> Word:
    """A number from 0 to bound - 1."""
    ready = random[READY]
    make_ready(random)
    return np.int64(high_product(ready, np.uint64(bound)))


@inlined_part
def begin_stream(random: np.ndarray) -> None:
    """Begin the stream of the next schedule."""
    random[SCHEDULE] = add_words(random[SCHEDULE], np.uint64(GOLDEN))
    random[STREAM] = mix(random[SCHEDULE])
    make_ready(random)


@inlined_part
def begin_priorities(
    priorities: np.ndarray, tries: np.ndarray, actors: int, points: np.ndarray, length: int, random: np.ndarray
) -> None:
    """Shuffle the priorities of the actors, all above len(points), and draw the steps at which one is lowered."""
    for i in range(actors):
        tries[i] = 0
        j = draw(random, i + 1)
        priorities[i] = priorities[j]
        priorities[j] = len(points) + i
    for i in range(len(points)):
        points[i] = draw(random, length)


@inlined_part
def highest(priorities: np.ndarray, actors: int, tried: int) -> int:
    """The actor of the highest priority that was not tried; -1 if all were."""
    best = -1
    for i in range(actors):
        if tried >> i & 1 == 0 and (best < 0 or priorities[i] > priorities[best]):
            best = i
    return best


@inlined_part
def lower(priorities: np.ndarray, number: int, points: np.ndarray, step: int) -> bool:
    """Lower the priority of the actor that is about to make a step, if that step was drawn. Once for each drawing."""
    for i in range(len(points)):
        if points[i] == step:
            points[i] = -1
            priorities[number] = i
            return True
    return False


@inlined_part
def tires(tries: np.ndarray, number: int, ended: bool, retried: bool, patience: int) -> bool:
    """Count the retries of an actor in its operation; whether it has made so many that others go first."""
    if ended:
        tries[number] = 0
    elif retried:
        tries[number] += 1
        return tries[number] > patience
    return False


@inlined_part
def save_record(a: Record, saved: np.ndarray) -> None:
    """Keep an actor's record: a first step that must wait has begun its operation."""
    for i in range(len(saved)):
        saved[i] = load_word(a, 8 * i)


@inlined_part
def restore_record(a: Record, saved: np.ndarray) -> None:
    """Give an actor its record back."""
    for i in range(len(saved)):
        store_word(a, 8 * i, saved[i])


@inlined_part
def some_everywhere(wanted: np.ndarray) -> bool:
    """Whether a watched state does not ask where actors stand."""
    for i in range(len(wanted)):
        if wanted[i] == np.uint64(0):
            return True
    return False


@lean_kernel
def sample_on(
    work: np.ndarray,
    work_words: np.ndarray,
    initial: np.ndarray,
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
    judged: np.ndarray,
    masks: np.ndarray,
    tags: np.ndarray,
    wanted: np.ndarray,
    conditions: np.ndarray,
    seen: np.ndarray,
    retries: np.ndarray,
    changes: np.ndarray,
    moves: np.ndarray,
    saved: np.ndarray,
    made: np.ndarray,
    random: np.ndarray,
    priorities: np.ndarray,
    tries: np.ndarray,
    points: np.ndarray,
    state_at: int,
    timer: int,
    by_priority: int,
    length: int,
    patience: int,
    judges_stuck: int,
    samples: np.ndarray,
) -> int:
    """Make schedules until something is found, or all are made; says which.

    `work`: u1, one world; `work_words` the same as u8. `initial`: u8, the state that schedules begin with. `retries`,
    `changes`: u1 (row, outcome), whether it leads back, and what it changes of the menu. `made`: u1, choices of the
    present schedule, as many as it may have.
    `random`: u8, STREAM and SCHEDULE. `points`, `length`: of PCT, one less than its depth, and steps that one may be.
    `tries`: by actor, how often its present operation was led back; more often than `patience` lowers its priority.
    """
    s = samples[0]
    w = small_head(work)
    at_word = state_at // 8
    always = some_everywhere(wanted)
    eventful = len(forces) + len(gates) != 0
    while s["next"] < s["end"]:
        if s["steps"] >= s["pause_at"]:
            return PAUSED
        copy_words(work_words, at_word, initial, 0, len(initial))
        begin_stream(random)
        lowest = 0
        if by_priority != 0:
            begin_priorities(priorities, tries, w["actors_n"], points, length, random)
        watching = some_unseen(seen, wanted)
        standing = 0
        menu = whole_menu(w, flags, ends, timer)
        n = 0
        while n < len(made):
            went = WAITED
            choice = tried = bit = 0
            begins = False
            while went == WAITED:
                offered = menu
                if by_priority == 0:
                    if tried != 0:
                        break
                    tried = 1
                    if eventful:
                        left = list_moves(w, flags, ends, timer, forces, force_rows, gate_of, gates, gate_rows, moves)
                    else:
                        left = count_ones(offered)
                else:
                    number = highest(priorities, w["actors_n"], tried)
                    if number < 0:
                        break
                    if eventful:
                        left = list_moves_of(
                            w, number, flags, ends, timer, forces, force_rows, gate_of, gates, gate_rows, moves, 0
                        )
                    else:
                        offered = part_of_menu(menu, number)
                        left = count_ones(offered)
                    if left > 0 and lower(priorities, number, points, n):
                        continue
                    tried |= 1 << number
                while left > 0:
                    picked: int = draw(random, left)
                    if eventful:
                        choice = item(moves, picked)
                    else:
                        bit = picked_bit(offered, picked, left)
                        choice = choice_of(bit)
                    a = actor(w, choice >> CHOICE_SHIFT)
                    at = a["row"]
                    begins = at == IDLE
                    if begins:
                        save_record(a, saved)
                    went = make_move(
                        w, choice, at, rows, ways, entries, operations, forces, force_rows, gates, gate_rows
                    )
                    if went != WAITED:
                        break
                    if left_model(w, samples):
                        put_item(made, n, choice)
                        s["length"] = n + 1
                        return FAILED
                    if begins:
                        restore_record(a, saved)
                    s["waits"] += 1
                    left -= 1
                    if eventful:
                        put_item(moves, picked, item(moves, left))
                    else:
                        offered ^= 1 << bit
            if went == WAITED:
                break
            put_item(made, n, choice)
            n += 1
            number = choice >> CHOICE_SHIFT
            a = actor(w, number)
            change = menu_change(changes, went, begins)
            if change != SAME and not eventful:
                menu = changed_menu(w, menu, number, change, flags, ends, timer)
            if went != LEFT:
                at = went >> OUTCOME_BITS
                if judge_move(w, number, a["program"], masks, samples) or judge_new(
                    w, number, item(judged, at), masks, samples
                ):
                    s["steps"] += n
                    s["length"] = n
                    return FAILED
                a["used"] = 0
                if by_priority != 0:
                    retried = item(retries, at * len(OUTCOMES) + (went & OUTCOME_MASK)) != 0
                    if tires(tries, number, a["row"] == IDLE, retried, patience):
                        lowest -= 1
                        priorities[number] = lowest
                        s["demotions"] += 1
            if watching:
                here = item(tags, number * tags.shape[1] + a["row"] + 1) != np.uint64(0)
                standing = standing & ~(1 << number) | here << number
                if here or always or (len(conditions) > 0 and standing != 0):
                    watch(w, tags, wanted, conditions, seen)
            if n & COUNTS_EVERY - 1 == 0:
                settle_counts(w)
        s["steps"] += n
        s["longest"] = max(s["longest"], n)
        s["next"] += 1
        if n == len(made):
            s["capped"] += 1
            if s["capped"] == s["told"]:
                s["length"] = n
                return CAPPED
        elif all_done(w, ends, gate_of):
            s["finished"] += 1
        elif judges_stuck != 0:
            s["next"] -= 1
            s["length"] = n
            s["when"] = STUCK_STATE
            return FAILED
    return DONE
