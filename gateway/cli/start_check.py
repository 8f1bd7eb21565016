"""Reads the account once beside the start, and ends a gateway whose credential Twilio refuses.

A thread of its own reads, so that the gateway is ready without Twilio's answer, with one process
and with several. This module must not know how an account is read.
"""

import asyncio
import os
import signal
import sys
from threading import Thread

from gateway.server import check_credential
from gateway.settings import Settings, SettingsError

__all__ = ["StartCheck"]


class StartCheck:
    """The check of one start. A refusal sends SIGTERM to the process, which then drains."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._refusal: SettingsError | None = None

    def start(self) -> None:
        """Begins to read."""
        Thread(target=self._check, daemon=True).start()

    def exit(self, *_: object) -> None:
        """Handles SIGTERM, which uvicorn raises again after its last response: exit code 0."""
        self.raise_refusal()
        sys.exit(0)

    def raise_refusal(self) -> None:
        """Raises SettingsError if Twilio has refused the credential."""
        if self._refusal is not None:
            raise self._refusal

    def _check(self) -> None:
        try:
            asyncio.run(check_credential(self._settings))
        except SettingsError as error:
            self._refusal = error
            os.kill(os.getpid(), signal.SIGTERM)
