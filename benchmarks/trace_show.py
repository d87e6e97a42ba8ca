"""What a trace holds, for `gmembench trace show FILE`: as a JSON value or as tables and a small map.

`show` does all of it. `read` reads with a bar, `summary` gives the JSON value of the events, `view` renders that.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from gmembench.core.errors import UserError
from gmembench.core.operations import PRIVATE, PROGRAM_NUMBER, PROGRAMS
from gmembench.core.trace import Events, TraceOperations, conversions, operations, read_events
from gmembench.core.traces.operations import REASONS

Array = npt.NDArray[np.void]

MAP_ROWS, MAP_COLUMNS = 16, 60
SHADES = " .:-=+*#%@"
SLOTS_SHOWN = 64
SIZES_SHOWN = 8


def show(path: Path, console: Console, as_json: bool, quiet: bool) -> None:
    """Read a trace and say what it holds on `console`; `quiet` says it in one line, without a bar or a table.

    Raises UserError if the file holds no KVM event or cannot be read.
    """
    events = read(path, quiet or as_json)
    value = summary(events)
    if as_json:
        console.file.write(json.dumps(value, indent=2) + "\n")
    elif quiet:
        console.print(Text(headline(value)), soft_wrap=True)
    else:
        console.print(view(value))


def read(path: Path, quiet: bool) -> Events:
    """Read a trace with a bar on standard error, if that is a terminal and not `quiet`."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        return read_events(path)
    columns = (TextColumn("reading"), BarColumn(20), DownloadColumn())
    with Progress(*columns, console=console, transient=True, refresh_per_second=4) as bar:
        task = bar.add_task("", total=None)
        return read_events(path, lambda done, total: bar.update(task, completed=done, total=total or None))


def summary(events: Events) -> dict[str, Any]:
    """What a trace holds, as a value for JSON. Numbers of gfns and times (ns from the first event) are integers.

    `operations` is null and `refused` says why if the trace cannot be replayed.
    """
    placed, refused = _operations(events)
    array = events.events
    with_vcpu = array["vcpu"][array["vcpu"] >= 0]
    return {
        "file": events.path,
        "lines": events.lines,
        "malformed_lines": events.malformed_lines,
        "malformed": events.malformed,
        "lost": events.lost,
        "events": {name: n for name, n in events.counts.items() if name not in events.unplaced},
        "unplaced": events.unplaced,
        "duration_ns": int(array["time_ns"].max() - array["time_ns"].min()),
        "vcpus": np.unique(with_vcpu).tolist(),
        "tasks": int(np.unique(array["task"]).size),
        "gfns": _gfn_range(events),
        "conversions": _conversions(conversions(events)),
        "operations": _programs(placed) if placed else None,
        "refused": refused,
        "map": _heat(placed) if placed else None,
    }


def headline(value: Mapping[str, Any]) -> str:
    """A summary in one line."""
    placed = value["operations"]
    found = sum(placed["programs"].values()) if placed else "no"
    events, odd = sum(value["events"].values()), value["malformed_lines"]
    return f"{value['file']}: {events} events, {found} operations, {odd} malformed of {value['lines']} lines"


def view(value: Mapping[str, Any]) -> Group:
    """A summary as tables. Names from the file are shown as plain text."""
    parts: list[RenderableType] = [
        Text(headline(value), style="bold"),
        Text(),
        _events_table(value),
        Text(),
        _facts(value),
    ]
    if value["operations"]:
        parts += [Text(), _left_table(value["operations"]["not_placed"])]
    if value["map"]:
        parts += [Text(), _map_text(value["map"])]
    return Group(*parts)


def _operations(events: Events) -> tuple[TraceOperations | None, str | None]:
    try:
        return operations(events), None
    except UserError as error:
        return None, f"{error.what}; {error.mend}"


def _gfn_range(events: Events) -> dict[str, int] | None:
    """First and last gfn with a fault."""
    gfn = events.of_kind("kvm_page_fault")["gfn"]
    return {"first": int(gfn.min()), "last": int(gfn.max()), "distinct": int(np.unique(gfn).size)} if gfn.size else None


def _conversions(found: Array) -> dict[str, Any]:
    """Conversions by direction: how many, how many gfns, and the most frequent sizes as [gfns, times]."""
    private = (found["flags"] & PRIVATE) != 0
    return {"to_private": _sizes(found["count"][private]), "to_shared": _sizes(found["count"][~private])}


def _sizes(counts: npt.NDArray[np.int64]) -> dict[str, Any]:
    sizes, times = np.unique(counts, return_counts=True)
    frequent = np.argsort(-times, kind="stable")[:SIZES_SHOWN]
    pairs = [[int(sizes[n]), int(times[n])] for n in frequent]
    return {"count": int(counts.size), "gfns": int(counts.sum()), "sizes": pairs}


def _programs(placed: TraceOperations) -> dict[str, Any]:
    counts = np.bincount(placed.operations["program"], minlength=len(PROGRAMS))
    return {
        "programs": {PROGRAMS[n]: int(count) for n, count in enumerate(counts) if count},
        "gfns": placed.gfns,
        "slots": len(placed.slots),
        "first_slots": [list(slot) for slot in placed.slots[:SLOTS_SHOWN]],
        "actors": list(placed.actor_names),
        "hypercall_flags": placed.hypercall_flags,
        "conversions_from": placed.conversions_from,
        "not_placed": {kind: {"events": n, "reason": REASONS[kind]} for kind, n in placed.not_placed.items()},
    }


