"""Twilio's own error answers (FACTS section 7). Knows codes and texts, not formats."""

from collections.abc import Mapping


class TwilioError(Exception):
    """An answer that is an error: raising it anywhere in the sandbox sends it."""

    def __init__(
        self,
        status: int,
        code: int | None,
        message: str,
        *,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail
        self.headers = dict(headers or {})

    def body(self) -> dict[str, object]:
        """The error's properties; ``code`` and ``more_info`` are absent when there is no code."""
        body: dict[str, object] = {"message": self.message, "status": self.status}
        if self.code is not None:
            body["code"] = self.code
            body["more_info"] = f"https://www.twilio.com/docs/errors/{self.code}"
        if self.detail is not None:
            body["detail"] = self.detail
        return body


def unauthorized() -> TwilioError:
    """No credential, or one that is not this account's."""
    return TwilioError(
        401,
        20003,
        "Authenticate",
        detail="Your AccountSid or AuthToken was incorrect.",
        headers={"WWW-Authenticate": 'Basic realm="Twilio API"'},
    )


def not_found(path: str) -> TwilioError:
    """Nothing lives at this path, or nothing that this account may see."""
    return TwilioError(404, 20404, f"The requested resource {path} was not found")


def method_not_allowed(headers: Mapping[str, str] | None = None) -> TwilioError:
    """The seed's "Not supported"."""
    return TwilioError(405, 20004, "Method not allowed", headers=headers)


def too_many_requests() -> TwilioError:
    """More requests at a time than the account may send: this one was not processed."""
    return TwilioError(429, 20429, "Too Many Requests")


def internal() -> TwilioError:
    """The sandbox's own mistake: nothing that a request may contain causes it."""
    return TwilioError(500, 20500, "Internal Server Error")


def invalid(parameter: str) -> TwilioError:
    """A value that cannot be read; answered without a code, as other 2010 resources do."""
    return TwilioError(400, None, f"Invalid {parameter}")
