"""KVM zaps a range of gfns though nobody asked to give it back, whatever its kind.

The guest faults again. Where a zap destroys what a private page holds, that is a loss.
"""

from gmembench.inject.event import Bug, Event

EVENT = Event(
    "spurious_zap",
    (__doc__ or "").strip(),
    "kvm_zap_gfn_range (arch/x86/kvm/mmu/mmu.c:7122-7148), for instance when a memory type changes",
    operations=("zap_gfn_range {gfn} {count}",),
    bugs=(
        Bug(
            "a zap takes the private page out of the TD, and its data are gone",
            "tdx_sept_remove_private_spte; KVM asks for no private gfn of a TD (arch/x86/kvm/vmx/tdx.c:1796-1845)",
            hardware=("tdx",),
        ),
    ),
)
