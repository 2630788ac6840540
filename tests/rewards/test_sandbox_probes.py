"""Each probe of the doctor can fail: with the one rule that holds it taken out, it says ESCAPED."""

import textwrap
from pathlib import Path

import pytest

from rewards.errors import BadInput
from rewards.sandbox import Sandbox, probe
from rewards.sandbox.attempts import ATTEMPTS

# Where Landlock also holds it (from Linux 6.12 on), it is taken for an older one.
OLDER = "landlock.ABSTRACT_SOCKETS_AND_SIGNALS = 0\n"
LOOSENED = {
    "attributes": "calls.ATTRIBUTES = {'chown': (92, 54)}",
    "locks": "del calls.DENIED['flock']",
    "path sockets": "del calls.NAMED_SOCKETS['connect']",
    "abstract sockets": OLDER + "del calls.NAMED_SOCKETS['connect']",
    "limits of others": "del calls.OF_A_PROCESS['prlimit64']",
    "descriptors' owner": OLDER + "del calls.FCNTL_DENIED['F_SETOWN']",
    "other processes": OLDER + "del calls.OF_A_PROCESS['kill']",
    "descriptors": "kernel.close_all_but = lambda kept: None",
    "hidden time": "seccomp._keep_children_counted = lambda column: []",
    "sockets": "calls.BUFFER_SIZES = {'none': 99}",
}


@pytest.fixture
def loosened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a sandbox in which some code has run before programs are forked."""

    def make(name: str, code: str) -> Sandbox:
        module = f"loosened_{name}"
        head = "from rewards.sandbox import calls, kernel, landlock, seccomp\n"
        (tmp_path / f"{module}.py").write_text(head + textwrap.dedent(code), encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        try:
            return Sandbox("landlock", [probe.__name__, module])
        except BadInput as error:
            pytest.skip(str(error))

    return make


@pytest.mark.parametrize("layer", LOOSENED)
def test_a_probe_sees_that_nothing_holds(layer: str, loosened) -> None:
    name = "".join(filter(str.isalpha, layer))
    with loosened(name, LOOSENED[layer]) as sandbox, probe.Bait() as bait:
        assert probe.attempt(sandbox, layer, bait) == "ESCAPED"


def test_an_older_landlock_is_made_up_for_by_the_filter(loosened) -> None:
    """Before Linux 6.12 Landlock guards neither signals nor abstract sockets, before 6.2 no truncation."""
    with loosened("old", "landlock.abi = lambda: 2\n") as sandbox:
        assert "Landlock 2" in sandbox.layers["files"]
        for layer in ("other processes", "descriptors' owner", "abstract sockets", "write files", "attributes"):
            assert layer in ATTEMPTS
            with probe.Bait() as bait:
                assert (layer, probe.attempt(sandbox, layer, bait)) == (layer, "held")
