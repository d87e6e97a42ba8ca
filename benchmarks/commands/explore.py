"""`gmembench explore`: look for interleavings that break an invariant, or show that there are none."""

import re
import sys
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gmembench.benchmarks.commands import options
from gmembench.benchmarks.commands.edits import Ordered, edit_options, edits_in_order

if TYPE_CHECKING:
    from gmembench.core.drivers.sampling import Strategy
    from gmembench.inject.answer import Answer
    from gmembench.inject.campaign import Tally
    from gmembench.inject.sweep import Shot

UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}

WIDTH = 110

ROWS_NAMED = 6
"""Rows that never ran: so many are named in the text."""

PCT_SCHEDULES = 1_000_000

TERMINAL_SECONDS, LINES_SECONDS = 0.5, 30.0
"""Between two lines of progress, on a terminal and elsewhere."""


def number_of_bytes(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Text such as 8GiB to bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", value.strip())
    if not found or found[2].lower() not in UNITS or float(found[1]) * UNITS[found[2].lower()] < 1:
        raise click.BadParameter(f"{value!r} is no number of bytes: write 8GiB, 512MiB or 1000000", ctx, param)
    return int(float(found[1]) * UNITS[found[2].lower()])


@click.command(cls=Ordered)
@click.option("--design", metavar="NAME", default="", help="The design; `list designs` names them.")
@click.option("--scenario", metavar="NAME", default="", help="The world and who does what: `list scenarios`.")
@click.option("--hardware", metavar="NAME", default="", help="none, tdx or snp. Default: none, or the plan's.")
@click.option(
    "--inject",
    "plan",
    metavar="PLAN",
    default="",
    help="A plan (`list plans`, or a file): its design, scenario, edits and events, where the line says nothing else.",
)
@click.option("--exhaustive", is_flag=True, help="Visit every reachable state. The default.")
@click.option("--random", "random", metavar="N", type=click.IntRange(1), help="Make N schedules at random instead.")
@click.option(
    "--pct", "depth", metavar="DEPTH", type=click.IntRange(1, 64), help="Make schedules by PCT of this depth."
)
@click.option("--schedules", metavar="N", type=click.IntRange(1), help="How many by PCT. Default: 1000000.")
@click.option(
    "--sweep",
    metavar="EVENT[@ROW]",
    default="",
    help="One run for each hit of an event: forced at the first, at the second, until it is not reached. "
    "With `EVENT@ACTOR before ROW` at one actor's.",
)
@click.option("--workers", metavar="N", type=click.IntRange(1), default=1, help="Processes that make schedules.")
@click.option("--swarm/--no-swarm", default=True, help="Every other batch of schedules leaves out events. The default.")
@click.option("--failures", metavar="N", type=click.IntRange(1), default=1, help="End after N different failures.")
@click.option("--corpus", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Keep failures here.")
@click.option("--order", type=click.Choice(["breadth", "depth"]), default="breadth", help="Of the exhaustive search.")
@click.option("--no-reduction", "unreduced", metavar="NAME", multiple=True, help="Search without it. Repeatable.")
@click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), default=0, help="Of random choices and probabilities.")
@edit_options
@click.option("--ignore", metavar="INVARIANT", multiple=True, help="Do not judge this invariant. Repeatable.")
@click.option(
    "--memory",
    "memory_bytes",
    metavar="SIZE",
    default="8GiB",
    callback=number_of_bytes,
    help="Stop before the visited set and the stack pass it.",
)
@click.option("--time", "seconds", metavar="SECONDS", type=click.FloatRange(0, min_open=True), help="Stop after it.")
@click.option("--states", metavar="N", type=click.IntRange(1), default=1 << 31, help="Stop before it visits more.")
@options.paths
@click.option("--save", metavar="FILE", type=click.Path(path_type=Path), help="Write the failure here; must not exist.")
@options.as_json
@click.pass_context
def explore(
    ctx: click.Context,
    /,
    design: str,
    scenario: str,
    hardware: str,
    plan: str,
    exhaustive: bool,
    random: int | None,
    depth: int | None,
    schedules: int | None,
    sweep: str,
    workers: int,
    swarm: bool,
    failures: int,
    corpus: Path | None,
    order: str,
    unreduced: tuple[str, ...],
    seed: int,
    ignore: tuple[str, ...],
    memory_bytes: int,
    seconds: float | None,
    states: int,
    paths: tuple[Path, ...],
    save: Path | None,
    as_json: bool,
    **edits: tuple[str, ...],
) -> int:
    """Explore who may step when, in a small world, and judge every state by the invariants.

    Exit code 0: it holds, or nothing was found; 1: a violation, shrunk, with a line that replays it,
    or 100,000 schedules that never saw a state which must be seen; 4: stopped at a bound before a verdict.
    A violation that the design is known for is one too: the answer says that it is known. Edits are made
    in the order in which they are given.

    \b
    Example:
      gmembench explore --design guest-memfd --scenario fault-vs-punch --without access.fault.recheck_stale
    """
    from gmembench.benchmarks.compiling import COLLAPSED, SCHEDULES, SEARCH, STEPS, tell_compiling
    from gmembench.benchmarks.output import check_new_path
    from gmembench.inject.question import Words, ask

    sampled = check_driver(exhaustive, random, depth, schedules, sweep)
    check_options(ctx, (*OF_SEARCH, *OF_SCHEDULES) if sweep else OF_SEARCH if sampled else OF_SCHEDULES)
    if save is not None:
        check_new_path(save, "--save")
    words = Words(design, scenario, hardware, plan, edits_in_order(ctx, edits), ignore, seed, paths)
    _refuse_timed(scenario, paths)
    question, most_seconds = ask(words), float("inf") if seconds is None else seconds
    if failures > 1 and corpus is None:
        raise click.UsageError("--failures goes with --corpus DIR, where each is kept")
    searches = (SEARCH, COLLAPSED) if "order" in unreduced else (SEARCH,)  # which of both it is depends on the world
    tell_compiling(*((STEPS,) if sweep else (SCHEDULES,) if sampled else searches))
    shots: Sequence[Shot] = ()
    kept: tuple[Path, ...] = ()
    if sweep:
        from gmembench.inject.sweep import swept, use_of

        done = swept(question, use_of(sweep), most_seconds)
        answer, shots = done.answer, done.shots
    elif sampled:
        from gmembench.inject.campaign import Orders
        from gmembench.inject.chance import by_chance

        strategy: Strategy = "random" if depth is None else "pct"
        orders = Orders(sampled, most_seconds, strategy, depth or 1, seed, workers, failures, swarm)
        campaigned = by_chance(question, orders, progress=Progress().tell, corpus=corpus)
        answer, kept = campaigned.answer, campaigned.kept
    else:
        from gmembench.inject.answer import Limits, exhaustively

        limits = Limits(memory_bytes, most_seconds, states)
        told = partial(tell_compiling, STEPS)
        answer = exhaustively(question, limits, order=order, without=unreduced, found=told)
    if save is not None and answer.failure is not None:
        from gmembench.inject.failure import write_failure

        write_failure(save, answer.failure)
    if as_json:
        more = {"shots": [as_shot(shot) for shot in shots]} if sweep else {}
        files = {"corpus": [str(path) for path in kept]} if corpus is not None else {}
        options.print_json(as_data(answer, save) | more | files)
    else:
        new = "".join(f"new in the corpus: {path}\n" for path in kept)
        sys.stdout.write(as_table(shots) + as_text(answer, save) + new)
    return answer.exit_code


