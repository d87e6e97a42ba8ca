"""Results of operations: 0, an errno of Linux, or an exit to userspace that has none."""

OK = 0
ENOENT = 2
EIO = 5
EBADF = 9
EAGAIN = 11
ENOMEM = 12
EFAULT = 14
EBUSY = 16
EEXIST = 17
EINVAL = 22
EOPNOTSUPP = 95
EHWPOISON = 133
EXIT_MMIO = 134
"""KVM_EXIT_MMIO: no memslot behind a shared access."""

SIGBUS = 135
"""The task was sent SIGBUS."""
VM_DEAD = 136
"""KVM_EXIT_SHUTDOWN and the like: this guest runs no more."""

RESULT_NAMES = {
    OK: "OK",
    ENOENT: "ENOENT",
    EIO: "EIO",
    EBADF: "EBADF",
    EAGAIN: "EAGAIN",
    ENOMEM: "ENOMEM",
    EFAULT: "EFAULT",
    EBUSY: "EBUSY",
    EEXIST: "EEXIST",
    EINVAL: "EINVAL",
    EHWPOISON: "EHWPOISON",
    EOPNOTSUPP: "EOPNOTSUPP",
    EXIT_MMIO: "MMIO",
    SIGBUS: "SIGBUS",
    VM_DEAD: "VM_DEAD",
}

RESULTS = 137
"""One more than the largest result."""
