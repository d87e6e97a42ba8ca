"""What `gmembench trace show` says of a trace."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gmembench.benchmarks.trace_show import MAP_COLUMNS, MAP_ROWS, headline, show, summary
from gmembench.core.errors import UserError
from gmembench.core.trace import read_events

TRACE = (
    Path(__file__).resolve().parents[2] / "benchmarks" / "traces" / "kvm-7.3.4-private_mem_conversions_test.trace.xz"
)


def shown(path: Path, as_json: bool = False, quiet: bool = False) -> str:
    """What `show` writes on a console of 120 columns."""
    file = io.StringIO()
    show(path, Console(file=file, width=120), as_json, quiet)
    return file.getvalue()


@pytest.fixture(scope="module")
def value() -> dict[str, Any]:
    """The summary of the conversions trace."""
    return summary(read_events(TRACE))


def test_json_is_the_summary(value: dict[str, Any]) -> None:
    """`--json` prints the summary as one JSON value, also for paths and widths that a table would wrap."""
    assert json.loads(shown(TRACE, as_json=True)) == value


def test_conversions_are_told_by_direction_and_size(value: dict[str, Any]) -> None:
    """The conversions trace has 24 conversions to private and 40 to shared."""
    assert value["conversions"] == {
        "to_private": {"count": 24, "gfns": 6160, "sizes": [[1, 12], [512, 8], [513, 4]]},
        "to_shared": {"count": 40, "gfns": 14368, "sizes": [[513, 20], [1, 12], [512, 8]]},
    }


def test_the_map_holds_every_fault(value: dict[str, Any]) -> None:
    """The cells of the map add up to the faults of the trace."""
    cells = value["map"]["faults"]
    assert (len(cells), {len(row) for row in cells}) == (MAP_ROWS, {MAP_COLUMNS})
    assert sum(map(sum, cells)) == value["events"]["kvm_page_fault"] == 28116
    assert (sum(value["map"]["convert"]), sum(value["map"]["punch"])) == (64, 70)


def test_quiet_is_one_line(value: dict[str, Any]) -> None:
    """`--quiet` says the headline and nothing else."""
    assert shown(TRACE, quiet=True) == headline(value) + "\n"


def test_tables_name_what_was_not_read(tmp_path: Path) -> None:
    """Unplaced events are shown by name, malformed lines by number, lost events by count."""
    path = tmp_path / "kvm.trace"
    path.write_text(
        "CPU:1 [LOST 77 EVENTS]\nq-1 [000] ..... 5.000000: kvm_page_fault: address 84d000 error_code 4\ngarbage\n"
        "q-1 [000] ..... 5.000000: kvm_fpu: load\n"
    )
    text = shown(path)
    assert "kvm_fpu" in text
    assert "1: line 3" in text
    assert "77" in text


def test_a_trace_that_cannot_be_replayed_is_shown_all_the_same(tmp_path: Path) -> None:
    """Where the operations are refused, the summary says why and shows the rest."""
    path = tmp_path / "kvm.trace"
    path.write_text("q-1 [000] ..... 5.000000: kvm_entry: vcpu 3, rip 0x0\n")
    value = summary(read_events(path))
    assert (value["operations"], value["map"], value["vcpus"]) == (None, None, [3])
    assert "holds no fault" in value["refused"]
    assert "holds no fault" in " ".join(shown(path).split())


def test_markup_in_a_file_name_is_text(tmp_path: Path) -> None:
    """Square brackets of a path are shown, not obeyed."""
    path = tmp_path / "[red]x.trace"
    path.write_text("q-1 [000] ..... 5.000000: kvm_page_fault: address 84d000 error_code 4\n")
    assert "[red]x.trace" in shown(path, quiet=True)


def test_a_file_that_is_no_trace_is_refused(tmp_path: Path) -> None:
    """There is no summary of nothing."""
    path = tmp_path / "notes.txt"
    path.write_text("hello\n")
    with pytest.raises(UserError, match="holds no KVM event"):
        shown(path)
