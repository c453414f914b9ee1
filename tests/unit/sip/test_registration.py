"""When to register and what to say about it: time is an argument."""

import pytest

from drivers.sip_pjsua2.registration import (
    ATTEMPT_TIMEOUT,
    FIRST_REFUSED_RETRY,
    LAST_REFUSED_RETRY,
    LAST_RETRY,
    Action,
    AskAlive,
    Register,
    Registration,
    Report,
    State,
)

KEEP_ALIVE = 10.0


def steady() -> Registration:
    return Registration(KEEP_ALIVE, jitter=lambda: 0.0)


def run(machine: Registration, start: float, seconds: float) -> list[tuple[float, Action]]:
    """Tick four times a second; the actions with their time since `start`."""
    actions = []
    for quarter in range(int(seconds * 4)):
        actions += [(quarter / 4, action) for action in machine.tick(start + quarter / 4)]
    return actions


def first(machine: Registration, start: float) -> tuple[float, Action]:
    """Tick until something is to be done."""
    for quarter in range(4000):
        for action in machine.tick(start + quarter / 4):
            return quarter / 4, action
    raise AssertionError("nothing for 1000 s")


def registered() -> Registration:
    machine = steady()
    machine.start(0)
    machine.registered(0)
    return machine


def alive() -> Registration:
    """Registered at a registrar that has answered an OPTIONS at 10 s."""
    machine = registered()
    assert machine.tick(10) == [AskAlive(1)]
    assert machine.answered(10.1, 0) == []
    return machine


def test_starting_says_trying_and_registers():
    assert steady().start(0) == [Report(State.TRYING, 0, ""), Register()]


def test_being_registered_is_said_once_however_often_it_is_refreshed():
    machine = steady()
    machine.start(0)
    assert machine.registered(1) == [Report(State.REGISTERED, 200, "OK")]
    assert machine.registered(150) == []


def test_a_server_in_trouble_is_tried_again_with_growing_pauses():
    machine = steady()
    machine.start(0)
    pauses, now = [], 0.0
    for _ in range(8):
        machine.failed(now, 503, "Service Unavailable")
        after, action = first(machine, now)
        assert action == Register()
        pauses.append(after)
        now += after
    assert pauses[:5] == [1, 2, 4, 8, 16]
    assert pauses[-1] == LAST_RETRY


@pytest.mark.parametrize("code", [401, 403, 407])
def test_wrong_credentials_are_said_once_and_tried_rarely(code):
    machine = steady()
    machine.start(0)
    assert machine.failed(0, code, "Unauthorized") == [Report(State.FAILED, code, "Unauthorized")]
    now, pauses = 0.0, []
    for _ in range(7):
        after, action = first(machine, now)
        assert action == Register()
        pauses.append(after)
        now += after
        assert machine.failed(now, code, "Unauthorized") == []
    assert pauses[0] == FIRST_REFUSED_RETRY
    assert pauses == sorted(pauses)
    assert pauses[-1] == LAST_REFUSED_RETRY


def test_an_attempt_that_nobody_ends_is_ended():
    machine = steady()
    machine.start(0)
    assert machine.tick(ATTEMPT_TIMEOUT) == [Report(State.FAILED, 408, "no answer from the registrar")]


def test_a_living_registrar_is_asked_every_so_often_and_nothing_is_said():
    machine = alive()
    assert run(machine, 10.25, 9) == []
    assert machine.tick(20.2) == [AskAlive(2)]


def test_a_registrar_that_stops_answering_is_told_as_failed_within_seconds_and_tried_at_once():
    machine = alive()
    actions = run(machine, 10.25, 20)
    told = [(after, action) for after, action in actions if isinstance(action, Report)]
    assert [action for _, action in told] == [Report(State.FAILED, 408, "the registrar does not answer")]
    assert told[0][0] <= KEEP_ALIVE + 4.5
    assert actions[-1][1] == Register()


def test_a_registrar_that_never_answers_options_is_not_thought_dead():
    actions = [action for _, action in run(registered(), 0, 60)]
    assert actions
    assert all(isinstance(action, AskAlive) for action in actions)


def test_an_answer_that_took_long_means_that_it_may_have_forgotten_us():
    machine = alive()
    assert machine.tick(20.2) == [AskAlive(2)]
    assert machine.answered(21.9, 0) == [Register()]


def test_an_answer_after_a_miss_means_the_same():
    machine = alive()
    assert machine.tick(20.2) == [AskAlive(2)]
    assert machine.tick(22.3) == [AskAlive(3)]
    assert machine.answered(22.4, 0) == [Register()]


def test_an_answer_to_no_question_changes_nothing():
    machine = alive()
    assert machine.answered(12, 0) == []
    assert machine.state is State.REGISTERED


def test_coming_back_is_said():
    machine = steady()
    machine.start(0)
    machine.failed(1, 503, "no")
    assert machine.registered(3) == [Report(State.REGISTERED, 200, "OK")]


def test_retries_are_spread_so_that_many_appliances_do_not_call_at_once():
    waits = set()
    for jitter in (0.0, 0.5, 1.0):
        machine = Registration(KEEP_ALIVE, jitter=lambda: jitter)  # noqa: B023  # used before it changes
        machine.start(0)
        machine.failed(0, 401, "no")
        waits.add(first(machine, 0)[0])
    assert len(waits) == 3


def test_without_keep_alive_nobody_is_asked():
    machine = Registration(0, jitter=lambda: 0.0)
    machine.start(0)
    machine.registered(0)
    assert run(machine, 0, 60) == []
