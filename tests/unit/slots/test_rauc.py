"""What RAUC prints is told in its own words; a bundle is known by how it begins."""

import json

import pytest

from appliance.errors import ReleaseRefused
from provisioning.release.service import read
from provisioning.slots.rauc import _name, is_bundle, refusal

INSTALL = """\
installing
  0% Installing
 20% Checking bundle failed.
100% Installing failed.
LastError: signature verification failed: Verify error: self-signed certificate in certificate chain
Installing `/tmp/x.raucb` failed
"""


def test_the_reason_is_what_rauc_calls_its_last_error():
    assert refusal(INSTALL).startswith("signature verification failed")
    assert refusal("one\n\nD-Bus is not there\n") == "D-Bus is not there"
    assert refusal("") == ""


def test_a_bundle_begins_as_a_squashfs(tmp_path):
    (tmp_path / "x.raucb").write_bytes(b"hsqs" + bytes(100))
    (tmp_path / "x.tar.xz").write_bytes(b"\xfd7zXZ\0")
    assert is_bundle(tmp_path / "x.raucb")
    assert not is_bundle(tmp_path / "x.tar.xz")
    assert not is_bundle(tmp_path / "nothing")


def test_slots_are_found_by_the_boot_loaders_names():
    status = json.dumps({"slots": [{"rootfs.1": {"bootname": "B"}}, {"rootfs.0": {"bootname": "A"}}]})
    assert _name(status, "B") == "rootfs.1"
    for broken in ("{", "{}", json.dumps({"slots": []})):
        with pytest.raises(ReleaseRefused):
            _name(broken, "B")


@pytest.mark.parametrize(("status", "refused"), [("78", True), ("2", True), ("1", False)])
def test_a_daemon_that_ended_over_its_configuration_is_told_apart(status, refused):
    unit = {"ActiveState": "failed", "NRestarts": "0", "MainPID": "0", "ExecMainStatus": status}
    assert read(unit, None).refused is refused
