"""A run against earlier runs: what is told, what passes, and what fails."""

import json
import random
import xml.sax.saxutils
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from gmembench.core.errors import UserError
from gmembench.reports.compare.comparison import Comparison, compare
from gmembench.reports.compare.rules import CellRule, Rules, read_rules
from gmembench.reports.compare.texts import as_data, as_github, as_markdown, as_text, outcome
from gmembench.reports.runs import Numbers, Run, read_run

MACHINE = {"gmembench.size": "full", "cpu_model_name": "Example 3000", "cpu_count": 2, "python_version": "3.11.9"}


def counted_cell(**counters: int) -> Numbers:
    """A cell with some counters."""
    return Numbers({"design": "d"}, {"steps": 100, "operations": 10, **counters}, (), False)


def a_run(cells: dict[str, Numbers], name: str = "a.json", **metadata: object) -> Run:
    """A run of some cells on the usual machine."""
    return Run(Path(name), {**MACHINE, **metadata}, cells, {}, {})


def timed_run(
    chance: random.Random, cells: Iterable[str], processes: int = 10, slower: dict[str, float] | None = None
) -> Run:
    """A run with times as processes have them: each with a luck of 2 % of its own, and 0.5 % within."""
    slower = slower or {}
    found = {}
    for cell in cells:
        means = []
        for _ in range(processes):
            luck = chance.gauss(1, 0.02)
            means.append(1e-7 * slower.get(cell, 1.0) * sum(luck * chance.gauss(1, 0.005) for _ in range(3)) / 3)
        found[cell] = replace(counted_cell(), means_s=tuple(means))
    return a_run(found)


def verdicts(found: Comparison) -> dict[str, str]:
    """Cell to verdict."""
    return {cell.cell: cell.verdict for cell in found.cells}


def counted_verdict(base: dict[str, int], new: dict[str, int], rules: Rules | None = None) -> Comparison:
    """The comparison of one counted cell with another."""
    return compare([a_run({"c": counted_cell(**base)})], a_run({"c": counted_cell(**new)}, "b.json"), rules or Rules())


@pytest.mark.parametrize(
    ("base", "new", "verdict", "passed"),
    [
        ({}, {}, "same", True),
        ({}, {"steps": 101}, "slower", False),
        ({}, {"steps": 99}, "faster", True),
        ({"flushes": 3}, {"flushes": 4, "steps": 50}, "slower", False),
        ({"flushes": 0}, {"flushes": 1}, "slower", False),
        ({"mappings_2m": 4}, {"mappings_2m": 0}, "same", True),
        ({}, {"operations": 11}, "unsure", False),
        ({"result.access.OK": 10}, {"result.access.OK": 9, "result.access.EFAULT": 1}, "unsure", False),
        ({}, {"flushes": 7}, "same", True),
    ],
)
def test_counted_numbers_are_compared_exactly(
    base: dict[str, int], new: dict[str, int], verdict: str, passed: bool
) -> None:
    """One step more is a regression, other work is a finding; what only one version records is neither."""
    found = counted_verdict(base, new)
    assert (verdicts(found), found.passed) == ({"c": verdict}, passed)


def test_a_counter_may_grow_where_the_rules_allow_it() -> None:
    """An allowance holds for the cells that match, and no further than it says."""
    rules = Rules(cells=(CellRule("c*", counted=0.05),))
    assert counted_verdict({}, {"steps": 105}, rules).passed
    assert not counted_verdict({}, {"steps": 106}, rules).passed
    assert not counted_verdict({}, {"steps": 105}, Rules(cells=(CellRule("x*", counted=0.05),))).passed


def test_cells_that_come_and_go() -> None:
    """A new cell passes, one that is gone passes with its reason, one that failed does not pass."""
    base = a_run({name: counted_cell() for name in ("stays", "gone", "failed", "cannot", "changed")})
    changed = replace(counted_cell(), facts={"design": "other"})
    new = replace(
        a_run({"stays": counted_cell(), "new": counted_cell(), "changed": changed}),
        failed={"failed": "out of memory"}, not_applicable={"cannot": "no 2M"},
    )  # fmt: skip
    found = compare([base], new, Rules())
    assert verdicts(found) == {"stays": "same", "gone": "gone", "failed": "gone", "cannot": "gone", "changed": "new",
                               "new": "new"}  # fmt: skip
    assert [cell.cell for cell in found.findings] == ["failed"]
    text = as_text(found)
    for reason in ("out of memory", "no 2M", "another configuration: design d -> other"):
        assert reason in text


