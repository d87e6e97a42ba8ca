"""Groups: cells of one hardware and page size, inside which designs may be compared."""

import pandas as pd


def most_usual(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of the hardware and page size that most designs ran; of equals, the first."""
    groups = list(zip(cells["hardware"], cells["page_size"], strict=True))
    designs: dict[tuple[str, str], set[str]] = {}
    for group, design in zip(groups, cells["design"], strict=True):
        designs.setdefault(group, set()).add(design)
    best = max(designs, key=lambda group: len(designs[group]), default=None)
    return cells[[group == best for group in groups]]
