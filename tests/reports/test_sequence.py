"""The sequence diagram of a failure: what it shows, that it is stable, and that text stays text."""

import json
import random
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmembench.core.errors import UserError
from gmembench.reports import sequence
from gmembench.reports.failure_file import FailureFile, parse

ROWS = ("access.fault.set_spte", "punch.remove_folio", "convert.store_attr")
LOCKS = ("mmu_lock read", "slots_lock", "invalidate_lock write", "folio_lock 3")


def document(steps: int = 20, seed: int = 1, **changes: Any) -> dict[str, Any]:
    """A failure file of random steps, as plain data."""
    rng, actor, held, choices = random.Random(seed), 0, set[tuple[int, str]](), []
    for _ in range(steps):
        actor = rng.randrange(3) if rng.random() < 0.3 else actor
        lock = rng.choice(LOCKS)
        taken = [("-" if (actor, lock) in held else "+") + lock] if rng.random() < 0.3 else []
        held ^= {(actor, lock)} if taken else set()
        waits = [[(actor + 1) % 3, "mmu_lock"]] if rng.random() < 0.2 else []
        choices.append({"actor": actor, "row": rng.choice(ROWS), "outcome": "next", "locks": taken, "waits": waits})
    choices[0]["begins"] = "access gfn 0 write"
    return {
        "schema": 1,
        "setting": {"design": "guest-memfd", "hardware": "none"},
        "violation": {
            "invariant": "UAF-MAP",
            "sentence": "it broke",
            "reason": "V0 did",
            "actor": actor,
            "marked": [2],
        },
        "actors": ["V0", "V1", "H0"],
        "choices": choices,
        **changes,
    }


def failure(steps: int = 20, seed: int = 1, **changes: Any) -> FailureFile:
    """The same, read."""
    return parse(json.dumps(document(steps, seed, **changes)).encode(), "test")


def texts(picture: str) -> list[str]:
    """All texts of an SVG, parsed as XML."""
    root = ET.fromstring(picture)  # noqa: S314  # our own picture
    return ["".join(item.itertext()).strip() for item in root.iter("{http://www.w3.org/2000/svg}text")]


def test_every_step_is_a_row() -> None:
    """Its number and its row stand in the picture."""
    shown = texts(sequence.svg(failure(20)))
    assert {str(n) for n in range(1, 21)} <= set(shown)
    assert "fault.set_spte" in shown
    assert "access gfn 0 write" in shown


def test_actors_locks_and_the_reason_are_named() -> None:
    """Columns have heads, and the sentence stands below."""
    shown = " ".join(texts(sequence.svg(failure(40))))
    for word in ("V0", "V1", "H0", "mmu_lock", "folio_lock 3", "UAF-MAP: it broke", "V0 did."):
        assert word in shown


def test_equal_files_give_equal_bytes() -> None:
    """SVG and PNG, drawn twice."""
    assert sequence.svg(failure()) == sequence.svg(failure())
    assert sequence.png(failure()) == sequence.png(failure())


def test_a_picture_holds_no_date() -> None:
    """Nor the name of the software."""
    assert "<dc:date>" not in sequence.svg(failure())
    assert b"Software" not in sequence.png(failure())


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a & b", "$x^2$", "&lt;", "$unbalanced", "\\frac{1}{2}"])
def test_text_stays_text(name: str) -> None:
    """Markup and formulas in a file are shown as they are."""
    shown = texts(sequence.svg(failure(actors=[name, "V1", "H0"], setting={"design": name, "hardware": "none"})))
    assert name in shown
    assert any(text.startswith(f"{name} on none") for text in shown)


def test_long_names_are_shortened_in_their_middle() -> None:
    """A column is as wide as it may be at most."""
    row = "access." + "x" * 200 + ".the_end"
    layout = sequence.lay_out(parse(json.dumps(document() | {"choices": [{"actor": 0, "row": row}]}).encode(), "test"))
    assert layout.widths[0] == sequence.WIDEST_INCHES
    drawn = failure(choices=[{"actor": 0, "row": row}])
    assert any(text.endswith("the_end") and "\N{HORIZONTAL ELLIPSIS}" in text for text in texts(sequence.svg(drawn)))


def test_long_failures_fold_what_does_nothing() -> None:
    """Beyond the limit, steps without a lock are drawn together; no step is lost."""
    long = failure(sequence.MOST_ROWS + 100, choices=[{"actor": 0, "row": ROWS[0]}] * 300)
    layout = sequence.lay_out(long)
    assert len(layout.lines) < 10
    assert set(layout.places) == set(range(300))


def test_columns_do_not_overlap() -> None:
    """One begins where the one before it has ended, and lanes stand behind them."""
    layout = sequence.lay_out(failure(60))
    ends = [layout.left(actor) + layout.widths[actor] for actor in layout.actors]
    begins = [layout.left(actor) for actor in layout.actors[1:]] + [layout.lane(layout.locks[0])]
    assert all(end < begin for end, begin in zip(ends, begins, strict=True))


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_bars_are_those_of_a_naive_count(seed: int) -> None:
    """At each step, who holds what by the bars is who holds it by adding up what was taken and dropped."""
    drawn = failure(40, seed)
    bars, held = sequence.bars_of(drawn), set[tuple[str, int]]()
    for number, step in enumerate(drawn.choices):
        dropped = set[tuple[str, int]]()
        for text in step.locks:
            key = sequence.parts(text)[0], step.actor
            held, dropped = (held | {key}, dropped) if text[0] == "+" else (held - {key}, dropped | {key})
        shown = {(b.lock, b.actor) for b in bars if b.how != "waits" and b.first <= number <= b.last}
        assert shown == held
        waiting = {(b.lock, b.actor) for b in bars if b.how == "waits" and b.first <= number <= b.last}
        assert waiting == {(lock, actor) for actor, lock in step.waits}


@given(st.binary(max_size=100))
@settings(deadline=None)
def test_no_bytes_give_a_traceback(raw: bytes) -> None:
    """What is no failure file is the user's error."""
    with pytest.raises(UserError):
        parse(raw, "test")


@pytest.mark.parametrize("changes", [{"schema": 2}, {"actors": ["V0"]}, {"choices": [{"actor": -1, "row": "x"}]}])
def test_a_file_of_another_kind_is_refused(changes: dict[str, Any]) -> None:
    """Another format, and actors that there are not."""
    with pytest.raises(UserError):
        failure(**changes)
