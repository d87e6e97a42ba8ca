"""On what machine a run was timed: whether two runs can be compared by time, and if not, why."""

import hashlib
from collections.abc import Mapping
from typing import Any

from gmembench.reports.pyperf_file import load_json

KNOWN = {
    "cpu_model_name": "processor",
    "cpu_count": "number of processors",
    "platform": "kernel and platform",
    "python_version": "Python",
    "numba_version": "Numba",
}
"""Metadata of pyperf that must be equal where a run does not say itself what must be, and how a reader calls them."""

_TIMED = ("cpu_model_name", "machine.fingerprint")


def facts(metadata: Mapping[str, Any]) -> dict[str, str]:
    """What must be equal, by a name for the reader; empty for a run that timed nothing."""
    if not any(key in metadata for key in _TIMED):
        return {}
    try:
        own = load_json(str(metadata.get("machine.facts", "{}")))
    except ValueError:
        own = {}
    found = {name: metadata[key] for key, name in KNOWN.items() if key in metadata}
    found = (own if isinstance(own, dict) else {}) or found
    found["way of timing"] = metadata.get("gmembench.harness", "not recorded")
    return {str(key): str(value) for key, value in found.items()}


def identity(metadata: Mapping[str, Any]) -> str:
    """A short name of the machine; empty for a run that timed nothing."""
    found = facts(metadata)
    text = "\n".join(f"{key}={value}" for key, value in sorted(found.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:8] if found else ""


def differences(base: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between the machines of two timed runs, in words."""
    theirs, ours = facts(base), facts(new)
    return [
        f"{name} {_short(theirs.get(name))} -> {_short(ours.get(name))}"
        for name in {**theirs, **ours}
        if theirs.get(name) != ours.get(name)
    ]


def _short(value: str | None) -> str:
    return "not recorded" if value is None else value[:80]
