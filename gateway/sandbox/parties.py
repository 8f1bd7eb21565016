"""The fictional parties of the example data: the account's numbers, agents, queues and customers.

North American numbers end in 555-0100 to 555-0199; British, Irish and Australian ones are from the
ranges that their regulators reserve for drama. Knows nothing of calls.
"""

from random import Random

MAIN_LINE = "+14155550100"
LINES = {
    MAIN_LINE: "PN5a9d000000000000000000000000a100",
    "+12125550142": "PN5a9d000000000000000000000000a142",
    "+18005550199": "PN5a9d000000000000000000000000a199",
    "+442079460018": "PN5a9d000000000000000000000000b018",
}
"""The account's own numbers and their SIDs: main, sales, toll-free, London."""
TOLL_FREE = "+18005550199"
CAMPAIGN_LINE = "+12125550142"
TRUNK_SID = "TK5a9d0000000000000000000000007001"
GROUP_SID = "GP5a9d0000000000000000000000009001"

AGENTS = (
    "client:tommy",
    "client:amara",
    "client:joana",
    "client:li.wei",
    "sip:kevin@pbx.example.com",
    "sip:desk-07@pbx.example.com",
    "sip:night@pbx.example.com",
    "+16465550171",
    "+16465550172",
    "+447700900461",
)
SUPERVISOR = "client:supervisor"
QUEUES = ("sales", "support", "billing")

_AREAS = ("201", "206", "303", "312", "404", "416", "512", "604", "617", "702", "808", "917")
_ABROAD = ("+442079460", "+441614960", "+447700900", "+353209170", "+61491570")
_GIVEN = ("ADA", "BRAM", "CHIDI", "DOLORES", "EMIL", "FATIMA", "GUNNAR", "HANA", "IVO", "JUNE")
_FAMILY = ("OKAFOR", "LINDQVIST", "MARTINEZ", "NOVAK", "PATEL", "QUINN", "ROSSI", "TANAKA")


def customer(rng: Random) -> str:
    """A customer's number, mostly North American."""
    if rng.random() < 0.85:
        return f"+1{rng.choice(_AREAS)}55501{rng.randrange(100):02}"
    return f"{rng.choice(_ABROAD)}{rng.randrange(1000):03}"


def caller_name(rng: Random) -> str | None:
    """A Caller ID Lookup: a name, no result (""), or, for most calls, no lookup (null)."""
    lookup = rng.random()
    if lookup < 0.3:
        return f"{rng.choice(_FAMILY)} {rng.choice(_GIVEN)}"
    return "" if lookup < 0.4 else None
