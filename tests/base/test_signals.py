"""Signals: remembered where work is to be saved, and at once anywhere else."""

import signal
import threading

import pytest

from rl.base.signals import StopRequested, StopSignal

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_ends_what_is_not_to_be_saved(number: signal.Signals) -> None:
    after = []
    with pytest.raises(StopRequested, match=number.name), StopSignal().installed():
        signal.raise_signal(number)
        after.append("went on")
    assert not after


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_waits_for_a_safe_point(number: signal.Signals) -> None:
    with StopSignal().installed() as stop, stop.safe_points():
        assert stop.received is None
        signal.raise_signal(number)
        assert stop.received == number


@pytest.mark.parametrize("saves", [True, False])
def test_the_second_signal_always_ends_at_once(saves: bool) -> None:
    with pytest.raises(KeyboardInterrupt), StopSignal().installed() as stop:
        with stop.safe_points():
            signal.raise_signal(signal.SIGTERM)
            if saves:
                signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_is_no_signal_stays_one() -> None:
    with pytest.raises(KeyboardInterrupt), StopSignal().installed():
        raise KeyboardInterrupt


def test_the_old_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with StopSignal().installed():
        assert [signal.getsignal(number) for number in BOTH] != before
    assert [signal.getsignal(number) for number in BOTH] == before


def test_a_thread_installs_nothing() -> None:
    seen = []

    def listen() -> None:
        with StopSignal().installed() as stop:
            seen.append((stop.received, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [(None, signal.getsignal(signal.SIGINT))]
