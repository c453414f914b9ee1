"""Asterisk as an office has it: extensions with passwords, a dial plan, and between the callers all the way (B2BUA).

Debian's stable suites have no package of it: `make asterisk` puts one into a directory of its own, a system's root,
whose path HANDSET_ASTERISK tells. It runs on this machine's network.
"""

import asyncio
import os
import secrets
import shutil
from pathlib import Path
from typing import Final

from tests.rig.peer import Peer, start_process, until
from tests.rig.ports import free_port, free_range
from tests.rig.sip_peers import START_SECONDS, password_of

ROOT: Final = os.environ.get("HANDSET_ASTERISK", "")
BUSY: Final = "busy"
UNKNOWN: Final = "unknown"
DIGITS: Final = "digits"
MENU_SECONDS: Final = 8

_GLOBAL = """[directories]
astetcdir => {inside}
astrundir => {inside}
astlogdir => {inside}
astdbdir => {inside}
[options]
systemname = office
"""
_LOGGER = "[logfiles]\nconsole => notice,warning,error,verbose,dtmf\n"
_RTP = "[general]\nrtpstart={first}\nrtpend={last}\n"
_SIP = """[global]
type=global
endpoint_identifier_order=username,auth_username,ip
[udp]
type=transport
protocol=udp
bind=127.0.0.1:{port}
[tcp]
type=transport
protocol=tcp
bind=127.0.0.1:{port}
"""
_EXTENSION = """[{user}]
type=endpoint
context=office
disallow=all
allow=g722,ulaw,alaw
auth={user}
aors={user}
direct_media=no
rtp_symmetric=yes
allow_transfer=yes
mailboxes={user}@default
callerid="{user}" <{user}>
[{user}]
type=auth
auth_type=userpass
username={user}
password={password}
[{user}]
type=aor
max_contacts=2
remove_existing=yes
qualify_frequency=0
"""
_DIAL_PLAN = """[office]
exten => {busy},1,Busy(1)
exten => {digits},1,Answer()
same => n,Read(KEYED,,4,,1,{seconds})
same => n,Verbose(0,KEYED ${{KEYED}})
same => n,SendDTMF(2580,200,120)
same => n,Wait(10)
exten => _[a-z]!,1,Dial(PJSIP/${{EXTEN}},20)
same => n,Hangup(${{HANGUPCAUSE}})
"""


class Asterisk(Peer):
    """`users` are extensions that dial each other by name.

    "busy" is always busy; "digits" reads four keys, tells them in the log, then presses 2580.
    """

    def __init__(self, *users: str) -> None:
        super().__init__("asterisk")
        self.port = free_port()
        self._users = users
        self._root = Path(ROOT)
        self._inside = Path("/run") / f"handset-{secrets.token_hex(4)}"

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Also starts it again after `stop`: on the same port, with all registrations forgotten."""
        self._configure()
        process = self.process = start_process(
            ["chroot", ROOT, "asterisk", "-f", "-n", "-vv", "-C", f"{self._inside}/asterisk.conf"],
            self.directory,
            "asterisk.log",
        )
        await until(
            lambda: process.poll() is not None or "Asterisk Ready" in self.log(),
            START_SECONDS,
            "Asterisk is ready",
        )
        assert process.poll() is None, self.log()

    def _configure(self) -> None:
        folder = self._root / self._inside.relative_to("/")
        folder.mkdir(parents=True, exist_ok=True)
        first = free_range(100)
        files = {
            "asterisk.conf": _GLOBAL.format(inside=self._inside),
            "logger.conf": _LOGGER,
            "rtp.conf": _RTP.format(first=first, last=first + 99),
            "pjsip.conf": _SIP.format(port=self.port)
            + "".join(_EXTENSION.format(user=user, password=password_of(user)) for user in self._users),
            "extensions.conf": _DIAL_PLAN.format(busy=BUSY, digits=DIGITS, seconds=MENU_SECONDS),
            "modules.conf": "[modules]\nautoload=yes\nnoload=chan_sip.so\n",
        }
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")

    async def stop(self, *arguments: object) -> None:
        await super().stop()
        shutil.rmtree(self._root / self._inside.relative_to("/"), ignore_errors=True)

    async def told(self, command: str) -> str:
        """What a command of its console prints."""
        process = await asyncio.create_subprocess_exec(
            *("chroot", ROOT, "asterisk", "-C", f"{self._inside}/asterisk.conf", "-rx", command),
            stdout=asyncio.subprocess.PIPE,
        )
        return (await asyncio.wait_for(process.communicate(), 10.0))[0].decode()
