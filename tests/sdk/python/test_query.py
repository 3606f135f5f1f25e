"""Every form in which the client asks for usage, and its exact answer."""

import json
import re

import pytest
from conftest import at
from corehttp.exceptions import ResourceNotFoundError
from openmeter.models import Event, FilterString, MeterQueryRequest

TYPE, SUM = "py.job", "py_sum"
ZONE = "America/Los_Angeles"  # its clocks went forward on 9 March 2025
EXACT = {
    "0.1": "0.1", "1e2": "100", "12345678901234567890.123456789": "12345678901234567890.123456789",
    "0.1234567890123456789012345678": "0.1234567890123456789012345678",
}  # fmt: skip
JOBS = [
    ("03-09T07:30:00", "py-acme", {"region": "eu", "kind": "batch", "seconds": 1.5, "user": "a"}),
    ("03-09T08:00:00", "py-acme", {"region": "eu", "kind": "live", "seconds": "2", "user": "b"}),
    ("03-09T08:00:30", "py-beta", {"region": "us", "kind": "batch", "seconds": 4, "user": "a"}),
    ("03-10T06:59:59", "py-acme", {"region": "us", "kind": "batch", "seconds": 8, "user": "c"}),
    ("03-10T07:00:00", "py-beta", {"region": "eu", "kind": "live", "seconds": 0.1, "user": "b"}),
    ("04-01T00:00:00", "py-acme", {"kind": "live", "seconds": 16, "user": "a"}),
]


@pytest.fixture(scope="module", autouse=True)
def sent(client):
    def meter(slug, aggregation, **more):
        client.meters.create({"slug": slug, "aggregation": aggregation, "eventType": TYPE, **more})

    groups = {"groupBy": {"region": "$.region", "kind": "$.kind"}}
    for aggregation in ("SUM", "AVG", "MIN", "MAX", "LATEST"):
        meter(f"py_{aggregation.lower()}", aggregation, valueProperty="$.seconds", **groups)
    meter("py_users", "UNIQUE_COUNT", valueProperty="$.user")
    meter("py_count", "COUNT")
    meter("py_exact", "SUM", eventType="py.exact", valueProperty="$.amount")
    client.events.ingest_events([
        Event(id=f"py-job-{n}", source="py", specversion="1.0", type=TYPE, subject=subject, time=at(time), data=data)
        for n, (time, subject, data) in enumerate(JOBS)
    ])  # fmt: skip
    # Written as text: a float could not hold these digits.
    exact = [
        {"id": f"py-exact-{amount}", "source": "py", "specversion": "1.0", "type": "py.exact", "subject": amount,
         "time": "2025-03-09T00:00:00Z", "data": {"amount": f"<{amount}>"}}
        for amount in EXACT
    ]  # fmt: skip
    client.events.ingest_events(re.sub(r'"<(.+?)>"', r"\1", json.dumps(exact)).encode())


def windows(result):
    """`(from, to, value)` of rows that are told apart by nothing else."""
    for row in result.data:
        assert (row.subject, row.group_by, row.customer_id) == (None, {}, None)
    return [(row.window_start, row.window_end, row.value) for row in result.data]


def grouped(result, key=None):
    return [(row.group_by[key] if key else row.subject, row.value) for row in result.data]


def test_without_a_window_there_is_one_row_from_the_first_event_to_the_last(client):
    assert client.meters.query_json(SUM).as_dict() == {
        "data": [{"value": 31.6, "windowStart": "2025-03-09T07:30:00Z", "windowEnd": "2025-04-01T00:01:00Z",
                  "subject": None, "groupBy": {}}]
    }  # fmt: skip


def test_every_aggregation_answers_its_number(client):
    names = ("sum", "count", "users", "avg", "min", "max", "latest")
    found = [client.meters.query_json(f"py_{name}").data[0].value for name in names]
    assert found == [31.6, 6.0, 3.0, 5.266666666666667, 0.1, 16.0, 16.0]
    assert all(isinstance(value, (int, float)) for value in found)


def test_from_is_in_to_is_out_and_both_are_echoed(client):
    period = {"from_parameter": at("03-09T08:00:00"), "to": at("03-10T07:00:00")}
    result = client.meters.query_json(SUM, **period)
    assert (result.from_property, result.to, result.window_size) == (period["from_parameter"], period["to"], None)
    assert windows(result) == [(period["from_parameter"], period["to"], 14.0)]