def _heat(placed: TraceOperations) -> dict[str, Any]:
    """Faults by gfn and time: rows are equal parts of the dense gfns, columns equal parts of the time."""
    done = placed.operations
    span_ns = int(done["time_ns"].max()) + 1
    rows = min(MAP_ROWS, placed.gfns)
    column = (done["time_ns"] / span_ns * MAP_COLUMNS).astype(np.int64).clip(max=MAP_COLUMNS - 1)
    is_fault = done["program"] == PROGRAM_NUMBER["access"]
    row = done["gfn"][is_fault] * rows // placed.gfns
    cells = np.bincount(row * MAP_COLUMNS + column[is_fault], minlength=rows * MAP_COLUMNS)
    starts = -(-np.arange(rows) * placed.gfns // rows)
    host = {name: _by_column(column, done["program"] == PROGRAM_NUMBER[name]) for name in ("convert", "punch")}
    return {
        "column_ns": span_ns / MAP_COLUMNS,
        "first_gfns": [_guest_gfn(placed, int(start)) for start in starts],
        "faults": cells.reshape(rows, MAP_COLUMNS).tolist(),
        **host,
    }


def _by_column(column: npt.NDArray[np.int64], chosen: npt.NDArray[np.bool_]) -> list[int]:
    return [int(n) for n in np.bincount(column[chosen], minlength=MAP_COLUMNS)]


def _guest_gfn(placed: TraceOperations, world: int) -> int:
    """The guest gfn of a world gfn."""
    first, _, start = max((slot for slot in placed.slots if slot[2] <= world), key=lambda slot: slot[2])
    return first + world - start


def _table(headers: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    """A plain table; the second column holds numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, header in enumerate(headers):
        table.add_column(header, justify="right" if place == 1 else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _events_table(value: Mapping[str, Any]) -> Table:
    known = [(name, f"{n:,}", "") for name, n in value["events"].items()]
    other = [(name, f"{n:,}", "not read: no kind of ours") for name, n in sorted(value["unplaced"].items())]
    return _table(("event", "lines", ""), known + other)


def _facts(value: Mapping[str, Any]) -> Table:
    """One line for each other thing that the file says."""
    facts = [
        ("time", f"{value['duration_ns'] / 1e9:.6f} s"),
        ("vCPUs", _some(value["vcpus"])),
        ("tasks", str(value["tasks"])),
    ]
    if value["gfns"]:
        gfns = value["gfns"]
        facts.append(("gfns with a fault", f"{gfns['distinct']:,} of {gfns['first']:#x} to {gfns['last']:#x}"))
    facts += [(f"conversions {way.replace('_', ' ')}", _told(sizes)) for way, sizes in value["conversions"].items()]
    placed = value["operations"]
    if placed:
        programs = ", ".join(f"{n:,} {name}" for name, n in placed["programs"].items())
        facts += [
            ("operations", programs),
            ("world", f"{placed['gfns']:,} gfns in {placed['slots']:,} slots"),
            ("conversions from", placed["conversions_from"]),
            ("hypercall flags", placed["hypercall_flags"]),
        ]
    else:
        facts.append(("operations", f"none: {value['refused']}"))
    facts.append(("lost events", f"{value['lost']:,}"))
    facts.append(("malformed lines", _malformed(value)))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for name, text in facts:
        table.add_row(Text(name), Text(text))
    return table


def _some(numbers: list[int], most: int = 16) -> str:
    """The first numbers of a list, and how many more there are."""
    more = f" and {len(numbers) - most:,} more" if len(numbers) > most else ""
    return (", ".join(map(str, numbers[:most])) or "none named") + more


def _told(sizes: Mapping[str, Any]) -> str:
    if not sizes["count"]:
        return "0"
    parts = ", ".join(f"{times:,} of {_size(gfns)}" for gfns, times in sizes["sizes"])
    return f"{sizes['count']:,} over {sizes['gfns']:,} gfns: {parts}"


def _size(gfns: int) -> str:
    """A size in the largest unit that divides it."""
    for unit, name in ((1 << 18, "G"), (1 << 8, "M")):
        if gfns and gfns % unit == 0:
            return f"{gfns // unit}{name}"
    return f"{gfns * 4}K"


def _malformed(value: Mapping[str, Any]) -> str:
    if not value["malformed_lines"]:
        return "0"
    listed = ", ".join(map(str, value["malformed"]))
    more = value["malformed_lines"] - len(value["malformed"])
    return f"{value['malformed_lines']:,}: line {listed}" + (f" and {more:,} more" if more else "")


def _left_table(left: Mapping[str, Any]) -> Table:
    rows = [(kind, f"{entry['events']:,}", entry["reason"]) for kind, entry in left.items()]
    return _table(("no operation", "events", "because"), rows)


def _map_text(heat: Mapping[str, Any]) -> Text:
    """Faults by gfn (down) and time (right), and when the host converted and punched; darker is more."""
    most = max(max(row) for row in heat["faults"])
    lines = [f"faults by gfn and time: a column is {heat['column_ns'] / 1e6:.3g} ms, {SHADES[-1]} is {most:,} faults"]
    named = [(f"{gfn:#x}", row) for gfn, row in zip(heat["first_gfns"], heat["faults"], strict=True)]
    named += [(name, heat[name]) for name in ("convert", "punch") if any(heat[name])]
    lines += [f"{name:>12} |{_shaded(row, most)}|" for name, row in named]
    return Text("\n".join(lines), no_wrap=True)


def _shaded(row: list[int], most: int) -> str:
    """A row of counts as shades on a logarithmic scale: blank is none, the last shade is `most` or more."""
    scale = np.log1p(np.minimum(row, most)) / np.log1p(max(most, 1))
    return "".join(SHADES[int(np.ceil(share * (len(SHADES) - 1)))] for share in scale)