def test_a_gate_that_measured_nothing_fails() -> None:
    """Without a cell in common nothing was compared, which is no pass; without a base at all it is the first run."""
    new = a_run({"new": counted_cell()})
    nothing = compare([a_run({"old": counted_cell()})], new, Rules())
    assert not nothing.passed
    assert "no cell was compared" in outcome(nothing)
    first = compare([], new, Rules())
    assert first.passed
    assert "nothing to compare with" in outcome(first)


STANDARD = [f"scenario{i}/design{j}/none/4K" for i in range(11) for j in range(8)]
"""As many cells as a standard run times, each in STANDARD_PROCESSES worker processes."""

STANDARD_PROCESSES = 9


def test_a_standard_run_finds_a_slowdown_of_five_percent() -> None:
    """One design is 5 % slower: it is told in nearly all of its cells, and no other design is."""
    chance = random.Random(4)
    planted = {cell: 1.05 for cell in STANDARD if "/design3/" in cell}
    base = timed_run(chance, STANDARD, STANDARD_PROCESSES)
    found = compare([base], timed_run(chance, STANDARD, STANDARD_PROCESSES, planted), Rules())
    told = {cell for cell, verdict in verdicts(found).items() if verdict in {"slower", "faster"}}
    assert told <= set(planted)
    assert len(told) >= 0.8 * len(planted)
    assert not found.passed


def test_equal_standard_runs_are_seldom_told_apart() -> None:
    """Of 30 comparisons of two standard runs of the same code, at most 5 % report a regression.

    With no least difference: what is left is the test and its correction, at their most nervous.
    """
    chance = random.Random(8)
    alarms = 0
    for _ in range(30):
        base, new = (timed_run(chance, STANDARD, STANDARD_PROCESSES) for _ in range(2))
        alarms += not compare([base], new, Rules(threshold=0)).passed
    assert alarms <= 1


def test_few_processes_cannot_decide_and_say_how_many_would() -> None:
    """Two processes a side never make a regression; the verdict says how many a side it takes, and these do."""
    chance = random.Random(2)
    cells = ["a", "b"]
    found = compare([timed_run(chance, cells, 2)], timed_run(chance, cells, 2, {"a": 1.06}), Rules())
    verdict = next(cell for cell in found.cells if cell.cell == "a")
    assert verdict.verdict == "unsure"
    assert verdict.measured
    assert verdict.measured.needed
    assert found.passed
    assert f"{verdict.measured.needed} processes a side (has 2 and 2)" in as_text(found, everything=True)
    assert f"up to {max(c.measured.needed or 0 for c in found.cells if c.measured)} processes a side" in as_text(found)
    needed = verdict.measured.needed
    again = compare([timed_run(chance, cells, needed)], timed_run(chance, cells, needed, {"a": 1.06}), Rules())
    assert verdicts(again)["a"] == "slower"


def test_one_process_a_side_tells_at_least_how_many() -> None:
    """Without any spread to go by, the answer is the fewest with which the test can speak."""
    chance = random.Random(2)
    found = compare([timed_run(chance, ["a"], 1)], timed_run(chance, ["a"], 1), Rules())
    assert "needs at least 4 processes a side (has 1 and 1)" in as_text(found, everything=True)


def test_a_difference_below_the_threshold_is_no_regression() -> None:
    """Two percent are told by the test, but by the rules they are the same, unless a cell has a finer rule."""
    chance = random.Random(6)
    cells = ["a", "b"]
    base, new = timed_run(chance, cells, 60), timed_run(chance, cells, 60, {"a": 1.02, "b": 1.02})
    assert compare([base], new, Rules(threshold=0.05)).passed
    found = compare([base], new, Rules(threshold=0.05, cells=(CellRule("b", threshold=0.001),)))
    assert verdicts(found) == {"a": "same", "b": "slower"}


