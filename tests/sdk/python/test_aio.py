"""The same client, asynchronous: ingest, query, and an error."""

import asyncio

import pytest
from conftest import URL
from corehttp.exceptions import ResourceNotFoundError
from openmeter.aio import Client
from openmeter.models import Event


async def story():
    async with Client(endpoint=URL) as client:
        created = await client.meters.create(
            {"slug": "py_aio", "aggregation": "SUM", "eventType": "py.aio", "valueProperty": "$.n"}
        )
        assert (await client.meters.get("py_aio")).id == created.id
        sent = [
            Event(id=f"py-aio-{n}", source="py", specversion="1.0", type="py.aio", subject="py-aio", data={"n": n})
            for n in range(1, 5)
        ]
        await client.events.ingest_event(sent[0])
        await client.events.ingest_events(sent)
        await client.events.ingest_events_json(sent)
        [row] = (await client.meters.query_json("py_aio", subject=["py-aio"])).data
        assert (row.subject, row.value) == ("py-aio", 10.0)
        assert (await client.meters.query("py_aio", {})).data[0].value == 10.0
        assert len(await client.events.list(subject="py-aio")) == 4
        pages = client.events_v2.list(limit=3, filter={"subject": {"$eq": "py-aio"}})
        assert len([event async for event in pages]) == 4
        with pytest.raises(ResourceNotFoundError) as caught:
            await client.meters.get("py_none")
        assert caught.value.response.json()["title"] == "Not Found"


def test_the_asynchronous_client_ingests_and_queries():
    asyncio.run(story())
