"""linphone (Debian's linphone-cli) as a phone: a softphone that many people have, with sound from and to files.

async with Linphone("alice", registrar, tone=440) as alice:
    await alice.dial(f"sip:handset@{registrar.server}")
    await alice.told("LinphoneCallStreamsRunning")
    samples = alice.heard()
"""

import shutil
import subprocess

import numpy as np

from tests.rig.peer import Peer, start_process, until
from tests.rig.ports import free_port, free_range
from tests.rig.sip_peers import Exchange, password_of
from tests.rig.sounds import Samples, tone, write_wav

_SECONDS = 15.0
# Without GRUU, which the test's registrar would give out and not understand within a call.
_CONFIG = """[sip]
sip_port={sip}
sip_tcp_port=0
sip_tls_port=0
ipv6_migration_done=1
use_ipv6=0
guess_hostname=0
supported=replaces
media_encryption={encryption}
media_encryption_mandatory={mandatory}
contact=<sip:{user}@127.0.0.1>

[rtp]
audio_rtp_port={rtp}

"""


def linphone_missing() -> bool:
    """Whether this machine has none."""
    return shutil.which("linphonec") is None


class Linphone(Peer):
    """Registered at `registrar`, or without one reached at `uri`. `srtp`: encrypted calls only."""

    def __init__(
        self, user: str, registrar: Exchange | None = None, *, tone: float = 440, srtp: bool = False
    ) -> None:
        super().__init__(f"linphone-{user}")
        self.user = user
        self.port = free_port()
        self._registrar = registrar
        self._hertz = tone
        self._srtp = srtp
        self._trace = self.directory / "trace"

    @property
    def uri(self) -> str:
        return f"sip:{self.user}@{self._registrar.server if self._registrar else f'127.0.0.1:{self.port}'}"

    async def start(self) -> None:
        self._configure()
        home = self.directory / "home"
        (home / ".local/share/linphone").mkdir(parents=True)
        self.process = start_process(
            [
                "env",
                f"HOME={home}",
                "linphonec",
                "-d",
                "6",
                "-l",
                str(self._trace),
                "-c",
                str(self.directory / "linphonerc"),
            ],
            self.directory,
            "linphone.log",
            stdin=subprocess.PIPE,
        )
        await self.told("reachability state is now [UP]")
        self.command("soundcard use files")
        self.command(f"record {self.directory / 'heard.wav'}")
        self.command(f"play {self.directory / 'said.wav'}")
        if self._registrar is not None:
            server, password = self._registrar.server, password_of(self.user)
            self.command(f"register sip:{self.user}@{server} sip:{server} {password}")
            await self.told("to [LinphoneRegistrationOk]")

    def _configure(self) -> None:
        write_wav(self.directory / "said.wav", tone(self._hertz, 120.0, 16_000), 16_000)
        text = _CONFIG.format(
            sip=self.port,
            user=self.user,
            rtp=free_range(4),
            encryption="srtp" if self._srtp else "none",
            mandatory=int(self._srtp),
        )
        (self.directory / "linphonerc").write_text(text)

    def command(self, line: str) -> None:
        """One line at its prompt."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    async def told(self, text: str, seconds: float = _SECONDS) -> None:
        """Wait until its trace says that."""

        def said() -> bool:
            return self._trace.exists() and text in self._trace.read_text(errors="replace")

        await until(said, seconds, f"linphone says {text!r}")

    async def dial(self, uri: str) -> None:
        self.command(f"call {uri}")

    async def answer(self) -> None:
        self.command("answer")

    async def hang_up(self) -> None:
        self.command("terminate")

    def heard(self) -> Samples:
        """What came in, at the codec's rate; also while a call runs, when its file has no header yet."""
        pcm = (self.directory / "heard.wav").read_bytes()[44:]
        return np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2")

    async def _leave(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
        await super()._leave()
