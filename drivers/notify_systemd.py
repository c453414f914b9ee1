"""systemd's notification socket, through systemd's own library."""

from systemd import daemon


class SystemdServiceManager:
    """Implements interfaces.ServiceManager. libsystemd itself knows of files, abstract names and $NOTIFY_SOCKET."""

    def notify(self, *lines: str) -> bool:
        try:
            return bool(daemon.notify("\n".join(line.replace("\n", " ") for line in lines)))
        except OSError:
            # A service manager that cannot be reached is no reason to stop.
            return False