def test_the_base_is_a_pool_and_its_worst_run_counts() -> None:
    """A run as slow as one of the base runs is no regression, however many processes it has."""
    chance = random.Random(1)
    cells = ["a"]
    usual = [timed_run(chance, cells) for _ in range(4)]
    slow = timed_run(chance, cells, slower={"a": 1.1})
    assert verdicts(compare(usual, timed_run(chance, cells, slower={"a": 1.08}), Rules())) == {"a": "slower"}
    found = compare([*usual, slow], timed_run(chance, cells, slower={"a": 1.08}), Rules())
    assert verdicts(found) == {"a": "unsure"}
    assert "one of the base runs differs" in as_text(found, everything=True)


def test_times_of_other_machines_are_not_compared() -> None:
    """Another processor: only counted numbers are compared, and the reason is told; on request, times are too."""
    chance = random.Random(1)
    base = timed_run(chance, ["a"])
    other = timed_run(chance, ["a"], slower={"a": 2.0})
    other = replace(other, metadata={**other.metadata, "cpu_model_name": "Example 9000"})
    found = compare([base], other, Rules())
    assert (verdicts(found), found.timed, found.passed) == ({"a": "same"}, 0, True)
    assert "processor Example 3000 -> Example 9000" in found.notes[0]
    assert not compare([base], other, Rules(), any_machine=True).passed
    pool = compare([base, timed_run(chance, ["a"])], replace(other, metadata=base.metadata), Rules())
    assert not pool.passed


def test_what_a_run_says_against_itself_is_told() -> None:
    """A noisy machine is noted where times are compared, an interrupted run always."""
    new = a_run({"c": counted_cell()}, **{"noise.warning": "busy", "gmembench.complete": "no"})
    base = a_run({"c": counted_cell()})
    assert compare([base], new, Rules()).notes == ("busy", "The run was interrupted: cells are missing.")
    assert compare([base], new, Rules(), times=False).notes == ("The run was interrupted: cells are missing.",)


def test_other_sizes_are_refused() -> None:
    """A quick run and a standard run are runs of different things."""
    with pytest.raises(UserError, match="size of the scenarios"):
        compare([a_run({})], a_run({}, **{"gmembench.size": "small"}), Rules())


def test_annotations_are_one_line_each_and_escaped() -> None:
    """What a result file says cannot end an annotation or open another."""
    cell = "evil%\r\n::error::x,y:z"
    found = compare([a_run({cell: counted_cell()})], a_run({cell: counted_cell(steps=101)}, "b.json"), Rules())
    lines = as_github(found).splitlines()
    assert lines[0].startswith("::error title=slower%3A evil%25%0D%0A%3A%3Aerror%3A%3Ax%2Cy%3Az::steps 100 -> 101")
    assert all(line.startswith(("::error title=", "::notice title=")) for line in lines)


def test_at_most_ten_annotations() -> None:
    """GitHub shows ten errors of a step: the last one counts the others."""
    base = a_run({f"c{i}": counted_cell() for i in range(30)})
    found = compare([base], a_run({f"c{i}": counted_cell(steps=101) for i in range(30)}), Rules())
    lines = as_github(found).splitlines()
    assert len(lines) == 10
    assert "30 slower" in lines[-1]


def test_markdown_shows_text_as_it_is() -> None:
    """Names with signs of Markdown or HTML are shown, not obeyed."""
    cell = "<script>|`x`*_[a](b)"
    found = compare([a_run({cell: counted_cell()})], a_run({cell: counted_cell(steps=101)}, "b.json"), Rules())
    row = as_markdown(found).splitlines()[-1]
    assert row.count("|") == 4
    assert not set("`*[]") & set(row.replace("**slower**", ""))
    assert "<script>" not in row
    assert xml.sax.saxutils.escape("<script>")[4:10] in row


def test_the_data_is_json(result_file: Callable[..., Path]) -> None:
    """A comparison of real files as plain data: strict JSON with every cell."""
    base, new = read_run(result_file("a.json", processes=1)), read_run(result_file("b.json", processes=1))
    data = json.loads(json.dumps(as_data(compare([base], new, Rules())), allow_nan=False))
    assert data["passed"]
    assert {cell["cell"] for cell in data["cells"]} == set(base.cells)
    assert data["compared"] == {"counted": 9, "measured": 9}


