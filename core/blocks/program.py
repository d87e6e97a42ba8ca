"""A program put together from blocks of rows."""

from gmembench.core.programs import Program, Row

Rows = tuple[Row, ...]


def program(name: str, *blocks: Rows, aside: Rows = ()) -> Program:
    """A program of blocks; `aside` comes after the last row, which then ends the program explicitly."""
    rows = [r for block in blocks for r in block]
    if aside and "next" not in rows[-1].to:
        last = rows[-1]
        rows[-1] = Row(
            last.name, last.step, {**last.to, "next": "END"}, last.labels, last.operands, last.place, last.site
        )
    return Program(name, (*rows, *aside))
