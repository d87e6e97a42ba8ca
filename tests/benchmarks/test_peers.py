"""The C twin of the benchmark does what the sequential driver does, row by row and byte by byte."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gmembench.benchmarks.peers import compare
from gmembench.benchmarks.peers.expressions import HEADER, UntranslatableError
from gmembench.benchmarks.peers.generate import c_source
from gmembench.benchmarks.peers.layout import RECORDS, c_header
from gmembench.benchmarks.peers.translate import Translation
from gmembench.benchmarks.peers.twin import NoCompilerError, Twin, compiler_version
from gmembench.benchmarks.scenario import operations
from gmembench.core.catalog import load_designs
from gmembench.core.drivers.sequential import Sequential
from gmembench.core.errno import EFAULT, EIO
from gmembench.core.operations import PROGRAM_NUMBER, WRITE
from gmembench.core.outcomes import NEXT
from gmembench.core.programs import Code
from gmembench.core.steps.table import FUSED
from gmembench.core.views import Record

GFNS = 1500
"""More than two regions: tables of every level are linked."""

CODE = compare.code_of("guest-memfd")
DESIGNS = sorted(name for name, design in load_designs().items() if "4K" in design.sizes)
LARGE_DESIGNS = sorted(set(load_designs()) - set(DESIGNS))
LARGE_GFNS = 1 << 18
"""One page of 1G."""


@pytest.fixture(autouse=True, scope="module")
def _gcc() -> None:
    try:
        compiler_version()
    except NoCompilerError as error:
        pytest.skip(str(error))


def run_both(todo: np.ndarray, *, code: Code = CODE, gfns: int = GFNS, vcpus: int = 1, ahead: int = 0) -> Sequential:
    """Run operations by the driver and by the twin on equal worlds, check that they agree; return the driver."""
    world = compare.fresh_world(code, gfns, vcpus)
    ours, twin = Sequential(code, world), Twin(code, world, ahead)
    compare.run_pair(ours, twin, world.buffer.copy(), todo, twin_first=False)
    return ours


@pytest.mark.parametrize("vcpus", [1, 3])
@pytest.mark.parametrize("flags", [0, WRITE])
@pytest.mark.parametrize(("order", "seed"), [("sequential", 1), ("random", 1), ("random", 2), ("random", 3)])
@pytest.mark.parametrize("design", DESIGNS)
def test_populations_are_equal(design: str, order: str, seed: int, flags: int, vcpus: int) -> None:
    """After a population the worlds are byte-identical and all counters are equal, under every design."""
    todo = compare.population(GFNS, order, seed=seed, flags=flags, vcpus=vcpus)
    ours = run_both(todo, code=compare.code_of(design), vcpus=vcpus, ahead=compare.ORDERS[order])
    assert ours.world["private_pages"] + ours.world["shared_pages"] >= GFNS


@pytest.mark.parametrize("design", DESIGNS)
def test_ranges_and_second_touches_are_equal(design: str) -> None:
    """Accesses of whole ranges, and accesses to what is mapped, are the same too."""
    todo = np.concatenate(
        [operations("access", [0, 700], count=600, flags=WRITE), operations("access", [0, 5, 1, 699, 699, 64, 5])]
    )
    run_both(todo, code=compare.code_of(design))


def test_a_fault_has_forty_rows() -> None:
    """Each row of a fault is counted: 40, one more for each table, and 6 where the vCPU first enters the guest."""
    ours = run_both(compare.population(GFNS, "sequential", flags=WRITE))
    assert ours.hits.sum() == 40 * GFNS + ours.world["tables"] + 6


def test_a_difference_is_told() -> None:
    """A world that differs in one byte fails the comparison."""
    world = compare.fresh_world(CODE, 8)
    ours, twin = Sequential(CODE, world), Twin(CODE, world)
    changed = world.buffer.copy()
    changed[-1] ^= 1
    with pytest.raises(compare.DifferentError, match="bytes of the world"):
        compare.check_same(ours, world.buffer, twin, changed)


def test_a_counter_that_differs_is_told() -> None:
    """Equal worlds with unequal counters fail the comparison."""
    world = compare.fresh_world(CODE, 8)
    ours, twin = Sequential(CODE, world), Twin(CODE, world)
    twin.hits[3] += 1
    with pytest.raises(compare.DifferentError, match="hits"):
        compare.check_same(ours, world.buffer, twin, world.buffer)


@pytest.mark.parametrize("design", LARGE_DESIGNS)
def test_large_pages_are_equal(design: str) -> None:
    """A design without small pages does the same too, in a guest of one large page."""
    todo = compare.population(LARGE_GFNS, "random")[:300]
    ours = run_both(todo, code=compare.code_of(design), gfns=LARGE_GFNS)
    assert ours.world["private_pages"] + ours.world["shared_pages"] == LARGE_GFNS


def test_other_ways_through_a_fault_are_equal() -> None:
    """Shared memory, gfns without a memslot and a file that has gone: rows aside are the twin's too."""
    world = compare.fresh_world(CODE, 64)
    world.arrays["frames"]["attr"][8:16] = 0
    world.arrays["frames"]["attr"][20:24] = 0
    world.arrays["slots"]["npages"][0] = 40
    world.arrays["cache"]["slot"][24:28] = 7
    ours, twin = Sequential(CODE, world), Twin(CODE, world)
    compare.run_pair(ours, twin, world.buffer.copy(), compare.population(64, "random", vcpus=1), twin_first=True)
    assert ours.world["shared_pages"] == 12
    assert ours.results[PROGRAM_NUMBER["access"]][[EFAULT, EIO]].tolist() == [24, 4]