DESIGNS = [f"boot/design{i}/none/4K" for i in range(8)]


def interleaved_run(chance: random.Random, cells: Sequence[str], slower: dict[str, float] | None = None) -> Run:
    """A run in which 8 processes timed all cells: each has a luck of 30 %, which its cells share."""
    run = timed_run(chance, cells, 8, slower)
    lucks = [chance.lognormvariate(0, 0.3) for _ in range(8)]
    timed = {}
    for name, cell in run.cells.items():
        values = tuple(luck * mean for luck, mean in zip(lucks, cell.means_s, strict=True))
        timed[name] = replace(
            cell, facts={"design": name.split("/")[1]}, group="boot/none/4K", processes=tuple(range(8)),
            means_s=values, rounds_s=tuple((value,) for value in values),
        )  # fmt: skip
    return replace(run, cells=timed)


def test_designs_of_the_same_processes_are_compared_beside_each_other() -> None:
    """What all designs of a process share is no noise: 6 % are found where processes differ by 30 %."""
    chance = random.Random(12)
    base, new = interleaved_run(chance, DESIGNS), interleaved_run(chance, DESIGNS, {DESIGNS[2]: 1.06})
    found = compare([base], new, Rules())
    assert [cell.cell for cell in found.findings] == [DESIGNS[2]]
    assert found.findings[0].measured
    assert found.findings[0].measured.beside == 8
    alone = {name: replace(cell, group="", processes=(), rounds_s=()) for name, cell in new.cells.items()}
    assert compare([base], replace(new, cells=alone), Rules()).passed


def restless_cells(chance: random.Random, scenario: str, designs: int, slower: dict[int, float]) -> dict[str, Numbers]:
    """Cells in 8 processes of 11 rounds on a machine that changes its pace from round to round, up to twice as slow.

    One value in twelve is disturbed, and takes up to five times as long. `slower`: number of a design -> factor.
    """
    paces = [[chance.uniform(1, 2) for _ in range(11)] for _ in range(8)]
    cells = {}
    for design in range(designs):
        rounds = tuple(
            [
                1e-7 * slower.get(design, 1.0) * pace * chance.gauss(1, 0.02)
                * (chance.uniform(1, 5) if chance.random() < 1 / 12 else 1)
                for pace in process
            ]
            for process in paces
        )  # fmt: skip
        means = tuple(sum(values) / len(values) for values in rounds)
        facts = {"design": f"design{design}"}
        group = f"{scenario}/none/4K"
        cells[f"{scenario}/design{design}/none/4K"] = Numbers(
            facts, {"steps": 100}, means, False, group, tuple(range(8)), rounds
        )
    return cells


def test_designs_are_compared_round_by_round() -> None:
    """6 % are found where rounds differ by the double and one value in twelve is disturbed; equal runs are equal."""
    chance = random.Random(18)
    base, same, slow = (a_run(restless_cells(chance, "boot", 8, {2: factor})) for factor in (1.0, 1.0, 1.06))
    assert compare([base], same, Rules()).passed
    assert [cell.cell for cell in compare([base], slow, Rules()).findings] == [DESIGNS[2]]


def loud_run(chance: random.Random, scenarios: int, slower: Callable[[int, int], float]) -> Run:
    """A run of 8 designs in some scenarios, 8 processes each, in which each cell of each process has a luck of 10 %.

    `slower`: factor of a scenario and a design, both by number.
    """
    cells = {}
    for scenario, design in product(range(scenarios), range(8)):
        values = [1e-7 * slower(scenario, design) * chance.lognormvariate(0, 0.1) for _ in range(8)]
        cells[f"s{scenario}/d{design}/none/4K"] = Numbers(
            {"design": f"d{design}"}, {"steps": 100}, tuple(values), False,
            f"s{scenario}/none/4K", tuple(range(8)), tuple([value] for value in values),
        )  # fmt: skip
    return a_run(cells)


def times_told(chance: random.Random, slower: Callable[[int, int], float], scenarios: int = 40) -> list[str]:
    """What is slower in a loud run beside one of the same code as before."""
    base = loud_run(chance, scenarios, lambda scenario, design: 1.0 + design)
    new = loud_run(chance, scenarios, lambda scenario, design: (1.0 + design) * slower(scenario, design))
    return [cell.cell for cell in compare([base], new, Rules()).findings]


