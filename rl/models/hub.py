"""Whether the Hugging Face hub answers, asked once and briefly.

Its client tries again and again, for half a minute a file. So one short request goes before: if nothing answers, this
process and those that it starts take only what the cache has, and what is not there is refused at once.
"""

import functools
import os
import sys
import threading

WAIT = 4.0  # seconds


@functools.cache
def why_hub_is_silent() -> str | None:
    """Say why the hub cannot be asked, as words for a message; None: it answers."""
    # Imported late: it takes a fifth of a second, and models in folders do not need it.
    from huggingface_hub import constants, get_session

    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE is set"
    failed: list[str] = [f"no answer in {WAIT:g} s"]

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=WAIT)
            failed.clear()
        except hub_errors() as error:  # no network, a name nobody knows, a bad HF_ENDPOINT
            failed[:] = [str(error) or type(error).__name__]

    # In a thread, as looking up the name of the host knows no time limit.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(WAIT)
    reasons = list(failed)  # the thread may still end, and change it
    if not reasons:
        return None
    constants.HF_HUB_OFFLINE = True
    os.environ["HF_HUB_OFFLINE"] = "1"  # for processes that this one starts
    if "datasets" in sys.modules:  # it copies the setting when it is imported
        sys.modules["datasets"].config.HF_HUB_OFFLINE = True
    return f"{constants.ENDPOINT} does not answer: {reasons[0]}"


def hub_errors() -> tuple[type[Exception], ...]:
    """Return what is raised where the hub does not answer or refuses: its client's errors among them.

    The client is httpx, and since huggingface_hub 2 httpx2; each has an HTTPError of its own.
    """
    from huggingface_hub.errors import HfHubHTTPError

    clients = (base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError" and issubclass(base, Exception))
    return (*clients, OSError, ValueError)
