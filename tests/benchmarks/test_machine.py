"""What is said about a machine."""

from pathlib import Path

import pytest

from gmembench.benchmarks import machine

SHOWN = """Show the system configuration

System state
============

CPU: use 2 logical CPUs: 0-1

Advices
=======

Perf event: Set max sample rate to 1
Linux scheduler: Use isolcpus=<cpu list> kernel parameter to isolate CPUs

Warnings
========

Turbo Boost (MSR): Failed to read MSR
"""


def test_advices_are_found() -> None:
    """The advice of `pyperf system show`, and neither its state nor its warnings."""
    found = machine.advices_in(SHOWN)
    assert [line.partition(":")[0] for line in found] == ["Perf event", "Linux scheduler"]
    assert machine.advices_in("System state\n") == []


def test_a_fingerprint_tells_machines_apart() -> None:
    """Equal facts have the same one; another processor has another."""
    facts = machine.facts()
    assert machine.fingerprint(facts) == machine.fingerprint(dict(reversed(facts.items())))
    assert machine.fingerprint(facts) != machine.fingerprint({**facts, "cpu": "another"})


def test_a_busy_machine_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A high load when the run began, or a governor that changes the frequency."""
    monkeypatch.setattr(machine, "load", lambda: 40.0)
    monkeypatch.setattr(machine, "governor", lambda: "powersave")
    conditions = machine.Conditions()
    conditions.end()
    load, governor = conditions.warnings()
    assert "load average was 40.0" in load
    assert "powersave" in governor


def test_files_that_are_not_there_are_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A guest without cpufreq, a system without /proc."""
    monkeypatch.setattr(machine, "GOVERNOR", tmp_path / "none")
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "none")
    assert (machine.governor(), machine.mhz()) == ("unknown", "unknown")
