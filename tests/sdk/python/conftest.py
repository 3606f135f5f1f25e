"""The official Python client, as its users install it, against one running weir (WEIR_URL)."""

import datetime
import os

import pytest
import sdk_methods
from corehttp.exceptions import HttpResponseError
from openmeter import Client

URL = os.environ["WEIR_URL"]
called: set[str] = set()


@pytest.fixture(scope="session")
def client():
    with Client(endpoint=URL, token="weir-ignores-it") as made:
        yield sdk_methods.Noted(made, called)


@pytest.fixture
def refused():
    """The call is refused with this problem; gives the error for more."""

    def check(call, status, title, detail, kind=HttpResponseError):
        with pytest.raises(kind) as caught:
            call()
        error = caught.value
        problem = error.response.json()
        assert error.response.headers["content-type"] == "application/problem+json"
        assert (error.status_code, problem["status"], problem["type"]) == (status, status, "about:blank")
        assert problem["title"] == title
        assert detail in problem["detail"]
        return error

    return check


def at(text: str) -> datetime.datetime:
    """`at("03-09T07:30:00")`: that moment of 2025, in UTC."""
    return datetime.datetime.fromisoformat(f"2025-{text}+00:00")


def minutes_ago(minutes: int) -> datetime.datetime:
    """A whole second, so many minutes ago."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    return now - datetime.timedelta(minutes=minutes)


def pytest_sessionfinish(session):
    if not sdk_methods.report(URL, called):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
