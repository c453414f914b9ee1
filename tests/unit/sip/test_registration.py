"""When to register and what to say about it: time is an argument."""

import pytest

from drivers.sip_pjsua2.registration import (
    ATTEMPT_TIMEOUT,
    FIRST_REFUSED_RETRY,
    LAST_REFUSED_RETRY,
    LAST_RETRY,
    LONGEST_WAIT,
    SHORT_ATTEMPT,
    Action,
    AskAlive,
    AskFirst,
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


def test_a_registrar_that_forgot_us_between_two_questions_is_told_within_a_minute_and_nothing_is_said():
    machine = alive()
    later: list[Action] = []
    for quarter in range(4 * 70):
        for action in machine.tick(11 + quarter / 4):
            later.append(action)
            if isinstance(action, AskAlive):
                machine.answered(11 + quarter / 4, action.token)
    assert [action for action in later if not isinstance(action, AskAlive)] == [Register()]
    assert machine.registered(82) == []


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


def several(count: int) -> Registration:
    machine = Registration(KEEP_ALIVE, 20.0, jitter=lambda: 0.0)
    machine.targets = count
    assert machine.start(0)[-1] == Register(0)
    return machine


def test_a_target_in_trouble_makes_the_next_one_tried_at_once_and_nothing_is_said():
    machine = several(3)
    assert machine.failed(1, 503, "Busy") == [Register(1)]
    assert machine.failed(2, 408, "Silent") == [Register(2)]
    assert machine.registered(3) == [Report(State.REGISTERED, 200, "OK")]


def test_a_silent_target_is_given_up_soon_where_there_is_another():
    machine = several(2)
    assert first(machine, 0) == (SHORT_ATTEMPT, Register(1))


def test_after_all_were_tried_it_is_said_and_the_first_is_first_again():
    machine = several(2)
    machine.failed(0, 503, "Busy")
    assert machine.failed(0, 500, "Broken") == [Report(State.FAILED, 500, "Broken")]
    assert first(machine, 0) == (1.0, Register(0))


def test_a_refusal_is_a_refusal_wherever_the_others_are():
    machine = several(2)
    assert machine.failed(0, 403, "No") == [Report(State.FAILED, 403, "No")]


def test_a_dead_registrar_makes_the_next_one_registered_at_and_the_first_is_asked_about():
    machine = several(2)
    machine.registered(0)
    machine.tick(10)
    machine.answered(10.1, 0)
    machine.tick(20.2)
    machine.tick(22.3)
    assert machine.tick(24.4) == [
        Report(State.FAILED, 408, "the registrar does not answer"),
        Register(1),
    ]
    machine.registered(25)
    asked = []
    for second in range(26, 70):
        for action in machine.tick(second):
            asked += [second] if action == AskFirst() else []
            machine.answered(second, 0)
    assert asked == [46, 66]
    assert machine.first_lives(70) == [Register(0)]
    assert machine.registered(71) == []
    assert machine.first_lives(72) == []


def test_what_the_server_asks_for_is_waited_for():
    machine = steady()
    machine.start(0)
    machine.failed(0, 503, "Busy", 120)
    assert first(machine, 0) == (120, Register())
    machine.failed(0, 503, "Busy", 1e9)
    assert machine.tick(LONGEST_WAIT - 1) == []
    assert machine.tick(LONGEST_WAIT) == [Register()]


def test_another_address_of_ours_is_told_at_once():
    machine = registered()
    assert machine.moved(5) == [Register(0)]
