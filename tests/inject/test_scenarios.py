"""The scenarios of exploration that are shipped, and what a file of one's own may say."""

from pathlib import Path

import numpy as np
import pytest

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.drivers.sequential import Sequential
from gmembench.core.errors import UserError
from gmembench.core.judges import check_world
from gmembench.core.operations import PROGRAMS
from gmembench.core.programs import assemble
from gmembench.core.world import World
from gmembench.inject.scenario import Change, WorldPart, instance_of, load_scenarios, read_scenario, states_of

DESIGNS, HARDWARE, SCENARIOS = load_designs(), load_hardware(), load_scenarios()

ASKED = (
    "close-vs-punch",
    "close-vs-slot-delete",
    "collapse-vs-fault",
    "convert-vs-convert",
    "convert-vs-punch",
    "fault-vs-convert",
    "fault-vs-numa-zap",
    "fault-vs-punch",
    "fault-vs-slot-delete",
    "host-fault-vs-convert",
    "huge-vs-convert",
    "migrate-vs-fault",
    "pin-vs-convert",
    "poison-vs-slot-delete",
    "prefault-vs-slot-delete",
)

MINE = """doc = "two accesses"
prepare = ["H: punch 0 1"]

[world]
gfns = 1

[[actors]]
name = "V0"
kind = "vcpu"
script = ["access 0 write"]

[[actors]]
name = "H"
kind = "host"
script = ["punch 0 1"]

[[sometimes]]
name = "nothing"
when = ["H idle"]

[designs.legacy-vma]
skip = "not today"

[variants.twice]
doc = "two punches"

[variants.twice.scripts]
H = ["punch 0 1", "punch 0 1"]
"""


def test_all_that_were_asked_for_are_there() -> None:
    """Every race of the corpus has its scenario."""
    assert set(ASKED) <= set(SCENARIOS)


CODES = {name: assemble(design, HARDWARE["none"]) for name, design in DESIGNS.items()}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_design_with_its_operations_runs_it(name: str) -> None:
    """A scenario builds for every design that has its programs; its preparations end and break nothing."""
    scenario = SCENARIOS[name]
    for design in DESIGNS.values():
        if scenario.why_not(design, HARDWARE["none"]):
            continue
        instance = instance_of(scenario, design, HARDWARE["none"])
        world = World(instance.geometry)
        if instance.prepare:
            Sequential(instance.code, world).run(np.concatenate(instance.prepare))
        assert check_world(world) == [], design.name
        ran = {PROGRAMS[number] for script in instance.scripts for number in script["program"]}
        assert ran <= set(scenario.for_design(design.name).programs)


@pytest.mark.parametrize("hardware", ["tdx", "snp"])
def test_a_scenario_runs_on_every_hardware(hardware: str) -> None:
    """A design runs a scenario on each hardware that it has, though it is proved on those that the file names."""
    for design in DESIGNS.values():
        why = SCENARIOS["fault-vs-punch"].why_not(design, HARDWARE[hardware])
        assert why == design.not_on.get(hardware, "")
        if not why:
            instance = instance_of(SCENARIOS["fault-vs-punch"], design, HARDWARE[hardware])
            assert instance.geometry.hardware == HARDWARE[hardware].number


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_design_that_cannot_run_it_says_why(name: str) -> None:
    """Not applicable is a missing program with the design's reason, a hardware's refusal, or a size of pages."""
    scenario = SCENARIOS[name]
    for design in DESIGNS.values():
        lacking = [p for p in scenario.for_design(design.name).programs if p not in design.programs]
        why = scenario.why_not(design, HARDWARE["none"])
        if lacking and "pages of" not in why:
            assert why.endswith(design.not_applicable[lacking[0]])
        elif not lacking and why:
            assert "pages of" in why or why == scenario.for_design(design.name).body.skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_state_is_expected_of_some_design(name: str) -> None:
    """A state that no design could show is a slip of the pen in a row's name."""
    scenario = SCENARIOS[name]
    expected = set()
    for design in DESIGNS.values():
        if not scenario.why_not(design, HARDWARE["none"]):
            expected |= {state.name for state in states_of(scenario, CODES[design.name])[0]}
    unseen = {state.name for state in scenario.states} - expected - set(scenario.body.never)
    assert unseen == set()


