"""The metadata of one cell: counters, and the profiles that are stored as JSON text."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gmembench.core.errors import UserError
from gmembench.reports.pyperf_file import WRITE_AGAIN, RawBenchmark, load_json

if TYPE_CHECKING:
    import pandas as pd  # takes half a second, and few need it

LONGEST_NAME = 200

_ROW_TEXTS = ("row", "step", "place", "nature", "site")
_BACKING = ("operation", "private_pages", "shared_pages", "double_backed_pages")


def text(raw: RawBenchmark, key: str) -> str:
    """Return a name: printable text of 1 to 200 characters. Raises UserError if it is not."""
    value = raw.metadata.get(key)
    if not _is_name(value):
        raise UserError(f"{key} is missing or not a printable name", raw.where, WRITE_AGAIN)
    return str(value)


def counter(raw: RawBenchmark, key: str) -> int | None:
    """Return a counter, or None if the cell has none. Raises UserError if it is not a count."""
    value = raw.metadata.get(key)
    if value is not None and not _is_count(value):
        raise UserError(f"{key} is not a count", raw.where, WRITE_AGAIN)
    return value


def row_frame(name: str, raw: RawBenchmark, known: "dict[str, pd.DataFrame]") -> "pd.DataFrame":
    """Return the rows of a cell as a frame: cell, program, row, step, place, nature, site, hits.

    They are in `profile.rows`, or their hits in `profile.hits` and all else in `rows.<design>/<hardware>`; the
    facts that cells share are read once and kept in `known`, by their text.
    Raises UserError if an item lacks a name or a count of hits.
    """
    import pandas as pd

    if "profile.hits" in raw.metadata:
        facts, hits = _shared_facts(raw, known)
    else:
        rows = _json(raw, "profile.rows", "[]")
        facts = _facts(raw, "profile.rows", rows)
        hits = [row.get("hits") for row in rows]
        if not _is_counts(hits):
            raise UserError("profile.rows is not a list of rows", raw.where, WRITE_AGAIN)
    frame = facts.assign(hits=pd.Series(hits, facts.index, "int64"))
    frame.insert(0, "cell", name)
    return frame


def _shared_facts(raw: RawBenchmark, known: "dict[str, pd.DataFrame]") -> "tuple[pd.DataFrame, list[int]]":
    key = f"rows.{raw.metadata.get('cell.design')}/{raw.metadata.get('cell.hardware')}"
    text, hits = str(raw.metadata.get(key, "[]")), _json(raw, "profile.hits", "[]")
    if text not in known:
        known[text] = _facts(raw, key, _json(raw, key, "[]"))
    if not _is_counts(hits) or len(known[text]) != len(hits):
        raise UserError(f"profile.hits does not fit {key}", raw.where, WRITE_AGAIN)
    return known[text], hits


def _facts(raw: RawBenchmark, key: str, rows: Any) -> "pd.DataFrame":
    """The facts of rows as a frame: program and _ROW_TEXTS."""
    import pandas as pd

    if not isinstance(rows, list) or not all(_is_row(row) for row in rows):
        raise UserError(f"{key} is not a list of rows", raw.where, WRITE_AGAIN)
    frame = pd.DataFrame(rows, columns=list(_ROW_TEXTS), dtype=object)
    frame.insert(0, "program", [row["row"].split(".")[0] for row in rows])
    return frame


def backing_frame(name: str, raw: RawBenchmark) -> "pd.DataFrame":
    """Return `profile.backing` as a frame: cell, operation, private_pages, shared_pages, double_backed_pages.

    Raises UserError if the columns are not lists of counts of one length.
    """
    import pandas as pd

    columns = _json(raw, "profile.backing", "{}")
    lists = [columns.get(key, []) for key in _BACKING] if isinstance(columns, dict) else []
    if not lists or not all(map(_is_counts, lists)) or len(set(map(len, lists))) > 1:
        raise UserError("profile.backing is not four columns of counts", raw.where, WRITE_AGAIN)
    frame = pd.DataFrame(dict(zip(_BACKING, lists, strict=True)), dtype="int64")
    frame.insert(0, "cell", name)
    return frame


def conformance(raw: RawBenchmark) -> Mapping[str, Any]:
    """Return `profile.conformance` as it stands. Raises UserError if it is not a JSON object."""
    found = _json(raw, "profile.conformance", "{}")
    if not isinstance(found, dict):
        raise UserError("profile.conformance is not an object", raw.where, WRITE_AGAIN)
    return found


def _json(raw: RawBenchmark, key: str, default: str) -> Any:
    try:
        return load_json(str(raw.metadata.get(key, default)))
    except ValueError as error:
        raise UserError(f"{key} is not valid JSON ({error})", raw.where, WRITE_AGAIN) from None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _is_counts(column: object) -> bool:
    return isinstance(column, list) and all(map(_is_count, column))


def _is_row(row: object) -> bool:
    return isinstance(row, dict) and all(_is_name(row.get(key)) for key in _ROW_TEXTS)
