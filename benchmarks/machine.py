"""The machine on which a run measures: what must be equal for times to be compared, and what speaks against them."""

import contextlib
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
CPUINFO = Path("/proc/cpuinfo")

BUSY = 0.5
"""Load average for each CPU above which times are distrusted; the run itself keeps one CPU busy."""


def _cpuinfo(key: str) -> str:
    """The first value of a key in /proc/cpuinfo; "unknown" where there is none."""
    with contextlib.suppress(OSError):
        for line in CPUINFO.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return "unknown"


def facts() -> dict[str, str | int]:
    """What must be equal for times of two runs to be compared."""
    return {
        "cpu": _cpuinfo("model name"),
        "cpus": os.cpu_count() or 0,
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numba", "llvmlite", "numpy")},
    }


def fingerprint(found: dict[str, str | int]) -> str:
    """A digest of the facts."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]


def governor() -> str:
    """The frequency governor of the first CPU; "unknown" in many guests."""
    with contextlib.suppress(OSError):
        return GOVERNOR.read_text(encoding="utf-8").strip()
    return "unknown"


def mhz() -> str:
    """The frequency of the first CPU now."""
    found = _cpuinfo("cpu MHz")
    return f"{float(found):.0f}" if re.fullmatch(r"[\d.]+", found) else found


def load() -> float:
    """Load average of the last minute."""
    return os.getloadavg()[0]


class SystemShow:
    """`pyperf system show`, asked in a process of its own while something else is done."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-m", "pyperf", "system", "show"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def advices(self) -> list[str]:
        """What it advises; nothing if it says nothing within ten seconds."""
        try:
            return advices_in(self._process.communicate(timeout=10)[0])
        except subprocess.TimeoutExpired:
            self._process.kill()
            return []

    def end(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.communicate()


def advices_in(text: str) -> list[str]:
    """The lines under "Advices" of what `pyperf system show` prints."""
    _, found, rest = text.partition("Advices\n=======\n")
    lines = rest.lstrip("\n").split("\n\n")[0].splitlines() if found else []
    return [line.strip() for line in lines if line.strip()]


class Conditions:
    """The conditions of a run, taken before and after it."""

    def __init__(self) -> None:
        self._load, self._mhz = load(), mhz()
        self._show = SystemShow()

    def end(self) -> None:
        """Take nothing more."""
        self._show.end()

    def metadata(self) -> dict[str, Any]:
        """As metadata of the result file, at the end of the run."""
        known = facts()
        return {
            "machine.fingerprint": fingerprint(known),
            "machine.facts": json.dumps(known),
            "machine.governor": governor(),
            "machine.mhz": f"{self._mhz} {mhz()}",
            "machine.load": f"{self._load:.2f} {load():.2f}",
            "machine.findings": json.dumps(self._show.advices()),
        }

    def warnings(self) -> list[str]:
        """Why times under these conditions are to be distrusted."""
        found = []
        if self._load > BUSY * (os.cpu_count() or 1):
            found.append(f"the load average was {self._load:.1f} when the run began: something else was running")
        if governor() not in {"performance", "unknown"}:
            found.append(f"the frequency governor is {governor()}, not performance")
        return found
