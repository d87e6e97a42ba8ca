"""What the words of places and natures mean, for readers of a report who have not read the model."""

PLACES = {
    "kvm-fault": "KVM: the vCPU enters the guest, leaves it, and handles its faults",
    "kvm-invalidate": "KVM: stage-2 entries go because the memory behind them goes, and faults under way learn it",
    "kvm-attributes": "KVM: a range is set private or shared",
    "kvm-memslot": "KVM: memslots are made and deleted, files bound to them, the VM ended",
    "mm": "the host's memory management: VMAs, page tables of the VMM, reclaim, migration",
    "backing": "the file behind private memory: its pages, and the holes punched into it",
    "hardware": "TDX or SNP: owners of pages, their tables and flushes",
    "vmm": "the virtual machine monitor in user space",
    "guest": "the guest itself: its accesses, and what it accepts",
}
"""Where a step stands -> what is there. Those that begin with kvm- are KVM's own code."""

NATURES = {
    "check": "reads something to decide",
    "state": "changes a field, a counter or a range that others read",
    "lock": "takes or gives back a lock",
    "refcount": "takes or drops a reference or a pin of a page or an object",
    "callback": "calls another part of the kernel through a table of functions",
    "spte-bits": "writes a stage-2 entry",
    "flush": "makes vCPUs drop translations that they keep",
    "alloc": "allocates a page or an object",
    "zero": "clears a page",
    "hw-op": "an instruction of the processor or a call of its firmware",
}
"""The nature of a step -> what it does."""
