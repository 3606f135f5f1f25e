"""Meters: create, read, change, delete."""

import datetime

from conftest import at, minutes_ago
from corehttp.exceptions import ResourceExistsError, ResourceNotFoundError
from openmeter.models import Event, MeterCreate, MeterUpdate

DRAFT = {
    "slug": "py_life", "name": "Life", "description": "From creation to deletion", "aggregation": "SUM",
    "eventType": "py.life", "valueProperty": "$.amount", "groupBy": {"region": "$.region"}, "metadata": {"team": "a"},
}  # fmt: skip
ADDED = ("id", "createdAt", "updatedAt")


def rest(meter):
    assert len(meter.id) == 26
    assert isinstance(meter.created_at, datetime.datetime) and meter.updated_at >= meter.created_at
    return {name: value for name, value in meter.items() if name not in ADDED}


def test_a_meter_lives_from_creation_to_deletion(client, refused):
    created = client.meters.create(
        MeterCreate(
            slug="py_life", name="Life", description=DRAFT["description"], aggregation="SUM", event_type="py.life",
            value_property="$.amount", group_by={"region": "$.region"}, metadata={"team": "a"},
        )  # fmt: skip
    )
    assert rest(created) == {**DRAFT, "annotations": None}
    assert client.meters.get("py_life") == client.meters.get(created.id) == created

    changed = client.meters.update("py_life", MeterUpdate(name="Longer life", group_by={"kind": "$.kind"}))
    # The description is kept, metadata is cleared: clients know it so.
    kept = {**DRAFT, "name": "Longer life", "groupBy": {"kind": "$.kind"}, "metadata": None, "annotations": None}
    assert rest(changed) == kept
    assert changed.id == created.id
    bare = client.meters.update(created.id, {})
    assert (bare.name, bare.group_by) == ("py_life", None)

    assert client.meters.delete("py_life") is None
    gone = "not found error: meter not found: py_life"
    refused(lambda: client.meters.get("py_life"), 404, "Not Found", gone, ResourceNotFoundError)
    refused(lambda: client.meters.delete("py_life"), 404, "Not Found", gone, ResourceNotFoundError)
    assert client.meters.get(created.id).deleted_at is not None
    assert client.meters.delete(created.id) is None


def test_the_list_is_ordered_and_shows_deleted_meters_when_asked(client):
    made = [client.meters.create({"slug": slug, "aggregation": "COUNT", "eventType": "py.listed"})
            for slug in ("py_listed_b", "py_listed_a")]  # fmt: skip
    client.meters.delete("py_listed_a")

    def slugs(**query):
        return [meter.slug for meter in client.meters.list(**query) if meter.slug.startswith("py_listed")]

    assert slugs() == ["py_listed_b"]
    assert slugs(include_deleted=True) == ["py_listed_a", "py_listed_b"]
    assert slugs(include_deleted=True, order="DESC") == ["py_listed_b", "py_listed_a"]
    assert slugs(include_deleted=True, order_by="createdAt") == ["py_listed_b", "py_listed_a"]
    assert slugs(page=1, page_size=1) == ["py_listed_b"], "there are no pages"
    everything = [meter.slug for meter in client.meters.list()]
    assert everything == sorted(everything) and "api_requests_total" in everything
    client.meters.delete(made[0].id)


def test_subjects_and_values_of_a_meter_are_listed(client, refused):
    slug = "py_values"
    client.meters.create(
        {"slug": slug, "aggregation": "COUNT", "eventType": "py.values", "groupBy": {"region": "$.region"}}
    )
    sent = [(30, "b", "us"), (20, "a", "eu"), (20, "b", "us"), (3 * 24 * 60, "c", "asia")]
    client.events.ingest_events([
        Event(id=f"py-values-{n}", source="py", specversion="1.0", type="py.values", subject=subject,
              time=minutes_ago(minutes), data={"region": region})
        for n, (minutes, subject, region) in enumerate(sent)
    ])  # fmt: skip
    assert client.meters.list_subjects(slug) == ["a", "b", "c"]
    assert client.meters.list_subjects(slug, from_parameter=minutes_ago(60), to=minutes_ago(25)) == ["b"]
    assert client.meters.list_group_by_values(slug, "region") == ["eu", "us"]
    period = {"from_parameter": minutes_ago(5 * 24 * 60), "to": minutes_ago(25)}
    assert client.meters.list_group_by_values(slug, "region", **period) == ["asia", "us"]

    bad = (400, "Bad Request")
    refused(lambda: client.meters.list_group_by_values(slug, "none"), *bad, "group by key is not valid for this meter")
    old = {"from_parameter": minutes_ago(100 * 24 * 60)}
    refused(lambda: client.meters.list_group_by_values(slug, "region", **old), *bad, "more than 90 days ago")
    turned = {"from_parameter": minutes_ago(1), "to": minutes_ago(2)}
    refused(lambda: client.meters.list_subjects(slug, **turned), *bad, "from time must be before to time")
    missing = "not found error: meter not found: py_none"
    refused(lambda: client.meters.list_subjects("py_none"), 404, "Not Found", missing, ResourceNotFoundError)


def test_event_from_is_where_a_meter_begins_to_count(client):
    meter = client.meters.create(
        MeterCreate(slug="py_begins", aggregation="COUNT", event_type="py.begins", event_from=at("01-02T00:00:00"))
    )
    assert meter.event_from == at("01-02T00:00:00")
    client.events.ingest_events([
        Event(id=f"py-begins-{n}", source="py", specversion="1.0", type="py.begins", subject="py", time=at(time))
        for n, time in enumerate(("01-01T23:59:59", "01-02T00:00:00"))
    ])  # fmt: skip
    assert [row.value for row in client.meters.query_json(meter.id).data] == [1.0]


def test_a_meter_that_breaks_a_rule_is_refused_with_the_rule(client, refused):
    def create(**change):
        return lambda: client.meters.create({**DRAFT, "slug": "py_refused", **change})

    conflict = "conflict error: meter with the same slug already exists"
    refused(create(slug="api_requests_total"), 409, "Conflict", conflict, ResourceExistsError)
    schema = "request body has an error: doesn't match schema #/components/schemas/MeterCreate: Error at "
    bad = (400, "Bad Request")
    error = refused(create(slug="Not A Slug"), *bad, f'{schema}"/slug": ')
    assert (error.model.title, error.model.status) == ("Bad Request", 400)
    refused(create(aggregation="MEDIAN"), *bad, f'{schema}"/aggregation": ')
    refused(create(aggregation="COUNT"), *bad, "meter value property is not allowed when the aggregation is count")
    refused(create(groupBy={"a": "$.amount"}), *bad, "cannot be the same as value property")
    missing = "not found error: meter not found: py_none"
    refused(lambda: client.meters.update("py_none", {}), 404, "Not Found", missing, ResourceNotFoundError)
    refused(lambda: client.meters.get("Not-A-Slug"), *bad, 'parameter "meterIdOrSlug" in path has an error: ')
