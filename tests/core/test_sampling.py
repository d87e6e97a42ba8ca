"""Schedules at random: the same for the same seed wherever they are made, uniform, and PCT as published."""

import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from interleavings import operation, tiny

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers import schedules
from gmembench.core.drivers.exhaustive import explore
from gmembench.core.drivers.instance import EXIT, IDLE, STEP, Force, Instance, Sometimes
from gmembench.core.drivers.moves import CHOICE_SHIFT, WAITED
from gmembench.core.drivers.prepared import Prepared
from gmembench.core.drivers.sampling import CAPPED_JUDGED, NOBODY_STEPS, Sampler, Sampling, back_edges, mixed, sample
from gmembench.core.drivers.sequential import OUTCOME_MASK
from gmembench.core.drivers.stepper import Stepper, _do_move, _list_moves
from gmembench.core.errors import UserError
from gmembench.core.jit import INTERPRETED, kernel
from gmembench.core.judges import SHIPPED, Panel
from gmembench.core.operations import OPERATION, WRITE
from gmembench.core.outcomes import CODE
from gmembench.core.programs import assemble
from gmembench.core.world import SMALL

V0, V1, H0, H1 = range(4)
SCHEDULES = 12 if INTERPRETED else 2000


def script(*operations: np.ndarray) -> np.ndarray:
    """Operations as one script."""
    return np.concatenate([*operations, np.zeros(0, OPERATION)])


def instance(without: str = "", *, timer: bool = False, **more: object) -> Instance:
    """A private gfn of guest_memfd that two vCPUs write while a host thread punches it; perhaps without a row."""
    design, hardware = load_designs()["guest-memfd"], load_hardware()["none"]
    if without:
        design = design.edited("planted", access=design.programs["access"].without(without))
    shape = tiny(design, hardware, gfns=1, pages=3, nodes=1, init_private=True, region_gfns=1, tlb_entries=1)
    scripts = (
        script(operation("access", V0, 0, 1, WRITE)),
        script(operation("access", V1, 0, 1, WRITE)),
        script(operation("punch", H0, 0, 1)),
    )
    return Instance(assemble(design, hardware), shape, scripts, timer=timer, **more)  # type: ignore[arg-type]


@cache
def sampler(strategy: str = "random", depth: int = 3) -> Sampler:
    """A sampler of the design as it ships."""
    return Sampler(instance(), strategy=strategy, depth=depth)  # type: ignore[arg-type]  # checked by the sampler


def told(run: Sampling) -> tuple[object, ...]:
    """All that must be equal when a run is made again."""
    counts = (run.schedules, run.steps, run.waits, run.demotions, run.finished, run.capped, run.longest)
    return (*counts, run.failed, run.choices, tuple(run.seen.items()), run.taken.tobytes())


@pytest.mark.parametrize("strategy", ["random", "pct"])
def test_the_same_seed_is_the_same_run(strategy: str) -> None:
    """What a sampler did before does not matter."""
    first = sampler(strategy).run(SCHEDULES, seed=5)
    sampler(strategy).run(3, seed=6)
    assert told(sampler(strategy).run(SCHEDULES, seed=5)) == told(first)
    assert told(sampler(strategy).run(SCHEDULES, seed=6)) != told(first)


