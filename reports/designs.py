"""How each design is shown: its colour, its rank in tables, and one sentence for a stranger.

The colours are those of Okabe and Ito (Color Universal Design, 2008), which stay apart for readers with
any common colour-vision deficiency. A design keeps its colour in every figure of every report.
"""

import zlib
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Look:
    """Colours (#rrggbb, on light and on dark paper) and description of one design."""

    colour: str
    dark_colour: str
    description: str


LOOKS = {
    "legacy-vma": Look(
        "#0072b2",
        "#3f9bdc",
        "guest memory is an ordinary mapping (VMA) of the virtual machine monitor; KVM finds pages through "
        "the host's page tables and an mmu_notifier tells it when they change",
    ),
    "vma-gup": Look("#009e73", "#2fc294", "private memory stays in a VMA; KVM pins its pages with a special GUP flag"),
    "vma-encrypted": Look("#cc79a7", "#dd94bd", "private memory stays in a VMA, behind special page-table entries"),
    "fd-private": Look("#e69f00", "#f2b632", "private memory is a file without a mapping, reached by two callbacks"),
    "fd-restricted": Look("#56b4e9", "#8fd3f7", "private memory is a memfd_restricted file that notifies KVM"),
    "guest-memfd": Look(
        "#d55e00",
        "#f2812f",
        "private memory is a guest_memfd file that nobody maps; KVM asks the file for each page, shared "
        "memory stays in a VMA beside it, and an attribute of each guest page says which of the two counts",
    ),
    "guest-memfd-mmap": Look("#8c6d1f", "#c2a04a", "one guest_memfd file that the host may map serves all memory"),
    "guest-memfd-inplace": Look("#7a5195", "#b48ad0", "one guest_memfd file whose pages are converted in place"),
    "guest-memfd-inplace-1g": Look(
        "#b0447a", "#e080ae", "the same with folios of up to 1G, split where a part is converted and merged again"
    ),
}

_SPARE_COLOURS = (
    ("#3d7f5f", "#6fbf97"),
    ("#a05a2c", "#d18f60"),
    ("#5c6bc0", "#929de0"),
    ("#4f9d9d", "#7cc7c7"),
    ("#557a1f", "#93ba58"),
    ("#6b6b6b", "#a8a8a8"),
    ("#b08a00", "#d9b743"),
    ("#7d3c98", "#b884cf"),
    ("#2e6f8e", "#68a9c9"),
    ("#c0504d", "#e58a86"),
    ("#3b5b2a", "#86a873"),
    ("#8e5572", "#c48fab"),
)

MARKERS = (
    "circle", "square", "up", "diamond", "down", "plus", "star", "right", "left", "hourglass", "hexagon", "flat",
)  # fmt: skip
"""Markers of designs, by their order in a report: names of `canvas.MARKERS`."""

DASHES: tuple[tuple[float, ...], ...] = (
    (), (6, 2), (2, 2), (8, 2, 2, 2), (4, 3), (1, 2), (10, 3), (6, 2, 2, 2, 2, 2), (3, 1), (12, 3, 3, 3),
    (5, 5), (2, 4),
)  # fmt: skip
"""Strokes and gaps of a design's line, by its order in a report: lines stay apart without colours."""


@dataclass(frozen=True)
class Cast:
    """How one design appears in one report.

    variable: the name of its colour, which is a variable of the page. marker, dash: its own in this report.
    """

    look: Look
    variable: str
    marker: str
    dash: tuple[float, ...]


@cache
def cast_of(names: tuple[str, ...]) -> dict[str, Cast]:
    """How the designs of a report appear in it: no two share a colour, a marker or a dash, up to 12 unknown ones."""
    taken: set[int] = set()
    found = {}
    for number, name in enumerate(sorted(names, key=rank)):
        own = LOOKS.get(name) or _spare(name, taken)
        found[name] = Cast(own, f"design-{number}", MARKERS[number % len(MARKERS)], DASHES[number % len(DASHES)])
    return found


def _spare(design: str, taken: set[int]) -> Look:
    """A spare colour that nobody has taken, sought from the place that the name gives."""
    first = zlib.crc32(design.encode())
    places = [(first + offset) % len(_SPARE_COLOURS) for offset in range(len(_SPARE_COLOURS))]
    place = next((place for place in places if place not in taken), places[0])
    taken.add(place)
    return Look(*_SPARE_COLOURS[place], "a design from outside this package")


def rank(design: str) -> tuple[int, str]:
    """Sort key: the designs of LOOKS in their order, then all others by name."""
    known = list(LOOKS)
    return (known.index(design) if design in LOOKS else len(known), design)
