"""Each edge: the response and the exact upstream requests."""

from tests.conftest import connect
from tests.plain_twilio import PlainTwilio, call, notification, recording, sid

PARENT = "status direction sid"


def two_leg_account() -> PlainTwilio:
    """Inbound call 1 dialed 2; older calls 3 and 5; 4 is a child of 9, off the page."""
    return PlainTwilio(
        calls=[
            call(2, at=30, parent_call_sid=sid("CA", 1), direction="outbound-dial"),
            call(4, at=20, parent_call_sid=sid("CA", 9), direction="outbound-dial"),
            call(1, at=10),
            call(3, at=0),
            call(5, at=-50),
            call(9, at=-100),
        ],
        recordings=[recording(1, of=1), recording(2, of=3)],
        notifications=[notification(1, of=1), notification(2, of=None)],
    )


async def test_one_call_is_one_request() -> None:
    twilio = two_leg_account()
    async with connect(twilio) as client:
        data = await client.data(f'{{ call(sid: "{sid("CA", 1)}") {{ sid duration price }} }}')

    assert data["call"] == {"sid": sid("CA", 1), "duration": 60, "price": "-0.00850"}
    assert twilio.asked() == [f"GET Calls/{sid('CA', 1)}"]


async def test_a_call_that_is_gone_is_null() -> None:
    twilio = two_leg_account()
    async with connect(twilio) as client:
        assert await client.data(f'{{ call(sid: "{sid("CA", 77)}") {{ sid }} }}') == {"call": None}


async def test_a_parent_on_the_page_is_known_and_one_off_the_page_is_one_request() -> None:
    twilio = two_leg_account()
    async with connect(twilio) as client:
        data = await client.data("{ calls(first: 4) { nodes { sid parentCall { sid } } } }")

    parents = {node["sid"][-1]: node["parentCall"] for node in data["calls"]["nodes"]}
    assert parents == {
        "2": {"sid": sid("CA", 1)},
        "4": {"sid": sid("CA", 9)},
        "1": None,
        "3": None,
    }
    assert twilio.asked() == [f"GET Calls/{sid('CA', 9)}", "GET Calls?PageSize=5"]


async def test_children_of_the_newest_calls_are_known_from_the_list_itself() -> None:
    twilio = two_leg_account()
    async with connect(twilio) as client:
        data = await client.data(
            "{ calls(first: 4) { nodes { sid childCalls { nodes { sid } } } } }"
        )

    children = {node["sid"][-1]: node["childCalls"]["nodes"] for node in data["calls"]["nodes"]}
    assert children == {"2": [], "4": [], "1": [{"sid": sid("CA", 2)}], "3": []}
    assert twilio.asked() == ["GET Calls?PageSize=5"]


async def test_children_of_a_filtered_list_are_asked_per_key() -> None:
    twilio = two_leg_account()
    async with connect(twilio) as client:
        data = await client.data(
            "{ calls(first: 1, filter: {status: [COMPLETED], to: "
            '"+18005550100"}) { nodes { childCalls { nodes { sid } } } } }'
        )

    assert data["calls"]["nodes"] == [{"childCalls": {"nodes": []}}]
    assert twilio.asked() == [
        f"GET Calls?ParentCallSid={sid('CA', 2)}&PageSize=51",
        "GET Calls?To=+18005550100&Status=completed&PageSize=2",
    ]


async def test_an_outbound_call_that_was_never_answered_has_no_children_without_asking() -> None:
    twilio = PlainTwilio(calls=[call(1, direction="outbound-api", status="busy", duration="0")])
    async with connect(twilio) as client:
        data = await client.data(
            f'{{ call(sid: "{sid("CA", 1)}") {{ childCalls {{ nodes {{ sid }} }} }} }}'
        )

    assert data == {"call": {"childCalls": {"nodes": []}}}
    assert twilio.asked() == [f"GET Calls/{sid('CA', 1)}"]


async def test_a_list_out_of_order_is_no_evidence_about_children() -> None:
    """A call is below a newer one: the order that *known* relies on is missing."""
    twilio = PlainTwilio(calls=[call(1, at=0), call(2, at=9, parent_call_sid=sid("CA", 1))])
    async with connect(twilio) as client:
        data = await client.data("{ calls(first: 2) { nodes { childCalls { nodes { sid } } } } }")

    assert data["calls"]["nodes"][0] == {"childCalls": {"nodes": [{"sid": sid("CA", 2)}]}}
    assert len([r for r in twilio.asked() if "ParentCallSid" in r]) == 2


