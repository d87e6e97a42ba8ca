"""The peers of the side-by-side table do the same work, by exact counts, and who cannot is said."""

import json
import sys

import pytest

from gmembench.benchmarks.peers import side_by_side, work
from gmembench.benchmarks.peers.dictionary import DictionaryPeer, Guest
from gmembench.benchmarks.peers.simulated import SimPyPeer
from gmembench.benchmarks.peers.work import Counts

GFNS = 40
PAGE = work.PAGE_BYTES

EXPECTED = [
    Counts(GFNS, GFNS * PAGE, GFNS, 0, conversions=0, mapped_gfns=GFNS),
    Counts(GFNS, GFNS * PAGE, GFNS, 0, conversions=GFNS, mapped_gfns=0),
    Counts(2 * GFNS, 2 * GFNS * PAGE, GFNS, GFNS, conversions=GFNS, mapped_gfns=GFNS),
    Counts(2 * GFNS, 2 * GFNS * PAGE, 0, GFNS, conversions=GFNS, mapped_gfns=0),
]
"""After each phase. The last one takes shared entries too: private and shared have one root without TDX."""


@pytest.mark.parametrize("name", side_by_side.KINDS)
def test_each_peer_does_this_work(name: str) -> None:
    """Faults, conversions, bytes zeroed, pages and entries after each phase are these, in every peer that has them."""
    peers, missing = side_by_side.gather()
    if name in missing:
        pytest.skip(missing[name])
    (peer,) = (peer for peer in peers if peer.name == name)
    times, counted = side_by_side.one_round(peer, GFNS)
    assert sorted([*times, *peer.lacks]) == sorted(work.PHASES)
    for found, expected in zip(counted, EXPECTED, strict=True):
        assert {k: v for k, v in vars(found).items() if v is not None}.items() <= vars(expected).items()


@pytest.mark.parametrize("name", ["our driver", "C twin", "dictionaries", "SimPy"])
def test_models_count_everything(name: str) -> None:
    """Only the host's kernel has numbers that nobody can ask it for."""
    peers, _ = side_by_side.gather()
    for peer in (peer for peer in peers if peer.name == name):
        _, counted = side_by_side.one_round(peer, GFNS)
        assert counted == EXPECTED


class ForgetfulGuest(Guest):
    """Clears no page."""

    def touch(self, gfn: int) -> None:
        """A fault that finds a page cleared before."""
        super().touch(gfn)
        self.zeroed_pages = 0


class OtherPeer(DictionaryPeer):
    """A peer that does less."""

    name = "other"

    def begin(self, gfns: int) -> None:
        """A guest that clears no page."""
        self.guest = ForgetfulGuest(gfns)


def test_other_work_is_told() -> None:
    """A peer that does not do the same fails the comparison, with what differs."""
    told = f"other did other work: after 'touch private' zeroed bytes are 0, not {GFNS * PAGE}"
    with pytest.raises(work.OtherWorkError, match=told):
        side_by_side.measure([DictionaryPeer(), OtherPeer()], GFNS, 1, 1)


class NamedPeer(DictionaryPeer):
    """A peer that writes down when it runs."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def begin(self, gfns: int) -> None:
        """Note the round."""
        self.log.append(self.name)
        super().begin(gfns)


def order_of(seed: int) -> list[list[str]]:
    """Names in the order of their runs, round by round."""
    log: list[str] = []
    side_by_side.measure([NamedPeer(name, log) for name in "abcde"], 1, 8, seed)
    return [log[at : at + 5] for at in range(0, len(log), 5)]


def test_rounds_are_interleaved_in_a_seeded_order() -> None:
    """Every peer runs once in each round, in an order of the seed, after a round that warms up."""
    rounds = order_of(1)
    assert len(rounds) == 9
    assert rounds[0] == list("abcde")
    assert all(sorted(each) == list("abcde") for each in rounds)
    assert len({tuple(each) for each in rounds}) > 4
    assert rounds == order_of(1) != order_of(2)


class DyingPeer(DictionaryPeer):
    """A peer that the host refuses in the middle."""

    name = "dying"

    def run(self, phase: str) -> None:
        """Fail in the second phase."""
        if phase == work.CONVERT:
            raise OSError("no space left")
        super().run(phase)


def test_a_peer_that_fails_is_left_out_with_its_reason() -> None:
    """The others go on when the host refuses one."""
    spent, _, failed = side_by_side.measure([DictionaryPeer(), DyingPeer()], 2, 3, 1)
    assert failed == {"dying": "no space left"}
    assert [len(times) for times in spent["dictionaries"].values()] == [3, 3, 3, 3]


def test_a_missing_simpy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package there is no number, and a line that says how to get one."""
    monkeypatch.setitem(sys.modules, "simpy", None)
    with pytest.raises(work.MissingPeerError, match=r"pip install 'gmembench\[peers\]'"):
        SimPyPeer()


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """What the command prints, without the peers that take long to make, and without SimPy."""
    monkeypatch.setitem(sys.modules, "simpy", None)
    monkeypatch.delitem(side_by_side.KINDS, "C twin")
    monkeypatch.setattr(sys, "argv", ["side_by_side", "--gfns", "5", "--rounds", "2", *words])
    assert side_by_side.main() == 0
    return capsys.readouterr().out


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One JSON value with every time, the counts that all share, and who is missing."""
    made = json.loads(shown(capsys, monkeypatch, "--json"))
    assert list(made["missing"]) == ["SimPy"]
    peers = made["peers"]
    assert list(peers) == ["our driver", "dictionaries", "host kernel"]
    assert list(peers["our driver"]["phases"]) == list(work.PHASES)
    assert peers["host kernel"]["lacks"] == {"convert": "a memfd has no attributes"}
    assert made["counts"]["punch"]["conversions"] == 5


def test_the_table_says_who_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that is missing has its line in every phase, and the reason once."""
    lines = shown(capsys, monkeypatch).splitlines()
    assert [line.split()[-1] for line in lines if line[15:20] == "SimPy"] == ["missing"] * 4
    assert "  SimPy: missing: SimPy is not installed: pip install 'gmembench[peers]'" in lines


def test_bad_usage_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake on the command line is told in one line, with exit code 2."""
    monkeypatch.setattr(sys, "argv", ["side_by_side", "--rounds", "0"])
    assert side_by_side.main() == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
