"""What systemd is told of the router: that it routes, how it is, that its loop still turns.

The protocol (sd_notify(3)) is a datagram of lines to the socket that NOTIFY_SOCKET names. It is spoken here, because no
library does it better: sdnotify had its last release in 2017, and systemd-python is a C extension that wants systemd's
headers where it is installed. Started by anything but systemd, all of this does nothing.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Final

__all__ = ["ServiceManager"]

logger = logging.getLogger(__name__)

# An idle loop turns once a second.
_TURN_S_MAX: Final = 1.0
# How far a start that makes progress moves its time limit away, and how often it says so.
_EXTEND_S: Final = 60
_PROGRESS_EVERY_S: Final = 5.0


class ServiceManager:
    """The service manager that started this process, if one did.

    Args:
        environ: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are taken out of it: they are not for our children.
        clock: Seconds, of a clock that is never set back.
    """

    def __init__(self, environ: MutableMapping[str, str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        address = environ.pop("NOTIFY_SOCKET", "")
        # A socket in the abstract namespace is written with @.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        watchdog_us, watched = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        # As sd_watchdog_enabled(3) advises, at half the time after which we are taken for stuck; no later, though the
        # next turn may be as far away as it can be.
        self._feed_every_s: float | None = None
        if watchdog_us.isdecimal() and watched in ("", str(os.getpid())):
            self._feed_every_s = max(0.1, int(watchdog_us) / 2_000_000 - _TURN_S_MAX)
        self._fed_s = self._told_s = float("-inf")
        self._is_ready = False
        self._reason: str | None = None

    def recovering(self, records: int) -> None:
        """So many records of the journal have been read; as long as there is progress, the start may take longer."""
        self._progress(f"recovering: {records} records")

    def standing_by(self) -> None:
        """This router waits for another to fall silent, which is all that it was started for."""
        self._is_ready = True
        # Known to differ from why it does not route, so that the takeover is told.
        self._reason = "standing by"
        self._tell("READY=1\nSTATUS=standing by\nWATCHDOG=1")

    def turned(self, not_ready_because: Callable[[], str | None]) -> None:
        """The loop that routes has turned. Cheap: it is called thousands of times a second.

        Args:
            not_ready_because: Asked why no calls are routed; None: they are.
        """
        if not self._address:
            return
        now_s = self._clock()
        if not self._is_ready:
            reason = not_ready_because()
            if reason is not None:
                self._progress(reason)
                return
            self._is_ready = True
            self._fed_s = now_s
            self._tell("READY=1\nSTATUS=routing\nWATCHDOG=1")
        elif self._feed_every_s is not None and now_s - self._fed_s >= self._feed_every_s:
            self._fed_s = now_s
            self._tell("WATCHDOG=1")
        if now_s - self._told_s >= _PROGRESS_EVERY_S:
            self._told_s = now_s
            reason = not_ready_because()
            if reason != self._reason:
                self._reason = reason
                self._tell("STATUS=routing" if reason is None else f"STATUS=not routing: {_one_line(reason)}")

    def stopping(self) -> None:
        """The router has been asked to stop."""
        self._tell("STOPPING=1\nSTATUS=stopping")

    def _progress(self, status: str) -> None:
        now_s = self._clock()
        if self._address and now_s - self._told_s >= _PROGRESS_EVERY_S:
            self._told_s = now_s
            # A standby has started long ago when it takes over: the time to start is over, and the watchdog watches.
            is_alive = "WATCHDOG=1" if self._is_ready else f"EXTEND_TIMEOUT_USEC={_EXTEND_S}000000"
            self._tell(f"STATUS={_one_line(status)}\n{is_alive}")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                # The loop must not wait for a service manager that is busy; the next message will do.
                sender.setblocking(False)
                sender.sendto(message.encode(), self._address)
        except OSError as error:
            logger.warning("systemd was not told %r: %s", message, error)


def _one_line(text: str) -> str:
    # A second line would be read as another message.
    return " ".join(text.split())
