"""Contract of a telephone: what it is told, what it reports, and the audio of its calls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol

from appliance.interfaces.audio import CaptureSink, PlayoutSource
from appliance.records import record


@record(frozen=True, slots=True)
class TelephoneEvent:
    """Base of what the SIP process reports."""


@record(frozen=True, slots=True)
class RegistrationReport(TelephoneEvent):
    """`state` is off, trying, registered or failed; `hint` is the remedy where one is known.

    `addresses` are those at which the server was found so far: calls through it may come from any.
    """

    state: str
    code: int = 0
    reason: str = ""
    server: str = ""
    account: str = "default"
    hint: str = ""
    addresses: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class IncomingCall(TelephoneEvent):
    """An INVITE waits for `ring`, `answer` or `reject`. `source` is the host:port that the request came from.

    `account` is the one that was called.
    """

    call: str
    peer: str
    source: str
    display_name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    account: str = "default"


@record(frozen=True, slots=True)
class CallReport(TelephoneEvent):
    """The SIP dialogue moved. `state` is dialing, ringing, early, connected, held, transferring or ended."""

    call: str
    state: str
    code: int = 0
    reason: str = ""


@record(frozen=True, slots=True)
class MediaReport(TelephoneEvent):
    """RTP runs (`active`) or stopped; `codec` as negotiated, for example "PCMU/8000".

    `events`: digits go as telephone-event (RFC 4733); `info`: the far end says that it takes SIP INFO.
    """

    call: str
    active: bool
    codec: str = ""
    events: bool = True
    info: bool = False


@record(frozen=True, slots=True)
class DtmfReport(TelephoneEvent):
    """`method` is rfc4733, info or inband."""

    call: str
    digit: str
    duration_ms: int
    method: str = "rfc4733"


@record(frozen=True, slots=True)
class QualityReport(TelephoneEvent):
    """Every few seconds of a call, and when a stream ends: what it has carried since it began.

    `counts` has received, lost, discarded (too late), sent, far_lost (of what we sent, as the far end told), and in
    milliseconds jitter_ms, buffer_ms, round_trip_ms.
    """

    call: str
    counts: Mapping[str, float]


@record(frozen=True, slots=True)
class SoundReport(TelephoneEvent):
    """Nothing comes from the far end of a call that is not held, or (`comes`) it does again. `ever`: it has before."""

    call: str
    comes: bool
    ever: bool


@record(frozen=True, slots=True)
class MailboxReport(TelephoneEvent):
    """An account's mailbox at its server: whether messages wait, and how many voice messages are new and old."""

    account: str
    waiting: bool
    new: int = 0
    old: int = 0


@record(frozen=True, slots=True)
class NoticeReport(TelephoneEvent):
    """The telephone refused something by itself; `code` is stable, `hint` the remedy. `call` may be none of ours."""

    call: str
    code: str
    message: str
    hint: str


@record(frozen=True, slots=True)
class SentReport(TelephoneEvent):
    """A far end had us call `to`, by REFER or a 3xx answer; `answered`: they took it, and talk from now on."""

    call: str
    to: str
    answered: bool = False


@record(frozen=True, slots=True)
class StrangersReport(TelephoneEvent):
    """Requests of addresses that nobody listens to were ignored: so many since the SIP process started."""

    ignored: int


@record(frozen=True, slots=True)
class TelephoneLost(TelephoneEvent):
    """The SIP process crashed or hung: `calls` are gone. It is being restarted."""

    reason: str
    calls: Sequence[str]


@record(frozen=True, slots=True)
class TelephoneReady(TelephoneEvent):
    """The SIP process runs and its transports listen at `address` (host:port)."""

    address: str


class Telephone(Protocol):
    """A SIP stack. Group `appliance.telephones`. Built as `factory(settings)` from the `[sip]` section as a mapping,
    in which `accounts` maps the names of further accounts to all of their own keys.

    All methods belong to the loop's thread; none waits on the network: outcomes come as events through `post`, which is
    called on the loop's thread. Commands for an unknown or ended call raise `UnknownName`; while the process is down
    they raise `TelephoneUnavailable`. Audio of a call is 16 kHz mono, 20 ms frames, both ways.
    """

    rate: int

    async def start(self, post: Callable[[TelephoneEvent], None]) -> None: ...

    async def stop(self) -> None:
        """Hang up all calls, unregister, end the process; at most 4 s, then it is killed."""
        ...

    def listen_to(self, networks: Sequence[str]) -> None:
        """Whose requests get any answer, where strangers are to get none; to be told after each TelephoneReady."""
        ...

    def bar(self, day: str, numbers: Sequence[str] | None) -> None:
        """Whom no far end may have us call on that local day (YYYY-MM-DD), as `dialplan.counted` names them; None:
        nobody at all. To be told after each TelephoneReady."""
        ...

    def renew(self, settings: Mapping[str, Any]) -> None:
        """Other accounts from now on. Calls go on, also those of an account that goes; other keys change nothing."""
        ...

    def dial(self, to: str, *, account: str = "") -> str:
        """Start an outgoing call to a SIP URI, extension or number; return its call id.

        Without `account` a URI goes through the account at its domain, if any, and all else through the first one.
        """
        ...

    def ring(self, call: str) -> None:
        """Send 180 Ringing."""
        ...

    def answer(self, call: str) -> None: ...

    def reject(self, call: str, code: int, reason: str = "") -> None: ...

    def lock(self, call: str, on: bool) -> None:
        """While it is on, the far end has us dial nobody: what it asks for is refused and reported."""
        ...

    def hang_up(self, call: str) -> None: ...

    def hold(self, call: str) -> None: ...

    def resume(self, call: str) -> None: ...

    def transfer(self, call: str, to: str) -> None:
        """Blind transfer (REFER)."""
        ...

    def join(self, call: str, other: str) -> None:
        """Have the far side of `call` take our place in `other` (REFER with Replaces); both are up.

        Reported as `transferring` and its end. Where a phone cannot, nothing changes.
        """
        ...

    def send_dtmf(self, call: str, digits: str) -> None: ...

    def attach(self, call: str, capture: CaptureSink, playout: PlayoutSource) -> None:
        """Join a call's audio: both functions are called on the driver's thread, once each 20 ms, while media runs."""
        ...

    def heard_lag_ms(self, call: str) -> float:
        """Audio taken from `playout` that the RTP stream has not yet taken."""
        ...

    @property
    def silent_for(self) -> float:
        """Seconds since the thread that tends the SIP process gave a sign of life; 0 while it does not run."""
        ...

    def counters(self) -> Mapping[str, int]: ...
