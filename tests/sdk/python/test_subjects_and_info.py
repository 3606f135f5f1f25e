"""Subjects, and what else the client can ask."""

import datetime

from conftest import minutes_ago
from corehttp.exceptions import ResourceNotFoundError
from openmeter.models import Event, SubjectUpsert

ADDED = ("id", "createdAt", "updatedAt")


def rest(subject):
    assert len(subject.id) == 26
    assert isinstance(subject.created_at, datetime.datetime) and subject.updated_at >= subject.created_at
    return {name: value for name, value in subject.items() if name not in ADDED}


def missing(key):
    return f"not found error: subject not found [namespace=default subject.idOrKey={key}]"


def test_a_subject_is_created_changed_in_part_and_deleted(client, refused):
    one = SubjectUpsert(key="py-one", display_name="One", metadata={"tier": "gold", "seats": 3})
    [created] = client.subjects.upsert([one])
    assert rest(created) == {"key": "py-one", "displayName": "One", "metadata": {"tier": "gold", "seats": 3}}

    period = minutes_ago(0)
    change = SubjectUpsert(key="py-one", stripe_customer_id="cus_1", current_period_start=period)
    [changed] = client.subjects.upsert([change])
    assert changed.id == created.id
    assert rest(changed) == {**rest(created), "stripeCustomerId": "cus_1"}
    assert client.subjects.get("py-one") == client.subjects.get(created.id) == changed

    assert client.subjects.delete("py-one") is None
    refused(lambda: client.subjects.get("py-one"), 404, "Not Found", missing("py-one"), ResourceNotFoundError)
    assert client.subjects.get(created.id).deleted_at is not None


def test_many_subjects_come_back_in_the_order_sent_and_are_listed_by_id(client):
    keys = ["py-b", "py-a", "py a path", "py-c"]
    made = client.subjects.upsert([{"key": key} for key in keys])
    assert [subject.key for subject in made] == keys
    assert client.subjects.get("py a path").id == made[2].id
    listed = client.subjects.list()
    assert [subject.id for subject in listed] == sorted(subject.id for subject in listed)
    assert sorted(subject.key for subject in listed if subject.key.startswith("py")) == sorted(keys)


def test_a_subject_that_breaks_a_rule_is_refused(client, refused):
    refused(lambda: client.subjects.upsert([{"key": ""}]), 400, "Bad Request", "key")
    wrong = [{"key": "py-x", "stripeCustomerId": "x"}]
    text = "stripeCustomerId must start with cus_ when set"
    refused(lambda: client.subjects.upsert(wrong), 400, "Bad Request", text)
    refused(lambda: client.subjects.delete("py-x"), 404, "Not Found", missing("py-x"), ResourceNotFoundError)


def test_csv_names_a_subject_that_is_known(client):
    client.meters.create({"slug": "py_named", "aggregation": "COUNT", "eventType": "py.named"})
    client.subjects.upsert([{"key": "py-named", "displayName": 'Named, "so"'}])
    sent = {"source": "py", "specversion": "1.0", "type": "py.named", "time": "2025-03-09T00:00:30Z"}
    client.events.ingest_events([{**sent, "id": f"py-{key}", "subject": key} for key in ("py-named", "py-nameless")])
    assert client.meters.query_csv("py_named", subject=["py-named", "py-nameless"]) == (
        "window_start,window_end,subject,subject_display_name,value\n"
        "2025-03-09T00:00:00Z,2025-03-09T00:01:00Z,py-nameless,,1.000000\n"
        '2025-03-09T00:00:00Z,2025-03-09T00:01:00Z,py-named,"Named, ""so""",1.000000\n'
    )


def test_currencies_are_listed_the_common_ones_first(client):
    currencies = client.currencies.list_currencies()
    assert [currency.code for currency in currencies[:6]] == ["USD", "EUR", "GBP", "AUD", "CAD", "JPY"]
    assert dict(currencies[0]) == {"code": "USD", "name": "United States Dollar", "symbol": "$", "subunits": 2}
    assert len({currency.code for currency in currencies}) == len(currencies) >= 171


def test_metrics_count_the_events_of_each_subject_since_midnight(client):
    # Tomorrow is after midnight whatever the clock shows.
    tomorrow = minutes_ago(-24 * 60)
    client.events.ingest_events([
        Event(id=f"py-m-{n}", source="py", specversion="1.0", type="py.m", subject="py-metrics", time=tomorrow)
        for n in range(2)
    ])  # fmt: skip
    lines = client.debug.metrics().split("\n")
    assert lines[0] == "# HELP openmeter_events Number of ingested events"
    assert 'openmeter_events_total{subject="py-metrics"} 2.0' in lines


def test_the_quickstart_sends_one_event_and_prints_1_0(client):
    subject = "quickstart-python"
    client.events.ingest_event(
        Event(id="py-quickstart", source="quickstart", specversion="1.0", type="request", subject=subject,
              data={"method": "GET", "route": "/hello"})
    )  # fmt: skip
    [row] = client.meters.query_json("api_requests_total", subject=[subject]).data
    assert (str(row.value), row.subject) == ("1.0", subject)
