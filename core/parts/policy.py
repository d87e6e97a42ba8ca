"""The node that a page is allocated on (mempolicy.c: mpol_shared_policy_lookup, alloc_pages_mpol)."""

from gmembench.core.jit import part
from gmembench.core.views import Record
from gmembench.core.world import POLICY_BIND, POLICY_INTERLEAVE


@part
def node_of(w: Record, a: Record, index: int) -> int:
    """The node of a new page at an index: by the policy of the mapping, else where whoever touches it runs."""
    if w["policy"] == POLICY_INTERLEAVE:
        return index % w["nodes"]
    if w["policy"] == POLICY_BIND:
        return w["policy_node"]
    return a["node"]
