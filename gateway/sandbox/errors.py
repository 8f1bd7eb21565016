"""Twilio's error responses (docs/twilio.md#7-errors). Knows codes and texts, but no formats."""

from collections.abc import Mapping


class TwilioError(Exception):
    """An error response; raising it anywhere in the sandbox sends it."""

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
        """The error's properties; without a code it has neither ``code`` nor ``more_info``."""
        body: dict[str, object] = {"message": self.message, "status": self.status}
        if self.code is not None:
            body["code"] = self.code
            body["more_info"] = f"https://www.twilio.com/docs/errors/{self.code}"
        if self.detail is not None:
            body["detail"] = self.detail
        return body


def unauthorized() -> TwilioError:
    """The credential is missing or not this account's."""
    return TwilioError(
        401,
        20003,
        "Authenticate",
        detail="Your AccountSid or AuthToken was incorrect.",
        headers={"WWW-Authenticate": 'Basic realm="Twilio API"'},
    )


def not_found(path: str) -> TwilioError:
    """This path has no resource that the account may see."""
    return TwilioError(404, 20404, f"The requested resource {path} was not found")


def method_not_allowed(headers: Mapping[str, str] | None = None) -> TwilioError:
    """The seed's "Not supported"."""
    return TwilioError(405, 20004, "Method not allowed", headers=headers)


def too_many_requests() -> TwilioError:
    """The account exceeds its concurrency limit; the request was not processed."""
    return TwilioError(429, 20429, "Too Many Requests")


def internal() -> TwilioError:
    """A bug in the sandbox; no request may cause it."""
    return TwilioError(500, 20500, "Internal Server Error")


def invalid(parameter: str) -> TwilioError:
    """A parameter cannot be parsed. There is no code, as with other 2010 resources."""
    return TwilioError(400, None, f"Invalid {parameter}")
