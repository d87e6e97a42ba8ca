"""The hardware's table is in use: a SEAMCALL answers busy, RMPUPDATE meets an overlap, PSMASH an entry in use.

It has changed nothing. Software retries, with the vCPUs kept out if need be. That the answer is not looked at is a
mutant of a design, and no event.
"""

from gmembench.inject.event import Event, Forced

EVENT = Event(
    "hw_busy",
    (__doc__ or "").strip(),
    "TDX_OPERAND_BUSY (arch/x86/kvm/vmx/tdx.c:303-320, 1774-1845); RMPUPDATE_FAIL_OVERLAP, PSMASH_FAIL_INUSE (sev.c)",
    forced=(Forced("sept.*|tdx.*|rmp.*", "busy"), Forced("rmp.*", "overlap")),
)
