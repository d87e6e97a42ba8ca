"""The corpus: failures that campaigns have found, a file each, which replay in the tests."""

import hashlib
from pathlib import Path

import msgspec

from gmembench.inject.failure import Failure, write_failure


def name_of(failure: Failure) -> str:
    """The file of a failure: design, hardware, invariant, and a digest of its setting and choices."""
    choices = [(choice.actor, choice.kind) for choice in failure.choices]
    digest = hashlib.sha256(msgspec.json.encode((failure.setting, choices))).hexdigest()[:8]
    return f"{failure.setting.design}-{failure.setting.hardware}-{failure.violation.invariant}-{digest}.json"


def keep(folder: Path, failure: Failure) -> Path | None:
    """Write a failure into the folder, which is made if there is none. None if the folder has it already."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name_of(failure)
    if path.exists():
        return None
    write_failure(path, failure)
    return path


def corpus(folder: Path) -> list[Path]:
    """All files of a corpus, by name."""
    return sorted(folder.glob("*.json"))
