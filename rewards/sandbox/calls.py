"""System calls that a program being graded does not get, by their numbers, and which arguments of others.

The numbers are those of the kernel's tables (arch/x86/entry/syscalls/syscall_64.tbl,
include/uapi/asm-generic/unistd.h). `rewards.sandbox.seccomp` makes a filter of them.
"""

from rewards.sandbox import kernel

# name: (x86-64, 64-bit ARM); None: the architecture has no such call.
Calls = dict[str, tuple[int | None, int | None]]
DENIED: Calls = {
    # other namespaces, mounts, roots
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "setpriority": (141, 140),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "get_robust_list": (274, 100),
    "process_mrelease": (448, 448),
    "lsm_set_self_attr": (460, 460),
    "perf_event_open": (298, 241),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # large and young parts of the kernel
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "vmsplice": (278, 75),
    "uselib": (134, None),
    "nfsservctl": (180, 42),
    # files that others read, too: locks that hold up their users, and news of what these do
    "flock": (73, 32),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "sync": (162, 81),
    "syncfs": (306, 267),
    # keys that outlive the program
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # the machine
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "vhangup": (153, 58),
    "mknod": (133, None),
    "mknodat": (259, 33),
    # memory that no process's account shows once it is not mapped, and that no limit of files bounds
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmdt": (67, 197),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_unlink": (241, 181),
    "mq_open": (240, 180),
}
# Where a program may have the user's own number, and no namespace hides the user's files and sockets: what Landlock
# does not guard. A filter sees neither the name of a socket nor which file a descriptor refers to.
NAMED_SOCKETS: Calls = {"connect": (42, 203), "bind": (49, 200)}
ATTRIBUTES: Calls = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "file_setattr": (469, 469),
}
EXTENDED_ATTRIBUTES: Calls = {
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
}
# The argument, by its place, that names a process.
OF_A_PROCESS: dict[str, tuple[int, int, int]] = {
    "prlimit64": (302, 261, 0),
    "getpriority": (140, 141, 1),
    "ioprio_get": (252, 31, 1),
    "sched_getparam": (143, 121, 0),
    "sched_getscheduler": (145, 120, 0),
    "sched_getattr": (315, 275, 0),
    "sched_getaffinity": (204, 123, 0),
    "sched_rr_get_interval": (148, 127, 0),
    "kill": (62, 129, 0),
    "tgkill": (234, 131, 0),
    "rt_sigqueueinfo": (129, 138, 0),
    "rt_tgsigqueueinfo": (297, 240, 0),
}
SIGNALS_BY_OTHER_NAMES: Calls = {"tkill": (200, 130), "pidfd_send_signal": (424, 424)}
TRUNCATE, OPEN, OPENAT, OPENAT2 = (76, 45), (2, None), (257, 56), (437, 437)

# What `fcntl` must not be asked for (<asm-generic/fcntl.h>, <linux/fcntl.h>): signals to others, leases and news of
# files that others use, larger pipes, and hints that stay with a file.
FCNTL = (72, 25)
FCNTL_DENIED = {
    "F_SETOWN": 8,
    "F_SETSIG": 10,
    "F_SETOWN_EX": 15,
    "F_SETLEASE": 1024,
    "F_NOTIFY": 1026,
    "F_SETPIPE_SZ": 1031,
    "F_SET_RW_HINT": 1036,
    "F_SET_FILE_RW_HINT": 1038,
}
# What `ioctl` may be asked for: whether a file is a terminal and of what size, how much there is to read, and flags of
# the descriptor. Any driver and file system adds others (owners of signals, attributes of files, input of terminals).
IOCTL = (16, 29)
IOCTL_ALLOWED = {
    "TCGETS": 0x5401,
    "TCGETS2": 0x802C542A,
    "TIOCGWINSZ": 0x5413,
    "FIONREAD": 0x541B,
    "FIONBIO": 0x5421,
    "FIONCLEX": 0x5450,
    "FIOCLEX": 0x5451,
}
# Options of sockets (<asm-generic/socket.h>). The kernel cuts sizes to what it allows without a word; so are these.
SETSOCKOPT, SOL_SOCKET = (54, 208), 1
BUFFER_SIZES = {"SO_SNDBUF": 7, "SO_RCVBUF": 8, "SO_SNDBUFFORCE": 32, "SO_RCVBUFFORCE": 33}
SOCKET_PROGRAMS = {"SO_ATTACH_FILTER": 26, "SO_ATTACH_BPF": 50, "SO_ATTACH_REUSEPORT": 51, "SO_ATTACH_REUSEPORT_E": 52}
# Who gets orphans is settled before the program starts, and each process stays readable for the watch.
PRCTL = (157, 167)
PRCTL_DENIED = {"PR_SET_DUMPABLE": 4, "PR_SET_CHILD_SUBREAPER": kernel.PR_SET_CHILD_SUBREAPER, "PR_SCHED_CORE": 62}

CLONE, CLONE3, SOCKET, SOCKETPAIR = (56, 220), (435, 435), (41, 198), (53, 199)
RT_SIGACTION = (13, 134)
