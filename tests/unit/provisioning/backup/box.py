"""An appliance's tree, on which the verbs that keep, bring back and remove it are run."""

import sqlite3
from contextlib import closing
from pathlib import Path

from appliance.cli import main
from appliance.store.store import Store

PASSPHRASE = "correct horse battery"


class Box:
    """An appliance's tree, with settings, a secret, a history of one call, tokens and a recording."""

    def __init__(self, directory: Path) -> None:
        self.root = directory
        self.put("etc/handset/handset.toml", '[device]\nname = "kitchen"\n')
        reference = "file:/etc/handset/secrets/sip.password-1"
        self.put(
            "etc/handset/conf.d/60-setup.toml",
            f'[sip]\nserver = "pbx"\nuser = "1"\npassword = "{reference}"\n',
        )
        self.put("etc/handset/secrets/sip.password-1", "hush-hush\n", 0o600)
        self.put("var/lib/handset/timers.json", "[]")
        self.put("var/lib/handset/tokens.json", '{"tokens": []}', 0o600)
        self.put("var/lib/handset/recordings/a.wav", "RIFF")
        self.say("hello")

    def put(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    def say(self, text: str) -> None:
        store = Store(self.root / "var/lib/handset", lambda *_: None)
        store.open()
        store.flush()
        store.close()
        with closing(sqlite3.connect(self.database)) as database:
            database.execute(
                "INSERT INTO session (id, line, agent, started_at) VALUES (?, 'room', 'assistant', 1)",
                (text,),
            )
            database.commit()

    @property
    def database(self) -> Path:
        return self.root / "var/lib/handset/handset.db"

    def said(self) -> list[str]:
        with closing(sqlite3.connect(self.database)) as database:
            return [row[0] for row in database.execute("SELECT id FROM session ORDER BY id")]

    def run(self, verb: str, *more: str) -> int:
        return main([verb, *more, "--root", str(self.root)])

    def everything(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not path.name.endswith(("-wal", "-shm"))
        }
