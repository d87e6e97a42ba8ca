"""The published JSON Schema says of files what the reader says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gmembench.core.errors import UserError
from gmembench.reports.pyperf_file import read_benchmarks
from gmembench.reports.runs import read_run
from gmembench.reports.schema import COUNTERS, SCHEMA

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = json.loads((ROOT / "docs" / "result.schema.json").read_text())
WHOLE = Draft202012Validator(DOCUMENT)
CELL = Draft202012Validator({"$ref": "#/$defs/cell", "$defs": DOCUMENT["$defs"]})


def accepted(path: Path) -> bool:
    """Whether the schema accepts a file, and the merged metadata of each of its benchmarks."""
    document = json.loads(path.read_text())
    if not WHOLE.is_valid(document):
        return False
    for benchmark in document["benchmarks"]:
        merged = {**benchmark["runs"][0].get("metadata", {}), **document.get("metadata", {})}
        if not CELL.is_valid({**merged, **benchmark.get("metadata", {})}):
            return False
    return True


def test_the_schema_is_one_and_is_ours() -> None:
    """It is valid itself, and of the version that this code reads."""
    Draft202012Validator.check_schema(DOCUMENT)
    assert DOCUMENT["$defs"]["metadata"]["properties"]["gmembench.schema"] == {"const": SCHEMA}
    assert not list(
        Draft202012Validator(DOCUMENT["$defs"]["metadata"]).iter_errors({f"count.{c}": 1 for c in COUNTERS})
    )


@pytest.mark.parametrize("kind", ["counted", "measured"])
def test_results_are_accepted(result_file: Callable[..., Path], kind: str) -> None:
    """Both kinds of file, as pyperf writes them."""
    path = result_file(kind=kind)
    assert read_benchmarks(path)
    assert not list(WHOLE.iter_errors(json.loads(path.read_text())))
    assert accepted(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gmembench.schema", 2),
        ("gmembench.kind", "guessed"),
        ("gmembench.kind", ["counted"]),
        ("unit", "byte"),
        ("unit", "integer"),
        ("count.steps", -1),
        ("count.steps", "many"),
        ("count.faults", 1.5),
        ("count.faults", 1 << 63),
        ("cell.design", ""),
        ("cell.design", None),
        ("name", 7),
    ],
)
def test_schema_and_reader_refuse_the_same(result_file: Callable[..., Path], key: str, value: Any) -> None:
    """What the reader tells the user to mend, the schema does not accept either."""
    path = result_file()
    document = json.loads(path.read_text())
    document["metadata"].pop(key, None)
    for benchmark in document["benchmarks"]:
        benchmark["metadata"][key] = value
    path.write_text(json.dumps(document))
    assert not accepted(path)
    with pytest.raises(UserError):
        read_run(path)


def test_unknown_keys_are_left_alone(result_file: Callable[..., Path]) -> None:
    """A file with keys of a later version reads the same: that is what we promise to add."""
    path = result_file()
    before = read_run(path)
    document = json.loads(path.read_text())
    document["metadata"]["gmembench.later"] = {"any": "thing"}
    document["later"] = [1]
    path.write_text(json.dumps(document))
    assert accepted(path)
    assert read_run(path).cells == before.cells
