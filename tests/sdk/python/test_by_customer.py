"""Usage and events of customers."""

import functools

import pytest
from conftest import minutes_ago
from corehttp.exceptions import ResourceNotFoundError
from openmeter.models import Event

TYPE, NOBODY = "py.owned", "01JN8T4Q6Z0000000000000CVS"
USED = [(1, "a"), (1, "b"), (2, "b"), (2, "c"), (3, "a")]


@pytest.fixture(scope="module")
def owners(client):
    """The ids of two customers; the key of the first is a subject key of the second."""
    meter = {"slug": "py_owned", "aggregation": "UNIQUE_COUNT", "eventType": TYPE, "valueProperty": "$.user"}
    client.meters.create(meter)
    client.events.ingest_events([
        Event(id=f"py-owned-{n}", source="py", specversion="1.0", type=TYPE, subject=f"owned-by-py-{subject}",
              time=minutes_ago(9 - n), data={"user": user})
        for n, (subject, user) in enumerate(USED)
    ])  # fmt: skip

    def customer(key, *subjects):
        made = client.customers.create({"key": key, "name": key, "usageAttribution": {"subjectKeys": list(subjects)}})
        return made.id

    return customer("owned-by-py-1", "owned-by-py-2"), customer("owned-by-py-key", "owned-by-py-3", "owned-by-py-1")


def test_usage_is_told_apart_by_customer_and_counted_over_all_its_subjects(client, owners):
    by_get = client.meters.query_json("py_owned", filter_customer_id=list(owners))
    by_post = client.meters.query("py_owned", {"filterCustomerId": list(owners)})
    for result in (by_get, by_post):
        assert [(row.customer_id, row.subject, row.value) for row in result.data] == [
            (owners[0], None, 3.0), (owners[1], None, 1.0)]  # fmt: skip


def test_the_list_shows_whose_events_are_and_is_narrowed_by_it(client, owners):
    rows = client.events.list(customer_id=[owners[0]])
    assert [row.event.subject for row in rows] == ["owned-by-py-2", "owned-by-py-2", "owned-by-py-1", "owned-by-py-1"]
    assert all((row.customer_id, row.validation_error) == (owners[0], None) for row in rows)


def test_a_customer_that_is_not_there_is_told_by_its_id(client, owners, refused):
    missing = f"not found error: customer with id {NOBODY} not found"
    asked = [owners[0], NOBODY]
    ask = functools.partial(client.meters.query_json, "py_owned", filter_customer_id=asked)
    refused(ask, 404, "Not Found", missing, ResourceNotFoundError)
    unknown = f"validation error: customers not found in namespace default: {NOBODY}"
    refused(lambda: client.events.list(customer_id=[NOBODY]), 400, "Bad Request", unknown)
