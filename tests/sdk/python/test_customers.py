"""Customers: create, read, list, replace, delete; and whose a key is."""

import datetime

from corehttp.exceptions import ResourceExistsError, ResourceNotFoundError
from openmeter.models import CustomerCreate, CustomerReplaceUpdate, CustomerUsageAttribution

ADDED = ("id", "createdAt", "updatedAt")


def rest(customer):
    assert len(customer.id) == 26
    assert isinstance(customer.created_at, datetime.datetime) and customer.updated_at >= customer.created_at
    return {name: value for name, value in customer.items() if name not in ADDED}


def test_a_customer_lives_from_creation_to_its_deletion(client, refused):
    draft = CustomerCreate(
        key="py-acme",
        name="Acme",
        metadata={"tier": "gold"},
        usage_attribution=CustomerUsageAttribution(subject_keys=["us-py-acme", "eu-py-acme"]),
        primary_email="a@acme.io",
        currency="EUR",
        billing_address={"country": "HU", "postalCode": "7621"},
    )
    created = client.customers.create(draft)
    assert rest(created) == {
        "key": "py-acme", "name": "Acme", "metadata": {"tier": "gold"}, "primaryEmail": "a@acme.io", "currency": "EUR",
        "usageAttribution": {"subjectKeys": ["eu-py-acme", "us-py-acme"]},
        "billingAddress": {"country": "HU", "postalCode": "7621"},
    }  # fmt: skip
    assert client.customers.get("py-acme") == client.customers.get(created.id) == created
    assert client.subjects.get("us-py-acme").metadata["customerId"] == created.id

    replaced = client.customers.update("py-acme", CustomerReplaceUpdate(key="py-acme", name="Acme 2"))
    left = {"key": "py-acme", "name": "Acme 2", "primaryEmail": "a@acme.io", "currency": "EUR"}
    assert (replaced.id, rest(replaced)) == (created.id, left)

    assert client.customers.delete("py-acme") is None
    assert client.customers.get(created.id).deleted_at is not None
    missing = "not found error: customer with id or key py-acme not found in default namespace"
    refused(lambda: client.customers.get("py-acme"), 404, "Not Found", missing, ResourceNotFoundError)
    deleted = f"customer is deleted [namespace=default customer.id={created.id}]"
    refused(lambda: client.customers.delete(created.id), 412, "Precondition Failed", deleted)


def test_what_another_customer_has_is_refused(client, refused):
    one = client.customers.create({"key": "py-one", "name": "One", "usageAttribution": {"subjectKeys": ["shared-py"]}})

    def conflict(detail, **members):
        create = {"name": "Two", **members}
        refused(lambda: client.customers.create(create), 409, "Conflict", detail, ResourceExistsError)

    conflict('key "py-one" is already used by an another customer in the namespace default', key="py-one")
    conflict(f"key shared-py overlaps with subject of another customer: {one.id}", key="shared-py")
    taken = "one or multiple subject keys of [shared-py] are already associated with an different customer"
    conflict(taken, usageAttribution={"subjectKeys": ["shared-py"]})
    needed = "either key or usageAttribution.subjectKeys must be provided"
    refused(lambda: client.customers.create({"name": "Two"}), 400, "Bad Request", needed)


def test_a_list_is_searched_ordered_and_paged(client):
    for name in ("beta", "Alpha"):
        client.customers.create({"key": f"py-list-{name}", "name": name, "primaryEmail": f"{name}@py-list.io"})
    names = [customer.name for customer in client.customers.list(key="PY-LIST").items_property]
    assert names == ["Alpha", "beta"]
    page = client.customers.list(primary_email="py-list", order="DESC", page=2, page_size=1, expand=["subscriptions"])
    assert (page.total_count, page.page, page.page_size) == (2, 2, 1)
    assert [customer.name for customer in page.items_property] == ["Alpha"]
