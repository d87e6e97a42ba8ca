"""Plans as files: what they say, that the shipped ones are small and change something, and how mistakes are told."""

import re
from pathlib import Path

import pytest

from gmembench.core.catalog import load_invariants
from gmembench.core.errors import UserError
from gmembench.core.programs import with_hardware
from gmembench.inject.mutants import KINDS
from gmembench.inject.plan import BUGS, FOLDER, Plan, find_plan, load_plans, not_expressed, plan, read_plan
from gmembench.inject.question import Words, ask

PLANS = load_plans()
BUG_PLANS = sorted(name for name in PLANS if name.startswith(f"{BUGS}/"))

MOST_GFNS, MOST_PAGES, MOST_ACTORS, MOST_OPERATIONS = 4, 8, 3, 4

TEXT = """
doc = "A fault maps a page that was punched."
design = "guest-memfd"
edits = ["without access.fault.recheck_stale"]
prepare = ["H: convert 0 private"]
expect = "UAF-MAP"

[world]
gfns = 1
pages = 2

[[actors]]
name = "V0"
kind = "vcpu"
script = ["access 0 write"]

[[actors]]
name = "H"
kind = "host"
script = ["punch 0"]
"""


def written(folder: Path, text: str) -> Plan:
    """A plan from a file."""
    path = folder / "mine.toml"
    path.write_text(text)
    return read_plan(path)


def refusal(folder: Path, text: str) -> str:
    """What a user is told of a plan file that is wrong, by its name."""
    with pytest.raises(UserError) as told:
        written(folder, text).check()
    return str(told.value).removeprefix(f"{folder}/")


@pytest.mark.parametrize("name", BUG_PLANS)
def test_a_plan_of_a_bug_says_what_it_is(name: str) -> None:
    """Its name begins with the number of the bug; fix, source, sentence, invariant and steps are given."""
    body = PLANS[name].body
    assert re.fullmatch(r"bugs/[ABC]\d\d-[a-z0-9-]+", name)
    assert body.title
    assert body.source
    assert body.doc.endswith(".")
    assert body.expect in load_invariants()
    assert body.items > 0


@pytest.mark.parametrize("name", BUG_PLANS)
def test_its_edits_change_rows(name: str) -> None:
    """The mutant differs from its design; a plan without edits is of a design that ships the finding."""
    made = PLANS[name]
    design, hardware, mutant = made.design(), made.hardware(), made.mutant()
    if made.body.edits:
        plain = {n: [(r.name, r.step) for r in with_hardware(p, hardware).rows] for n, p in design.programs.items()}
        edited = {n: [(r.name, r.step) for r in p.rows] for n, p in mutant.programs.items()}
        ways = {n: [(r.operands, r.to) for r in p.rows] for n, p in mutant.programs.items()}
        before = {n: [(r.operands, r.to) for r in with_hardware(p, hardware).rows] for n, p in design.programs.items()}
        assert (plain, before) != (edited, ways)
    else:
        assert made.body.expect in {finding.invariant for finding in design.findings}


@pytest.mark.parametrize("name", BUG_PLANS)
def test_its_world_is_small(name: str) -> None:
    """A few gfns, pages, actors and operations are enough for each published bug."""
    made = PLANS[name].instance()
    assert made.geometry.gfns <= MOST_GFNS
    assert made.geometry.pages <= MOST_PAGES
    assert len(made.scripts) <= MOST_ACTORS
    assert sum(map(len, made.scripts)) <= MOST_OPERATIONS


def test_every_bug_is_planned_or_listed() -> None:
    """A bug without a plan says what the model lacks; none has the name of a plan."""
    lacking = {bug.name: bug for bug in not_expressed()}
    assert all(len(bug.missing) > 10 and bug.title for bug in lacking.values())
    assert not {f"{BUGS}/{name}" for name in lacking} & set(PLANS)
    numbers = {name.rpartition("/")[2][:3] for name in [*BUG_PLANS, *lacking]}
    wanted = {"A": "01 02 03 04 05 07 08 10 12 14 15 16 17 18 19 21 22 24 26 27 30"}
    wanted |= {"B": "01 02 03 04 05 07 08 09 10 11 12 13 14 15 16 17 18", "C": "01 02 03 04 05 07 08 09"}
    assert numbers == {f"{tier}{number}" for tier, text in wanted.items() for number in text.split()}


