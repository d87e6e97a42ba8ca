"""Scenarios of one gfn, two pages, a vCPU and a host thread, as files say them: explored in a second, interpreted."""

import json
from collections.abc import Sequence


def scenario_text(
    doc: str,
    vcpu: Sequence[str],
    host: tuple[str, Sequence[str]],
    sees: tuple[str, Sequence[str]],
    *,
    prepare: Sequence[str] = (),
) -> str:
    """The text of a scenario. `host`: its name and script; `sees`: a state that must be seen, and when it is."""
    first = [f"prepare = {json.dumps(list(prepare))}"] if prepare else []
    actors = [("V0", "vcpu", vcpu), (host[0], "host", host[1])]
    lines = [f"doc = {json.dumps(doc)}", *first, "", "[world]", "gfns = 1", "pages = 2"]
    for name, kind, script in actors:
        lines += ["", "[[actors]]", f'name = "{name}"', f'kind = "{kind}"', f"script = {json.dumps(list(script))}"]
    lines += ["", "[[sometimes]]", f"name = {json.dumps(sees[0])}", f"when = {json.dumps(list(sees[1]))}"]
    return "\n".join(lines) + "\n"


TINY = scenario_text(
    "A vCPU reads while freed pages may be used again.",
    ["access 0 read"],
    ("R", ["reuse"]),
    ("a fault", ["V0 before fault.lock_mmu"]),
)
