"""The host key of SSH on the image: made on the box, once, whatever a power cut left of it."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

DROP_IN = Path(__file__).parents[3] / "image/overlay/network/etc/systemd/system/ssh.service.d/handset.conf"
KEY = "ssh_host_ed25519_key"

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="needs ssh-keygen (openssh-client)"
)


def make_key(keys: Path) -> str:
    (line,) = [line for line in DROP_IN.read_text().splitlines() if "ssh-keygen" in line]
    command = shlex.split(line.partition("=")[2].replace("/etc/ssh/keys", str(keys)))
    subprocess.run(command, check=True, timeout=20)
    return (keys / KEY).read_text()


def test_a_key_is_made_once_and_stays(tmp_path):
    first = make_key(tmp_path)
    assert "PRIVATE KEY" in first
    assert (tmp_path / KEY).stat().st_mode & 0o077 == 0
    assert make_key(tmp_path) == first


@pytest.mark.parametrize("left", ["", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz"])
def test_a_key_that_a_power_cut_left_half_is_made_anew(tmp_path, left):
    (tmp_path / KEY).write_text(left)
    (tmp_path / KEY).chmod(0o600)
    assert "END OPENSSH PRIVATE KEY" in make_key(tmp_path)