def test_windows_are_those_of_the_calendar(client):
    minute = client.meters.query_json(
        SUM, window_size="MINUTE", from_parameter=at("03-09T08:00:00"), to=at("03-09T08:02:00")
    )
    assert minute.window_size == "MINUTE"
    assert windows(minute) == [(at("03-09T08:00:00"), at("03-09T08:01:00"), 6.0)]
    assert windows(client.meters.query_json(SUM, window_size="HOUR", to=at("03-10T07:00:00"))) == [
        (at("03-09T07:00:00"), at("03-09T08:00:00"), 1.5),
        (at("03-09T08:00:00"), at("03-09T09:00:00"), 6.0),
        (at("03-10T06:00:00"), at("03-10T07:00:00"), 8.0),
    ]
    assert windows(client.meters.query_json(SUM, window_size="DAY")) == [
        (at("03-09T00:00:00"), at("03-10T00:00:00"), 7.5),
        (at("03-10T00:00:00"), at("03-11T00:00:00"), 8.1),
        (at("04-01T00:00:00"), at("04-02T00:00:00"), 16.0),
    ]
    assert windows(client.meters.query_json(SUM, window_size="MONTH")) == [
        (at("03-01T00:00:00"), at("04-01T00:00:00"), 15.6),
        (at("04-01T00:00:00"), at("05-01T00:00:00"), 16.0),
    ]


def test_windows_of_a_time_zone_follow_its_clocks(client):
    days = {"window_size": "DAY", "window_time_zone": ZONE, "to": at("03-11T00:00:00")}
    assert windows(client.meters.query_json(SUM, **days)) == [
        (at("03-08T08:00:00"), at("03-09T08:00:00"), 1.5),
        (at("03-09T08:00:00"), at("03-10T07:00:00"), 14.0),
        (at("03-10T07:00:00"), at("03-11T07:00:00"), 0.1),
    ]
    assert windows(client.meters.query_json(SUM, window_size="MONTH", window_time_zone=ZONE)) == [
        (at("03-01T08:00:00"), at("04-01T07:00:00"), 31.6)
    ]


def test_subjects_and_dimensions_filter_and_tell_rows_apart(client):
    def ask(**query):
        return client.meters.query_json(SUM, **query)

    assert grouped(ask(subject=["py-acme"])) == [("py-acme", 27.5)]
    assert grouped(ask(subject=["py-acme", "py-beta"])) == [("py-beta", 4.1), ("py-acme", 27.5)]
    assert grouped(ask(group_by=["subject"])) == [("py-beta", 4.1), ("py-acme", 27.5)]
    assert ask(subject=["no,such"]).data == []
    assert grouped(ask(group_by=["region"]), "region") == [("", 16.0), ("eu", 3.6), ("us", 12.0)]
    both = ask(group_by=["region", "kind"], subject=["py-beta"])
    assert [row.group_by for row in both.data] == [{"region": "eu", "kind": "live"}, {"region": "us", "kind": "batch"}]
    operators = {"region": {"$in": ["eu", "us"]}, "kind": {"$ne": "live"}}
    assert windows(ask(advanced_meter_group_by_filters=operators))[0][2] == 13.5


def test_a_body_asks_for_the_same_and_for_more(client):
    request = MeterQueryRequest(
        from_property=at("03-09T08:00:00"), to=at("03-11T00:00:00"), window_size="MONTH", window_time_zone=ZONE,
        subject=["py-beta"],
    )  # fmt: skip
    result = client.meters.query(SUM, request)
    assert (result.from_property, result.to, result.window_size) == (request.from_property, request.to, "MONTH")
    [row] = result.data
    shown = (row.subject, row.value, row.window_start, row.window_end)
    assert shown == ("py-beta", 4.1, at("03-01T08:00:00"), at("04-01T07:00:00"))

    def regions(**body):
        return grouped(client.meters.query(SUM, MeterQueryRequest(group_by=["region"], **body)), "region")

    assert regions() == [("", 16.0), ("eu", 3.6), ("us", 12.0)]
    lists = {"region": ["eu", "us"], "kind": ["batch"]}
    assert regions(filter_group_by=lists) == [("eu", 1.5), ("us", 12.0)]

    def operators(**operator):
        filters = {"region": FilterString(**operator)}
        return [name for name, _ in regions(advanced_meter_group_by_filters=filters)]

    assert operators(eq="eu") == ["eu"]
    assert operators(nin=["eu"]) == ["", "us"]
    assert operators(like="_s") == ["us"]
    assert operators(nilike="E%") == ["", "us"]
    assert operators(or_property=[FilterString(eq="us"), FilterString(lt="f", gte=None)]) == ["", "eu", "us"]