@pytest.mark.parametrize("strategy", ["random", "pct"])
def test_a_schedule_is_made_by_its_number_alone(strategy: str) -> None:
    """Parts of a run add up to the whole."""
    whole = sampler(strategy).run(SCHEDULES, seed=9)
    parts = [sampler(strategy).run(SCHEDULES // 4, seed=9, first=SCHEDULES // 4 * n) for n in range(4)]
    assert sum(part.steps for part in parts) == whole.steps
    assert np.array_equal(sum(part.taken for part in parts), whole.taken)


OTHER_WAY = """
import sys
from test_sampling import SHORT, instance, sample, told
import hashlib
for strategy in ("random", "pct"):
    run = sample(instance("fault.recheck_stale", timer=True), strategy=strategy, seed=3, schedules=SHORT)
    print(hashlib.sha256(repr(told(run)).encode()).hexdigest())
"""
SHORT = 8


def digests(**environment: str) -> str:
    """Digests of short runs in another process."""
    paths = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    changed = {**os.environ, "PYTHONPATH": paths, **environment}
    done = subprocess.run([sys.executable, "-c", OTHER_WAY], capture_output=True, text=True, check=True, env=changed)
    return done.stdout


def test_compiled_and_interpreted_runs_are_the_same() -> None:
    """In other processes, with another seed for Python's hashes."""
    interpreted = digests(NUMBA_DISABLE_JIT="1", PYTHONHASHSEED="1")
    other = digests(NUMBA_DISABLE_JIT="1" if INTERPRETED else "0", PYTHONHASHSEED="2")
    assert len(interpreted.split()) == 2
    assert other == interpreted


def test_numbers_are_those_of_splitmix64() -> None:
    """The first numbers of seed 1234567, as published with the generator."""
    numbers = [mixed((1234567 + (i + 1) * schedules.GOLDEN) & (1 << 64) - 1) for i in range(3)]
    assert numbers == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@kernel
def _mixed(word: int) -> int:
    return schedules.mix(word)


def test_the_compiled_generator_is_the_same() -> None:
    """Numbers that use all 64 bits."""
    for word in (1, 0xFFFFFFFFFFFFFFFF, 0x8000000000000000, 1234567):
        assert int(_mixed(np.uint64(word))) == mixed(word)


class Naive:
    """The same moves one at a time, on a copy of the world each: what can be made, and what comes of it."""

    def __init__(self, made: Instance) -> None:
        self.p = Prepared(made)
        self.buffer = self.p.world.buffer.copy()

    def make(self, choice: int) -> bool:
        """Make a move if it can be made; whether it was."""
        p, tried = self.p, self.buffer.copy()
        rest = (p.rows, p.ways, p.entries, p.operations, p.forces, p.force_rows, p.gates, p.gate_rows)
        if _do_move(tried, choice, *rest, p.masks, np.zeros(2, np.int64)) == WAITED:
            self.after_waiting = tried
            return False
        self.buffer = tried
        return True

    def choices(self) -> list[int]:
        """Moves that can be made."""
        p, moves, before = self.p, np.zeros(64, np.int64), self.buffer
        rest = (p.forces, p.force_rows, p.gate_of, p.gates, p.gate_rows)
        found = moves[: _list_moves(before, p.flags, p.ends, 0, *rest, moves)].tolist()
        made = []
        for choice in found:
            if self.make(choice):
                made.append(choice)
            self.buffer = before
        return made


@pytest.mark.parametrize("strategy", ["random", "pct"])
def test_every_schedule_is_one_that_can_be_stepped(strategy: str) -> None:
    """The stepper makes each recorded choice, finds nothing wrong, and nothing is left to do."""
    made = sampler(strategy)
    run = made.run(1, seed=1)
    stepper = Stepper.of(instance())
    for number, kind in _choices_of(made, run.steps):
        stepper.options()
        assert stepper.take(number, kind) & OUTCOME_MASK != CODE["blocked"]
    assert stepper.finished
    assert stepper.violation is None


def test_waiting_changes_nothing() -> None:
    """A step that must wait leaves the world as it was, but that an idle actor has begun its operation."""
    naive, rng, waited = Naive(instance()), np.random.default_rng(1), 0
    for _ in range(4 if INTERPRETED else 40):
        naive.buffer = naive.p.world.buffer.copy()
        while choices := naive.choices():
            for number in range(3):
                a = naive.p.world.arrays["actors"]
                before = naive.buffer.copy()
                record = before[int(naive.p.world["actors_at"]) :][: a.nbytes].view(a.dtype)[number]
                if record["row"] != IDLE and not naive.make(number << CHOICE_SHIFT | STEP):
                    waited += 1
                    assert np.array_equal(naive.after_waiting[SMALL.state_at :], before[SMALL.state_at :])
                naive.buffer = before
            naive.make(int(rng.choice(choices)))
    assert waited > 0


def test_choices_are_uniform_over_what_can_be_made() -> None:
    """The first three choices of many schedules: each way is as frequent as a uniform chooser makes it."""
    count, depth = (600, 2) if INTERPRETED else (20000, 3)
    chances = dict[tuple[int, ...], float]()

    def follow(made: tuple[int, ...], chance: float) -> None:
        naive = Naive(instance())
        for choice in made:
            assert naive.make(choice)
        choices = naive.choices()
        for choice in choices:
            if len(made) + 1 == depth:
                chances[*made, choice] = chance / len(choices)
            else:
                follow((*made, choice), chance / len(choices))

    follow((), 1.0)
    # Cut off after `depth` choices; whether they end is not judged.
    short = Sampler(instance(panel=Panel({"CNT": SHIPPED["CNT"]})), most_steps=depth)
    drawn = Counter[tuple[int, ...]]()
    for number in range(count):
        short.run(1, seed=2, first=number)
        drawn[tuple(short.made.tolist())] += 1
    assert set(drawn) <= set(chances)
    squares = sum((drawn[way] - count * p) ** 2 / (count * p) for way, p in chances.items())
    # Mean and variance of chi-squared are its degrees of freedom and twice that; five standard deviations.
    free = len(chances) - 1
    assert abs(squares - free) < 5 * (2 * free) ** 0.5


def test_pct_runs_the_highest_until_a_change() -> None:
    """With depth 1 an actor is left at its end, when it must wait, at a retry, and when it is kicked."""
    made = sampler("pct", 1)
    for number in range(8):
        run = made.run(1, seed=0, first=number)
        assert run.finished == 1
        choices = _choices_of(made, run.steps)
        switched = sum(one[0] != other[0] for one, other in pairwise(choices))
        kicked = sum(kind == EXIT for _, kind in choices)
        assert switched <= 2 + run.demotions + 2 * (run.waits + kicked)


def _choices_of(made: Sampler, steps: int) -> list[tuple[int, int]]:
    return [(choice >> CHOICE_SHIFT, choice & 15) for choice in made.made[:steps].tolist()]


def test_more_depth_is_more_switches() -> None:
    """Each point of change lowers somebody who runs."""
    switched = []
    for depth in (1, 8):
        made, total = sampler("pct", depth), 0
        for number in range(SCHEDULES if INTERPRETED else 100):
            run = made.run(1, seed=0, first=number)
            total += sum(one[0] != other[0] for one, other in pairwise(_choices_of(made, run.steps)))
        switched.append(total)
    assert switched[0] < switched[1]


def test_retries_are_edges_that_lead_back() -> None:
    """A stale fault starts again; the fault itself goes down its rows; the next gfn of a range is no retry."""
    prepared = Prepared(instance())
    edges = back_edges(prepared)
    names = [info.name for info in prepared.code.info]
    assert edges[names.index("access.fault.snapshot_seq")].sum() == 0
    assert edges[:, CODE["again"]].sum() == 0
    assert edges.sum() > 0
    for row, _ in np.argwhere(edges):
        assert prepared.code.info[row].program in ("access", "punch")


@pytest.mark.parametrize("strategy", ["random", "pct"])
@pytest.mark.skipif(INTERPRETED, reason="thousands of schedules; compiled only")
def test_a_planted_bug_is_found(strategy: str) -> None:
    """A fault that does not look at the invalidation again under the lock maps a page that was freed."""
    bug = instance("fault.recheck_stale")
    found = sample(bug, strategy=strategy, seed=1, schedules=1_000_000)  # type: ignore[arg-type]  # a strategy
    assert found.violation is not None
    assert found.violation.invariant == "UAF-MAP"
    assert found.failed == found.schedules - 1
    again = sample(bug, strategy=strategy, seed=1, first=found.failed, schedules=1)  # type: ignore[arg-type]
    assert again.choices == found.choices
    shipped = sample(instance(), strategy=strategy, seed=1, schedules=found.schedules)  # type: ignore[arg-type]
    assert shipped.violation is None


@pytest.mark.skipif(INTERPRETED, reason="explores all states; compiled only")
def test_samples_stay_in_what_is_reachable() -> None:
    """No row ends in a way in which exploration of all states does not see it end, and nothing else is seen."""
    all_states = explore(instance(), live=False, reductions=())
    assert all_states.verdict == "holds"
    some = sample(instance(), seed=4, schedules=20000)
    blocked = CODE["blocked"]
    ways = (np.delete(run.taken, blocked, axis=1) > 0 for run in (some, all_states))
    assert not (next(ways) & ~next(ways)).any()


def test_what_is_seen_is_told() -> None:
    """A state that every schedule passes is seen, one that none can reach is not."""
    code = instance().code
    names = [info.name for info in code.info]
    stands = (1 << V0, (names.index("access.fault.classify"),))
    nowhere = (1 << V0, (names.index("punch.lock_inode"),)) if "punch.lock_inode" in names else (1 << V0, ())
    watched = (Sometimes("faults", needs=(stands,)), Sometimes("punches", needs=(nowhere,)))
    run = sample(instance(sometimes=watched), schedules=2)
    assert run.seen == {"faults": True, "punches": False}


def test_a_forced_outcome_happens() -> None:
    """A fault whose entry is lost to another one goes on; without the event it never is in a run alone."""
    code = instance().code
    row = next(i for i, info in enumerate(code.info) if info.name == "access.fault.set_spte")
    force = Force("lost", (row,), CODE["lost"], times=2, must=True)
    run = sample(instance(forces=(force,)), schedules=2, seed=1)
    assert run.taken[row, CODE["lost"]] >= 2


def test_a_deadlock_is_found() -> None:
    """A lock that is never dropped stops the next one who wants it."""
    design, hardware = load_designs()["guest-memfd"], load_hardware()["none"]
    design = design.edited("planted", convert=design.programs["convert"].without("convert.unlock_slots"))
    shape = tiny(design, hardware, gfns=1, pages=3, nodes=1, region_gfns=1, tlb_entries=1)
    scripts = (script(), script(), *(script(operation("convert", h, 0, 1)) for h in (H0, H1)))
    run = sample(Instance(assemble(design, hardware), shape, scripts), schedules=3)
    assert run.violation is not None
    assert run.violation.invariant == "LIVE"
    assert f"breaks LIVE, as {NOBODY_STEPS}" in run.claim


def test_a_schedule_that_is_cut_off_is_told() -> None:
    """It is counted, run on fairly, and the claim says so."""
    run = sample(instance(), schedules=9, most_steps=5)
    assert (run.capped, run.judged, run.finished, run.violation) == (9, CAPPED_JUDGED + 1, 0, None)  # and the eighth
    assert "9 schedules were cut off after 5 steps" in run.claim
    assert "whether the others end is not judged" in run.claim


def test_a_priority_is_lowered_after_some_retries() -> None:
    """The fewer retries an operation may make, the more often others go first."""
    runs = [Sampler(instance(), strategy="pct", patience=n, length=100).run(SCHEDULES) for n in (0, 1, 1000)]
    assert runs[0].demotions > runs[1].demotions
    assert runs[2].demotions == 0


def test_a_livelock_is_found_behind_a_cut() -> None:
    """A fault that retries for ever, as the count of invalidations stays up, is LIVE."""
    design, hardware = load_designs()["guest-memfd"], load_hardware()["none"]
    design = design.edited("planted", punch=design.programs["punch"].without("end.count_dec"))
    shape = tiny(design, hardware, gfns=1, pages=3, nodes=1, init_private=True, region_gfns=1, tlb_entries=1)
    scripts = (script(operation("access", V0, 0, 1, WRITE)), script(), script(operation("punch", H0, 0, 1)))
    panel = Panel({"LIVE": SHIPPED["LIVE"]})
    bug = Instance(assemble(design, hardware), shape, scripts, panel=panel)
    run = sample(bug, schedules=50, most_steps=400)
    assert run.violation is not None
    assert run.violation.invariant == "LIVE"
    assert re.search(r"breaks LIVE, as all \d+ states that can follow were visited, and no end", run.claim)


@pytest.mark.parametrize("strategy", ["random", "pct"])
def test_the_claim_says_how(strategy: str) -> None:
    """The seed, the number of schedules, and for PCT its bound."""
    run = sampler(strategy).run(2, seed=8)
    assert "2 schedules of seed 8 from number 0 on" in run.claim
    assert ("PCT of depth 3" in run.claim) == (strategy == "pct")


@pytest.mark.parametrize("parts", [{"strategy": "none"}, {"depth": 0}, {"most_steps": 0}])
def test_what_cannot_be_is_refused(parts: dict[str, object]) -> None:
    """With the choices there are."""
    with pytest.raises(UserError):
        sample(instance(), **parts)  # type: ignore[arg-type]  # wrong on purpose
