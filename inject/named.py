"""Settings by the name of their scenario or plan: what a schedule line looks up."""

from collections.abc import Sequence
from pathlib import Path

from gmembench.core.catalog import load_designs, load_hardware
from gmembench.core.errors import UserError
from gmembench.inject.mutants import mutated
from gmembench.inject.plan import load_plans
from gmembench.inject.scenario import instance_of, load_scenarios
from gmembench.inject.setting import Setting, setting_of


def setting_named(source: str, design: str, hardware: str, edits: Sequence[str], paths: Sequence[Path] = ()) -> Setting:
    """The setting of a scenario, or of a plan, with a design, a hardware and edits.

    A plan has its own design, hardware and edits, and they must be those that are named. Raises UserError if there is
    no such setting.
    """
    scenarios, plans = load_scenarios(paths), load_plans(paths)
    if source in plans:
        plan = plans[source]
        made = setting_of(plan.instance(paths), scenario=source, edits=plan.body.edits, paths=paths)
        if (made.design, made.hardware, made.edits) != (design, hardware, tuple(edits)):
            raise UserError(
                f"it has design {made.design}, hardware {made.hardware} and {len(made.edits)} edits",
                f"plan {source}",
                "the line is of another version of the plan",
            )
        return made
    if source not in scenarios:
        raise UserError(f"no scenario or plan {source!r}", "the schedule", "gmembench list scenarios shows them")
    return _of_scenario(source, design, hardware, edits, paths)


def _of_scenario(source: str, design: str, hardware: str, edits: Sequence[str], paths: Sequence[Path]) -> Setting:
    designs, kinds = load_designs(paths), load_hardware(paths)
    if design not in designs or hardware not in kinds:
        raise UserError(f"no design {design!r} on {hardware!r}", "the schedule", "choose one of gmembench list designs")
    mutant = mutated(designs[design], kinds[hardware], edits)
    instance = instance_of(load_scenarios(paths)[source], mutant, kinds[hardware])
    return setting_of(instance, scenario=source, edits=edits, paths=paths)
