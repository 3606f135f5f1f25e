"""Entitlements of customers, their grants, overrides and resets; what they give, and how that went. What goes by subject this client cannot ask: its
`subjects` are those of another resource."""

import datetime

import pytest
from corehttp.exceptions import ResourceExistsError, ResourceNotFoundError
from openmeter.models import (
    EntitlementGrantCreateInputV2,
    EntitlementMeteredV2CreateInputs,
    Event,
    ResetEntitlementUsageInput,
)

CUSTOMER = "py-ent"
ANCHOR = datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone.utc)


def this_month() -> datetime.datetime:
    now = datetime.datetime.now(datetime.timezone.utc)
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def monthly(**members):
    return EntitlementMeteredV2CreateInputs(
        type="metered", feature_key="py_calls", usage_period={"interval": "MONTH", "anchor": ANCHOR.isoformat()},
        measure_usage_from="CURRENT_PERIOD_START", **members,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def catalogue(client):
    client.meters.create({"slug": "py_calls", "aggregation": "SUM", "eventType": "py.call", "valueProperty": "$.n"})
    client.features.create({"key": "py_calls", "name": "Calls", "meterSlug": "py_calls"})
    client.features.create({"key": "py_sso", "name": "SSO"})
    client.customers.create({"key": CUSTOMER, "name": "Py", "usageAttribution": {"subjectKeys": ["ent-py-s"]}})
    client.customers.create({"key": "py-value", "name": "Py", "usageAttribution": {"subjectKeys": ["ent-py-v"]}})


def missing(name):
    return f"entitlement not found {name} in namespace default"


def test_a_metered_entitlement_is_made_replaced_and_deleted(client, refused):
    of_customer = client.customer_entitlements_v2
    made = of_customer.post(CUSTOMER, monthly(issue={"amount": 100, "priority": 3}))
    assert (made["type"], made["customerKey"], made["featureKey"]) == ("metered", CUSTOMER, "py_calls")
    assert (made["issue"], made["issueAfterReset"]) == ({"amount": 100, "priority": 3}, 100)
    assert datetime.datetime.fromisoformat(made["currentUsagePeriod"]["from"]) == this_month()
    assert of_customer.get(CUSTOMER, "py_calls") == of_customer.get(CUSTOMER, made["id"]) == made
    assert client.entitlements_v2.get(made["id"]) == made
    by_subject = client.entitlements.get(made["id"])
    assert (by_subject["subjectKey"], by_subject["isUnlimited"]) == ("ent-py-s", False)

    taken = f"entitlement with id {made['id']} already exists for feature {made['featureId']}"
    again = {"type": "boolean", "featureKey": "py_calls"}
    refused(lambda: of_customer.post(CUSTOMER, again), 409, "Conflict", taken, ResourceExistsError)
    replaced = of_customer.override(CUSTOMER, "py_calls", monthly(is_soft_limit=True))
    assert (replaced["isSoftLimit"], replaced["issue"]) == (True, {"amount": 0})
    listed = client.entitlements_v2.list(customer_keys=[CUSTOMER], page=1, page_size=10)
    assert ([it["id"] for it in listed["items"]], listed.total_count) == ([made["id"], replaced["id"]], 2)
    active = of_customer.list(CUSTOMER)
    assert ([it["id"] for it in active["items"]], active.total_count) == ([replaced["id"]], 1)
    assert [it["id"] for it in client.entitlements.list(subject=["ent-py-s"])] == [made["id"], replaced["id"]]

    assert of_customer.delete(CUSTOMER, "py_calls") is None
    gone = missing("py_calls")
    refused(lambda: of_customer.get(CUSTOMER, "py_calls"), 404, "Not Found", gone, ResourceNotFoundError)


def test_grants_are_given_listed_and_voided_and_usage_is_reset(client, refused):
    made = client.customer_entitlements_v2.post(CUSTOMER, monthly())
    of = client.customer_entitlement_v2
    draft = EntitlementGrantCreateInputV2(amount=12.5, effective_at=this_month(), recurrence={"interval": "WEEK"})
    grant = of.create_customer_entitlement_grant(CUSTOMER, "py_calls", draft)
    assert (grant.amount, grant.priority, grant.max_rollover_amount, grant.expiration) == (12.5, 0, 12.5, None)
    assert (grant.effective_at, grant.entitlement_id) == (this_month(), made["id"])
    listed = of.get_grants(CUSTOMER, "py_calls")
    assert (listed["items"], listed.total_count, listed.page) == ([grant], 1, 1)
    everywhere = client.grants_v2.list(customer=[CUSTOMER])
    assert (everywhere["items"], everywhere.page, everywhere.page_size) == ([grant], 0, 0)
    [shown] = client.grants.list(subject=["ent-py-s"])
    assert shown["expiration"] == {"duration": "YEAR", "count": 100}

    early = EntitlementGrantCreateInputV2(amount=1, effective_at=ANCHOR)
    text = "is before the current usage period"
    refused(lambda: of.create_customer_entitlement_grant(CUSTOMER, "py_calls", early), 400, "Bad Request", text)
    nothing = EntitlementGrantCreateInputV2(amount=0, effective_at=this_month())
    text = "amount must be positive"
    error = refused(lambda: of.create_customer_entitlement_grant(CUSTOMER, "py_calls", nothing), 400, "Bad Request", text)
    [issue] = error.response.json()["extensions"]["validationErrors"]
    assert issue["code"] == "grant_amount_must_be_positive"

    assert client.grants.delete(grant.id) is None
    assert of.get_grants(CUSTOMER, made["id"])["items"][0].voided_at is not None
    refused(lambda: client.grants.delete(grant.id), 400, "Bad Request", "grant already voided")
    gone = "grant not found: py-none"
    refused(lambda: client.grants.delete("py-none"), 404, "Not Found", gone, ResourceNotFoundError)

    assert of.reset_customer_entitlement(CUSTOMER, "py_calls", ResetEntitlementUsageInput(retain_anchor=True)) is None
    after = client.customer_entitlements_v2.get(CUSTOMER, "py_calls")
    assert after["currentUsagePeriod"] == {"from": after["lastReset"], "to": made["currentUsagePeriod"]["to"]}
    ahead = ResetEntitlementUsageInput(effective_at=this_month() + datetime.timedelta(days=40))
    refused(lambda: of.reset_customer_entitlement(CUSTOMER, "py_calls", ahead), 400, "Bad Request", "is in the future")


def test_what_is_not_metered_has_a_configuration_or_nothing(client, refused):
    post = client.customer_entitlements_v2.post
    made = post(CUSTOMER, {"type": "static", "featureKey": "py_sso", "config": '{"b":1,"aa":[1,2]}'})
    assert made["config"] == '{"b": 1, "aa": [1, 2]}'
    bad = {"type": "static", "featureKey": "py_calls", "config": "{"}
    refused(lambda: post(CUSTOMER, bad), 400, "Bad Request", "invalid JSON config")
    unnamed = {"type": "boolean"}
    refused(lambda: post(CUSTOMER, unnamed), 400, "Bad Request", "either featureId or featureKey must be provided")


def test_values_access_and_history_follow_every_event(client, refused):
    key, of = "py-value", client.customer_entitlement_v2
    made = client.customer_entitlements_v2.post(key, monthly(issue={"amount": 10}))
    [grant] = of.get_grants(key, "py_calls")["items"]

    def use(id, n):
        client.events.ingest_event(
            Event(id=id, source="py", specversion="1.0", type="py.call", subject="ent-py-v", time=this_month(), data={"n": n})
        )

    use("py-value-1", 2.5)
    v1 = {"hasAccess": True, "balance": 7.5, "usage": 2.5, "overage": 0, "totalAvailableGrantAmount": 10}
    v2 = {**v1, "grantBalances": {grant.id: 7.5}}
    assert dict(of.get_customer_entitlement_value(key, "py_calls")) == v2
    assert dict(of.get_customer_entitlement_value(key, made["id"])) == v2
    assert dict(client.customer_entitlement.get_customer_entitlement_value(key, "py_calls")) == v1
    assert client.customer.get_customer_access(key)["entitlements"]["py_calls"] == v2
    assert of.get_customer_entitlement_value(key, "py_sso").has_access is False
    assert client.customer_entitlement.get_customer_entitlement_value(key, "py_sso").has_access is False

    use("py-value-2", 8)
    over = of.get_customer_entitlement_value(key, "py_calls")
    assert (over.has_access, over.balance, over.usage, over.overage) == (False, 0, 10.5, 0.5)
    told = of.get_customer_entitlement_history(key, "py_calls", window_size="DAY")
    first, phase = told.windowed_history[0], told.burndown_history[0]
    assert (first.period.from_property, first.usage, first.balance_at_start) == (this_month(), 10.5, 10)
    assert (phase.usage, phase.overage, phase.balance_at_start, phase.balance_at_end) == (10.5, 0.5, 10, 0)
    assert [(it.grant_id, it.usage) for it in phase.grant_usages] == [(grant.id, 10)]
    text = "cannot be before"
    early = lambda: of.get_customer_entitlement_history(key, "py_calls", window_size="DAY", from_parameter=ANCHOR)  # noqa: E731
    refused(early, 400, "Bad Request", text)