def check_driver(
    exhaustive: bool, random: int | None, depth: int | None, schedules: int | None, sweep: str = ""
) -> int:
    """How many schedules are to be made; 0 for an exhaustive search. Raises UsageError for two drivers."""
    drivers = (("--exhaustive", exhaustive), ("--random", random), ("--pct", depth), ("--sweep", sweep))
    asked = [name for name, given in drivers if given]
    if len(asked) > 1:
        raise click.UsageError(f"{' and '.join(asked)} exclude each other")
    if schedules is not None and depth is None:
        raise click.UsageError("--schedules goes with --pct")
    return random or (schedules or PCT_SCHEDULES if depth is not None else 0)


OF_SEARCH = ("order", "unreduced", "memory_bytes", "states")
"""Options of the exhaustive search alone."""

OF_SCHEDULES = ("workers", "swarm", "failures", "corpus")
"""Options of drawn schedules alone."""


def check_options(ctx: click.Context, idle: Sequence[str]) -> None:
    """Raise UsageError for an option that the line gives and the driver does not have: none is left aside silently."""
    for item in ctx.command.params:
        if item.name in idle and ctx.get_parameter_source(item.name) is click.core.ParameterSource.COMMANDLINE:
            named = "/".join([*item.opts, *item.secondary_opts])
            others = "leave out --random, --pct and --sweep"
            wanted = f"an exhaustive search: {others}" if item.name in OF_SEARCH else "--random or --pct"
            raise click.UsageError(f"{named} goes with {wanted}")


class Progress:
    """How far schedules are, on standard error: a line that is written over on a terminal, else one now and then."""

    def __init__(self) -> None:
        self.terminal, self.last = sys.stderr.isatty(), 0.0

    def tell(self, tally: "Tally", seconds: float) -> None:
        """Say it, if it was silent long enough."""
        if seconds - self.last < (TERMINAL_SECONDS if self.terminal else LINES_SECONDS):
            return
        self.last = seconds
        seen = f", {sum(tally.seen.values())} of {len(tally.seen)} states seen" if tally.seen else ""
        rates = f"{tally.schedules / seconds:,.0f} schedules/s, {tally.steps / seconds / 1e6:.1f} M steps/s"
        text = f"{tally.schedules:,} schedules, {rates}, {len(tally.taken)} branches taken{seen}"
        print(f"\r\x1b[K{text}\r" if self.terminal else text, end="" if self.terminal else "\n", file=sys.stderr)


def as_shot(shot: "Shot") -> dict[str, Any]:
    """A run of a sweep as plain data."""
    broken = shot.violation.invariant if shot.violation else None
    return {"skip": shot.skip, "hit": shot.hit, "ended": shot.ended, "steps": shot.steps, "invariant": broken}


