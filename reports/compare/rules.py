"""How large a difference must be to count, for all cells and for some: a TOML file.

threshold = 0.03            # least share by which a time must differ

[[cells]]                   # later entries win
match = "boot-populate*/*"  # glob over names of cells
threshold = 0.10
counted = 0.02              # share by which a counter may grow without being a regression
note = "its pages come in random order since 1.2"
"""

import fnmatch
import math
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gmembench.core.errors import UserError

THRESHOLD = 0.03
ALPHA = 0.05


class CellRule(msgspec.Struct, forbid_unknown_fields=True):
    """What holds for the cells that match; None: as for all cells."""

    match: str
    threshold: float | None = None
    counted: float | None = None
    note: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    threshold: float | None = None
    counted: float = 0.0
    alpha: float = ALPHA
    cells: list[CellRule] = []


@dataclass(frozen=True)
class Rules:
    """threshold, counted: least shares that count, for a time and for a counter; alpha: share of false discoveries."""

    threshold: float = THRESHOLD
    counted: float = 0.0
    alpha: float = ALPHA
    cells: tuple[CellRule, ...] = ()

    def threshold_of(self, cell: str) -> float:
        """The least share by which the time of a cell must differ."""
        return next((r.threshold for r in self._of(cell) if r.threshold is not None), self.threshold)

    def counted_of(self, cell: str) -> float:
        """The share by which a counter of a cell may grow."""
        return next((r.counted for r in self._of(cell) if r.counted is not None), self.counted)

    def _of(self, cell: str) -> list[CellRule]:
        return [rule for rule in reversed(self.cells) if fnmatch.fnmatchcase(cell, rule.match)]


def read_rules(path: Path | None, threshold: float | None = None) -> Rules:
    """Rules from a file, or the usual ones; `threshold` has the last word for cells without an entry of their own.

    Raises UserError if the file cannot be read or holds anything else.
    """
    found = _read(path) if path else _File()
    chosen = threshold if threshold is not None else found.threshold
    rules = Rules(THRESHOLD if chosen is None else chosen, found.counted, found.alpha, tuple(found.cells))
    shares = [rules.threshold, rules.counted, *(s for r in rules.cells for s in (r.threshold, r.counted))]
    if any(share is not None and not 0 <= share < math.inf for share in shares) or not 0 < rules.alpha < 1:
        raise UserError(
            "a share is negative, or alpha is not between 0 and 1", str(path or "--threshold"), "write shares as 0.03"
        )
    return rules


def _read(path: Path) -> _File:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise UserError(error.strerror or "cannot be read", str(path), "give a readable TOML file") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"not a file of thresholds ({error})", str(path), "docs/comparing.md shows one") from None
