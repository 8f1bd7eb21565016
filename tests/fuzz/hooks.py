"""What schemathesis is told of our codes: it knows Apollo's, and takes any other for the server's.

It loads this module by the environment variable SCHEMATHESIS_HOOKS.
"""

import json
from typing import Any

import schemathesis
from schemathesis import Case, HookContext, Response

from gateway.errors import BadUserInput, InvalidCursor, InvalidFilter, LimitExceeded

CALLERS = {error.code for error in (InvalidCursor, InvalidFilter, LimitExceeded)}


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """An error that is the caller's says so in a word that schemathesis knows."""
    answer = json.loads(response.content)
    for error in answer.get("errors", ()):
        if error["extensions"]["code"] in CALLERS:
            error["extensions"]["code"] = BadUserInput.code
    response.content = json.dumps(answer).encode()
