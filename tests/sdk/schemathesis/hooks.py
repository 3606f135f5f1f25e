"""Gives three of four usage queries that fit their schema names and periods that lead to an answer: made-up ones end
in 400, and the answers are what is to be judged."""

import zlib

import schemathesis

DIMENSIONS = ("method", "route", "subject")
ZONES = ("UTC", "America/Los_Angeles", "Asia/Kathmandu", "Australia/Lord_Howe")
# v1's names and v3's.
GROUPS = ("groupBy", "group_by_dimensions")
TIME_ZONES = ("windowTimeZone", "time_zone")
FILTERS = ("filterGroupBy", "advancedMeterGroupByFilters", "filterCustomerId", "filters")


def _led(query: dict, draw: int) -> dict:
    led = {name: value for name, value in query.items() if name not in FILTERS}
    for name in led.keys() & set(GROUPS):
        led[name] = [DIMENSIONS[(draw + n) % len(DIMENSIONS)] for n in range(len(led[name]))]
    for name in led.keys() & set(TIME_ZONES):
        led[name] = ZONES[draw % len(ZONES)]
    if led.keys() >= {"from", "to"}:
        led["from"], led["to"] = "2025-03-01T00:00:00Z", "2025-04-01T00:00:00Z"
    return led


@schemathesis.hook
def before_call(context, case, kwargs):
    if not case.operation.path.endswith("/query") or case.meta is None or case.meta.generation.mode.is_negative:
        return
    draw = zlib.crc32(repr((case.query, case.body)).encode())
    if draw % 4 == 0:
        return
    if case.query:
        case.query = _led(case.query, draw)
    if isinstance(case.body, dict):
        case.body = _led(case.body, draw)
