"""How much a client may do, and how fast. Pure: time comes in as an argument."""

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the control server; the defaults are what docs/control-api.md promises."""

    clients: int = 32
    connections: int = 96
    """TCP connections, those included that never finish a request."""
    commands_per_second: float = 50.0
    commands_at_once: float = 100.0
    audio_speed: float = 4.0
    """Times real time at which a client's audio is taken."""
    audio_backlog_ms: float = 20_000.0
    refusals: int = 5
    """Commands beyond the token's scope before the connection is closed."""
    outbox_messages: int = 1_000
    outbox_bytes: int = 4 << 20
    lossy_above: int = 50
    """Messages waiting above which audio.level and metrics are dropped."""
    stalled_after: float = 10.0
    """Seconds that the oldest message may wait."""
    ping_every: float = 20.0
    pong_within: float = 20.0
    close_within: float = 3.0
    linger: float = 30.0
    """Seconds that a client which does not read is given to read the reason why it is let go."""
    command_within: float = 10.0
    failed_logins: float = 10.0
    failed_login_every: float = 6.0


class TokenBucket:
    """`capacity` at once, then `rate` a second."""

    def __init__(self, rate: float, capacity: float) -> None:
        self._rate = rate
        self._capacity = capacity
        self._level = capacity
        self._at: float | None = None

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take `amount`, or nothing and return False."""
        if self._at is not None:
            self._level = min(self._capacity, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < amount:
            return False
        self._level -= amount
        return True

    def full(self, now: float) -> bool:
        """True when nothing was taken for so long that the bucket may be forgotten."""
        return self._at is None or self._level + (now - self._at) * self._rate >= self._capacity


class LoginLimit:
    """Failed logins per peer address; the addresses remembered are bounded."""

    ADDRESSES: Final = 1_024

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._barred: set[str] = set()

    def failed(self, address: str, now: float) -> None:
        """Note a wrong token from `address`."""
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = TokenBucket(1 / self._limits.failed_login_every, self._limits.failed_logins)
            self._buckets[address] = bucket
            if len(self._buckets) > self.ADDRESSES:
                oldest, _ = self._buckets.popitem(last=False)
                self._barred.discard(oldest)
        self._buckets.move_to_end(address)
        if not bucket.take(now):
            self._barred.add(address)

    def barred(self, address: str, now: float) -> bool:
        """True while `address` has failed so often that a wrong token is refused as too fast."""
        if address not in self._barred:
            return False
        if self._buckets[address].take(now):
            self._barred.discard(address)
            return False
        return True


class AudioIntake:
    """Takes a client's audio as it comes and gives it on at a bounded speed, in order.

    Sound that arrives in bursts or faster than `Limits.audio_speed` waits here; what exceeds the backlog is refused.
    """

    AT_ONCE_MS: Final = 160.0

    def __init__(self, rate: int, limits: Limits) -> None:
        self._bytes_per_ms = rate * 2 / 1000
        self._bucket = TokenBucket(limits.audio_speed * 1000, self.AT_ONCE_MS)
        self._bound = limits.audio_backlog_ms
        self._slice = int(20 * self._bytes_per_ms)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0

    @property
    def waiting_ms(self) -> float:
        return self._waiting_bytes / self._bytes_per_ms

    def put(self, pcm: bytes) -> bool:
        """Queue `pcm`; False, and nothing is queued, when the backlog would exceed its bound."""
        if self.waiting_ms + len(pcm) / self._bytes_per_ms > self._bound:
            return False
        for start in range(0, len(pcm), self._slice):
            self._waiting.append(pcm[start : start + self._slice])
        self._waiting_bytes += len(pcm)
        return True

    def due(self, now: float) -> list[bytes]:
        """What may be given on now, in pieces of at most 20 ms."""
        pieces: list[bytes] = []
        while self._waiting and self._bucket.take(now, len(self._waiting[0]) / self._bytes_per_ms):
            piece = self._waiting.popleft()
            self._waiting_bytes -= len(piece)
            pieces.append(piece)
        return pieces