CHILDREN = "{ calls(first: 2) { nodes { sid childCalls { nodes { sid } } } } }"


async def test_a_child_of_its_parents_second_on_the_next_page_is_not_missing() -> None:
    """The list says nothing of the order within a second: the next page shows what else is in it.

    One call alone is asked for as fast; two are one page.
    """
    twilio = PlainTwilio(
        calls=[
            call(9, at=9),
            call(1, at=0),
            call(3, at=0),
            call(2, at=0, parent_call_sid=sid("CA", 1), direction="outbound-dial"),
            call(8, at=-9),
        ]
    )
    async with connect(twilio) as client:
        data = await client.data(CHILDREN)
        assert twilio.asked() == [
            "GET Calls?PageSize=3",
            f"GET Calls?ParentCallSid={sid('CA', 1)}&PageSize=51",
        ]
        both = await client.data(CHILDREN.replace("first: 2", "first: 3"))

    assert data["calls"]["nodes"][1]["childCalls"]["nodes"] == [{"sid": sid("CA", 2)}]
    assert both["calls"]["nodes"][1]["childCalls"]["nodes"] == [{"sid": sid("CA", 2)}]
    assert twilio.asked() == [
        "GET Calls?PageSize=4",
        f"GET Calls?PageSize=50&Page=1&PageToken=PA{sid('CA', 2)}",
    ]


async def test_a_child_below_a_parent_that_was_answered_last_is_not_missing() -> None:
    """The list is ordered by start (answerOnBridge): rows in between were created long before."""
    parent = call(1, at=0) | {"start_time": call(0, at=20)["start_time"]}
    queued = call(3, at=-60) | {"start_time": call(0, at=15)["start_time"]}
    child = call(2, at=5, parent_call_sid=sid("CA", 1), direction="outbound-dial")
    twilio = PlainTwilio(
        calls=[parent, queued, child | {"start_time": call(0, at=10)["start_time"]}]
    )
    async with connect(twilio) as client:
        data = await client.data(CHILDREN.replace("first: 2", "first: 1"))

    assert data["calls"]["nodes"][0]["childCalls"]["nodes"] == [{"sid": sid("CA", 2)}]


async def test_a_second_page_is_not_the_top_so_its_children_are_asked_per_key() -> None:
    twilio = two_leg_account()
    async with connect(twilio) as client:
        page = "{ calls(first: 2) { pageInfo { endCursor } } }"
        after = (await client.data(page))["calls"]["pageInfo"]["endCursor"]
        twilio.asked()
        await client.data(
            "query($after: String) { calls(first: 2, after: $after) "
            "{ nodes { childCalls { nodes { sid } } } } }",
            after=after,
        )

    assert twilio.asked() == [
        f"GET Calls?PageSize=3&Page=1&PageToken=PA{sid('CA', 4)}",
        f"GET Calls?ParentCallSid={sid('CA', 1)}&PageSize=51",
        f"GET Calls?ParentCallSid={sid('CA', 3)}&PageSize=51",
    ]


async def test_recordings_and_notifications_are_one_request_per_call() -> None:
    twilio = two_leg_account()
    async with connect(twilio) as client:
        data = await client.data(
            f"""{{ call(sid: "{sid("CA", 1)}") {{
                recordings {{ nodes {{ sid track status source call {{ sid }} }} }}
                notifications {{ nodes {{ sid log errorCode }} }}
            }} }}"""
        )

    assert data["call"] == {
        "recordings": {
            "nodes": [
                {
                    "sid": sid("RE", 1),
                    "track": "BOTH",
                    "status": "COMPLETED",
                    "source": "RECORD_VERB",
                    "call": {"sid": sid("CA", 1)},
                }
            ]
        },
        "notifications": {"nodes": [{"sid": sid("NO", 1), "log": "WARNING", "errorCode": 15003}]},
    }
    assert twilio.asked() == [
        f"GET Calls/{sid('CA', 1)}",
        f"GET Calls/{sid('CA', 1)}/Notifications?PageSize=51",
        f"GET Calls/{sid('CA', 1)}/Recordings?PageSize=51",
    ]


