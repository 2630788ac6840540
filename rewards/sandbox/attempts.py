"""All that a hostile program tries, and which layer of the sandbox is to hold it."""

from collections.abc import Callable

from rewards.sandbox import greed, reach

# name of the attempt: the layer that is to hold it (a key of `Sandbox.layers`), in words, what it does
ATTEMPTS: dict[str, tuple[str, str, Callable[[reach.Facts], bool]]] = {
    "read files": ("files", "a file of yours", reach.reads_files),
    "write files": ("files", "your files, the interpreter's", reach.writes_files),
    "attributes": ("files", "mode, times, attributes of yours", reach.changes_attributes),
    "locks": ("files", "on files that others read", reach.locks_files),
    "network": ("network", "a port of this machine", reach.connects),
    "path sockets": ("network", "a socket of yours that has a path", reach.connects_by_path),
    "abstract sockets": ("network", "one that has a name", reach.connects_by_name),
    "other processes": ("processes", "signal and trace one of yours", reach.signals),
    "limits of others": ("processes", "limits, priority of one of yours", reach.limits_others),
    "descriptors' owner": ("processes", "a signal by a descriptor", reach.signals_by_descriptor),
    "descriptors": ("processes", "that it was not given", reach.finds_descriptors),
    "rights": ("rights", "user namespace, setuid, chroot", reach.gains_rights),
    "shared memory": ("memory segments", "leave a System V segment", reach.shares_memory),
    "hidden memory": ("memory segments", "in files without a name", greed.hides_memory),
    "environment": ("environment", "your variables", reach.knows_environment),
    "memory": ("memory", "several times its share", greed.takes_memory),
    "memory of the dead": ("memory", "shared with children that ended", greed.keeps_memory_of_the_dead),
    "sockets": ("memory", "in buffers of sockets", greed.fills_sockets),
    "disk": ("disk", "several times its share", greed.fills_disk),
    "forks": ("forks", f"{greed.FORKS} processes", greed.multiplies),
    "time": ("time", "a loop that blocks signals", greed.spins),
    "hidden time": ("time", "of children that nobody waits for", greed.hides_time),
    "orphans": ("orphans", "leave a daemon behind", greed.outlives),
    "core files": ("core files", "leave a core file", greed.dumps_core),
}
