"""Real SIP peers for a test: a registrar (Kamailio), phones (baresip) and scripted calls (sipp), all on 127.0.0.1.

    async with Registrar() as registrar, Phone("alice", registrar, speaks=wav) as phone:
        await phone.dial("sip:handset@...")
        await phone.event("CALL_ESTABLISHED")
        samples, rate = phone.heard()      # what came over RTP, as the phone decoded it

Each runs in a directory of its own on free ports; several may run side by side. Their processes end with the
`with`, and with this process, even when it is killed.
"""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import time
import wave
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tests.rig.peer import Peer, start_process, until
from tests.rig.ports import free_port, free_range

START_SECONDS = 10.0
_MODULES = next(iter(Path("/usr/lib").glob("*/kamailio/modules")), Path("/usr/lib/kamailio/modules"))


def programs_missing() -> list[str]:
    """Which of the peers' programs this machine lacks."""
    return [name for name in ("kamailio", "baresip", "sipp") if shutil.which(name) is None]


def password_of(user: str) -> str:
    return f"pw-{user}"


_KAMAILIO = """#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
dns=off
rev_dns=off
listen=udp:{host}:{port}
listen=tcp:{host}:{port}
{tls}
mpath="{modules}/"
{tls_module}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "auth.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "min_expires", 5)
modparam("registrar", "max_contacts", 4)
modparam("tm", "fr_inv_timer", 60000)
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("OPTIONS") && uri==myself && $rU==$null) {{ sl_send_reply("200", "OK"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
        sl_send_reply("404", "Not Here"); exit;
    }}
    t_check_trans();
    if (is_method("REGISTER")) {{
        if (!pv_auth_check("$fd", "pw-$fU", "0", "0")) {{ www_challenge("$fd", "0"); exit; }}
        save("location"); exit;
    }}
    if (is_method("INVITE")) {{
        if (!pv_auth_check("$fd", "pw-$fU", "0", "0")) {{ proxy_challenge("$fd", "0"); exit; }}
        consume_credentials();
        record_route();
    }}
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    if (!t_relay()) {{ sl_reply_error(); }}
}}
"""


_TLS_MODULE = """loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{key}")
modparam("tls", "verify_certificate", 0)
modparam("tls", "require_certificate", 0)
"""


def tls_missing() -> bool:
    """Whether the registrar cannot speak TLS here."""
    return not (_MODULES / "tls.so").is_file()


class Exchange(Protocol):
    """Where phones register: host and port, and `password_of(user)` for each."""

    @property
    def server(self) -> str: ...


class Registrar(Peer):
    """Kamailio: registrar and proxy without a database; digest, every user's password is `password_of(user)`.

    With `certificate` (two PEM files: certificate and key) it also listens for TLS, at `tls_port`. `host` is an address
    of this machine, IPv6 too.
    """

    def __init__(self, certificate: tuple[Path, Path] | None = None, *, host: str = "127.0.0.1") -> None:
        super().__init__("registrar")
        self.host = f"[{host}]" if ":" in host else host
        self.port = free_port()
        self.tls_port = free_port() if certificate else 0
        self.certificate = certificate

    @property
    def server(self) -> str:
        return f"{self.host}:{self.port}"

    def _configuration(self) -> str:
        tls = tls_module = ""
        if self.certificate is not None:
            certificate, key = self.certificate
            tls = f"enable_tls=yes\nlisten=tls:{self.host}:{self.tls_port}"
            tls_module = _TLS_MODULE.format(certificate=certificate, key=key)
        return _KAMAILIO.format(
            host=self.host, port=self.port, modules=_MODULES, tls=tls, tls_module=tls_module
        )

    async def start(self) -> None:
        """Also starts it again after `stop`, on the same port, with all registrations forgotten."""
        config = self.directory / "kamailio.cfg"
        config.write_text(self._configuration())
        arguments = [
            "kamailio",
            "-f",
            str(config),
            "-DD",
            "-E",
            "-m",
            "64" if self.certificate else "32",
            "-M",
            "4",
            "-Y",
            str(self.directory),
        ]
        process = self.process = start_process(arguments, self.directory, "kamailio.log")
        await until(
            lambda: process.poll() is not None or self._answers(), START_SECONDS, "the registrar answers"
        )
        assert process.poll() is None, self.log()

    def _answers(self) -> bool:
        host = self.host.strip("[]")
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
            probe.settimeout(0.05)
            here = f"{self.host}:{probe.getsockname()[1]}"
            request = (
                f"OPTIONS sip:{self.server} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{time.monotonic_ns()}\r\n"
                f"From: <sip:probe@{here}>;tag=1\r\nTo: <sip:{self.server}>\r\nCall-ID: {time.monotonic_ns()}\r\n"
                f"CSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\nContent-Length: 0\r\n\r\n"
            )
            try:
                probe.sendto(request.encode(), (host, self.port))
                return probe.recv(2048).startswith(b"SIP/2.0 200")
            except OSError:
                return False


