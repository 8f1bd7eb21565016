"""What a worker process runs: the app, and a watch over its parent.

A worker imports this module, not what only its parent needs (`workers`). It must not know what
workers share.
"""

import os
import signal
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from threading import Thread

from starlette.applications import Starlette

from gateway.server import create_app, tune_gc
from gateway.settings import Settings
from gateway.telemetry.logs import configure_logging

__all__ = ["serving_app"]


def serving_app(settings: Settings) -> Starlette:
    """The app of one worker process. The process ends when its parent dies."""
    configure_logging(settings.server.log_level, settings.server.log_format)
    tune_gc()
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_with_parent, args=[parent], daemon=True).start()
    return create_app(settings)


def _end_with_parent(parent: BaseProcess) -> None:
    """Drains this worker when its parent dies, since it then has neither store nor successor."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
