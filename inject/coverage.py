"""Coverage: which rows the scripts of an instance may run, and which of them an exploration never ran."""

from collections.abc import Collection

from gmembench.core.drivers.instance import Instance
from gmembench.core.footprints.rows import row_prints


def rows_in_reach(instance: Instance) -> list[int]:
    """Rows to which some way leads from the beginning of an operation of the scripts, in this world."""
    programs = sorted({int(number) for script in instance.scripts for number in script["program"]})
    forced = [(row, force.outcome) for force in instance.forces for row in force.rows]
    return row_prints(instance.code, instance.geometry, programs, forced).reached


def rows_not_run(instance: Instance, ran: Collection[int]) -> tuple[str, ...]:
    """Names of the rows in reach that are not among those that ran."""
    return tuple(instance.code.info[row].name for row in rows_in_reach(instance) if row not in ran)
