"""Edits as text: which rows they name, what they change, and what is refused."""

import re

import pytest

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.errors import UserError
from gmembench.core.programs import Design, Program, with_hardware
from gmembench.inject import mutants
from gmembench.inject.mutants import Edit, edit_of, mutated

DESIGNS = load_designs()
HARDWARE = load_hardware()


def mutant(*edits: str | Edit, design: str = "guest-memfd", hardware: str = "none") -> Design:
    """A shipped design with edits."""
    return mutated(DESIGNS[design], HARDWARE[hardware], edits)


def program(name: str, *edits: str | Edit, design: str = "guest-memfd", hardware: str = "none") -> Program:
    """One program of such a mutant."""
    return mutant(*edits, design=design, hardware=hardware).programs[name]


def names(made: Program) -> list[str]:
    """Names of the rows, in order."""
    return [r.name for r in made.rows]


def plain(name: str, design: str = "guest-memfd", hardware: str = "none") -> list[str]:
    """Names of the rows of a program of a shipped design."""
    return names(with_hardware(DESIGNS[design].programs[name], HARDWARE[hardware]))


def refusal(*edits: str | Edit, hardware: str = "none") -> str:
    """What a user is told."""
    with pytest.raises(UserError) as told:
        mutant(*edits, hardware=hardware)
    return str(told.value)


def test_a_row_of_one_program_leaves() -> None:
    """A name with the program edits that program and no other."""
    made = mutant("without access.fault.recheck_stale")
    assert names(made.programs["access"]) == [n for n in plain("access") if n != "fault.recheck_stale"]
    assert names(made.programs["prefault"]) == plain("prefault")


def test_a_star_edits_every_program_that_has_the_row() -> None:
    """The rows of a fault stand in two programs; `*.` names both."""
    made = mutant("without *.fault.recheck_stale")
    for name in ("access", "prefault"):
        assert names(made.programs[name]) == [n for n in plain(name) if n != "fault.recheck_stale"]


def test_a_shorter_name_must_be_the_only_one() -> None:
    """The end of a name is enough where it is unique; else the programs that have it are told."""
    assert "punch.remove_folio" not in names(program("punch", "without remove_folio", design="guest-memfd-mmap"))
    told = refusal("without fault.recheck_stale")
    assert "access.fault.recheck_stale, prefault.fault.recheck_stale" in told
    assert "*.fault.recheck_stale" in told


def test_the_end_of_a_name_within_a_program() -> None:
    """`program.` and the end of a name is a name too."""
    assert program("access", "without access.recheck_stale") == program("access", "without access.fault.recheck_stale")


def test_names_as_they_are_listed() -> None:
    """`gmembench list rows` puts the design before a name."""
    assert mutant("without guest-memfd/access.fault.recheck_stale") == mutant("without access.fault.recheck_stale")
    assert names(program("punch", "without punch.punch.put_folio")) == names(
        program("punch", "without punch.put_folio")
    )


def test_a_phase_leaves_as_a_whole() -> None:
    """A phase is the rows that share the beginning of their names; those aside are reached by jumps and stay."""
    left = names(program("punch", "without punch.start"))
    gone = [n for n in plain("punch") if n not in left]
    assert gone[0] == "punch.start.find_binding"
    assert gone[-1] == "punch.start.unlock_mmu"
    assert "punch.start.yield_lock" in left


def test_a_phase_moves_in_order() -> None:
    """The order of A03: the end of the invalidation comes before the truncation."""
    order = names(program("punch", "move punch.end,before=punch.lock_folio"))
    end = [n for n in plain("punch") if n.startswith("punch.end.")]
    at = order.index("punch.lock_folio")
    assert order[at - len(end) : at] == end


def test_a_row_moves_behind_another() -> None:
    """`after` reaches the end of a program, which no `before` does; whoever jumped on at the end still does."""
    made = program("numa_zap", "move mm.flush_host_tlb,after=mm.unlock_mmap")
    order = names(made)
    assert order[order.index("mm.unlock_mmap") + 1] == "mm.flush_host_tlb"
    assert made.rows[order.index("mm.unlock_mmap")].to == {}
    assert made.rows[order.index("mm.flush_host_tlb")].to == {"next": "END"}


