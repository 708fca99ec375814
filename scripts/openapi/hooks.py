"""Two of schemathesis' checks, with what a JSON schema cannot say about this API, and one of ours. Nothing else is excluded."""

import re

import schemathesis
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

# A schema counts characters and knows one field at a time.
RELATIONS = (
    "a conversation id has at most 256 bytes",
    "granularity must not be larger than retention",
    "rotation must be at least ",
    " must be whole seconds, at least 1s and at most 36600d",
    "cache_ttl must be at most 36600d",
    "retention is none that this keyspace offers",
    "a reason has at most 256 characters, and no control characters",
    "items, or conversation and keyspaces",
    "the items of a batch bear one reason",
    "an id must be neither the nil nor the max UUID",
    "retentions: ",
)


def problem(response):
    try:
        body = response.json()
    except ValueError:
        return "", ""
    return (body.get("code", ""), body.get("detail", "")) if isinstance(body, dict) else ("", "")


def purposes(body):
    items = body.get("items", [body]) if isinstance(body, dict) else []
    return [item.get("purpose") or "" for item in items if isinstance(item, dict)]


def refused_by_design(response, case):
    """Valid by the schema and refused: a wrapped key that is not ours or past, or a relation."""
    code, detail = problem(response)
    if detail.startswith("a purpose is 1 to 64 bytes"):
        return any(len(purpose.encode()) > 64 for purpose in purposes(case.body))
    if detail.startswith("an id is a UUID"):
        # What links several calls puts a list of ids, or one without its hyphens, where an id belongs.
        asked = str(({**(case.path_parameters or {}), **(case.query or {})}).get("id"))
        return not re.fullmatch("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", asked)
    return (
        (response.status_code == 400 and code == "invalid_wrapped_key")
        or (response.status_code == 410 and code in ("shredded", "expired", "version_retired"))
        or (response.status_code == 400 and code == "invalid_request" and any(text in detail for text in RELATIONS))
    )


def answered_by_design(response, case):
    """Invalid by the schema and not answered 400: a body too large, or a batch that says so item by item."""
    code, _ = problem(response)
    if response.status_code == 413 and code == "too_large":
        return True
    if response.status_code != 200 or not isinstance(case.body, dict):
        return False
    asked = case.body.get("items", case.body.get("ids"))
    if not isinstance(asked, list):
        return False
    answers = response.json().get("items", [])
    refused = [answer for answer in answers if answer.get("error", {}).get("code") == "invalid_request"]
    return len(answers) == len(asked) and refused != []


def unless(designed, check, ctx, response, case):
    try:
        return check(ctx, response, case)
    except (Failure, FailureGroup):
        if designed():
            return None
        raise


@schemathesis.check
def valid_is_accepted(ctx, response, case):
    return unless(lambda: refused_by_design(response, case), positive_data_acceptance, ctx, response, case)


@schemathesis.check
def invalid_is_refused(ctx, response, case):
    return unless(lambda: answered_by_design(response, case), negative_data_rejection, ctx, response, case)


@schemathesis.check
def code_is_described(ctx, response, case):
    """A problem's code is one of those that the document has of this operation and status."""
    described = case.operation.definition.raw["responses"].get(str(response.status_code), {}).get("x-codes")
    code, _ = problem(response)
    if described is not None and code not in described:
        raise Failure(
            operation=case.operation.label,
            title="Undescribed code",
            message=f"{response.status_code} with code {code!r}, described are {', '.join(described)}",
        )
