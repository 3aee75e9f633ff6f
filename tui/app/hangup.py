"""An app whose terminal has gone goes too, as by SIGHUP: also where that signal is ignored, as under nohup.

Textual reads a closed terminal again and again, a whole core's worth. Experiments live on: they are not the app's.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from threading import Thread


def follow_terminal() -> None:
    """Ends this process with its terminal. To be called in the main thread."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    Thread(target=_until_gone, name="hangup", daemon=True).start()


def _until_gone() -> None:
    poll = select.poll()
    poll.register(sys.stdin, 0)  # a hang-up is told without being asked for
    if any(events & select.POLLHUP for _, events in poll.poll()):
        os.kill(os.getpid(), signal.SIGHUP)