def test_rows_and_phases_are_exchanged() -> None:
    """`swap` takes two rows or two phases of one program."""
    made = names(program("access", "swap access.fault.snapshot_seq,access.fault.check_attr"))
    assert made.index("fault.check_attr") + 1 == made.index("fault.snapshot_seq")
    made = names(program("convert", "swap convert.pre,convert.post"))
    assert made.index("convert.post.unlock_mmu") < made.index("convert.store_attr") < made.index("convert.pre.zap")


def test_rows_of_different_programs_are_not_exchanged() -> None:
    """The second row of an edit is looked for in the program of the first."""
    assert "'punch.remove_folio' is of another program than access" in refusal(
        "swap access.fault.set_spte,punch.remove_folio"
    )


def test_an_outcome_leads_elsewhere() -> None:
    """`redirect` takes a label of the design file, a row, `next` or `END`."""
    cases = {"X_mmio": "X_mmio", "access.leave.mmio": "leave.mmio", "next": "fault.precheck_stale_1", "END": "END"}
    for label, leads in cases.items():
        made = program("access", f"redirect access.fault.check_slot,invalid={label}")
        assert made.rows[made.span("fault.check_slot").start].to["invalid"] == leads


def test_a_row_runs_another_step() -> None:
    """`replace` keeps the outcomes that both steps have and needs labels for the others."""
    made = program("access", "replace access.fault.recheck_stale,fault.precheck_stale")
    assert made.rows[made.span("fault.recheck_stale").start].step == "fault.precheck_stale"
    assert "outcome 'hit' of step gup.fast leads nowhere; add hit=LABEL" in refusal(
        "replace access.fault.recheck_stale,gup.fast"
    )


def test_a_row_has_another_operand() -> None:
    """`operand` takes whole numbers, for operands that rows have."""
    made = program("convert", "operand convert.pre.zap,kind=0,value=1")
    assert made.rows[made.span("convert.pre.zap").start].operands == {"may_yield": 1, "kind": 0, "value": 1}
    assert "no operand 'kin'" in refusal("operand convert.pre.zap,kin=0")
    assert "no whole number" in refusal("operand convert.pre.zap,kind=private")


def test_a_new_row_is_put_before_and_behind_another() -> None:
    """`insert` needs a step, a place, and a label for every outcome."""
    before = names(program("access", "insert fault.precheck_stale,before=access.fault.classify,stale=ENTER"))
    assert before[before.index("fault.classify") - 1] == "new.precheck_stale"
    after = names(program("access", "insert fault.precheck_stale,after=access.fault.classify,stale=next,name=a.b"))
    assert after[after.index("fault.classify") + 1] == "a.b"
    assert "add stale=LABEL" in refusal("insert fault.precheck_stale,before=access.fault.classify")


def test_who_leads_to_a_row_by_name_meets_what_was_put_before_it() -> None:
    """A row put before another is met by whoever comes from above, whether by a label, by a name or in passing."""
    made = program("slot_delete", "insert mmu.lock,before=slot_delete.slot.unlock_slots")
    assert made.rows[made.span("slot.find").start].to["none"] == "new.lock"
    made = program("punch", "insert mmu.lock,before=punch.start.zap")
    assert made.rows[made.span("punch.start.yield_lock").start].to["next"] == "punch.start.zap"


def test_rows_of_the_hardware_can_be_edited() -> None:
    """The hardware's rows stand in the programs before they are edited."""
    made = program("convert", "without convert.pre.remove", hardware="tdx")
    assert set(plain("convert", hardware="tdx")) - set(names(made)) == {"convert.pre.remove"}
    assert "no row or phase 'convert.pre.remove'" in refusal("without convert.pre.remove")


