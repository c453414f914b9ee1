"""A stand-in for nmcli and the NetworkManager behind it, as a program: its world is a JSON file.

What it prints, escapes and refuses is what nmcli 1.42 does for the few commands that we use.
World: {"devices": [[name, type]], "air": {ssid: {"password", "signal"}}, "cable": bool, "active": name,
"directories": those with keyfiles, "busy": how often it does not take note of connections}
"""

import configparser
import json
import sys
from pathlib import Path
from typing import Any

ACTIVATION_FAILED = 4


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


class Manager:
    def __init__(self, world: Path) -> None:
        self.path = world
        self.world: dict[str, Any] = json.loads(world.read_text())

    def save(self) -> None:
        self.path.write_text(json.dumps(self.world))

    def connections(self) -> dict[str, configparser.ConfigParser]:
        found = {}
        for directory in self.world["directories"]:
            for path in sorted(Path(directory).glob("*.nmconnection")):
                if path.stat().st_mode & 0o077:
                    continue  # as NetworkManager does: such a file is not loaded
                file = configparser.ConfigParser(interpolation=None)
                file.read(path)
                found[file["connection"]["id"]] = file
        return found

    def activate(self, name: str) -> bool:
        file = self.connections().get(name)
        if file is None:
            return False
        if file["wifi"].get("mode") != "ap":
            ssid = file["wifi"]["ssid"]
            if ssid.endswith(";"):
                ssid = bytes(int(one) for one in ssid.strip(";").split(";")).decode()
            there = self.world["air"].get(ssid)
            if there is None or there["password"] != file["wifi-security"].get("psk", ""):
                return False
        self.world["active"] = name
        return True

    def reload(self) -> None:
        """Loads what is new, lets go of what is gone, and joins what can be joined by itself."""
        if self.world["active"] not in self.connections():
            self.world["active"] = ""
        if not self.world["active"]:
            for name, file in self.connections().items():
                if file["connection"].get("autoconnect") != "false" and self.activate(name):
                    return

    def devices(self) -> list[list[str]]:
        rows = []
        for name, kind in self.world["devices"]:
            if kind == "ethernet":
                rows.append([name, kind, "connected" if self.world["cable"] else "unavailable", ""])
            else:
                active = self.world["active"]
                rows.append([name, kind, "connected" if active else "disconnected", active])
        return [*rows, ["lo", "loopback", "connected (externally)", "lo"]]


def main(arguments: list[str]) -> int:
    manager = Manager(Path(arguments[0]))
    words = [word for word in arguments[1:] if not word.startswith("--") and word != "yes"]
    if "--fields" in arguments:
        words.pop(0)
    match words:
        case ["device"]:
            rows = manager.devices()
        case ["device", "wifi", "list"]:
            ap = manager.world["active"] == "handset-hotspot"
            air = {} if ap else manager.world["air"]
            rows = [
                [ssid, str(one["signal"]), "WPA2" if one["password"] else ""] for ssid, one in air.items()
            ]
        case ["device", "show"]:
            print("GENERAL.DEVICE:eth0\nGENERAL.HWADDR:B8:27:EB:12:3F:2A")
            for number, (name, value) in enumerate(manager.world.get("lease", {}).items(), 1):
                print(f"DHCP4.OPTION[{number}]:{name} = {value}")
            rows = []
        case ["connection", "show"]:
            files = manager.connections().items()
            kinds = {"wifi": "802-11-wireless", "ethernet": "802-3-ethernet"}
            forgotten = [] if manager.world["active"] in manager.connections() else [manager.world["active"]]
            rows = [[name, "802-11-wireless", "no"] for name in forgotten if name]
            rows += [
                [
                    name,
                    kinds[file["connection"]["type"]],
                    "no" if "autoconnect" in file["connection"] else "yes",
                ]
                for name, file in files
            ]
        case ["connection", "reload"] if manager.world.get("busy"):
            manager.world["busy"] -= 1
            manager.save()
            print("Error: failed to reload connections: Timeout was reached.", file=sys.stderr)
            return 1
        case ["connection", "reload"]:
            manager.reload()
            rows = []
        case ["connection", "up", name]:
            if not manager.activate(name):
                print(f"Error: unknown connection '{name}'.", file=sys.stderr)
                return ACTIVATION_FAILED
            rows = []
        case _:
            print(f"Error: argument '{' '.join(words)}' not understood.", file=sys.stderr)
            return 2
    for row in rows:
        print(":".join(map(escaped, row)))
    manager.save()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