def test_the_file_name_is_the_name() -> None:
    """Plans are named by their path below the folder."""
    files = {path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.toml")}
    assert files - {f"{BUGS}/not_expressed"} == set(PLANS)


def test_a_plan_is_found_by_the_beginning_of_its_name() -> None:
    """`A05`, `bugs/A05` and the whole name are the same plan; a beginning of two is refused with both."""
    whole = "bugs/A05-fault-no-recheck-under-mmu-lock"
    assert {find_plan(text).name for text in ("A05", "bugs/A05", whole)} == {whole}
    assert find_plan("A08-attr-range-not-added").name == "bugs/A08-attr-range-not-added"
    with pytest.raises(UserError, match="choose one of bugs/A26-inplace-convert"):
        find_plan("A26")
    with pytest.raises(UserError, match="no plan 'Z99'"):
        find_plan("Z99")


def test_a_plan_names_a_scenario_or_has_a_world(tmp_path: Path) -> None:
    """Without both there is nothing to run; with both it is not clear which."""
    head = 'doc = "x."\ndesign = "guest-memfd"\n'
    assert "says neither scenario nor world" in refusal(tmp_path, head)
    assert "a scenario and a world of its own" in refusal(tmp_path, head + 'scenario = "fault-vs-punch"\n[world]\n')
    named = written(tmp_path, head + 'scenario = "fault-vs-punch"\nedits = ["without access.fault.recheck_stale"]\n')
    assert named.scenario().name == "fault-vs-punch"
    assert "fault.recheck_stale" not in [r.name for r in named.mutant().programs["access"].rows]


def test_a_scenario_is_changed(tmp_path: Path) -> None:
    """A `change` gives other parts of the world and other scripts."""
    text = 'doc = "x."\ndesign = "guest-memfd"\nscenario = "fault-vs-punch"\n[change.world]\npages = 5\n'
    assert written(tmp_path, text).instance().geometry.pages == 5


def test_the_same_plan_in_python(tmp_path: Path) -> None:
    """`plan()` takes the keys of a file; a Python file in a folder of plans defines PLAN."""
    parts = {
        "doc": "x.",
        "design": "guest-memfd",
        "world": {"gfns": 1, "pages": 2},
        "actors": [{"name": "V0", "kind": "vcpu", "script": ["access 0 write"]}],
        "edits": ["without access.fault.recheck_stale"],
    }
    made = plan("mine", **parts)
    assert len(made.instance().scripts) == 1
    folder = tmp_path / "plans"
    folder.mkdir()
    (folder / "mine.py").write_text(f"from gmembench.inject.plan import plan\nPLAN = plan('mine', **{parts!r})\n")
    (folder / "other.toml").write_text(TEXT)
    assert {"mine", "other"} <= set(load_plans([tmp_path]))
    with pytest.raises(UserError, match=r"plan mine: .*hardwre"):
        plan("mine", **{**parts, "hardwre": "none"})


EVENT = '[[events]]\nevent = "{}"\nat = "{}"\n'


@pytest.mark.parametrize(
    ("event", "at", "told"),
    [("alloc_fal", "* before access.fault.lock_mmu", "no event 'alloc_fal'"), ("alloc_fail", "x", "'x' is no point")],
)
@pytest.mark.parametrize("named", [False, True])
def test_an_event_of_a_plan_is_told_with_its_line(tmp_path: Path, event: str, at: str, told: str, named: bool) -> None:
    """The line of the plan, not one of the scenario that it names."""
    text = 'doc = "x."\ndesign = "guest-memfd"\nscenario = "fault-vs-punch"\n' if named else TEXT
    line = len(text.splitlines()) + 1
    assert f"mine.toml:{line}: events[0]: {told}" in refusal(tmp_path, text + EVENT.format(event, at))
    path = tmp_path / "mine.toml"
    with pytest.raises(UserError, match=rf"mine.toml:{line}: events\[0\]: {told}"):
        ask(Words(plan=str(path))).instance  # noqa: B018 - made as it is asked for


def test_an_edit_of_a_plan_is_told_with_its_line(tmp_path: Path) -> None:
    """On the command line too."""
    (tmp_path / "mine.toml").write_text(TEXT.replace("recheck_stale", "rechek_stale"))
    with pytest.raises(UserError, match=r"mine.toml:4: edits\[0\]: edit `without access.fault.rechek_stale`"):
        ask(Words(plan=str(tmp_path / "mine.toml")))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("expect", "expects", "mine.toml:6: expects: Object contains unknown field `expects`; did you mean expect?"),
        ("gfns = 1", "size = 1", "world.size: Object contains unknown field `size`; leave it out; it may have gfns, "),
        ('kind = "host"', 'kind = "hst"', "actors[1].kind: Invalid enum value 'hst'; choose one of host, vcpu"),
        ("access 0 write", "access 7 write", "mine.toml:15: actors[0].script: 'access 7 write' has a range"),
        ("convert 0", "convert 7", "mine.toml:5: prepare: 'H: convert 7 private' has a range"),
        ('design = "guest-memfd"', "design = 3", "mine.toml:3: design: Expected `str`"),
        ("guest-memfd", "guest-memfs", "mine.toml:3: design: no design 'guest-memfs'"),
        ("recheck_stale", "rechek_stale", "mine.toml:4: edits[0]: edit `without access.fault.rechek_stale`"),
        ("UAF-MAP", "UAF", "mine.toml:6: expect: no invariant 'UAF'"),
        ("gfns = 1", "gfn = 1", "mine.toml:9: world.gfn: "),
        ("access 0 write", "acces 0 write", "mine.toml:15: actors[0].script: 'acces' in 'acces 0 write' is no program"),
        ("H: convert", "X: convert", "names no actor"),
        ("H: convert", "convert", "mine.toml:5: prepare: 'convert 0 private' names no actor"),
        ('name = "H"', 'name = "V0"', ": two actors are called 'V0'; give them names of their own"),
        ("[world]", "[world", "mine.toml:8: no TOML"),
    ],
)
def test_mistakes_are_told_with_line_and_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    """Every mistake of a plan file is one line: the file, the line, the key, and the mend."""
    assert told in refusal(tmp_path, TEXT.replace(old, new))


def test_the_example_of_the_document(tmp_path: Path) -> None:
    """The plan in docs/adding.md is a plan, and its edits are all kinds that the table there names."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "adding.md").read_text()
    found = re.search(r"```toml\n# mine/plans/(\S+)\n(.*?)```", text, re.S)
    assert found is not None
    path = tmp_path / "plans" / found[1]
    path.parent.mkdir()
    path.write_text(found[2])
    load_plans([tmp_path])[path.stem].check()
    assert [kind for kind in KINDS if f"| `{kind} {KINDS[kind][2]}` |" in text] == list(KINDS)


def test_some_invariants_need_a_reason(tmp_path: Path) -> None:
    """A plan that judges some invariants only says why."""
    text = TEXT.replace('expect = "UAF-MAP"', 'expect = "UAF-MAP"\njudge = ["UAF-MAP"]')
    assert "mine.toml:7: judge: judges some invariants only" in refusal(tmp_path, text)
    reason = text.replace('judge = ["UAF-MAP"]', 'judge = ["UAF-MAP"]\nwhy_judge = "a test"')
    assert list(written(tmp_path, reason).panel().invariants) == ["UAF-MAP"]