def test_a_design_that_is_slower_everywhere_is_told_where_no_cell_can_tell() -> None:
    """5 % in all cells of a design, where a cell has a luck of 10 %: its row says so, and no other does."""
    assert times_told(random.Random(15), lambda scenario, design: 1.05 if design == 3 else 1.0) == ["*/d3/*"]


def test_equal_runs_are_seldom_told_apart() -> None:
    """Rows of designs join the false discoveries that are controlled: something is told of 5 % of equal loud runs."""
    told = [times_told(random.Random(seed), lambda scenario, design: 1.0, 12) for seed in range(20)]
    assert sum(map(bool, told)) <= 2


def without(run: Run, *parts: str) -> Run:
    """A run that lacks the cells whose names have one of these parts."""
    return replace(run, cells={n: c for n, c in run.cells.items() if not any(part in n for part in parts)})


def test_a_base_run_with_few_groups_takes_no_row_away() -> None:
    """An interrupted run in the pool: designs are compared with the runs that have enough of their cells."""
    chance = random.Random(20)
    first, second, new = (loud_run(chance, 12, lambda scenario, design: 1.0 + design) for _ in range(3))
    partial = without(second, *(f"s{number}/" for number in range(2, 12)))
    found = {row.cell: row for row in compare([first, partial], new, Rules()).groups}
    measured = found["*/d3/*"].measured
    assert measured
    assert measured.processes == (8, 8)
    assert {f"s{number}/none/4K" for number in range(12)} < set(found)


def test_a_cell_that_a_base_run_lacks_is_compared_beside_the_others_of_the_rest() -> None:
    """One failed cell in one run of a pool does not leave it to the moods of the machine."""
    chance = random.Random(21)
    first, second, new = (loud_run(chance, 1, lambda scenario, design: 1.0 + design) for _ in range(3))
    cells = {c.cell: c.measured for c in compare([first, without(second, "/d3/")], new, Rules()).cells}
    processes = {name: measured and (measured.beside, measured.processes) for name, measured in cells.items()}
    assert processes["s0/d3/none/4K"] == (8, (8, 8))
    assert processes["s0/d2/none/4K"] == (7, (16, 8))


def test_chance_is_taken_for_a_difference_as_seldom_as_p_says() -> None:
    """Processes that differ by luck alone: p below 0.05 in 5 % of cells, and below 0.01 in 1 %, not twice as many."""
    chance = random.Random(22)
    p_values = []
    for _ in range(12):
        runs = []
        for _ in range(2):
            cells = restless_cells(chance, "boot", 8, {})
            for name, cell in cells.items():
                lucks = [chance.lognormvariate(0, 0.05) for _ in cell.processes]
                rounds = tuple(
                    [luck * value for value in values] for luck, values in zip(lucks, cell.rounds_s, strict=True)
                )
                cells[name] = replace(cell, rounds_s=rounds)
            runs.append(a_run(cells))
        found = compare([runs[0]], runs[1], Rules())
        p_values += [cell.measured.p for cell in found.cells if cell.measured]
    assert sum(p < 0.05 for p in p_values) <= 0.09 * len(p_values)
    assert sum(p < 0.01 for p in p_values) <= 0.035 * len(p_values)


def test_a_cell_that_failed_and_has_no_base_is_a_finding() -> None:
    """A new cell that fails must not pass because there is nothing to compare it with."""
    base, new = a_run({"c": counted_cell()}), a_run({"c": counted_cell()}, "b.json")
    found = compare([base], replace(new, failed={"d": "out of memory"}), Rules())
    assert not found.passed
    assert [(cell.cell, cell.verdict) for cell in found.findings] == [("d", "gone")]


@pytest.mark.parametrize("designs", [5, 6, 8])
@pytest.mark.parametrize("factor", [0.5, 0.8, 2.0])
def test_a_design_that_changes_moves_no_other(designs: int, factor: float) -> None:
    """One design is faster or slower in all scenarios: of the others, and of scenarios, nothing is told."""
    chance = random.Random(19)
    base, new = (
        a_run(
            {
                name: cell
                for scenario in range(12)
                for name, cell in restless_cells(chance, f"s{scenario}", designs, {1: changed}).items()
            }
        )
        for changed in (1.0, factor)
    )
    told = {
        row.cell: row.measured.verdict
        for found in [compare([base], new, Rules())]
        for row in (*found.cells, *found.groups)
        if row.measured and row.measured.verdict in {"faster", "slower"}
    }
    assert "*/design1/*" in told
    assert {name.split("/")[1] for name in told} == {"design1"}


