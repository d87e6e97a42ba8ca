"""Programs as data: edits, hooks of the hardware, assembly and its refusals."""

from dataclasses import replace

import pytest
from small_worlds import DESIGNS, code_of, code_of_programs

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.designs.guest_memfd import ORDER_6_12
from gmembench.core.errors import UserError
from gmembench.core.hardware.none import HARDWARE
from gmembench.core.operations import PROGRAMS
from gmembench.core.outcomes import CODE, NEXT, OUTCOMES
from gmembench.core.programs import (
    Code,
    Design,
    Hardware,
    Program,
    Row,
    assemble,
    hook,
    row,
    steps_by_name,
    with_hardware,
)
from gmembench.core.rows import END

NOTHING = "mn.invalidate_gpc"
"""A step that does nothing and has no outcome but *next*."""


def program(*names: str, **labels: str) -> Program:
    """A program `punch` of rows that do nothing; `labels`: row name with _ for . -> its label."""
    return Program("punch", tuple(row(n, step=NOTHING, at=labels.get(n.replace(".", "_"), "")) for n in names))


def names(p: Program) -> list[str]:
    """Names of the rows, in order."""
    return [r.name for r in p.rows]


def test_a_row_left_out_hands_its_labels_to_the_next() -> None:
    """`without` removes one row, and whoever led to it goes to the row after it."""
    p = program("a.one", "a.two", "a.three", a_two="L").without("a.two")
    assert names(p) == ["a.one", "a.three"]
    assert p.rows[1].labels == ("L",)


def test_a_phase_left_out_goes_whole() -> None:
    """`without` of a phase removes all of its rows, with the labels on all of them."""
    p = program("a.one", "b.one", "b.two", "c.one", b_one="L", b_two="M").without("b")
    assert names(p) == ["a.one", "c.one"]
    assert p.rows[1].labels == ("L", "M")


def test_the_last_row_cannot_leave_with_labels() -> None:
    """Leaving out the last row is refused while labels would lead nowhere, and allowed otherwise."""
    with pytest.raises(UserError, match="would lead nowhere"):
        program("a.one", "a.two", a_two="L").without("a.two")
    assert names(program("a.one", "a.two").without("a.two")) == ["a.one"]


def test_a_full_name_finds_the_row_too() -> None:
    """Rows are found by their name and by `program.name`."""
    p = program("a.one", "a.two")
    assert p.span("punch.a.two") == p.span("a.two") == range(1, 2)
    assert [p.full_name(r) for r in p.rows] == ["punch.a.one", "punch.a.two"]


def test_an_unknown_row_is_a_users_mistake() -> None:
    """An edit of a row that is not there says which program lacks which row."""
    with pytest.raises(UserError, match=r"program punch: no row or phase 'a\.four'"):
        program("a.one").without("a.four")


def test_a_phase_in_pieces_cannot_be_edited() -> None:
    """A phase whose rows have others between them is refused: an edit would take those along."""
    with pytest.raises(UserError, match="not adjacent"):
        program("a.one", "b.one", "a.two").without("a")


def test_a_jump_stays_when_its_row_leaves() -> None:
    """A row that went elsewhere after *next* hands that to the row before it, and a swap leaves it in place."""
    p = program("a.one", "a.two", "a.three").redirected("a.two", "next", "END")
    assert [r.to for r in p.without("a.two").rows] == [{"next": "END"}, {}]
    assert [r.to for r in p.swapped("a.one", "a.two").rows] == [{}, {"next": "END"}, {}]
    assert [r.to for r in p.moved("a.two", before="a.one").rows] == [{}, {"next": "END"}, {}]


def test_moving_a_row_leaves_its_label_behind() -> None:
    """`moved` takes a row elsewhere; its label stays where it was, the target's label leads to the moved row."""
    p = program("a.one", "a.two", "a.three", a_two="L", a_one="M").moved("a.two", before="a.one")
    assert names(p) == ["a.two", "a.one", "a.three"]
    assert [r.labels for r in p.rows] == [("M",), (), ("L",)]


def test_rows_moved_before_a_loop_stay_outside() -> None:
    """Whoever enters the loop meets the moved row first; whoever goes round does not, unless it was in the loop."""
    loop = program("a.one", "a.two", "a.three", "a.four", a_two="L").redirected("a.three", "next", "L")
    assert loop.moved("a.four", before="a.two").rows[3].to == {"next": "a.two"}
    assert loop.redirected("a.one", "next", "L").moved("a.four", before="a.two").rows[0].to == {"next": "L"}
    assert loop.redirected("a.four", "next", "L").moved("a.three", before="a.two").rows[3].to == {"next": "L"}


def test_moving_a_phase_keeps_its_order() -> None:
    """`moved` takes a whole phase to before a row."""
    p = program("a.one", "a.two", "b.one", "c.one").moved("a", before="c.one")
    assert names(p) == ["b.one", "a.one", "a.two", "c.one"]


def test_swapped_rows_leave_labels_at_their_positions() -> None:
    """`swapped` exchanges two rows, not their labels."""
    p = program("a.one", "a.two", a_one="L").swapped("a.one", "a.two")
    assert names(p) == ["a.two", "a.one"]
    assert [r.labels for r in p.rows] == [("L",), ()]


