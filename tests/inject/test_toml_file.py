"""Mistakes in TOML files are told with file, line and key."""

from pathlib import Path

import pytest

from gmembench.core.errors import UserError
from gmembench.inject.scenario import Body
from gmembench.inject.toml_file import lines_of_keys, parse, read

GOOD = """doc = "one"

[world]
gfns = 1

[[actors]]
name = "V0"
kind = "vcpu"
script = [
    "access 0 write",
    "access = 0",
]

[[sometimes]]
name = "a state"
when = ["V0 idle"]

[designs.legacy-vma]
prepare = []

[designs.vma-gup.world]
gfns = 2

[variants.two]
doc = "two"

[variants.two.designs."guest-memfd"]
prepare = []
"""


def refusal(text: str) -> str:
    """What is said of a text."""
    with pytest.raises(UserError) as told:
        parse(text, "mine.toml", Body)
    return str(told.value)


def test_lines_of_keys() -> None:
    """Keys of tables, of arrays of tables and of quoted names have their lines; text inside a value has none."""
    lines = lines_of_keys(GOOD)
    expected = {
        ("doc",): 1,
        ("world", "gfns"): 4,
        ("actors", 0, "script"): 9,
        ("sometimes", 0, "when"): 16,
        ("designs", "vma-gup", "world", "gfns"): 22,
        ("variants", "two", "designs", "guest-memfd", "prepare"): 28,
    }
    assert {key: lines[key] for key in expected} == expected
    assert not [key for key in lines if key[-1] == "access"]


def test_a_good_file_is_read() -> None:
    """What is written is what is read."""
    body, _ = parse(GOOD, "mine.toml", Body)
    assert body.designs["vma-gup"].world.gfns == 2
    assert body.actors[0].script == ("access 0 write", "access = 0")


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('name = "V0"', 'nom = "V0"', "mine.toml:7: actors[0].nom: Object contains unknown field `nom`"),
        ("gfns = 1", 'gfns = "1"', "mine.toml:4: world.gfns: Expected `int | null`, got `str`"),
        ("gfns = 2", 'gfns = "2"', "mine.toml:22: designs.vma-gup.world.gfns: Expected `int | null`, got `str`"),
        ('kind = "vcpu"', 'kind = "cpu"', "mine.toml:8: actors[0].kind: Invalid enum value 'cpu'"),
        (
            "[designs.legacy-vma]\nprepare",
            "[designs.legacy-vma]\nprepares",
            "mine.toml:19: designs.legacy-vma.prepares:",
        ),
        ('"guest-memfd"]\nprepare', '"guest-memfd"]\nskips', "mine.toml:28: variants.two.designs.guest-memfd.skips:"),
        ('name = "a state"\n', "", "mine.toml:14: sometimes[0]: Object missing required field `name`"),
    ],
)
def test_a_mistake_names_line_and_key(old: str, new: str, place: str) -> None:
    """Unknown keys, wrong kinds of values and missing keys are told where they stand."""
    assert refusal(GOOD.replace(old, new)).startswith(place)


def test_what_is_no_toml_names_the_line() -> None:
    """A line that is no TOML is named."""
    assert refusal(GOOD.replace("gfns = 1", "gfns = ")).startswith("mine.toml:4: no TOML: ")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A file that cannot be read is named."""
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "none.toml", Body)
