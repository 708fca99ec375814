"""JSON in which every value has one spelling: what is spelled otherwise is refused."""

import base64
import json
import re
import unicodedata
import uuid
from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
#: The last instant that has a text; a later one is shown as this.
LAST = "9999-12-30T22:00:00.999Z"


class Refused(Exception):
    """Not spelled as it must be, or proves nothing."""


def check(condition, what: str) -> None:
    if not condition:
        raise Refused(what)


def parse(text: str):
    def members(pairs):
        check(len({name for name, _ in pairs}) == len(pairs), "a member twice")
        return dict(pairs)

    def integer(digits: str) -> int:
        check(digits != "-0", "minus zero")
        return int(digits)

    def other(spelling: str):
        raise Refused(f"number {spelling}")

    try:
        value = json.loads(
            text, object_pairs_hook=members, parse_int=integer, parse_float=other, parse_constant=other
        )
        # Half of a surrogate pair is no text.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Refused(str(error)) from None
    return value


def members(value, names: str):
    """The values of an object that has exactly these members."""
    wanted = names.split()
    check(type(value) is dict and set(value) == set(wanted), f"members {names}")
    return [value[name] for name in wanted]


def number(value, bits: int) -> int:
    check(type(value) is int and 0 <= value < 1 << bits, f"number {value}")
    return value


def text(value) -> str:
    check(type(value) is str, "text")
    return value


def array(value) -> list:
    check(type(value) is list, "array")
    return value


def hex_id(value) -> bytes:
    check(re.fullmatch("[0-9a-f]{32}", text(value)), "id")
    return bytes.fromhex(value)


def request_id(value) -> bytes:
    check(re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text(value)), "request id")
    return uuid.UUID(value).bytes


def octets(value, length: int) -> bytes:
    try:
        decoded = base64.b64decode(text(value), validate=True)
    except ValueError:
        raise Refused("base64") from None
    check(len(decoded) == length and base64.b64encode(decoded).decode() == value, "base64")
    return decoded


def time(value) -> int:
    """Milliseconds since the Unix epoch."""
    form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    check(re.fullmatch(form, text(value), re.ASCII) and value <= LAST, "time")
    try:
        instant = datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    except ValueError:
        raise Refused("time") from None
    check(instant >= EPOCH and time_text((instant - EPOCH) // timedelta(milliseconds=1)) == value, "time")
    return (instant - EPOCH) // timedelta(milliseconds=1)


def time_text(milliseconds: int) -> str:
    try:
        instant = EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return LAST
    shown = instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03}Z"
    return min(shown, LAST)


def conversation(value) -> bytes:
    encoded = text(value).encode()
    check(1 <= len(encoded) <= 256, "length of a conversation id")
    check(all(unicodedata.category(c) != "Cc" for c in value), "control character")
    return encoded
