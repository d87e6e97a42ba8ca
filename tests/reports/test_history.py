"""A history: what is kept, what is found in it, and what is shown."""

import csv
import datetime as dt
import json
import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from gmembench.core.errors import UserError
from gmembench.reports.compare.rules import Rules
from gmembench.reports.history import check as checking
from gmembench.reports.history import export, index, page
from gmembench.reports.history.blessing import Blessing, new_blessing, read_blessings
from gmembench.reports.history.check import Checked, check
from gmembench.reports.history.series import thinned
from gmembench.reports.history.store import entries, packed, run_files
from gmembench.reports.history.trends import trends

CELL = "boot/legacy-vma/none/4K"
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def result(steps: int, times: Sequence[float] = (), cell: str = CELL, machine: str = "A") -> dict[str, object]:
    """A result file of one cell."""
    scenario, design, hardware, page_size = cell.split("/")
    kind, unit = ("measured", "second") if times else ("counted", "integer")
    metadata = {
        "name": cell, "cell.scenario": scenario, "cell.design": design, "cell.hardware": hardware,
        "cell.page_size": page_size, "gmembench.kind": kind, "gmembench.schema": 1, "gmembench.size": "full",
        "count.steps": steps, "count.flushes": 3, "unit": unit, "cpu_model_name": machine,
    }  # fmt: skip
    runs = [{"values": [time]} for time in times] or [{"values": [steps]}]
    return {"version": "1.0", "metadata": {}, "benchmarks": [{"metadata": metadata, "runs": runs}]}


