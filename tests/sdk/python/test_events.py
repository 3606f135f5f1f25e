"""Ingest in the client's three forms, and both lists of events."""

import datetime
import json

import pytest
from conftest import minutes_ago
from openmeter.models import Event

TYPE, SUBJECT = "py.event", "py-events"


def event(event_id, time=None, subject=SUBJECT, **more):
    return Event(id=event_id, source="py", specversion="1.0", type=TYPE, subject=subject, time=time, **more)


@pytest.fixture(scope="module")
def times():
    return [minutes_ago(30), minutes_ago(20), minutes_ago(10)]


@pytest.fixture(scope="module", autouse=True)
def sent(client, times):
    client.meters.create({"slug": "py_events", "aggregation": "COUNT", "eventType": TYPE})
    assert client.events.ingest_event(event("py-1", times[0], data={"tokens": 1, "nested": {"a": [1, None]}})) is None
    assert client.events.ingest_events([event("py-2", times[1]), event("py-3", times[2])]) is None


def ids(rows):
    return [row.event.id for row in rows]


def test_events_are_listed_newest_first_as_they_were_sent(client, times):
    rows = client.events.list(subject=SUBJECT)
    assert ids(rows) == ["py-3", "py-2", "py-1"]
    assert dict(rows[2].event) == {
        "id": "py-1", "source": "py", "specversion": "1.0", "type": TYPE, "subject": SUBJECT,
        "time": times[0].strftime("%Y-%m-%dT%H:%M:%SZ"),
        "datacontenttype": "application/json", "data": {"tokens": 1, "nested": {"a": [1, None]}},
    }  # fmt: skip
    assert rows[2].event.time == times[0]
    assert isinstance(rows[0].ingested_at, datetime.datetime) and isinstance(rows[0].stored_at, datetime.datetime)
    assert rows[0].validation_error == f"no customer found for event subject: {SUBJECT}", "nothing else is wrong"


def test_the_list_is_narrowed_by_period_part_of_an_id_and_number(client, times):
    def found(**query):
        return ids(client.events.list(subject=SUBJECT, **query))

    assert found(from_parameter=times[1]) == ["py-3", "py-2"]
    assert found(from_parameter=times[0], to=times[2]) == ["py-2", "py-1"]
    assert found(id="y-2") == ["py-2"]
    assert found(limit=1) == ["py-3"]
    assert found(ingested_at_from=minutes_ago(60), ingested_at_to=minutes_ago(50)) == []


def test_plain_json_takes_one_event_or_many(client):
    one, many = event("py-json-1", subject="py-json"), [event(f"py-json-{n}", subject="py-json") for n in (2, 3)]
    client.events.ingest_events_json(one)
    client.events.ingest_events_json(many)
    assert sorted(ids(client.events.list(subject="py-json"))) == ["py-json-1", "py-json-2", "py-json-3"]


def test_an_event_sent_again_counts_once(client, times):
    client.events.ingest_events([event("py-1", times[2]), event("py-1", times[2])])
    [row] = client.meters.query_json("py_events", subject=[SUBJECT]).data
    assert row.value == 3.0


def test_an_event_without_a_meter_says_so_in_the_list(client):
    unknown = Event(id="py-unknown", source="py", specversion="1.0", type="py.unknown", subject="py-unknown")
    client.events.ingest_event(unknown)
    [row] = client.events.list(subject="py-unknown")
    assert row.validation_error.split("\n")[0] == "no meter found for event type: py.unknown"


def test_the_second_list_pages_by_itself_and_filters_by_json(client, times):
    def found(limit=None, **names):
        return ids(client.events_v2.list(limit=limit, filter=names))

    assert found(limit=2, subject={"$eq": SUBJECT}) == ["py-3", "py-2", "py-1"]
    pages = client.events_v2.list(limit=2, filter={"subject": {"$eq": SUBJECT}}).by_page()
    assert [ids(page) for page in pages] == [["py-3", "py-2"], ["py-1"]]
    before_second = {"$lt": times[1].isoformat()}
    assert found(subject={"$like": "py-ev%"}, time=before_second) == ["py-1"]
    assert found(id={"$in": ["py-1", "py-3", "none"]}) == ["py-3", "py-1"]


def test_what_cannot_be_taken_is_refused_by_name(client, refused):
    for broken in ({"subject": ""}, {"id": ""}, {"specversion": "9"}):
        names = {"id": "py-x", "source": "py", "specversion": "1.0", "type": TYPE, "subject": SUBJECT, **broken}
        error = refused(lambda: client.events.ingest_event(names), 400, "Bad Request", next(iter(broken)))
        assert (error.model.title, error.model.status) == ("Bad Request", 400)
    whole = [event("py-whole"), event("py-half", subject="")]
    refused(lambda: client.events.ingest_events(whole), 400, "Bad Request", "subject")
    assert client.events.list(id="py-whole") == [], "a batch is taken whole or not at all"
    not_json = dict(content_type="application/cloudevents+json")
    refused(lambda: client.events.ingest_event(b"{", **not_json), 400, "Bad Request", "")
    refused(lambda: client.events.list(limit=101), 400, "Bad Request", 'parameter "limit" in query has an error: ')
    wrong = {"time": {"$lt": "yesterday"}}
    refused(lambda: ids(client.events_v2.list(filter=wrong)), 400, "Bad Request", "")


def test_the_body_of_a_listed_event_is_json_text_of_every_digit(client):
    digits = "12345678901234567890.123456789"
    body = event("py-digits", subject="py-digits")
    text = json.dumps({**body, "data": {"amount": "DIGITS"}}).replace('"DIGITS"', digits)
    client.events.ingest_event(text.encode())
    listed = client.events.list(subject="py-digits", cls=lambda answer, *_: answer.http_response.text())
    assert f'"amount":{digits}' in listed.replace(" ", "")
