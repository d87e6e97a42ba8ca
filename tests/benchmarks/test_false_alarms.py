"""The script that counts false alarms of real runs, on runs whose truth is known."""

import random
from dataclasses import replace
from pathlib import Path

from gmembench.benchmarks import false_alarms
from gmembench.reports.compare.rules import Rules
from gmembench.reports.runs import Numbers, Run


def runs(count: int, processes: int, odd: int | None = None) -> list[Run]:
    """Runs of four cells of two designs as a standard run has them; run number `odd` is 20 % slower."""
    chance = random.Random(5)
    found = []
    for number in range(count):
        cells = {}
        for name in ("a/x/none/4K", "a/y/none/4K", "b/x/none/4K", "b/y/none/4K"):
            factor = 1.2 if number == odd else 1.0
            means = tuple(1e-7 * factor * chance.gauss(1, 0.01) for _ in range(processes))
            cells[name] = Numbers({"design": name.split("/")[1]}, {"steps": 1}, means, interpreted=False)
        found.append(Run(Path(f"{number}.json"), {"cpu_model_name": "A"}, cells, {}, {}))
    return found


def test_equal_runs_make_few_alarms_and_planted_ones_are_found() -> None:
    """Six equal runs, 15 pairs: no alarm; with 5 % planted in one design, all are told and for no other design."""
    equal = runs(6, 10)
    text = false_alarms.report(equal, Rules(), None)
    assert "pairs: 15 comparisons of 60 cells" in text
    assert text.count("false regressions: in 0 comparisons (0.0%)") == 2
    text = false_alarms.report(equal, Rules(), ("x", 1.05))
    assert text.count("false regressions: in 0 comparisons (0.0%)") == 2
    assert "planted slowdown of x found in 15 (100.0%)" in text
    assert "planted slowdown of x found in 6 (100.0%)" in text


def test_one_odd_run_is_named_as_the_cause_of_many_alarms() -> None:
    """A run that was slow makes an alarm in each pair in which it is the newer one; without it there is none."""
    found = false_alarms.pairs(runs(5, 10, odd=4), Rules(), None)
    alarms = [one for one in found if one.slower]
    assert [one.runs for one in alarms] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert false_alarms.guilty(alarms) == [4]
    pooled = false_alarms.against_pool(runs(5, 10, odd=4), Rules(), None)
    assert [bool(one.slower) for one in pooled] == [False] * 4 + [True]


def test_planting_changes_times_of_one_design_only() -> None:
    """Counters and other designs stay as they are."""
    (run,) = runs(1, 3)
    slow = false_alarms.planted(run, "x", 2.0)
    assert slow.cells["a/y/none/4K"] == run.cells["a/y/none/4K"]
    cell = run.cells["a/x/none/4K"]
    assert slow.cells["a/x/none/4K"] == replace(cell, means_s=tuple(2 * mean for mean in cell.means_s))


def test_what_is_planted_is_found_in_designs_that_were_timed_together() -> None:
    """The values of all rounds are multiplied: the design stands out beside the others, and they stay."""
    chance = random.Random(6)
    found = []
    for number in range(2):
        cells = {}
        for design in "wxyz":
            rounds = tuple([chance.gauss(1, 0.01) for _ in range(3)] for _ in range(9))
            means = tuple(sum(values) / 3 for values in rounds)
            facts = {"design": design}
            cells[f"a/{design}/none/4K"] = Numbers(
                facts, {"steps": 1}, means, False, "a/none/4K", tuple(range(9)), rounds
            )
        found.append(Run(Path(f"{number}.json"), {"cpu_model_name": "A"}, cells, {}, {}))
    (only,) = false_alarms.pairs(found, Rules(), ("x", 1.05))
    assert only.slower == ("a/x/none/4K",)