class Made:
    """A history that is made for a test, a run a day."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count, self.chance = folder / "history", 0, random.Random(1)

    def add(self, steps: int, level: float | None = None, **options: str) -> str:
        """Add a run, with times around a level of nanoseconds; returns the name of its file."""
        times = [1e-9 * level * self.chance.gauss(1, 0.01) for _ in range(4)] if level else []
        path = self.folder.with_name("result.json")
        path.write_text(json.dumps(result(steps, times, **options)))
        commit = f"{self.count:04x}c0ffee"
        entry, content = packed(path, self.folder, commit, START + dt.timedelta(days=self.count))
        self.count += 1
        assert content
        (self.folder / "runs").mkdir(parents=True, exist_ok=True)
        (self.folder / "runs" / entry.file).write_bytes(content)
        return entry.file

    def bless(self, cell: str, run: str, note: str) -> None:
        """Add a blessing."""
        path, text = new_blessing(self.folder, Blessing(cell, run, note))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text)

    def check(self, window: int | None = 200) -> Checked:
        """Search the newest runs, and keep what was found."""
        with index.opened(self.folder) as connection:
            blessings = read_blessings(self.folder)
            found = check(connection, checking.read_frozen(self.folder), blessings, Rules(), window)
        (self.folder / checking.FILE).write_bytes(checking.frozen_text(found))
        return found

    def whats(self) -> list[str]:
        """What was found, in words."""
        return [told.change.what for told in self.check().changes]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """An empty history."""
    return Made(tmp_path)


def test_adding_twice_adds_once(made: Made, tmp_path: Path) -> None:
    """The same content of the same commit is known again; of another commit, it is another run."""
    made.add(100)
    path = tmp_path / "result.json"
    entry, content = packed(path, made.folder, "0000c0ffee", None)
    assert (entry.file, content) == (entries(made.folder)[0].file, None)
    assert packed(path, made.folder, "other", None)[1] is not None


def test_a_counted_change_is_found_at_once_and_exactly(made: Made) -> None:
    """One step more in the newest run is an open regression; one step less is told and is none."""
    made.add(100)
    worse = made.add(101)
    found = made.check()
    assert [told.change.run for told in found.open] == [worse]
    assert found.open[0].change.what == "steps 100 -> 101"
    made.add(99)
    found = made.check()
    assert not found.open  # recovered: the newest run is as good as before
    assert [(told.change.what, told.recovered) for told in found.changes] == [
        ("steps 101 -> 99", False), ("steps 100 -> 101", True),
    ]  # fmt: skip


def test_a_time_that_changes_is_found_where_it_changed(made: Made) -> None:
    """Ten runs at 100 ns and five at 108 ns: one regression, at the eleventh run."""
    files = [made.add(100, 100.0) for _ in range(10)] + [made.add(100, 108.0) for _ in range(5)]
    found = made.check()
    assert [told.change.run for told in found.open] == [files[10]]
    assert found.open[0].change.p <= 0.05
    assert found.open[0].change.after == pytest.approx(108e-9, rel=0.01)


def test_times_of_two_machines_are_two_series(made: Made) -> None:
    """A machine that is twice as slow is no regression, neither from one run on nor where runs of both alternate."""
    for number in range(30):
        slow = number % 2 if number < 10 else number >= 20
        made.add(100, 200.0 if slow else 100.0, machine="slow" if slow else "fast")
    assert made.check().changes == ()


def test_a_blessed_change_passes_with_its_note(made: Made) -> None:
    """A blessing names run and cells; it does not hold for other cells or for later changes."""
    made.add(100)
    worse = made.add(105)
    made.bless("other/*", worse, "not this one")
    assert made.check().open
    made.bless("boot/*", "0001c0ffee", 'zeroes twice, "on purpose" \x7f')
    found = made.check()
    assert not found.open
    assert found.changes[0].note == 'zeroes twice, "on purpose" \x7f'
    made.add(106)
    assert len(made.check().open) == 1


def test_blessings_name_one_run(made: Made) -> None:
    """A run that is not there, a beginning that several share, and an empty note are told."""
    for steps in (1, 2):
        made.add(steps)
    for run, note, says in (("ffff", "x", "no run"), ("2026", "x", "2 runs"), ("0001c0", " ", "note is empty")):
        with pytest.raises(UserError, match=says):
            new_blessing(made.folder, Blessing("*", run, note))


def test_older_changes_are_frozen(made: Made) -> None:
    """What was found stays when its run is no longer searched; without a record, only a search of all finds it."""
    made.add(100)
    made.add(101)
    assert len(made.check(5).open) == 1
    for _ in range(10):
        made.add(101)
    found = made.check(5)
    assert [(told.change.what, told.change.frozen, told.open) for told in found.changes] == [
        ("steps 100 -> 101", True, False)
    ]
    (made.folder / checking.FILE).unlink()
    assert made.check(5).changes == ()
    assert len(made.check(None).changes) == 1


def test_a_change_at_the_edge_of_the_searched_runs_is_not_lost(made: Made) -> None:
    """While a change of time and of steps leaves the searched runs one by one, every check tells it once."""
    files = [made.add(100, 100.0) for _ in range(6)] + [made.add(101, 120.0) for _ in range(12)]
    for keep in range(len(files), 8, -1):
        found = made.check(keep)
        kinds = [(told.change.kind, told.change.run) for told in found.changes]
        assert kinds == [("counted", files[6]), ("time", files[6])], keep


@pytest.mark.parametrize("spoil", ["missing", "garbage", "version"])
def test_the_index_is_made_anew(made: Made, spoil: str) -> None:
    """An index that is missing, broken or of another version changes nothing in what is found."""
    for steps in (100, 101):
        made.add(steps)
    before = made.check()
    path = made.folder / index.NAME
    if spoil == "version":
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
            connection.execute("DROP TABLE points")
        connection.close()
    else:
        path.unlink() if spoil == "missing" else path.write_bytes(b"no database at all" * 100)
    assert made.check() == before


def test_the_index_follows_the_files(made: Made) -> None:
    """A run that is removed is forgotten; one that is put in between is found between."""
    files = [made.add(steps) for steps in (100, 101, 102)]
    assert len(made.check().changes) == 2
    middle = made.folder / "runs" / files[1]
    content = middle.read_bytes()
    middle.unlink()
    assert made.whats() == ["steps 100 -> 102"]
    middle.write_bytes(content)
    assert made.whats() == ["steps 101 -> 102", "steps 100 -> 101"]


def test_folders_that_are_no_history_are_told(tmp_path: Path, made: Made) -> None:
    """An empty folder or checkout is a history without runs; other things in it, or a strange file, are a mistake."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".git").touch()
    assert run_files(tmp_path / "empty") == []
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(UserError, match="no history"):
        run_files(tmp_path / "other")
    made.add(1)
    (made.folder / "runs" / "strange.json").touch()
    with pytest.raises(UserError, match=r"strange\.json"):
        run_files(made.folder)


def test_a_cut_off_run_is_told_with_its_name(made: Made) -> None:
    """A file that was damaged later is named, whole runs before it notwithstanding."""
    made.add(1)
    path = made.folder / "runs" / made.add(2)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=path.name):
        made.check()


def test_what_is_left_out_of_a_line_is_never_an_extreme() -> None:
    """Thinning keeps the newest points, and the least and largest of every stretch of the older ones."""
    chance = random.Random(3)
    points = [(at, chance.random()) for at in range(5000)]
    kept = thinned(points, 200, 50)
    assert kept[-200:] == points[-200:]
    assert len(kept) == 300
    assert kept == sorted(kept)
    for start in range(0, 4800, 96):
        values = [value for _, value in points[start : start + 96]]
        inside = {value for at, value in kept if start <= at < start + 96}
        assert inside == {min(values), max(values)}
    assert thinned(points[:300], 200, 50) == points[:300]