def test_the_row_that_others_name_can_leave() -> None:
    """Whoever leads to a row by its name goes on below it."""
    made = program("punch", "without punch.start.zap")
    assert made.rows[made.span("punch.start.yield_lock").start].to["next"] == "punch.start.zap"
    assert "punch.start.zap" in made.rows[made.span("punch.start.flush_request").start].labels


def test_edits_follow_one_another() -> None:
    """Each edit works on what the one before it left, and the name of the mutant tells all of them."""
    made = mutant("without punch.remove_folio", "move punch.end,before=punch.put_folio")
    assert made.name == "guest-memfd~without=punch.remove_folio~move=punch.end,before=punch.put_folio"
    assert "punch.remove_folio" not in names(made.programs["punch"])
    assert mutant() is DESIGNS["guest-memfd"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("without access.fault.rechek_stale", "did you mean access.fault.recheck_stale"),
        ("frob access.fault.recheck_stale", "no kind of edit 'frob'"),
        ("without access", "is a whole program"),
        ("without access.fault", "are not adjacent"),
        ("without *.no_such_row", "no program has a row or phase 'no_such_row'"),
        ("redirect access.fault.check_slot,nothing=END", "has no outcome 'nothing'; choose one of none, mmio, invalid"),
        ("redirect access.fault.check_slot,invalid=X_mmoi", "leads nowhere in program access; did you mean X_mmio"),
        ("redirect access.fault.check_slot,invalid=X_eagain", "'X_eagain' leads nowhere in program access"),
        ("redirect access.fault.check_slot,invalid=L_retry", "changes nothing"),
        ("redirect convert.pre,none=END", "is a phase of"),
        ("replace access.fault.check_slot,fault.check_slott", "did you mean fault.check_slot"),
        ("move access.fault.check_slot", "says no one place"),
        ("move punch.end,before=punch.end.lock_mmu", "cannot be moved before itself"),
        ("swap access.fault.check_slot", "write it as `swap A,B`"),
        ("insert fault.precheck_stale", "says no place"),
        ("swap punch.start.zap,access.fault.lock_mmu", "'access.fault.lock_mmu' is of another program than punch"),
        ("move access.fault.set_spte,after=punch.start.zap", "'punch.start.zap' is of another program than access"),
    ],
)
def test_mistakes_are_told_with_a_mend(text: str, told: str) -> None:
    """Each mistake is a UserError that names the edit and says what to write."""
    assert re.search(re.escape(told), refusal(text))


def test_python_writes_the_same_edits() -> None:
    """The functions make the texts of the command line."""
    made = [
        mutants.without("a.b"),
        mutants.swap("a.b", "a.c"),
        mutants.move("a.b", before="a.c"),
        mutants.move("a.b", after="a.c"),
        mutants.redirect("a.b", invalid="X"),
        mutants.run_instead("a.b", "mmu.lock", none="X"),
        mutants.operand("a.b", kind=1),
        mutants.insert("mmu.lock", before="a.b", name="a.c"),
    ]
    assert [str(edit) for edit in made] == [
        "without a.b",
        "swap a.b,a.c",
        "move a.b,before=a.c",
        "move a.b,after=a.c",
        "redirect a.b,invalid=X",
        "replace a.b,mmu.lock,none=X",
        "operand a.b,kind=1",
        "insert mmu.lock,before=a.b,name=a.c",
    ]
    assert [edit_of(str(edit)) for edit in made] == made


@pytest.mark.parametrize(("design", "hardware"), [("guest-memfd", "tdx"), ("guest-memfd-inplace", "snp")])
def test_every_row_can_leave(design: str, hardware: str) -> None:
    """No row is held in its program by those that lead to it: after each single deletion all of them lead somewhere."""
    for original in mutant("without punch.unlock_inval", design=design, hardware=hardware).programs.values():
        for r in original.rows:
            left = original.without(r.name).rows
            places = {"END"} | {label for other in left for label in (other.name, *other.labels)}
            assert {label for other in left for label in other.to.values()} <= places
            assert len(left) == len(original.rows) - 1