_PLAY_RATES = {"g722": 16000, "opus": 48000}
_BARESIP = """module_path /usr/lib/baresip/modules
module g711.so
module g722.so
module opus.so
module srtp.so
module auloop.so
module ausine.so
module aufile.so
module aubridge.so
module sndfile.so
module_app account.so
module_app menu.so
module_app ctrl_tcp.so
net_interface {host}
sip_listen {host}:{sip}
rtp_ports {rtp}-{rtp_last}
jitter_buffer_delay 1-5
audio_player aubridge,nowhere
audio_source {source}
audio_alert aubridge,nowhere
ausrc_srate {rate}
ausrc_channels {channels}
auplay_srate {play_rate}
auplay_channels {play_channels}
snd_path {directory}/heard
ctrl_tcp_listen 127.0.0.1:{control}
call_local_timeout 120
call_max_calls 4
"""


class Phone(Peer):
    """baresip, registered at `registrar` or, without one, reached directly at `uri`.

    It speaks a WAV file (mono; played once, then silence) or a tone of `tone` hertz, and writes down what it hears.
    `answers`: "auto" or "manual".
    """

    def __init__(
        self,
        user: str,
        registrar: Exchange | None = None,
        *,
        speaks: Path | None = None,
        tone: int = 440,
        codecs: str = "PCMU",
        answers: str = "manual",
        srtp: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(f"phone-{user}")
        self.user = user
        self._host = host
        self.port = free_port()
        self._control_port = free_port()
        self._rtp = free_range(20)
        self._registrar = registrar
        self._speaks = speaks
        self._tone = tone
        self._codecs = codecs
        self._answers = answers
        self._srtp = srtp
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self.events: list[dict[str, Any]] = []
        self._answered: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    @property
    def uri(self) -> str:
        return f"sip:{self.user}@{self._registrar.server if self._registrar else f'{self._host}:{self.port}'}"

    async def start(self) -> None:
        self._configure()
        process = self.process = start_process(
            ["baresip", "-f", str(self.directory)], self.directory, "baresip.log", stdin=subprocess.PIPE
        )
        deadline = time.monotonic() + START_SECONDS
        while self._writer is None:
            assert process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            with contextlib.suppress(OSError):
                reader, self._writer = await asyncio.open_connection("127.0.0.1", self._control_port)
                self._reading = asyncio.create_task(self._read(reader))
            await asyncio.sleep(0.03)
        if self._registrar is not None:
            # The event may have come before the control connection: ask.
            await until(
                lambda: "200 OK" in self.log(), START_SECONDS, f"{self.user} registers:\n{self.log()}"
            )

    def _configure(self) -> None:
        heard = self.directory / "heard"
        heard.mkdir(exist_ok=True)
        source, rate, channels = f"ausine,{self._tone}", 48000, 2
        if self._speaks is not None:
            with wave.open(str(self._speaks)) as file:
                source, rate, channels = f"aufile,{self._speaks}", file.getframerate(), file.getnchannels()
        config = _BARESIP.format(
            host=self._host,
            sip=self.port,
            rtp=self._rtp,
            rtp_last=self._rtp + 18,
            source=source,
            rate=rate,
            channels=channels,
            play_channels=2 if self._codecs.startswith("opus") else 1,
            play_rate=_PLAY_RATES.get(self._codecs.split("/")[0].lower(), 8000),
            directory=self.directory,
            control=self._control_port,
        )
        (self.directory / "config").write_text(config)
        account = f"<{self.uri};transport=udp>;audio_codecs={self._codecs};answermode={self._answers};mwi=no"
        if self._registrar is not None:
            account += f";auth_pass={password_of(self.user)};regint=600"
        else:
            account += ";regint=0"
        if self._srtp:
            account += ";mediaenc=srtp-mand"
        (self.directory / "accounts").write_text(account + "\n")
        (self.directory / "contacts").write_text("")

    async def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
            self._reading = None
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None
        process = self.process
        await super().stop(sign)
        if process is not None and process.stdin is not None:
            process.stdin.close()

    async def vanish(self) -> None:
        """Dies without a word: no BYE, no RTP."""
        await self.stop(signal.SIGKILL)

    async def command(self, name: str, params: str = "") -> dict[str, Any]:
        """One command of baresip's menu; its answer."""
        assert self._writer is not None
        text = json.dumps({"command": name, "params": params, "token": "t"})
        self._writer.write(f"{len(text)}:{text},".encode())
        return await asyncio.wait_for(self._answered.get(), 5.0)

    async def dial(self, uri: str) -> None:
        await self.command("dial", uri)

    async def answer(self) -> None:
        await self.command("accept")

    async def hang_up(self) -> None:
        await self.command("hangup")

    async def hold(self) -> None:
        await self.command("hold")

    async def resume(self) -> None:
        await self.command("resume")

    async def transfer(self, uri: str) -> None:
        await self.command("transfer", uri)

    async def press(self, digit: str) -> None:
        """Send one DTMF digit."""
        await self.command("sndcode", digit)

    async def event(self, kind: str, seconds: float = 10.0, *, count: int = 1) -> dict[str, Any]:
        """The `count`th event of that type since the start: CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED ..."""

        def seen() -> list[dict[str, Any]]:
            return [event for event in self.events if event.get("type") == kind]

        await until(
            lambda: len(seen()) >= count,
            seconds,
            f"{kind} at {self.user}; saw {[e.get('type') for e in self.events]}",
        )
        return seen()[count - 1]

    def heard(self) -> tuple[npt.NDArray[np.int16], int]:
        """Samples and rate of what came in, of all calls one after the other; also while a call runs."""
        rate, parts = 8000, []
        for path in sorted(self.directory.glob("heard/*dec.wav"), key=lambda path: path.stat().st_mtime):
            content = path.read_bytes()
            channels = int.from_bytes(content[22:24], "little") or 1
            rate = int.from_bytes(content[24:28], "little") or rate
            start = content.find(b"data") + 8
            pcm = content[start:]
            whole = len(pcm) // (2 * channels) * 2 * channels
            parts.append(np.frombuffer(pcm[:whole], dtype=np.int16)[::channels])
        return (np.concatenate(parts) if parts else np.zeros(0, np.int16)), rate

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                length = int((await reader.readuntil(b":"))[:-1])
                message = json.loads(await reader.readexactly(length))
                await reader.readexactly(1)
                if message.get("response"):
                    self._answered.put_nowait(message)
                else:
                    self.events.append(message)


class Scenario(Peer):
    """sipp with a scenario (XML text) against `target`. Exit status 0 means that all calls went as written."""

    def __init__(
        self,
        xml: str,
        target: str,
        *,
        user: str = "sipp",
        files: dict[str, bytes] | None = None,
        calls: int = 1,
        extra: tuple[str, ...] = (),
    ) -> None:
        super().__init__("sipp")
        self.port = free_port()
        self._media = free_range(8)
        self._target = target
        self._user = user
        self._calls = calls
        self._extra = extra
        (self.directory / "scenario.xml").write_text(xml)
        for name, content in (files or {}).items():
            (self.directory / name).write_bytes(content)

    async def start(self) -> None:
        arguments = [
            *("sipp", self._target, "-sf", "scenario.xml", "-m", str(self._calls), "-nostdin"),
            *("-i", "127.0.0.1", "-p", str(self.port), "-mi", "127.0.0.1", "-mp", str(self._media)),
            *("-s", self._user, "-au", self._user, "-ap", password_of(self._user)),
            *("-trace_err", "-error_file", "errors.log", "-timeout", "60", "-timeout_error", *self._extra),
        ]
        self.process = start_process(arguments, self.directory, "sipp.log")

    async def finished(self, seconds: float = 30.0) -> int:
        """Wait for its end; the exit status."""
        process = self.process
        assert process is not None
        await until(lambda: process.poll() is not None, seconds, "sipp ends")
        return int(process.returncode)