def test_rows_stand_in_the_order_of_the_cells() -> None:
    """Scenarios and designs come as they do in the run, the same in every process."""
    chance = random.Random(23)
    base, new = (loud_run(chance, 5, lambda scenario, design: 1.0 + design) for _ in range(2))
    rows = [row.cell for row in compare([base], new, Rules()).groups]
    assert rows == [*(f"s{number}/none/4K" for number in range(5)), *(f"*/d{number}/*" for number in range(8))]


def test_one_slow_cell_is_not_told_of_its_design() -> None:
    """A cell four times slower is a finding; what its design's cells have in common has not moved."""
    slower = times_told(random.Random(16), lambda scenario, design: 4.0 if (scenario, design) == (2, 3) else 1.0, 12)
    assert slower == ["s2/d3/none/4K"]


def test_a_process_that_is_missing_moves_no_design() -> None:
    """Cells in which fewer processes finished than in others are no change of their designs."""
    chance = random.Random(17)
    base, new = (loud_run(chance, 40, lambda scenario, design: 1.0 + scenario * design) for _ in range(2))
    fewer = {
        name: replace(cell, processes=cell.processes[:5], rounds_s=cell.rounds_s[:5]) if name.startswith("s1") else cell
        for name, cell in new.cells.items()
    }
    assert compare([base], replace(new, cells=fewer), Rules()).passed


def test_what_slows_all_designs_is_told_of_their_group() -> None:
    """All designs three times slower: none is slower beside the others, and the group is."""
    chance = random.Random(13)
    slower = dict.fromkeys(DESIGNS, 3.0)
    found = compare([interleaved_run(chance, DESIGNS)], interleaved_run(chance, DESIGNS, slower), Rules())
    assert [cell.cell for cell in found.findings] == ["boot/none/4K"]
    assert "all designs together; time +" in as_text(found)
    assert [group["verdict"] for group in as_data(found)["groups"]] == ["slower"]


def test_few_designs_are_compared_by_themselves() -> None:
    """Beside two others, one that is slower would make the others look faster: their times are taken as they are."""
    chance = random.Random(14)
    found = compare([interleaved_run(chance, DESIGNS[:3])], interleaved_run(chance, DESIGNS[:3]), Rules())
    assert found.groups == ()
    assert [cell.measured.beside for cell in found.cells if cell.measured] == [0, 0, 0]


def test_the_newest_base_run_decides_what_is_counted() -> None:
    """Counters of older runs of the pool do not matter."""
    old, newest = a_run({"c": counted_cell(steps=90)}), a_run({"c": counted_cell(steps=100)})
    assert compare([old, newest], a_run({"c": counted_cell(steps=100)}), Rules()).passed
    assert not compare([newest, old], a_run({"c": counted_cell(steps=100)}), Rules()).passed


@pytest.mark.parametrize(
    "text",
    [
        "threshold = -1",
        "threshold = 'much'",
        "treshold = 1",
        "alpha = 0",
        "[[cells]]\nthreshold = 1",
        "=",
        "counted = nan",
    ],
)
def test_bad_rules_are_told_in_one_line(tmp_path: Path, text: str) -> None:
    """A rules file that is wrong in any way: one line with its name."""
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_rules(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_later_rules_win(tmp_path: Path) -> None:
    """The last entry that matches decides; the command line decides for all other cells."""
    path = tmp_path / "rules.toml"
    path.write_text(
        'threshold = 0.1\n[[cells]]\nmatch = "a*"\nthreshold = 0.2\n[[cells]]\nmatch = "ab"\nthreshold = 0.3\n'
    )
    rules = read_rules(path, 0.5)
    found: Sequence[float] = [rules.threshold_of(cell) for cell in ("ab", "ac", "x")]
    assert found == [0.3, 0.2, 0.5]
    assert read_rules(path).threshold == 0.1