def shown(made: Made, monkeypatch: pytest.MonkeyPatch | None = None) -> str:
    """The page."""
    found = made.check()
    with index.opened(made.folder) as connection:
        return page.render(trends(connection, found), "<history>")


def test_the_page_shows_changes_and_says_what_is_thinned(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change, commit and note are in the page; all text is escaped; and thinning is stated with its numbers."""
    made.add(100)
    worse = made.add(104, cell=CELL)
    made.bless("*", worse, "<b>meant</b>")
    text = shown(made)
    for wanted in ("&lt;history&gt;", "&lt;b&gt;meant&lt;/b&gt;", "0001c0ffee", "All 2 values are drawn"):
        assert wanted in text
    assert "<b>meant" not in text
    assert not any(
        word in text.replace("http://www.w3.org/2000/svg", "") for word in ("http://", "https://", "@import")
    )
    monkeypatch.setattr("gmembench.reports.history.trends.WINDOW", 2)
    monkeypatch.setattr("gmembench.reports.history.trends.BUCKETS", 2)
    for _ in range(10):
        made.add(104)
    assert "6 of 12 values are drawn" in shown(made) or "5 of 12 values are drawn" in shown(made)


def test_one_run_is_no_trend(made: Made) -> None:
    """The page and the terminal say so and give the numbers: no empty chart, no bar, no word of changes."""
    made.add(1234, 50.0)
    text = shown(made)
    assert "One run has no trend" in text
    assert '<td class="number">1,234</td>' in text
    assert "<svg viewBox" not in text
    assert "regression" not in text
    with index.opened(made.folder) as connection:
        lines = trends(connection, made.check()).as_text().splitlines()
    assert lines[0] == "one run has no trend; its numbers:"
    assert lines[1].startswith(f"{CELL}  1,234 steps")
    made.add(1234, 50.0)
    assert "steps: 1,234, the same in both runs." in shown(made)
    assert shown(made).count("<svg viewBox") == 1


def test_terminal_bars_follow_the_values(made: Made) -> None:
    """A line a cell, with bars from the least to the largest value and the newest number."""
    for steps in (100, 150, 200):
        made.add(steps)
    found = made.check()
    with index.opened(made.folder) as connection:
        text = trends(connection, found).as_text()
    assert "▁▅█ 200 steps  2 changes, open regression" in text


def test_export_to_asv(made: Made) -> None:
    """A file for each commit with the columns asv reads, machine and benchmarks beside it."""
    for steps in (100, 101):
        made.add(steps, 50.0)
    with index.opened(made.folder) as connection:
        files = export.as_asv(connection)
    machine = next(name.split("/")[1] for name in files if name.endswith("machine.json"))
    assert set(files) == {
        "results/benchmarks.json", f"results/{machine}/machine.json",
        f"results/{machine}/0000c0ff-gmembench.json", f"results/{machine}/0001c0ff-gmembench.json",
    }  # fmt: skip
    second = json.loads(files[f"results/{machine}/0001c0ff-gmembench.json"])
    benchmarks = json.loads(files["results/benchmarks.json"])
    assert second["commit_hash"] == "0001c0ffee"
    assert second["params"]["machine"] == machine
    assert set(second["results"]) == set(benchmarks) - {"version"}
    row = dict(zip(second["result_columns"], second["results"]["gmembench.track_boot_legacy_vma_none_4K"], strict=True))
    assert row["result"] == [101]
    assert benchmarks["gmembench.time_boot_legacy_vma_none_4K"]["unit"] == "seconds"


def test_export_to_otava(made: Made) -> None:
    """A CSV with a row a run, and a test that names its columns; fewer is better."""
    for steps in (100, 101):
        made.add(steps, 50.0)
    with index.opened(made.folder) as connection:
        files = export.as_otava(connection)
    (name, test), *others = json.loads(files["otava.yaml"])["tests"].items()
    assert not others
    rows = list(csv.DictReader(files[test["file"]].splitlines()))
    assert [row["steps"] for row in rows] == ["100", "101"]
    assert [row["commit"] for row in rows] == ["0000c0ffee", "0001c0ffee"]
    assert float(rows[0]["time_ns"]) == pytest.approx(50, rel=0.05)
    assert set(test["metrics"]) | {test["time_column"], *test["attributes"]} == set(rows[0])
    assert {metric["direction"] for metric in test["metrics"].values()} == {-1}
    assert name.startswith("boot_legacy_vma_none_4K.")
