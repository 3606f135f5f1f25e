"""Features: create, read, list, archive; and what they keep their meters from."""

import datetime

import pytest
from corehttp.exceptions import ResourceExistsError, ResourceNotFoundError
from openmeter.models import FeatureCreateInputs

ADDED = ("id", "createdAt", "updatedAt")


def rest(feature):
    assert len(feature["id"]) == 26
    assert datetime.datetime.fromisoformat(feature["createdAt"]) <= datetime.datetime.fromisoformat(feature["updatedAt"])
    return {name: value for name, value in feature.items() if name not in ADDED}


@pytest.fixture(scope="module")
def meter(client):
    client.meters.create({
        "slug": "py_tokens", "aggregation": "SUM", "eventType": "py.tokens", "valueProperty": "$.tokens",
        "groupBy": {"model": "$.model", "kind": "$.kind"},
    })  # fmt: skip
    return "py_tokens"


def test_a_feature_lives_from_creation_to_its_archive(client, refused, meter):
    draft = FeatureCreateInputs(
        key="py_gpt", name="GPT", metadata={"team": "a"}, meter_slug=meter, meter_group_by_filters={"model": "gpt-4"},
        unit_cost={"type": "manual", "amount": "0.0000030"},
    )  # fmt: skip
    features = client.features
    created = features.create(draft)
    assert rest(created) == {
        "key": "py_gpt", "name": "GPT", "metadata": {"team": "a"}, "meterSlug": meter,
        "meterGroupByFilters": {"model": "gpt-4"}, "advancedMeterGroupByFilters": {"model": {"$eq": "gpt-4"}},
        "unitCost": {"type": "manual", "amount": "0.000003"},
    }  # fmt: skip
    assert features.get("py_gpt") == features.get(created.id) == created
    taken = f"feature {created.id} with key py_gpt already exists"
    refused(lambda: features.create(draft), 409, "Conflict", taken, ResourceExistsError)
    kept = "meter has active features and cannot be deleted"
    refused(lambda: client.meters.delete(meter), 409, "Conflict", kept, ResourceExistsError)

    assert features.delete("py_gpt") is None
    for name in ("py_gpt", created.id):
        gone = f"feature not found: {name}"
        refused(lambda: features.get(name), 404, "Not Found", gone, ResourceNotFoundError)
        refused(lambda: features.delete(name), 404, "Not Found", gone, ResourceNotFoundError)
    archived = features.list(include_archived=True, meter_slug=[meter])
    assert [feature["key"] for feature in archived] == ["py_gpt"] and archived[0]["archivedAt"]


def test_a_list_is_an_array_or_a_page_when_one_is_asked_for(client, meter):
    features = client.features
    for key in ("py_list_b", "py_list_a"):
        features.create({"key": key, "name": key, "meterSlug": meter})
    assert [feature["key"] for feature in features.list(meter_slug=[meter])] == ["py_list_a", "py_list_b"]
    assert [feature["key"] for feature in features.list(meter_slug=[meter], order="DESC", limit=1)] == ["py_list_b"]
    page = features.list(meter_slug=[meter], page=2, page_size=1)
    assert (page["totalCount"], page["page"], page["pageSize"]) == (2, 2, 1)
    assert [feature["key"] for feature in page["items"]] == ["py_list_b"]


def test_a_feature_that_breaks_a_rule_is_refused(client, refused, meter):
    def create(**members):
        return lambda: client.features.create({"key": "py_bad", "name": "Bad", **members})

    gone = "not found error: meter not found: py_nope"
    refused(create(meterSlug="py_nope"), 404, "Not Found", gone, ResourceNotFoundError)
    table = [
        ({"meterSlug": meter, "meterGroupByFilters": {"zone": "a"}}, "zone is not a group by of meter py_tokens"),
        ({"key": "01jk0000000000000000000000"}, "must not be a ULID"),
        ({"unitCost": {"type": "manual", "amount": "-1"}}, "amount must not be negative"),
        ({"unitCost": {"type": "llm", "provider": "a", "model": "b", "tokenType": "input"}}, "requires a meter"),
        ({"meterSlug": meter, "advancedMeterGroupByFilters": {"model": {"$eq": "a", "$ne": "b"}}}, "multiple operators"),
    ]
    for members, detail in table:
        refused(create(**members), 400, "Bad Request", detail)
