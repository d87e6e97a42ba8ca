"""`gmembench explore`: the contract of its JSON and its exit codes, what it says, and errors in one line."""

import contextlib
import io
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
from tiny_world import TINY

from gmembench.benchmarks.cli import command_line
from gmembench.benchmarks.commands.edits import ORDER, Ordered, edit_options, edits_in_order
from gmembench.benchmarks.commands.explore import number_of_bytes
from gmembench.core.drivers import exhaustive
from gmembench.core.drivers.exhaustive import Explorer
from gmembench.inject.question import Words, ask, setting_named
from gmembench.inject.schedule import read_line

COMMAND = [sys.executable, "-P", "-m", "gmembench", "explore"]

BUG = "bugs/A05-fault-no-recheck-under-mmu-lock"

ALWAYS = {"verdict", "claim", "invariant", "states", "transitions", "schedules", "seconds", "reductions", "steps"}
"""Keys that the answer has, whatever it is."""


def explore(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a process of its own, interpreted: nothing has to be compiled."""
    return subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        check=False,
        stdin=subprocess.DEVNULL,
    )


@cache
def bug() -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of a shipped bug."""
    done = explore("--inject", BUG, "--json")
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A folder with a scenario that is explored in a second."""
    (tmp_path / "exploration").mkdir()
    (tmp_path / "exploration" / "tiny.toml").write_text(TINY)
    return tmp_path


def test_a_violation_is_exit_one() -> None:
    """A shipped bug breaks the invariant that it must break."""
    code, answer = bug()
    assert code == 1
    assert (answer["verdict"], answer["invariant"], answer["known"]) == ("violation", "UAF-MAP", False)


def test_the_answer_has_every_key() -> None:
    """Numbers of another driver are null, nothing is left out."""
    answer = bug()[1]
    assert answer.keys() >= {*ALWAYS, "replay"}
    assert answer["schedules"] is None
    assert answer["transitions"] > answer["states"] > 500


def test_steps_name_actor_row_and_operands() -> None:
    """Each step is `actor: program.step operands`, the last one the one that breaks it."""
    steps = bug()[1]["steps"]
    assert steps[0] == "V0: access.run.resume gfn=0"
    assert steps[-1] == "V0: access.fault.set_spte gfn=0 pfn=1"


def test_the_line_replays_the_same_world() -> None:
    """What is pasted names the plan, and its setting is the one that was explored."""
    line = bug()[1]["replay"]
    assert line.startswith(f"gmembench replay v1:{BUG}:guest-memfd:none:without+access.fault.recheck_stale:")
    schedule = read_line(line.rpartition(" ")[2], setting_named)
    assert schedule.setting == ask(Words(plan=BUG)).setting
    assert len(schedule.choices) == len(bug()[1]["steps"])


def test_the_claim_says_all_that_it_must() -> None:
    """Bound, states, transitions, reductions, memory ordering, and how likely a state was left out."""
    answer = bug()[1]
    for said in (
        f"{answer['states']:,} states",
        f"{answer['transitions']:,} transitions",
        "Bound: 1 vCPU, 1 host thread, 2 operations, 1 gfn, 2 pages.",
        "Reductions: ",
        "sequentially consistent between steps",
        f"{answer['states'] ** 2 / 2**65:.1e} (n^2/2^65)",
    ):
        assert said in answer["claim"]


def test_what_holds_is_exit_zero(tiny: Path) -> None:
    """A small world without a bug is explored to its end, and the claim says so."""
    done = explore("--path", str(tiny), "--design", "legacy-vma", "--scenario", "tiny", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verdict"], answer["invariant"]) == (0, "holds", None)
    assert answer["claim"].startswith("Every reachable state was visited")
    assert answer["steps"] == []
    assert answer["replay"] is None


def test_a_bound_is_exit_four(tiny: Path) -> None:
    """Stopped before a verdict: what was covered is told, and that it is not all."""
    where = ("--path", str(tiny), "--design", "legacy-vma", "--scenario", "tiny")
    done = explore(*where, "--states", "50", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verdict"]) == (4, "bound")
    assert answer["claim"].startswith("Stopped at the bound of 50 states after 50 states and ")
    assert "These are not all states, and whether all scripts can end is not known." in answer["claim"]
    assert answer["states"] == 50


def test_memory_is_a_bound() -> None:
    """Where it would pass what was given it stops, and says how far it came and what it used at most."""
    done = explore("--design", "legacy-vma", "--scenario", "fault-vs-numa-zap", "--memory", "1MiB", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verdict"]) == (4, "bound")
    assert answer["states"] > 1000
    assert answer["claim"].startswith("Stopped at the bound of 1,048,576 bytes of memory after ")
    told = answer["memory"]
    assert told["visited_set_bytes"] + told["stack_and_links_bytes"] <= told["peak_bytes"] <= 1 << 20


def test_an_interrupt_tells_what_was_covered(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is a bound like another: exit code 4, and the answer as JSON."""
    once = Explorer._on

    def interrupted(explorer: Explorer) -> int:
        once(explorer)
        raise KeyboardInterrupt

    monkeypatch.setattr(Explorer, "_on", interrupted)
    monkeypatch.setattr(exhaustive, "PAUSE_TRANSITIONS", 50)
    words = ["explore", "--path", str(tiny), "--design", "legacy-vma", "--scenario", "tiny", "--json"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = command_line.main(words, standalone_mode=False)
    answer = json.loads(said.getvalue())
    assert (code, answer["verdict"]) == (4, "bound")
    assert answer["claim"].startswith("Stopped at the bound of an interrupt after ")
    assert answer["transitions"] >= 50


def test_both_orders_visit_the_same_states(tiny: Path) -> None:
    """Breadth first and depth first agree on verdict and counts."""
    where = ("--path", str(tiny), "--design", "legacy-vma", "--scenario", "tiny", "--json", "--order")
    answers = [json.loads(explore(*where, order).stdout) for order in ("breadth", "depth")]
    assert answers[0]["states"] == answers[1]["states"]
    assert answers[0]["transitions"] == answers[1]["transitions"]


def test_the_text_ends_with_the_line_to_paste(tmp_path: Path) -> None:
    """Verdict first, the reason, the replay line last; the failure is written when it is asked for."""
    done = explore("--inject", BUG, "--save", str(tmp_path / "failure.json"))
    lines = done.stdout.splitlines()
    assert lines[0] == f"violation: {BUG}, guest-memfd, without access.fault.recheck_stale on none"
    assert lines[-1] == bug()[1]["replay"]
    assert "UAF-MAP: gfn 0 is mapped to a page that is no longer its own" in lines
    assert json.loads((tmp_path / "failure.json").read_text())["violation"]["invariant"] == "UAF-MAP"


def test_an_ignored_invariant_is_not_judged() -> None:
    """Another one shows what the same bug breaks besides."""
    answer = json.loads(explore("--inject", BUG, "--ignore", "UAF-MAP", "--json").stdout)
    assert answer["invariant"] != "UAF-MAP"
    judged, _, left = answer["claim"].partition("Left out as asked")
    assert "UAF-MAP" not in judged
    assert "UAF-MAP" in left


def test_schedules_at_random_are_a_sample(tiny: Path) -> None:
    """Nothing found is exit 0 and no proof: the claim says how likely a failure would have shown."""
    where = ("--path", str(tiny), "--design", "legacy-vma", "--scenario", "tiny", "--json")
    done = explore(*where, "--random", "40", "--seed", "3")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verdict"], answer["schedules"]) == (0, "not-found", 40)
    assert answer["states"] is None
    assert "This is a sample: others may." in answer["claim"]
    assert "probability of 7.5e-02 or more would have been missed with at most 5 %" in answer["claim"]
    assert answer["sometimes"]["seen"]["a fault"]


def test_pct_finds_the_bug_and_shrinks_it() -> None:
    """The failure is the one that an exhaustive search finds, down to its line."""
    done = explore("--inject", BUG, "--pct", "3", "--schedules", "400", "--seed", "1", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["invariant"]) == (1, "UAF-MAP")
    assert answer["switches"] == 3
    assert answer["replay"] == bug()[1]["replay"]


def test_a_sweep_tells_of_each_hit() -> None:
    """A punch at the first arrival and at the second; without the check each breaks it, and the line shows it again."""
    words = ("--inject", BUG, "--sweep", "punch_hole@V0 before access.fault.lock_mmu")
    done = explore(*words, "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["verdict"], answer["invariant"]) == (1, "violation", "UAF-MAP")
    assert {shot["hit"] for shot in answer["shots"]} == {"access.fault.lock_mmu"}
    assert [shot["skip"] for shot in answer["shots"]] == list(range(answer["schedules"]))
    assert answer["steps"][-1] == "V0: access.fault.set_spte gfn=0 pfn=1"
    assert answer["claim"].startswith("punch_hole at `V0 before access.fault.lock_mmu` happened at each of ")
    assert len(read_line(answer["replay"].rpartition(" ")[2]).choices) == len(answer["steps"])


def test_a_sweep_that_breaks_nothing_is_exit_zero() -> None:
    """An allocation fails at each place where it can, once a run; the table has a line for each."""
    done = explore("--design", "guest-memfd", "--scenario", "fault-vs-punch", "--sweep", "alloc_fail")
    assert done.returncode == 0
    assert done.stdout.startswith("hit   1  access.")
    assert "\nnot-found: fault-vs-punch, guest-memfd on none\n" in done.stdout
    assert "None of the runs breaks something judged." in " ".join(done.stdout.split())


DMA = "pin.dma,before=access.fault.topup_caches"
"""The device writes to the gfn before the one in hand, which is -1."""

OUTSIDE = ["--design", "guest-memfd", "--scenario", "fault-vs-punch", "--insert", DMA]

BAD = [
    (["--inject", BUG, "--sweep", "punch_hole"], "--sweep: punch_hole has no point; say where: punch_hole@ROW"),
    (["--inject", BUG, "--sweep", "punch_hol@access.fault.lock_mmu"], "--sweep: no event 'punch_hol'"),
    (["--inject", BUG, "--sweep", "punch_hole@access.fault.lok_mmu"], "has no row 'access.fault.lok_mmu'"),
    (["--inject", BUG, "--sweep", "alloc_fail", "--pct", "3"], "--pct and --sweep exclude each other"),
    (["--inject", BUG, "--sweep", "alloc_fail", "--states", "9"], "--states goes with an exhaustive search"),
    (["--inject", BUG, "--sweep", "alloc_fail", "--workers", "2"], "--workers goes with --random or --pct"),
    (["--inject", BUG, "--exhaustive", "--random", "5"], "--exhaustive and --random exclude each other"),
    (["--inject", BUG, "--random", "5", "--schedules", "5"], "--schedules goes with --pct"),
    (["--inject", BUG, "--random", "5", "--order", "depth"], "--order goes with an exhaustive search"),
    (["--inject", BUG, "--random", "5", "--memory", "1GiB"], "--memory goes with an exhaustive search"),
    (["--inject", BUG, "--pct", "3", "--states", "500"], "--states goes with an exhaustive search"),
    (["--inject", BUG, "--pct", "3", "--no-reduction", "order"], "--no-reduction goes with an exhaustive search"),
    (["--inject", BUG, "--workers", "2"], "--workers goes with --random or --pct"),
    (["--inject", BUG, "--exhaustive", "--failures", "2"], "--failures goes with --random or --pct"),
    (["--inject", BUG, "--no-swarm"], "--swarm/--no-swarm goes with --random or --pct"),
    (["--inject", BUG, "--corpus", "found"], "--corpus goes with --random or --pct"),
    (["--inject", BUG, "--random", "0"], "--random"),
    (["--inject", BUG, "--pct", "99"], "--pct"),
    ([], "--design is missing"),
    (["--design", "guest-memfd"], "--scenario is missing"),
    (["--design", "guest-memf", "--scenario", "fault-vs-punch"], "did you mean guest-memfd"),
    (["--design", "guest-memfd", "--scenario", "fault-vs-pnch"], "did you mean fault-vs-punch"),
    (["--design", "guest-memfd", "--scenario", "balloon"], "'balloon' is counted and timed, not explored; run it with"),
    (["--inject", BUG, "--hardware", "tdxx"], "did you mean tdx"),
    (["--inject", "bugs/A99"], "no plan 'bugs/A99'"),
    (["--inject", "nowhere.toml"], "nowhere.toml"),
    (["--inject", BUG, "--without", "access.fault.recheck_root_"], "did you mean access.fault.recheck_root"),
    (["--inject", BUG, "--swap", "fault.lock_mmu"], "swap A,B"),
    (["--inject", BUG, "--ignore", "UAF"], "did you mean UAF-MAP"),
    (["--inject", BUG, "--memory", "much"], "8GiB"),
    (["--inject", BUG, "--time", "0"], "--time"),
    (["--inject", BUG, "--order", "sideways"], "'sideways' is not one of"),
    (["--inject", BUG, "--save", "/nowhere/x.json"], "the folder does not exist"),
    (["--design", "legacy-vma", "--scenario", "fault-vs-convert"], "no convert: all memory is shared with the VMM"),
    (OUTSIDE, "a row uses frames[-1], and there are 1; an edit led the program out of the model"),
    ([*OUTSIDE, "--random", "100"], "uses frames[-1], and there are 1"),
    ([*OUTSIDE, "--random", "100", "--workers", "2"], "uses frames[-1], and there are 1"),
    ([*OUTSIDE, "--sweep", "alloc_fail"], "uses frames[-1], and there are 1"),
]


@pytest.mark.parametrize(("words", "said"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_bad_input_is_one_line_and_exit_two(words: list[str], said: str) -> None:
    """What is wrong, and what to do; nothing on standard output."""
    done = explore(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_edits_keep_the_order_of_the_line() -> None:
    """An edit sees those before it, of whatever kind: the order is the line's, not that of the kinds."""
    found = []

    @click.command(cls=Ordered)
    @edit_options
    @click.pass_context
    def command(ctx: click.Context, /, **edits: tuple[str, ...]) -> None:
        found.append(edits_in_order(ctx, edits))
        assert ORDER in ctx.meta

    line = "--swap a.b,c --without d --swap e,f --insert g.h,before=i --without=j"
    command.main(line.split(), standalone_mode=False)
    assert found == [("swap a.b,c", "without d", "swap e,f", "insert g.h,before=i", "without j")]


@pytest.mark.parametrize(("text", "number"), [("1000", 1000), ("8GiB", 8 << 30), ("0.5 mib", 1 << 19), ("2b", 2)])
def test_sizes_are_bytes(text: str, number: int) -> None:
    """With a unit or without."""
    context = click.Context(click.Command("x"))
    assert number_of_bytes(context, click.Option(["--memory"]), text) == number


def test_the_line_counts_before_the_plan() -> None:
    """A plan's world, with another design, hardware and one edit more."""
    question = ask(Words(design="guest-memfd-inplace", plan="bugs/A05", edits=("without access.fault.recheck_root",)))
    assert question.design.name == "guest-memfd-inplace"
    assert question.scenario.name == BUG
    assert question.edits == ("without access.fault.recheck_stale", "without access.fault.recheck_root")
