"""States that must be seen, as text."""

import pytest
from small_worlds import code_of

from gmembench.core.errors import UserError
from gmembench.core.outcomes import BLOCKED, CODE
from gmembench.inject.states import Cast, sometimes

CAST = Cast(("V0", "V1", "C"), (2, 1, 3))
CODE_OF = code_of("guest-memfd")


def row(name: str) -> int:
    """Index of a row."""
    return [info.name for info in CODE_OF.info].index(name)


def test_before_a_row() -> None:
    """Actors become a mask, a row without its program means every program that has it."""
    state, lacking = sometimes("s", ["V* before fault.set_spte", "C idle"], CODE_OF, CAST, "here")
    both = (row("access.fault.set_spte"), row("prefault.fault.set_spte"))
    assert state.needs == ((0b011, both), (0b100, (-1,)))
    assert lacking == ""


def test_fields() -> None:
    """Fields are paths, operators and values; actors and constants go by name."""
    texts = ["header.inval_count == 2", "V1.result == EFAULT", "frames[0].spte[0].bits & SPTE_HUGE"]
    state, _ = sometimes("s", texts, CODE_OF, CAST, "here")
    assert state.fields == (
        ("header.inval_count", "==", 2),
        ("actors[1].result", "==", 14),
        ("frames[0].spte[0].bits", "&", 4),
    )


def test_places_in_a_script() -> None:
    """Idle is between operations, done after the last one; scripts lie behind one another."""
    state, _ = sometimes("s", ["V0 idle", "C done", "V1 begun 1"], CODE_OF, CAST, "here")
    assert state.needs == ((0b001, (-1,)), (0b100, (-1,)))
    assert state.fields == (("actors[2].next", "==", 6), ("actors[1].next", "==", 3))


def test_taken() -> None:
    """Outcomes are taken by rows that can end so; every row can wait."""
    state, _ = sometimes("s", ["taken convert.check_noop same"], CODE_OF, CAST, "here")
    assert state.taken == ((row("convert.check_noop"), CODE["same"]),)
    waits, _ = sometimes("s", ["taken convert.lock_slots blocked"], CODE_OF, CAST, "here")
    assert waits.taken == ((row("convert.lock_slots"), BLOCKED),)


def test_a_row_that_a_design_lacks_is_named() -> None:
    """A design without such a row is told from a state that was not seen; one of several alternatives is enough."""
    assert sometimes("s", ["V0 before rm.alloc_folio"], CODE_OF, CAST, "here")[1] == "no row rm.alloc_folio"
    lacking = sometimes("s", ["taken convert.check_noop stale"], CODE_OF, CAST, "here")[1]
    assert lacking == "no row convert.check_noop that can end in stale"
    either = ["taken rm.lock_folio blocked", "taken gmem.lock_folio blocked"]
    assert sometimes("s", either, CODE_OF, CAST, "here")[1] == ""


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("V2 idle", "no actor 'V2'"),
        ("V1 begun 2", "V1 has 1 operations"),
        ("V0 after fault.set_spte", "is no condition"),
        ("header.nothing == 1", "no field 'header.nothing'"),
        ("frames[0].nothing == 1", "no field"),
        ("frames[0].spte == 1", "no field"),
        ("V0.result == ENOTHING", "no value 'ENOTHING'"),
        ("taken convert.check_noop nothing", "no outcome 'nothing'"),
    ],
)
def test_text_that_is_no_condition(text: str, what: str) -> None:
    """What is wrong with a condition is told, with the place."""
    with pytest.raises(UserError, match=what) as told:
        sometimes("s", [text], CODE_OF, CAST, "mine.toml:9")
    assert told.value.where == "mine.toml:9"


def test_taken_stands_alone() -> None:
    """An outcome that is taken and a state that lasts are two states."""
    with pytest.raises(UserError, match="make two states"):
        sometimes("s", ["taken convert.check_noop same", "V0 idle"], CODE_OF, CAST, "here")
