"""What a picture needs of a failure file of `gmembench explore`; the rest of the file is not looked at."""

from pathlib import Path

import msgspec

from gmembench.core.errors import UserError

SCHEMA = 1
"""The format of failure files that is known here."""


class Step(msgspec.Struct, frozen=True):
    """One step: who, which row, how it ended, locks taken ("+") and dropped ("-"), who waits for which lock."""

    actor: int
    row: str
    outcome: str = ""
    kind: str = "step"
    operands: str = ""
    begins: str = ""
    event: str = ""
    locks: tuple[str, ...] = ()
    waits: tuple[tuple[int, str], ...] = ()


class Broken(msgspec.Struct, frozen=True):
    """What broke, and why. `actor`: who made the last step, -1 for a deadlock. `marked`: steps named in the reason."""

    invariant: str
    sentence: str
    reason: str = ""
    actor: int = -1
    marked: tuple[int, ...] = ()


class Setting(msgspec.Struct, frozen=True):
    """What it ran on."""

    design: str
    hardware: str
    scenario: str = ""
    edits: tuple[str, ...] = ()


class FailureFile(msgspec.Struct, frozen=True):
    """A failure, as far as it is shown. `replay`: the line to paste, "" if only the file can say."""

    schema: int
    setting: Setting
    violation: Broken
    actors: tuple[str, ...]
    choices: tuple[Step, ...]
    replay: str = ""
    gmembench: str = ""
    sources: str = ""


def read(path: Path) -> FailureFile:
    """Read a failure file. Raises UserError if it cannot be read, or is none."""
    try:
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(error.strerror or "cannot be read", str(path), "give a readable file") from None


def parse(raw: bytes, where: str) -> FailureFile:
    """A failure from the bytes of its file; `where` names it in errors."""
    try:
        found = msgspec.json.decode(raw, type=FailureFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"no failure ({error})", where, "give a failure file of gmembench explore") from None
    if found.schema != SCHEMA:
        raise UserError(f"written in format {found.schema}, not {SCHEMA}", where, "use the version that wrote it")
    numbers = [step.actor for step in found.choices] + [actor for step in found.choices for actor, _ in step.waits]
    if any(not 0 <= number < len(found.actors) for number in numbers):
        raise UserError("a step of an actor that there is not", where, "give a failure file of gmembench explore")
    return found
