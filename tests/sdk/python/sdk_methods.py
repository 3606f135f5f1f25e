"""Which of the client's methods were called, out of those that ask for an operation weir has.

A method's operation is read from the client itself: its code names the function that builds its request, and that
function names the path and the HTTP method.
"""

import inspect
import json
import re
import urllib.error
import urllib.request

from openmeter import Client
from openmeter._generated.operations import _operations


class Noted:
    """A client whose methods leave their names, such as `meters.get`, when they are called."""

    def __init__(self, target, called: set[str], path: str = ""):
        self._target, self._called, self._path = target, called, path

    def __getattr__(self, name):
        value = getattr(self._target, name)
        path = f"{self._path}.{name}" if self._path else name
        if not inspect.ismethod(value):
            return Noted(value, self._called, path)

        def noting(*args, **kwargs):
            self._called.add(path)
            return value(*args, **kwargs)

        return noting


def _methods(target, path=""):
    for name, part in vars(target).items():
        if type(part).__name__.endswith("Operations"):
            here = f"{path}.{name}" if path else name
            for method, function in inspect.getmembers(part, inspect.ismethod):
                if not method.startswith("_"):
                    yield f"{here}.{method}", function
            yield from _methods(part, here)


def _operation(function) -> str:
    build = re.search(r"\bbuild_\w+_request\b", inspect.getsource(function)).group()
    source = inspect.getsource(getattr(_operations, build))
    method, path = re.search(r'method="([A-Z]+)"', source), re.search(r'_url = "([^"]+)"', source)
    return f"{method.group(1)} {path.group(1)}"


def _of_client() -> dict[str, str]:
    with Client(endpoint="http://nowhere.invalid") as client:
        return {name: _operation(function) for name, function in _methods(client)}


def _of_weir(url: str) -> set[str]:
    with urllib.request.urlopen(f"{url}/api/swagger.json") as answer:
        paths = json.load(answer)["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def report(url: str, called: set[str]) -> bool:
    """Prints the numbers; false when a method was called whose operation weir lacks."""
    methods = _of_client()
    try:
        built = _of_weir(url)
    except urllib.error.URLError as error:
        print(f"\npython: weir does not show its operations: {error}")
        return False
    callable_ = {name: operation for name, operation in methods.items() if operation in built}
    uncalled = sorted(callable_.keys() - called)
    print(f"\npython: sdk methods called: {len(callable_) - len(uncalled)} of {len(callable_)}")
    for name in uncalled:
        print(f"python: sdk method not called: {name} ({callable_[name]})")
    missing = sorted(name for name in called if methods[name] not in built)
    for name in missing:
        print(f"python: called, but weir lacks the operation: {name} ({methods[name]})")
    return bool(callable_) and not missing
