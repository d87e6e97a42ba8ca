"""Results of operations: 0, an errno of Linux, or an exit to userspace that has none."""

OK = 0
ENOENT = 2
EIO = 5
EBADF = 9
EAGAIN = 11
ENOMEM = 12
EFAULT = 14
EEXIST = 17
EINVAL = 22
EHWPOISON = 133
EXIT_MMIO = 134
"""KVM_EXIT_MMIO: no memslot behind a shared access."""

RESULT_NAMES = {
    OK: "OK",
    ENOENT: "ENOENT",
    EIO: "EIO",
    EBADF: "EBADF",
    EAGAIN: "EAGAIN",
    ENOMEM: "ENOMEM",
    EFAULT: "EFAULT",
    EEXIST: "EEXIST",
    EINVAL: "EINVAL",
    EHWPOISON: "EHWPOISON",
    EXIT_MMIO: "MMIO",
}

RESULTS = 135
"""One more than the largest result."""
