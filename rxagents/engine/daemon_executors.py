"""An executor that takes work at any time, and keeps no program from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

__all__ = ["DaemonExecutor"]


class DaemonExecutor(ThreadPoolExecutor):
    """Runs each job in a daemon thread of its own.

    The stock executor refuses work once the main thread is done, and then no host name could be
    looked up any more while a script's last subscription is still streaming.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=job, name="rxagents-job", daemon=True).start()
        return future