def test_csv_has_a_column_for_each_dimension(client):
    march = {"from_parameter": at("03-09T08:00:00"), "to": at("03-10T07:00:00")}
    plain = client.meters.query_csv(SUM, window_size="DAY", **march)
    assert plain == (
        "window_start,window_end,value\n"
        "2025-03-09T00:00:00Z,2025-03-10T00:00:00Z,6.000000\n"
        "2025-03-10T00:00:00Z,2025-03-11T00:00:00Z,8.000000\n"
    )
    heads = {}
    names = client.meters.query_csv(
        SUM, group_by=["region", "subject"], **march, cls=lambda answer, text, head: heads.update(head) or text
    )
    assert names == (
        "window_start,window_end,subject,region,value\n"
        "2025-03-09T08:00:00Z,2025-03-10T07:00:00Z,py-beta,us,4.000000\n"
        "2025-03-09T08:00:00Z,2025-03-10T07:00:00Z,py-acme,eu,2.000000\n"
        "2025-03-09T08:00:00Z,2025-03-10T07:00:00Z,py-acme,us,8.000000\n"
    )
    assert heads == {"content-type": "text/csv"}


def test_csv_by_post_is_refused_because_the_client_sends_no_body(client, refused):
    refused(lambda: client.meters.query_csv_post(SUM), 400, "Bad Request", "request body has an error: ")


def test_nothing_found_is_no_row_but_a_count_of_nothing_is_0(client):
    nothing = {"from_parameter": at("01-01T00:00:00"), "to": at("01-02T00:00:00")}
    assert client.meters.query_json(SUM, **nothing).data == []
    assert windows(client.meters.query_json("py_count", **nothing)) == [(*nothing.values(), 0.0)]
    assert client.meters.query_json("py_count", subject=["py-acme"], **nothing).data == []


def test_every_digit_is_kept(client):
    def text(amount):
        return client.meters.query_json(
            "py_exact", subject=[amount], cls=lambda answer, *_: answer.http_response.text()
        )

    assert {amount: re.search(r'"value":([^,}]+)', text(amount)).group(1) for amount in EXACT} == EXACT


def test_the_progress_of_a_query_is_found_by_the_id_that_the_client_gave_it(client, refused):
    client.meters.query_json(SUM, client_id="py-progress")
    progress = client.progress.get_progress("py-progress")
    assert progress.failed == 0 and progress.success == progress.total
    assert progress.updated_at.tzinfo is not None
    missing = "not found error: progress not found for id: py-never"
    refused(lambda: client.progress.get_progress("py-never"), 404, "Not Found", missing, ResourceNotFoundError)


def test_a_query_that_cannot_be_answered_says_why(client, refused):
    bad, from_ = (400, "Bad Request"), at("03-09T00:00:00")

    def ask(**query):
        return lambda: client.meters.query_json(SUM, **query)

    def post(**body):
        return lambda: client.meters.query(SUM, body)

    missing = "not found error: meter not found: py_none"
    refused(lambda: client.meters.query_json("py_none"), 404, "Not Found", missing, ResourceNotFoundError)
    refused(lambda: client.meters.query_csv("py_none"), 404, "Not Found", missing, ResourceNotFoundError)
    refused(ask(window_size="WEEK"), *bad, 'parameter "windowSize" in query has an error: ')
    refused(post(windowSize="WEEK"), *bad, '"/windowSize"')
    equal, turned = "validation error: from and to cannot be equal", "validation error: from must be before to"
    error = refused(ask(from_parameter=from_, to=from_), *bad, equal)
    assert (error.model.title, error.model.detail) == ("Bad Request", equal)
    refused(ask(from_parameter=from_, to=at("03-08T00:00:00")), *bad, turned)
    refused(post(**{"from": "2025-03-09T00:00:00Z", "to": "2025-03-08T00:00:00Z"}), *bad, turned)
    refused(ask(window_time_zone="Mars/Base"), *bad, "validation error: invalid time zone: ")
    refused(ask(group_by=["none"]), *bad, "validation error: invalid group by: none")
    # The client writes this as one text that is no filter: better refused than answered without it.
    refused(ask(filter_group_by={"region": "eu"}), *bad, "filterGroupBy")
    none = {"none": {"$eq": "a"}}
    refused(ask(advanced_meter_group_by_filters=none), *bad, "validation error: meter does not have group by: none")
