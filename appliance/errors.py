"""The error tree.

    ApplianceError
    ├── ConfigurationInvalid     the configuration has faults; nothing was started
    ├── RequestInvalid           a command or its fields are wrong
    │   └── UnknownName          ... a session, call, line or agent of that name does not exist
    ├── Forbidden                the caller may not do this
    │   ├── EmergencyForbidden   ... an emergency number
    │   ├── DialForbidden        ... a number that no pattern allows
    │   └── DialBudgetUsed       ... today's calls or minutes are used up
    ├── LineBusy                 the line, or every session slot, is taken
    ├── NotPossible              the thing asked for cannot be done in the present state
    │   └── MuteSwitchOn         ... the switch at the box keeps the microphone off
    ├── NotRunning               no daemon answers
    ├── DeviceUnavailable        a sound card or other device cannot be opened now
    ├── DriverMissing            the library behind a driver is not installed
    ├── TelephoneUnavailable     the SIP process does not run or does not answer
    ├── ProviderUnavailable      a provider cannot be reached or broke off
    │   ├── RateLimited          ... it asks to come again later
    │   └── GivenUp              ... it has tried all that it has
    ├── CredentialsRejected      a provider or registrar refused the credentials
    │   └── CredentialsMissing   ... there are none
    ├── QuotaExhausted           a provider's account has nothing left
    ├── SetupRejected            a provider refuses what it was asked for: an unknown model or voice
    ├── ReleaseRefused           a release cannot be taken: its signature, its contents, or this is no place for it
    ├── StoreUnavailable         the database cannot be written
    └── IllegalTransition        a local event that the present state forbids: a bug of ours

`code` is stable: it goes to the log, the control API and the documents. `retryable` alone drives back-off.
`hint` says what the reader can do about it. Library exceptions are translated where they arise, with `from`.
"""

import traceback
from pathlib import PurePath
from typing import ClassVar, Final

_PLACES: Final = 8


def kind_and_place(fault: BaseException) -> str:
    """For the log, innermost place first: the message of what nobody raised on purpose may hold what was said."""
    places = [
        f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in reversed(traceback.extract_tb(fault.__traceback__))
    ]
    return (
        " < ".join([f"{type(fault).__name__} at {places[0]}", *places[1:_PLACES]])
        if places
        else type(fault).__name__
    )


class ApplianceError(Exception):
    """Base of all errors that Handset raises on purpose."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint


class ConfigurationInvalid(ApplianceError):
    """The configuration has faults; the message lists them all."""

    code = "configuration_invalid"
    default_hint = "run: handset check"


class RequestInvalid(ApplianceError):
    """A command, or one of its fields, is wrong."""

    code = "request_invalid"


class UnknownName(RequestInvalid):
    """A session, call, line, agent or tool of that name does not exist."""

    code = "unknown_name"


class Forbidden(ApplianceError):
    """The caller's token lacks the scope, or a rule forbids it."""

    code = "forbidden"


class EmergencyForbidden(Forbidden):
    """An emergency number: agents never dial one, people where the configuration lets them."""

    code = "emergency_not_dialled"
    default_hint = "A person must dial it, from a telephone of their own."


class DialForbidden(Forbidden):
    """No pattern of `sip.dial` allows an agent this number, and it is no contact."""

    code = "dial_not_allowed"
    default_hint = "add a pattern to sip.dial, or a contact"


class DialBudgetUsed(Forbidden):
    """What agents may dial in a day is used up."""

    code = "dial_budget_used"


class LineBusy(ApplianceError):
    """The line, or every session slot, is taken."""

    code = "line_busy"
    retryable = True


class NotPossible(ApplianceError):
    """The command is well formed, but the present state forbids it."""

    code = "not_possible"


class MuteSwitchOn(NotPossible):
    """The switch at the box keeps the microphone off, and nothing else can undo that."""

    code = "mute_switch"
    default_hint = "move the switch at the box itself"


class NotRunning(ApplianceError):
    """No daemon answers at the control address."""

    code = "not_running"
    retryable = True
    default_hint = "start it with: handset run"


class DeviceUnavailable(ApplianceError):
    """A device is absent, busy, or refused to open."""

    code = "device_unavailable"
    retryable = True
    default_hint = "run: handset audio list"


class DriverMissing(ApplianceError):
    """The library behind a driver is not installed."""

    code = "driver_missing"


class TelephoneUnavailable(ApplianceError):
    """The SIP process is down or does not answer; it is being restarted."""

    code = "telephone_unavailable"
    retryable = True


class ProviderUnavailable(ApplianceError):
    """A provider could not be reached, or broke the connection."""

    code = "provider_unavailable"
    retryable = True


class RateLimited(ProviderUnavailable):
    """A provider has too much to do for us, or for everybody. `retry_after` seconds where it says so, else None."""

    code = "rate_limited"

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class GivenUp(ProviderUnavailable):
    """A provider made of others has tried all of them: dialled again at once, it could only do so again."""


class CredentialsRejected(ApplianceError):
    """A provider or registrar refused the credentials: never retried fast."""

    code = "credentials_rejected"
    default_hint = (
        "the service itself refused this key: see whether it is the right one, or make a new one on its page"
    )


class CredentialsMissing(CredentialsRejected):
    """There are none to begin with: nobody was asked."""

    code = "credentials_missing"
    default_hint = "run: handset check"


class QuotaExhausted(ApplianceError):
    """A provider's account has no credit, or its budget is used up."""

    code = "quota_exhausted"
    default_hint = "look at the billing page of the provider's account"


class SetupRejected(ApplianceError):
    """A provider refuses what it was asked for, as an unknown model; mostly until the configuration changes."""

    code = "setup_rejected"
    default_hint = "look at model and voice of this provider in the configuration"


class ReleaseRefused(ApplianceError):
    """A release cannot be taken: its signature, its contents, or this machine forbids it. Nothing was changed."""

    code = "release_refused"


class StoreUnavailable(ApplianceError):
    """The database cannot be opened or written; talking goes on without it."""

    code = "store_unavailable"
    retryable = True


class IllegalTransition(ApplianceError):
    """A local event arrived in a state whose table has no entry for it."""

    code = "illegal_transition"

    def __init__(self, state: object, event: object) -> None:
        super().__init__(f"{type(event).__name__} is illegal in state {state}")
        self.state = state
        self.event = event
