"""What the command line lists of exploration: its scenarios and events."""

import json
import subprocess
import sys
from typing import Any

import pytest

from gmembench.inject.catalog import load_events
from gmembench.inject.scenario import load_scenarios


def listed(*words: str) -> list[dict[str, Any]]:
    """What `gmembench list` prints as JSON."""
    command = [sys.executable, "-m", "gmembench", "list", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_scenarios_of_each_kind() -> None:
    """Scenarios that are run and scenarios that are explored are listed together, and apart by --kind."""
    together = [row["name"] for row in listed("scenarios")]
    run = [row["name"] for row in listed("scenarios", "--kind", "run")]
    explored = [row["name"] for row in listed("scenarios", "--kind", "exploration")]
    assert together == run + explored
    assert explored == list(load_scenarios())
    assert "autonuma" in run


def test_a_scenario_says_where_it_runs_and_what_must_be_seen() -> None:
    """Designs are those with its operations; the others have their reason."""
    found = {row["name"]: row for row in listed("scenarios", "--kind", "exploration")}["fault-vs-convert"]
    assert "guest-memfd" in found["designs"]
    assert "all memory is shared" in found["not_applicable"]["legacy-vma"]
    assert found["actors"]["C"][0] == "convert 0 1 shared"
    assert {"a memory fault exit during a conversion", "a fault retried", "a step blocked"} <= set(found["sometimes"])


def test_an_event_says_where_it_is_legal() -> None:
    """A zap that nobody asked for is environment where the page keeps its data, and a bug where it does not."""
    found = {row["name"]: row for row in listed("events")}
    assert list(found) == list(load_events())
    spurious = found["spurious_zap"]
    assert spurious["legal"]["guest-memfd"] == ["none", "snp"]
    assert "its data are gone" in spurious["bug"]["guest-memfd"]["tdx"]
    assert "vma-gup" in spurious["not_applicable"]


def test_only_scenarios_have_kinds() -> None:
    """--kind with anything else is a usage error, in one line."""
    with pytest.raises(subprocess.CalledProcessError) as fault:
        listed("events", "--kind", "run")
    assert fault.value.returncode == 2
    assert fault.value.stderr.count("\n") == 1
