"""The examples of docs/adding.md that are of exploration."""

import re
from pathlib import Path

import pytest

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.inject.catalog import load_events
from gmembench.inject.scenario import Change, EventUse, Scenario, instance_of, load_scenarios, states_of

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "adding.md"
DESIGNS, HARDWARE = load_designs(), load_hardware()


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with the document's files of events and of exploration."""
    blocks = re.findall(
        r"```(?:toml|python)\n# mine/((?:exploration|events)/\S+)\n(.*?)```", DOCUMENT.read_text(), re.S
    )
    assert len(blocks) == 2
    for name, text in blocks:
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(text)
    return tmp_path


def example(mine: Path) -> Scenario:
    """The document's scenario."""
    return load_scenarios([mine])["punch-vs-punch"]


def test_the_scenario_runs_for_every_design_with_its_operations(mine: Path) -> None:
    """The example builds, and some design is expected to show each of its states."""
    scenario, expected = example(mine), set()
    for design in DESIGNS.values():
        if not scenario.why_not(design, HARDWARE["none"]):
            instance = instance_of(scenario, design, HARDWARE["none"])
            expected |= {state.name for state in states_of(scenario, instance.code)[0]}
    assert expected == {state.name for state in scenario.states}


def test_the_event_is_found_and_injected(mine: Path) -> None:
    """An event of one's own can be used by a scenario that was loaded with the same folder."""
    text = re.search(r"```toml\n\[\[events\]\]\n(.*?)```", DOCUMENT.read_text(), re.S)
    assert text is not None
    assert 'event = "lost_cmpxchg"' in text[1]
    use = EventUse(event="lost_cmpxchg", at="V0 before access.fault.set_spte", skip=1)
    instance = instance_of(example(mine), DESIGNS["guest-memfd"], HARDWARE["none"], events=[use])
    assert [(force.event, force.skip) for force in instance.forces] == [("lost_cmpxchg", 1)]
    assert load_events([mine])["lost_cmpxchg"].kind == "outcome"


def test_the_table_names_keys_that_there_are() -> None:
    """Every key of a design's or a variant's change is one of `Change`."""
    row = next(line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `designs.NAME`"))
    assert set(re.findall(r"`([a-z]+)`", row)) <= set(Change.__struct_fields__)
