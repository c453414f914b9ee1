"""The configuration's schema: one class a section, defaults included. What each key means: docs/configuration.md.

Unknown keys are faults (load.py adds "did you mean"). Secrets are `Secret`: they print as asterisks.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

Port = Annotated[int, Field(ge=1, le=65535)]
Secret = SecretStr


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Device(Section):
    name: str = "handset"


class Room(Section):
    enabled: bool = True
    input: str = "default"
    output: str = "default"
    mode: Literal["open", "push-to-talk", "wake-word"] = "open"
    duplex: Literal["auto", "full", "half"] = "auto"
    night_check: bool = True
    sound_card: str = "pyaudio"
    period_ms: Literal[10, 20] = 20
    on_call: Literal["duck", "park", "ignore"] = "ignore"
    calls: Literal["person", "agent"] = "person"


class WakeWord(Section):
    """What the room waits for with `room.mode = "wake-word"`."""

    words: Annotated[tuple[str, ...], Field(min_length=1, max_length=6)] = ("okay_nabu",)
    stop_words: Annotated[tuple[str, ...], Field(max_length=6)] = ("stop",)
    sensitivity: Annotated[float, Field(ge=0, le=1)] = 0.5
    follow_up: Annotated[float, Field(ge=0, le=60)] = 8.0
    interrupt: Literal["word", "speech"] = "word"
    detector: str = "micro"


class Vad(Section):
    aggressiveness: Annotated[int, Field(ge=0, le=3)] = 2
    confirm: str = "auto"
    start_ms: Annotated[int, Field(ge=20, le=500)] = 60
    hangover_ms: Annotated[int, Field(ge=100, le=5000)] = 600
    pre_roll_ms: Annotated[int, Field(ge=0, le=2000)] = 240


class Conversation(Section):
    providers: Annotated[tuple[str, ...], Field(min_length=1)] = ("offline",)
    agent: str = "assistant"
    fallback_after: Annotated[float, Field(gt=0)] = 3.0
    barge_in_confirm_ms: Annotated[int, Field(ge=60, le=2000)] = 240
    max_sessions: Annotated[int, Field(ge=1, le=32)] = 4
    idle_timeout: Annotated[float, Field(gt=0)] = 300.0


class ProviderSection(BaseModel):
    """A `[providers.NAME]` table: its own provider validates it; the usual keys are typed here."""

    model_config = ConfigDict(extra="allow", frozen=True, coerce_numbers_to_str=True)

    model: str = ""
    voice: str = ""
    language: str = ""
    api_key: Secret = Secret("")
    base_url: str = ""


class Agent(Section):
    instructions: str = (
        "You are a helpful assistant on a telephone and a kiosk. Answer briefly, in spoken language."
    )
    greeting: str = ""
    language: str = "en"
    voice: str = ""
    tools: tuple[str, ...] = ("time", "timer", "volume", "call", "transfer", "hangup")
    numbers: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    pin: Secret = Secret("")


EMERGENCY_NUMBERS: Final = (
    *(
        "000",
        "110",
        "111",
        "112",
        "113",
        "115",
        "117",
        "118",
        "119",
        "144",
        "190",
        "192",
        "193",
        "911",
        "999",
    ),
)
"""Those of three digits that are in use in several countries; shorter ones are extensions in many places."""
FIRST_ACCOUNT: Final = "default"
"""The SIP account that stands in `[sip]` itself."""
_Transport = Literal["udp", "tcp", "tls"]
_Srtp = Literal["off", "optional", "mandatory"]
_Expiry = Annotated[int, Field(ge=30, le=86400)]
_Dscp = Annotated[int, Field(ge=0, le=63)]
_RingTime = Annotated[float, Field(ge=0, le=300)]


class SipAccount(Section):
    """A `[sip.accounts.NAME]` table; what is None is as in `[sip]`."""

    server: str = ""
    user: str = ""
    auth_user: str = ""
    password: Secret = Secret("")
    outbound_proxy: tuple[str, ...] = ()
    display_name: str | None = None
    transport: _Transport | None = None
    expiry: _Expiry | None = None
    srtp: _Srtp | None = None
    ca: str | None = None
    ice: bool | None = None
    turn: str | None = None
    turn_user: str | None = None
    turn_password: Secret | None = None
    agent: str | None = None
    auto_answer: bool | None = None
    ring_time: _RingTime | None = None


class Sip(Section):
    enabled: bool = False
    server: str = ""
    user: str = ""
    auth_user: str = ""
    password: Secret = Secret("credential:sip")
    display_name: str = ""
    transport: _Transport = "udp"
    outbound_proxy: tuple[str, ...] = ()
    expiry: _Expiry = 300
    srtp: _Srtp = "off"
    ca: str = ""
    codecs: tuple[str, ...] = ("G722", "opus", "PCMU", "PCMA")
    port: Annotated[int, Field(ge=0, le=65535)] = 5060
    rtp_ports: str = "40000-40100"
    bind: str = ""
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    callers: tuple[str, ...] = ("*",)
    strangers: Literal["silent", "refuse"] = "silent"
    dial: tuple[str, ...] = ("*",)
    emergency_numbers: tuple[str, ...] = EMERGENCY_NUMBERS
    emergency_calls: Literal["people", "never"] = "people"
    intercom: tuple[str, ...] = ("*",)
    call_waiting: Literal["answer", "ring", "busy"] = "answer"
    do_not_disturb: bool = False
    mailbox: bool = False
    redirects: Literal["server", "any", "never"] = "server"
    auto_answer: bool = True
    ring_time: _RingTime = 0.0
    agent: str = ""
    dial_time: Annotated[float, Field(ge=5, le=180)] = 60.0
    max_calls: Annotated[int, Field(ge=1, le=30)] = 2
    dtmf: Literal["auto", "rfc4733", "info", "inband"] = "auto"
    keypad_pause: Annotated[float, Field(ge=0, le=30)] = 1.5
    stun: tuple[str, ...] = ()
    ice: bool = False
    turn: str = ""
    turn_user: str = ""
    turn_password: Secret = Secret("")
    dns_servers: tuple[str, ...] = ()
    dscp_sip: _Dscp = 24
    dscp_rtp: _Dscp = 46
    telephone: str = "pjsua2"
    force_old_tls: bool = False
    accounts: dict[str, SipAccount] = {}

    def of(self, account: str) -> "Sip":
        """What holds for calls of that account: its own keys, and these for the rest."""
        if account not in self.accounts:
            return self
        own = {key: value for key, value in self.accounts[account] if value is not None}
        if not own["password"].get_secret_value():
            own["password"] = Secret(f"credential:sip-{account}")
        return self.model_copy(update={**own, "accounts": {}})

    def each(self) -> "dict[str, Sip]":
        """All accounts by name, the first one first."""
        return {FIRST_ACCOUNT: self, **{name: self.of(name) for name in self.accounts}}


class Transfer(Section):
    """How calls are handed over to a person."""

    mode: Literal["attended", "blind"] = "attended"
    ring_time: Annotated[float, Field(ge=5, le=180)] = 30.0
    accept: Literal["answer", "key"] = "answer"
    join: Literal["auto", "here"] = "auto"


class Control(Section):
    bind: str = "127.0.0.1"
    port: Port = 8765
    tls_certificate: str = ""
    tls_key: str = ""
    origins: tuple[str, ...] = ()
    allow_plain: bool = False


_Control = Literal["button", "hook", "mute", "volume_up", "volume_down"]


class Gpio(Section):
    button: int = 17
    hook: int = 0
    mute: int = 0
    led_red: int = 0
    led_green: int = 0
    led_blue: int = 0
    active_low: bool = True
    driver: str = "auto"
    chip: str = ""
    volume_up: int = 0
    volume_down: int = 0
    knob_a: int = 0
    knob_b: int = 0
    knob_step: Annotated[int, Field(ge=1, le=50)] = 4
    talk: Literal["hold", "toggle"] = "hold"
    inverted: tuple[_Control, ...] = ()
    debounce_ms: Annotated[int, Field(ge=0, le=500)] = 20
    double_ms: Annotated[int, Field(ge=0, le=2000)] = 350
    long_ms: Annotated[int, Field(ge=300, le=10_000)] = 1000
    very_long_ms: Annotated[int, Field(ge=5000, le=50_000)] = 15_000
    factory_reset: bool = True
    led_active_low: bool = False
    ring: Literal["", "ws2812", "apa102"] = ""
    ring_leds: Annotated[int, Field(ge=1, le=64)] = 12
    ring_device: str = "/dev/spidev0.0"
    brightness: Annotated[int, Field(ge=1, le=100)] = 60


class Recording(Section):
    enabled: bool = False
    directory: str = ""
    announce: bool = True
    keep_days: Annotated[int, Field(ge=1)] = 30


class Limits(Section):
    minutes_per_call: Annotated[int, Field(ge=0)] = 0
    minutes_per_day: Annotated[int, Field(ge=0)] = 0
    calls_per_minute: Annotated[int, Field(ge=0)] = 0
    dials_per_day: Annotated[int, Field(ge=0)] = 0
    dials_to_one_number: Annotated[int, Field(ge=0)] = 0
    dial_minutes_per_day: Annotated[int, Field(ge=0)] = 0


class Provisioning(Section):
    url: str = ""
    dhcp: Literal["first", "always", "off"] = "first"
    ca: str = ""
    public_key: str = ""


class Mqtt(Section):
    enabled: bool = False
    server: str = ""
    user: str = ""
    password: SecretStr = SecretStr("")
    tls: bool = False
    ca: str = ""
    topic: str = "handset"
    discovery: str = "homeassistant"
    driver: str = "paho"

    def address(self) -> tuple[str, int]:
        """Host and port of `server`."""
        host, colon, port = self.server.rpartition(":")
        if colon and port.isdecimal() and not host.endswith(":"):
            return host.strip("[]"), int(port)
        return self.server.strip("[]"), 8883 if self.tls else 1883


class Storage(Section):
    directory: Path = Path("/var/lib/handset")


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"


class Configuration(Section):
    """The whole: what `handset config` prints."""

    device: Device = Device()
    room: Room = Room()
    wake_word: WakeWord = WakeWord()
    vad: Vad = Vad()
    conversation: Conversation = Conversation()
    providers: dict[str, ProviderSection] = {}
    agents: dict[str, Agent] = {"assistant": Agent()}
    contacts: dict[str, str] = {}
    sip: Sip = Sip()
    transfer: Transfer = Transfer()
    control: Control = Control()
    gpio: Gpio = Gpio()
    recording: Recording = Recording()
    limits: Limits = Limits()
    provisioning: Provisioning = Provisioning()
    mqtt: Mqtt = Mqtt()
    storage: Storage = Storage()
    log: Log = Log()
