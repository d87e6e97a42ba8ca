"""Failures as text, and the sentence that says why."""

import re

import msgspec
import pytest
from planted import PLANTED, found

from gmembench.inject.explain_text import as_text, lock_names, table
from gmembench.inject.failure import Failure


def failure_named(name: str) -> Failure:
    """A planted bug."""
    return found(name)[0]


@pytest.mark.parametrize("name", PLANTED)
def test_a_row_a_step(name: str) -> None:
    """Numbered from 1, in order, each with the row's name in it."""
    failure = failure_named(name)
    numbered = [line for line in table(failure)[1:] if re.match(r"[!* ]\s+\d+ ", line)]
    assert [int(re.search(r"\d+", line)[0]) for line in numbered] == list(range(1, len(failure.choices) + 1))  # type: ignore[index]
    for line, choice in zip(numbered, failure.choices, strict=True):
        assert choice.row.partition(".")[2] in line


def test_a_column_an_actor_and_a_lock() -> None:
    """Those that take part, by name."""
    head = table(failure_named("no-recheck"))[0]
    assert head.split() == ["step", "V0", "V1", "H0", "|", *" ".join(lock_names(failure_named("no-recheck"))).split()]


def test_what_broke_is_marked() -> None:
    """The last step, and the one that the reason names."""
    lines = table(failure_named("no-recheck"))
    assert [line.split()[2] for line in lines if line.startswith("!")] == ["fault.set_spte"]
    assert [line.split()[2] for line in lines if line.startswith("*")] == ["remove_folio"]


def test_locks_are_held_and_waited_for() -> None:
    """While the punch holds mmu_lock, the fault that goes on with it waits."""
    lines = table(failure_named("no-recheck"))
    waiting = next(line for line in lines if "start.count_inc" in line)
    assert waiting.endswith("H0 (V0)")
    assert next(line for line in lines if "fault.recheck_root" in line).endswith("V0/r")


REASONS = {
    "no-recheck": r"V0 maps pfn 12 at gfn 0 \(step \d+, access.fault.set_spte\) after H0 removed pfn 12 from the file "
    r"\(step \d+, punch.remove_folio\), because that came between V0's access.fault.precheck_stale_2 \(step \d+\) and "
    r"its access.fault.lock_mmu",
    "attribute-before-snapshot": r"V0 maps pfn 12 at gfn 0 .* after H0 made gfn 0 shared \(step \d+, "
    r"convert.store_attr\), because that came between V0's access.fault.check_attr",
    "no-flush": r"V0 uses gfn 0 through pfn 12 \(step \d+, access.guest.use\) after H0 (freed|removed) pfn 12",
    "count-left": r"H0 counts an invalidation in \(step \d+, punch.start.count_inc\)",
    "slots-lock-left": r"H1 waits at convert.lock_slots for slots_lock, which H0 holds since step 1",
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_names_who_when_and_between_what(name: str) -> None:
    """One sentence from the schedule and the states."""
    assert re.match(REASONS[name], failure_named(name).violation.reason)


@pytest.mark.parametrize("name", PLANTED)
def test_the_steps_that_the_reason_names_are_those(name: str) -> None:
    """The numbers in the sentence are the rows in the table."""
    failure = failure_named(name)
    for number, row in re.findall(r"step (\d+), ([\w.]+)", failure.violation.reason):
        assert failure.choices[int(number) - 1].row == row.rstrip(".")


def test_the_line_to_paste_is_last() -> None:
    """Where there is one."""
    failure = msgspec.structs.replace(failure_named("no-recheck"), replay="v1:x")
    assert as_text(failure).rstrip().endswith("gmembench replay v1:x")
