"""The image boots: a supervised service on a read-only root, with its state on a data partition that has grown.

These are one story, told in order: the box boots once.
"""

import re

from tests.image.conftest import KEY
from tests.image.machine import CARD_BYTES, Machine

MOUNTS = "/proc/self/mounts"


def test_it_answers_over_the_network(box: Machine):
    waited = box.ready()
    print(f"answers {waited:.0f} s after it was switched on, {box.uptime():.0f} s by its own clock")


def test_all_that_is_configured_can_be_used(box: Machine):
    waited = box.ready(path="/ready")
    print(f"ready {waited:.0f} s later, {box.uptime():.0f} s after it was switched on by its own clock")


def test_all_services_are_up(box: Machine):
    box.shell("systemctl is-system-running --wait", check=False, seconds=1800)
    assert box.shell("systemctl list-units --failed --plain --no-legend", check=False) == ""
    assert box.shell("systemctl is-active handset.service") == "active"


def test_the_settings_on_the_card_are_in_force(box: Machine):
    assert box.shell("hostname; cat /etc/hostname") == "kitchen\nkitchen"
    assert "Europe/Vienna" in box.shell("readlink /etc/localtime /data/state/localtime", check=False)
    assert box.shell("handset config | grep -c 0.0.0.0") == "1"


def test_keys_are_no_longer_on_the_card(box: Machine):
    assert KEY not in box.shell("cat /boot/firmware/handset.toml")
    assert "fault" not in box.shell("cat /boot/firmware/handset-result.txt").lower()


def test_the_daemon_says_which_version_it_is(box: Machine):
    assert re.search(r"0\.\d+", box.shell("handset version"))


def test_the_root_is_read_only(box: Machine):
    assert re.search(r"^\S+ / ext4 ro", box.shell(f"cat {MOUNTS}"), re.MULTILINE)
    assert "Read-only" in box.shell("touch /usr/x", check=False)


def test_the_data_partition_has_grown_over_the_card(box: Machine):
    assert not box.shell("ls /run/handset-data-lost 2>/dev/null", check=False)
    size = int(box.shell("df --output=size -B1 /data | tail -n 1"))
    assert size > 0.4 * CARD_BYTES


def test_what_is_to_last_lies_on_the_data_partition(box: Machine):
    mounts = box.shell(f"cat {MOUNTS}")
    for path in ("/etc/machine-id", "/etc/handset", "/opt/handset", "/var/lib/handset", "/etc/credstore"):
        assert re.search(rf"^\S+ {path} ext4 rw", mounts, re.MULTILINE), f"{path} is not on /data"


def test_nothing_of_the_build_machine_is_in_it(box: Machine):
    assert re.fullmatch(r"[0-9a-f]{32}", box.shell("cat /etc/machine-id"))
    assert box.shell("ls /etc/ssh/ssh_host_* 2>/dev/null", check=False) == ""
    assert box.shell("awk -F: '$2 !~ /^[!*]/ {print $1}' /etc/shadow") == ""
    assert box.shell("grep -rhE '^deb ' /etc/apt 2>/dev/null", check=False) == ""


def test_the_hardware_watchdog_guards_the_machine(box: Machine):
    assert "/dev/watchdog" in box.shell("systemctl show --property=WatchdogDevice")


def test_the_sip_engine_is_the_one_that_was_cross_compiled(box: Machine):
    code = "import pjsua2; e = pjsua2.Endpoint(); e.libCreate(); print(e.libVersion().full); e.libDestroy()"
    said = box.shell(f"PYTHONPATH=/opt/handset/current/site python3 -P -c '{code}'")
    assert "2.1" in said


def test_the_daemon_is_given_a_credential_that_its_owner_stores(box: Machine):
    box.shell(
        "printf %s a-key | install -m 600 /dev/stdin /etc/credstore/handset.gemini; systemctl restart handset"
    )
    assert box.shell("ls /run/credentials/handset.service") == "handset.gemini"
    box.shell("rm /etc/credstore/handset.gemini; systemctl restart handset")
    box.ready(path="/ready")