def test_inserted_row_takes_the_labels_of_its_place() -> None:
    """Whoever led to the row before which another is inserted now meets the new one first."""
    p = program("a.one", "a.two", a_two="L").inserted(row("a.new", step=NOTHING), before="a.two")
    assert names(p) == ["a.one", "a.new", "a.two"]
    assert [r.labels for r in p.rows] == [(), ("L",), ()]


def test_changes_of_one_row_keep_the_rest() -> None:
    """`redirected`, `replaced` and `with_operand` change an outcome, the step and an operand of one row."""
    p = program("a.one", "a.two")
    assert p.redirected("a.two", "next", "a.one").rows[1].to == {"next": "a.one"}
    assert p.replaced("a.two", "mmu.lock").rows[1].step == "mmu.lock"
    edited = p.with_operand("a.two", value=3).with_operand("a.two", kind=1)
    assert edited.rows[1].operands == {"value": 3, "kind": 1}
    assert edited.rows[0] == p.rows[0]
    assert p.rows[1].operands == {}


def test_edits_leave_the_original_alone() -> None:
    """A design is data that others build on: an edited copy changes nothing in it."""
    original = DESIGNS["guest-memfd"]
    before = original.programs["punch"].rows
    edited = original.edited("mutant", punch=original.programs["punch"].without("punch.start.zap"))
    assert original.programs["punch"].rows == before
    assert (edited.name, len(edited.programs["punch"].rows)) == ("mutant", len(before) - 1)
    assert edited.programs["access"] is original.programs["access"]


def test_rows_elsewhere_stand_at_another_place() -> None:
    """A row may override place and site of its step, and the assembled row says so."""
    rows = tuple(row(name, place="kvm-memslot", site="here") for name in ("mmu.lock", "mmu.unlock"))
    code = code_of_programs(Program("punch", rows))
    assert {(item.place, item.site) for item in code.info} == {("kvm-memslot", "here")}
    assert {item.step.place for item in code.info} == {"kvm-invalidate"}


def test_an_empty_hook_hands_its_labels_on() -> None:
    """On hardware without rows for a hook its labels lead to the row after it."""
    p = Program("punch", (*program("a.one").rows, hook("assign", at="L"), *program("a.two").rows))
    assert [(r.name, r.labels) for r in with_hardware(p, HARDWARE).rows] == [("a.one", ()), ("a.two", ("L",))]


def test_hardware_fills_its_hooks() -> None:
    """Rows of the hardware stand where the hook stood, the first one with the hook's labels."""
    added = (row("one", step=NOTHING), row("two", step=NOTHING))
    hardware = Hardware("extra", "", separate_roots=False, classify="fault.classify", hooks={"assign": added})
    p = Program(
        "punch", (*program("a.one").rows, hook("reclaim", at="M"), hook("assign", at="L"), *program("a.two").rows)
    )
    rows = with_hardware(p, hardware).rows
    assert [r.name for r in rows] == ["a.one", "hw.one", "hw.two", "a.two"]
    assert rows[1].labels == ("M", "L")


def refused(*rows: Row) -> str:
    """The message with which assembling a program of these rows is refused."""
    with pytest.raises(ValueError, match=r".") as caught:
        code_of_programs(Program("punch", rows))
    return str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((row("a.one", step="no.such"),), "no step 'no.such'"),
        ((row("a.one", step=NOTHING, speed=1),), "no operand 'speed'"),
        ((row("a.one", {"next": "L_none"}, step=NOTHING),), "no such label"),
        ((row("a.one", {"busy": "END"}, step=NOTHING),), "no such outcome"),
        ((row("a.one", step="mm.trylock_mmap"),), "busy of mm.trylock_mmap leads nowhere"),
        ((row("a.one", step=NOTHING), row("a.one", step=NOTHING)), "two rows are called 'a.one'"),
        ((row("a.one", step=NOTHING), row("a.two", step=NOTHING, at="a.one")), "two rows are called 'a.one'"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows: tuple[Row, ...], message: str) -> None:
    """Assembly names the row whose step, operand, outcome or label does not exist."""
    assert message in refused(*rows)


def test_assembly_lays_programs_out_by_the_operations_order() -> None:
    """`entries` gives each program's first row, and -1 for programs that the design lacks."""
    code = code_of_programs(
        Program("punch", (row("a.one", step=NOTHING),)), Program("access", (row("b.one", step=NOTHING),))
    )
    assert [item.name for item in code.info] == ["access.b.one", "punch.a.one"]
    assert code.entries.tolist() == [0, -1, -1, 1, *[-1] * (len(PROGRAMS) - 4)]


def test_a_row_falls_through_unless_it_jumps() -> None:
    """Only a row whose *next* leads elsewhere, or that is the last, is marked as a jump; *again* repeats the row."""
    rows = (row("a.one", step=NOTHING), row("a.two", {"next": "a.one"}, step=NOTHING), row("a.end", step=NOTHING))
    code = code_of_programs(Program("punch", rows))
    assert code.rows["jump"].tolist() == [0, 1, 1]
    assert code.targets[:, NEXT].tolist() == [END, 0, END]
    assert code.targets[:, CODE["again"]].tolist() == [0, 1, 2]