def as_table(shots: "Sequence[Shot]") -> str:
    """The runs of a sweep, a line each; nothing without any."""
    lines = []
    for shot in shots:
        ended = "all ended" if shot.ended else "not all ended"
        told = f"{shot.violation.invariant} broken" if shot.violation else ended
        lines.append(f"hit {shot.skip + 1:>3}  {shot.hit:<40} {shot.steps:>6} steps  {told}\n")
    return "".join([*lines, "\n"]) if lines else ""


def as_data(answer: "Answer", save: Path | None = None) -> dict[str, Any]:
    """The answer as plain data: what `--json` prints."""
    q, failure, violation = answer.question, answer.failure, answer.violation
    finding = answer.finding
    return {
        "verdict": answer.verdict,
        "claim": answer.claim,
        "invariant": violation.invariant if violation else None,
        "violation": violation.why if violation else None,
        "reason": failure.violation.reason if failure else None,
        "known": answer.known,
        "finding": {"what": finding.what, "source": finding.source} if finding else None,
        "design": q.design.name,
        "hardware": q.hardware.name,
        "scenario": q.scenario.name,
        "edits": list(q.edits),
        "driver": answer.driver,
        "states": answer.states,
        "transitions": answer.transitions,
        "schedules": answer.schedules,
        "seconds": round(answer.seconds, 3),
        "reductions": list(answer.reductions),
        "memory": answer.memory,
        "sometimes": {"seen": answer.seen, "absent": q.states_absent},
        "lacking": list(answer.lacking),
        "rows_not_run": None if answer.rows_not_run is None else list(answer.rows_not_run),
        "steps": answer.steps,
        "switches": failure.switches if failure else None,
        "replay": f"gmembench replay {failure.replay}" if failure and failure.replay else None,
        "file": str(save) if save and failure else None,
    }


def as_text(answer: "Answer", save: Path | None = None) -> str:
    """The answer as text: the verdict, the failure as columns, what was shown, and the line to paste last."""
    q, lines = answer.question, []
    edits = "".join(f", {edit}" for edit in q.edits)
    lines += [f"{answer.verdict}: {q.scenario.name}, {q.design.name}{edits} on {q.hardware.name}", ""]
    lines += [*_failure_lines(answer), *textwrap.wrap(answer.claim, WIDTH), *_state_lines(answer)]
    lines += _row_lines(answer)
    lines.append(f"{answer.driver}: {answer.seconds:.1f} s{_memory(answer)}")
    if save is not None:
        lines.append(f"failure: {save}" if answer.failure else f"nothing to save: {save} was not written")
    if answer.failure and answer.failure.replay:
        lines += ["", f"gmembench replay {answer.failure.replay}"]
    return "\n".join(lines) + "\n"


def _refuse_timed(scenario: str, paths: Sequence[Path]) -> None:
    """Refuse a scenario of the other kind. Raises UserError if one is run and timed, and not explored."""
    from gmembench.benchmarks.cells import load_scenarios
    from gmembench.core.errors import UserError
    from gmembench.inject import scenario as explored

    if scenario not in explored.load_scenarios(paths) and scenario in load_scenarios(paths):
        mend = "run it with `gmembench run`, or choose one of `gmembench list scenarios --kind exploration`"
        raise UserError(f"{scenario!r} is counted and timed, not explored", "--scenario", mend)


def _failure_lines(answer: "Answer") -> list[str]:
    if answer.failure is None:
        return []
    import msgspec

    from gmembench.inject.explain_text import as_text as failure_as_text

    finding = answer.finding
    lines = [failure_as_text(msgspec.structs.replace(answer.failure, replay=""))]
    if finding is not None:
        known = "Known: the design ships with this finding" if answer.known else "The design without edits is known for"
        lines += [*textwrap.wrap(f"{known}: {finding.what} ({finding.source}).", WIDTH), ""]
    return lines


def _row_lines(answer: "Answer") -> list[str]:
    if not answer.rows_not_run or answer.violation is not None:
        return []
    some = answer.rows_not_run[:ROWS_NAMED]
    more = len(answer.rows_not_run) - len(some)
    named = ", ".join(some) + (f" and {more} more, which --json names" if more else "")
    return textwrap.wrap(f"Rows that never ran: {named}.", WIDTH)


def _state_lines(answer: "Answer") -> list[str]:
    if answer.seen is None:
        return []
    lacking = [name for name, seen in answer.seen.items() if not seen]
    told = f"Of {len(answer.seen)} states that must be seen, {len(answer.seen) - len(lacking)} were."
    if lacking:
        told += f" Not seen: {'; '.join(lacking)}."
    if answer.lacking:
        told += f" So this ends with {answer.exit_code}: so many schedules must see them, or nothing was tested there."
    return textwrap.wrap(told, WIDTH)


def _memory(answer: "Answer") -> str:
    if not answer.memory:
        return ""
    table, rest = answer.memory["visited_set_bytes"], answer.memory["stack_and_links_bytes"]
    return f", visited set {table / (1 << 20):.1f} MiB, stack and links {rest / (1 << 20):.1f} MiB"