async def test_notifications_of_one_level_ask_upstream_for_that_level() -> None:
    twilio = two_leg_account()
    async with connect(twilio) as client:
        data = await client.data(
            f'{{ call(sid: "{sid("CA", 1)}") {{ notifications(log: ERROR) {{ nodes {{ sid }} }}}}}}'
        )

    assert data["call"]["notifications"]["nodes"] == []
    assert f"GET Calls/{sid('CA', 1)}/Notifications?Log=0&PageSize=51" in twilio.asked()


async def test_a_property_that_the_list_form_lacks_is_fetched_on_its_own() -> None:
    twilio = two_leg_account()
    async with connect(twilio) as client:
        data = await client.data(
            f"""{{ call(sid: "{sid("CA", 1)}") {{
                recordings {{ nodes {{ mediaUrl }} }}
                notifications {{ nodes {{ requestVariables responseBody responseHeaders }} }}
            }} }}"""
        )

    assert data["call"]["recordings"]["nodes"][0]["mediaUrl"].endswith(sid("RE", 1))
    assert data["call"]["notifications"]["nodes"] == [
        {"requestVariables": "a=1", "responseBody": None, "responseHeaders": "b=2"}
    ]
    asked = twilio.asked()
    assert [r for r in asked if r.startswith(("GET Rec", "GET Not"))] == [
        f"GET Notifications/{sid('NO', 1)}",
        f"GET Recordings/{sid('RE', 1)}",
    ]


async def test_the_track_of_a_recording_read_by_its_sid_comes_from_its_calls_form() -> None:
    twilio = two_leg_account()
    async with connect(twilio) as client:
        data = await client.data(f'{{ recording(sid: "{sid("RE", 1)}") {{ track }} }}')

    assert data == {"recording": {"track": "BOTH"}}
    assert twilio.asked() == [
        f"GET Calls/{sid('CA', 1)}/Recordings/{sid('RE', 1)}",
        f"GET Recordings/{sid('RE', 1)}",
    ]


async def test_aliases_and_levels_of_one_operation_share_their_rows() -> None:
    """Two sizes of one list, two aliases of one call, the same recordings two levels apart."""
    twilio = two_leg_account()
    async with connect(twilio) as client:
        data = await client.data(
            f"""{{
                few: calls(first: 1) {{ nodes {{ sid }} }}
                many: calls(first: 4) {{ nodes {{ sid recordings {{ nodes {{ sid }} }}
                    parentCall {{ sid recordings(first: 1) {{ nodes {{ sid }} }} }} }} }}
                again: calls(first: 4) {{ nodes {{ sid }} }}
                one: call(sid: "{sid("CA", 3)}") {{ sid }}
                same: call(sid: "{sid("CA", 3)}") {{ sid }}
            }}"""
        )

    assert len(data["few"]["nodes"]) == 1
    assert len(data["many"]["nodes"]) == len(data["again"]["nodes"]) == 4
    *others, covering = twilio.asked()
    assert others == [
        f"GET Calls/{sid('CA', 3)}",
        f"GET Calls/{sid('CA', 9)}",
        "GET Calls?PageSize=5",
    ]
    # How large it is depends on how long the first answers took.
    assert covering.startswith("GET Recordings?DateCreated=2026-03-10&PageSize=")


async def test_levels_whose_rows_are_known_are_asked_in_one_round() -> None:
    """Recordings of calls, of their parents and of their children leave in the same turn."""
    twilio = two_leg_account()
    twilio.delay = 0.05
    most = 0

    def watch(_request: object) -> None:
        nonlocal most
        most = max(most, twilio.in_flight)

    twilio.fault = watch
    async with connect(twilio) as client:
        await client.data(
            """{ calls(first: 3) { nodes {
                recordings { nodes { track } }
                parentCall { notifications { nodes { sid } } }
                childCalls { nodes { notifications { nodes { sid } }
                    parentCall { notifications { nodes { sid } } } } }
            } } }"""
        )

    # three calls' recordings, notifications of 1 (parent) and 2 (child) in one, the parent of 4
    assert most == 5