def test_other_programs_are_refused() -> None:
    """A twin runs its program, nothing else."""
    with pytest.raises(ValueError, match="runs the program 'access' only"):
        Twin(CODE, compare.fresh_world(CODE, 8)).run(operations("punch", 0))


def test_structs_follow_the_dtypes() -> None:
    """Every field of every record is in the C header with its offset."""
    header = c_header()
    for name, dtype in RECORDS.items():
        for field, (_, offset, *_) in (dtype.fields or {}).items():
            assert f'offsetof(struct {name}, {field}) == {offset}, "{name}.{field}"' in header


def translated(function: Callable[..., int]) -> str:
    """The C of a step."""
    made = Translation()
    made.name_of(function, [HEADER, "actor", "row"])
    return made.text()


def with_a_list(w: Record, a: Record, r: Record) -> int:
    """No step: steps make no lists."""
    found = [1, 2]
    return found[0]


def with_a_power(w: Record, a: Record, r: Record) -> int:
    """No step: it uses an operator that has no C."""
    return a["gfn"] ** 2


def with_choices(w: Record, a: Record, r: Record) -> int:
    """A step that asks whether a number is one of several."""
    if a["gfn"] in (3, 5) and a["slot"] not in (NEXT, 1):
        return 2
    return a["pfn"] or 4


def test_choices_are_translated() -> None:
    """One of several numbers, and the operand that `or` gives, mean in C what they mean in Python."""
    text = translated(with_choices)
    assert "(((int64_t)a->gfn == 3LL || (int64_t)a->gfn == 5LL) && (!(" in text
    assert "return ((int64_t)a->pfn ?: 4LL);" in text


@pytest.mark.parametrize(("function", "named"), [(with_a_list, "[1, 2]"), (with_a_power, "a['gfn'] ** 2")])
def test_what_has_no_translation_is_refused(function: Callable[..., int], named: str) -> None:
    """Python that is no part of the language of steps is refused with its function and line, not guessed at."""
    with pytest.raises(UntranslatableError, match=rf"{function.__name__}, line \d+: no C for {re.escape(repr(named))}"):
        translated(function)


def test_every_row_is_in_the_program() -> None:
    """The C has one label for each row of an access, in order, named by its row."""
    labels = re.findall(r"row_(\d+): /\* (\S+) \*/", c_source(CODE))
    rows = [(str(i), item.name) for i, item in enumerate(CODE.info) if item.program == "access"]
    assert labels == rows


def test_each_fused_sequence_stands_in_the_program() -> None:
    """Sequences of steps with machine code of their own are rows of an access, side by side."""
    steps = " ".join(item.step.name for item in CODE.info if item.program == "access") + " "
    assert [names for names in FUSED if f"{names} " not in steps] == []


def test_rows_taken_apart_count_the_same() -> None:
    """A row between fused ones stops the fusion, and nothing else changes."""
    design = CODE.design
    access = design.programs["access"]
    extra = replace(next(r for r in access.rows if r.step == "fault.topup_caches"), name="fault.once_more")
    apart = design.edited("apart", access=access.inserted(extra, "fault.recheck_stale"))
    counts = []
    for edited in (design, apart):
        code = compare.assemble(edited, CODE.hardware)
        driver = Sequential(code, compare.fresh_world(code, 64))
        driver.run(compare.population(64, "sequential"))
        counts.append({item.name: int(hits) for item, hits in zip(code.info, driver.hits, strict=True)})
    assert counts[1].pop("access.fault.once_more") == 64
    assert counts[0] == counts[1]


def test_the_command_prints_json() -> None:
    """The command measures both orders of the designs asked for and prints one JSON value."""
    command = [sys.executable, "-m", "gmembench.benchmarks.peers", "--gfns", "600", "--pairs", "2", "--json"]
    command += ["--design", "legacy-vma", "--design", "guest-memfd", "--large", "1200"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert list(report["designs"]) == ["legacy-vma", "guest-memfd"]
    for found in report["designs"].values():
        assert list(found["orders"]) == ["sequential", "random"]
        assert all(len(order["ratios"]) == 2 for order in found["orders"].values())
        assert found["large"]["gfns"] == 1200


@pytest.mark.parametrize("mistake", [["--pairs", "0"], ["--design", "nobodys"]])
def test_bad_usage_is_one_line(mistake: list[str]) -> None:
    """A mistake on the command line is told in one line, with exit code 2."""
    command = [sys.executable, "-m", "gmembench.benchmarks.peers", *mistake]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