def test_worlds_stay_small() -> None:
    """At most four actors and four gfns: what is larger is not explored to its end."""
    for scenario in SCENARIOS.values():
        assert len([actor for actor in scenario.body.actors if actor.script]) <= 4, scenario.name
        assert (scenario.body.world.gfns or 1) <= 4, scenario.name
        assert scenario.vcpus <= 2, scenario.name


def mine(tmp_path: Path, text: str = MINE) -> Path:
    """A scenario file of one's own."""
    path = tmp_path / "my-race.toml"
    path.write_text(text)
    return path


def test_a_variant_is_a_scenario_of_its_own(tmp_path: Path) -> None:
    """What a variant changes is laid over its file; the rest is the file's."""
    plain, twice = read_scenario(mine(tmp_path))
    assert (plain.name, twice.name) == ("my-race", "my-race-twice")
    assert [actor.script for actor in twice.body.actors] == [("access 0 write",), ("punch 0 1", "punch 0 1")]
    assert twice.why_not(DESIGNS["legacy-vma"], HARDWARE["none"]) == "not today"


def test_a_folder_of_ones_own_adds_scenarios(tmp_path: Path) -> None:
    """A file in DIR/exploration/ is a scenario by being there."""
    (tmp_path / "exploration").mkdir()
    (tmp_path / "exploration" / "my-race.toml").write_text(MINE)
    added = set(load_scenarios([tmp_path])) - set(SCENARIOS)
    assert added == {"my-race", "my-race-twice"}


def test_a_change_is_laid_over(tmp_path: Path) -> None:
    """A plan's own world and scripts change the scenario, and nothing else of it."""
    plain = read_scenario(mine(tmp_path))[0]
    changed = plain.changed(Change(world=WorldPart(gfns=2), scripts={"H": ("punch 1 1",)}, timer=True))
    instance = instance_of(changed, DESIGNS["guest-memfd"], HARDWARE["none"])
    assert (instance.geometry.gfns, instance.timer) == (2, True)
    assert instance.scripts[1]["gfn"].tolist() == [1]
    assert plain.body.world.gfns == 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"H: punch 0 1"', '"X: punch 0 1"', r"my-race.toml:2: prepare: 'X: punch 0 1' names no actor"),
        (
            '["access 0 write"]',
            '["acces 0"]',
            r"my-race.toml:10: actors\[0\].script: 'acces' in 'acces 0' is no program",
        ),
        ('kind = "vcpu"', 'kind = "host"', r"my-race.toml:7: actors\[0\]: no vCPU"),
        ('name = "H"', 'name = "V0"', r"my-race.toml:7: actors\[0\]: two actors are called 'V0'"),
        (
            'when = ["H idle"]',
            'when = ["H idle"]\nhardware = ["tdx"]',
            r"my-race.toml:17: sometimes\[0\]: does not say",
        ),
        ('H = ["punch 0 1", "punch 0 1"]', "X = []", r"my-race.toml:27: variants.twice.scripts: no actor 'X'"),
    ],
)
def test_a_mistake_names_line_and_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    """What no design could run is refused when the file is read."""
    with pytest.raises(UserError, match=told):
        read_scenario(mine(tmp_path, MINE.replace(old, new)))


def test_a_scenario_that_a_design_cannot_run_is_refused() -> None:
    """The design's reason is told."""
    with pytest.raises(UserError, match="all memory is shared with the VMM"):
        instance_of(SCENARIOS["fault-vs-convert"], DESIGNS["legacy-vma"], HARDWARE["none"])


def test_a_range_outside_the_world_is_refused(tmp_path: Path) -> None:
    """Compiled steps check no bounds: a script must stay within its world."""
    scenario = read_scenario(mine(tmp_path, MINE.replace("access 0 write", "access 1 write")))[0]
    with pytest.raises(UserError, match="leaves the guest's 1 gfns"):
        instance_of(scenario, DESIGNS["guest-memfd"], HARDWARE["none"])