def test_the_hardware_tells_a_private_access() -> None:
    """The step of `fault.classify` is the hardware's."""
    hardware = replace(HARDWARE, classify=NOTHING)
    code = code_of_programs(Program("access", (row("fault.classify"),)), hardware=hardware)
    assert code.info[0].step.name == NOTHING


def reachable(code: Code) -> set[int]:
    """Rows that some path from a program's first row reaches."""
    todo, found = [int(e) for e in code.entries if e >= 0], set[int]()
    while todo:
        position = todo.pop()
        if position == END or position in found:
            continue
        found.add(position)
        outcomes = {"again", "yield", *code.info[position].step.outcomes} - {"blocked"}
        todo += [int(code.targets[position, CODE[name]]) for name in outcomes]
        todo.append(int(code.targets[position, NEXT]) if code.rows["jump"][position] else position + 1)
    return found


@pytest.mark.parametrize("design", sorted(DESIGNS))
def test_every_row_of_a_design_can_run(design: str) -> None:
    """No row of a shipped design is dead but the one for hardware that kills a VM, and no two have the same name."""
    code = code_of(design)
    dead = {code.info[i].name for i in set(range(len(code.rows))) - reachable(code)}
    assert dead <= {"access.killed.set_outside"}
    assert len({item.name for item in code.info}) == len(code.info)


@pytest.mark.parametrize("design", sorted(DESIGNS))
def test_no_path_leaves_its_program(design: str) -> None:
    """Every target lies inside the program it belongs to, and the last row of a program does not fall out of it."""
    code = code_of(design)
    for position, targets in enumerate(code.targets.tolist()):
        owner = code.info[position].program
        assert {code.info[t].program for t in targets if t != END} <= {owner}
        if position + 1 == len(code.info) or code.info[position + 1].program != owner:
            assert code.rows["jump"][position], code.info[position].name


@pytest.mark.parametrize("design", sorted(DESIGNS))
def test_a_design_has_every_program_or_says_why_not(design: str) -> None:
    """A program is either there or not applicable, with a reason."""
    d = DESIGNS[design]
    assert set(d.programs) | set(d.not_applicable) >= {"access", "prefault", "convert", "punch", "numa_zap", "teardown"}
    assert not set(d.programs) & set(d.not_applicable)
    assert all(len(reason) > 10 for reason in d.not_applicable.values())


def test_every_step_is_used_or_a_control() -> None:
    """Each registered step stands in a shipped program or a hook; the others are controls, or for mutants."""
    pairs = [(d, h) for d in load_designs().values() for h in load_hardware().values() if h.name not in d.not_on]
    used = {item.step.name for design, kind in pairs for item in assemble(design, kind).info}
    used |= {item.step for kind in load_hardware().values() for rows in kind.hooks.values() for item in rows}
    unused = {name for name in set(steps_by_name()) - used if not name.startswith("plain.")}
    assert unused <= {"zap.nothing", "zap.gfn_obeying_filter"}


def test_every_step_names_known_outcomes() -> None:
    """The outcomes that a step declares are outcomes that exist, at most four."""
    for item in steps_by_name().values():
        assert set(item.outcomes) <= set(OUTCOMES) - {"next", "again", "blocked", "yield"}
        assert len(item.outcomes) <= 4
        assert item.doc.endswith((".", ":"))


@pytest.mark.parametrize("design", sorted(DESIGNS))
@pytest.mark.parametrize("program_name", ["access", "prefault"])
def test_the_page_is_released_before_mmu_lock(design: str, program_name: str) -> None:
    """In the order of Linux 7.3 a fault drops its reference under mmu_lock (mmu.c:4969-4971), 6.12 after it."""
    assert DESIGNS[design].kernel == "7.3"
    order = [item.name for item in code_of(design).info]
    release = order.index(f"{program_name}.fault.release_page")
    assert order[release - 1] == f"{program_name}.fault.set_spte"
    assert order[release + 1] == f"{program_name}.fault.unlock_mmu"


def test_the_order_of_linux_6_12_is_an_edit() -> None:
    """6.12 drops mmu_lock first and the reference after it, and differs in no other row."""
    order = [item.name for item in assemble(ORDER_6_12, HARDWARE).info]
    assert sorted(order) == sorted(item.name for item in code_of("guest-memfd").info)
    for name in ("access", "prefault"):
        unlock = order.index(f"{name}.fault.unlock_mmu")
        assert order[unlock + 1] == f"{name}.fault.release_page"


def test_a_design_without_the_row_is_still_a_design() -> None:
    """An edited design assembles like any other: a mutant is data."""
    base = DESIGNS["guest-memfd"]
    mutant = base.edited("no-recheck", access=base.programs["access"].without("fault.recheck_stale"))
    assert isinstance(mutant, Design)
    assert len(assemble(mutant, HARDWARE).rows) == len(code_of("guest-memfd").rows) - 1
