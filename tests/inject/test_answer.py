"""Answers of exhaustive searches: reductions can be switched off, and the claim says what was left out."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from tiny_world import TINY

from gmembench.core.drivers.exhaustive import REDUCTIONS, Explorer
from gmembench.core.errors import UserError
from gmembench.core.judges import Panel
from gmembench.core.programs import Finding
from gmembench.core.world import World
from gmembench.inject.answer import Limits, chosen_reductions, exhaustively, judged_in_words, world_in_words
from gmembench.inject.campaign import Orders
from gmembench.inject.chance import by_chance
from gmembench.inject.question import Question, Words, ask


def question(folder: Path) -> Question:
    """A small world that holds."""
    (folder / "exploration").mkdir()
    (folder / "exploration" / "tiny.toml").write_text(TINY)
    return ask(Words("legacy-vma", "tiny", paths=(folder,)))


def test_verdicts_agree_with_and_without_reductions(tmp_path: Path) -> None:
    """The claim names the reductions that were made; without them no fewer states are visited."""
    asked = question(tmp_path)
    reduced, whole = (exhaustively(asked, Limits(), without=without) for without in ((), REDUCTIONS))
    assert (reduced.verdict, whole.verdict) == ("holds", "holds")
    assert reduced.states is not None
    assert whole.states is not None
    assert reduced.states <= whole.states
    assert whole.reductions == ()
    assert "Reductions: none." in whole.claim
    assert whole.claim.startswith("Every reachable state was visited, ")
    if reduced.reductions:
        assert f"Reductions: {', '.join(reduced.reductions)}." in reduced.claim
        assert reduced.claim.startswith("Every reachable state was visited that the reductions leave, ")


def test_a_reduction_is_named() -> None:
    """All are made but those that are named; a name that is none is told the nearest."""
    assert chosen_reductions(()) == REDUCTIONS
    assert chosen_reductions(REDUCTIONS[:1]) == REDUCTIONS[1:]
    with pytest.raises(UserError, match="did you mean order"):
        chosen_reductions(("ordr",))


def test_a_finding_is_known_by_its_row() -> None:
    """The same invariant, broken by another row or on a hardware that the finding does not name, is something else."""
    asked = ask(Words("vma-gup", "convert-vs-punch-overlap"))
    found = asked.finding("CNT", "access.fault.check_same_pfn")
    assert found is not None
    assert found.invariant == "CNT"
    assert asked.finding("CNT", "punch.madvise.returned") is None
    assert asked.finding("LOSS", "access.fault.check_same_pfn") is None
    anywhere = Finding("ALIAS", "", "", "", ("none",), then=("LIVE",))
    assert anywhere.covers("LIVE", "", "none")
    assert anywhere.covers("ALIAS", "convert.alloc_folio", "none")
    assert not anywhere.covers("ALIAS", "convert.alloc_folio", "tdx")


def test_a_claim_names_what_was_left_out(tmp_path: Path) -> None:
    """Whoever leaves an invariant out leaves out every cause of it."""
    asked = question(tmp_path)
    known = asked.panel.invariants
    less = replace(asked, panel=Panel({name: item for name, item in known.items() if name not in ("ALIAS", "2X")}))
    assert judged_in_words(less).endswith(" Left out as asked, with every cause of theirs: 2X, ALIAS.")
    assert "Left out" not in judged_in_words(asked)


def test_rows_that_never_ran_are_named(tmp_path: Path) -> None:
    """Rows that a way leads to and nobody came to; none that ran, and none of programs that nobody begins."""
    asked = question(tmp_path)
    missed = exhaustively(asked, Limits()).rows_not_run
    assert missed is not None
    assert "access.fault.flush_wait" in missed
    assert "access.fault.set_spte" not in missed
    assert {name.partition(".")[0] for name in missed} <= {"access", "reuse"}
    drawn = by_chance(asked, Orders(20)).answer.rows_not_run
    assert drawn is not None
    assert set(missed) <= set(drawn)


@pytest.mark.parametrize("gfns", [64, 100, 1000])
def test_a_world_that_is_too_large_is_refused(tmp_path: Path, gfns: int) -> None:
    """In words: a number of it does not fit a byte."""
    asked = question(tmp_path)
    instance = asked.instance
    large = replace(instance, geometry=replace(instance.geometry, gfns=gfns, pages=2 * gfns))
    with pytest.raises(UserError, match=f"a world of {gfns} gfns is too large to explore"):
        Explorer(large)


def test_the_claim_says_how_many_pages_there_are(tmp_path: Path) -> None:
    """Where the world is to have enough of them, too."""
    instance = question(tmp_path).instance
    enough = replace(instance, geometry=replace(instance.geometry, pages=0))
    told = world_in_words(cast("Question", SimpleNamespace(instance=enough)))
    assert f", {World(enough.geometry)['pages_n'] - 1} page" in told
    assert ", 0 pages" not in told


def test_who_waits_is_told_of_a_violation_before_it_is_shrunk(tmp_path: Path) -> None:
    """Once, and of none if there is none."""
    told: list[str] = []
    exhaustively(question(tmp_path), Limits(), found=lambda: told.append("found"))
    assert told == []
    words = Words("guest-memfd", "", plan="bugs/A05-fault-no-recheck-under-mmu-lock")
    assert exhaustively(ask(words), Limits(), found=lambda: told.append("found")).violation is not None
    assert told == ["found"]
