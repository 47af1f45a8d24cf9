"""What the stand-in of Zendesk keeps: organizations, the account's own fields of them, and people; and what it refuses.
Guarantees that a value it has no field for is dropped in silence, as the real one does. Next: simulator.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from accordant.connectors.sdk.plain_json import Row

_STANDARD = ("name", "details", "notes", "external_id", "domain_names", "tags")
_ENTRY = re.compile(r'(?:(\w+):)?"?([^"]+?)"?(?:\s|$)')


class Refused(Exception):
    """The account's no: an answer's status and body."""

    def __init__(self, status: int, body: Row) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


def _invalid(field: str, kind: str, said: str) -> Refused:
    details = {field: [{"description": said, "error": kind}]}
    return Refused(422, {"error": "RecordInvalid", "description": "Record validation errors", "details": details})


class Account:
    """One account's records."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.organizations: dict[int, Row] = {}
        self.fields: list[Row] = []
        self.users: list[Row] = []
        #: What was really carried out: (external id, made or changed).
        self.carried_out: list[tuple[str | None, str]] = []
        self._next = 1

    # -- what somebody does by hand -----------------------------------------------------------------------------------

    def add_field(self, key: str, kind: str, *options: str) -> None:
        """An administrator adds a field to organizations; ``options`` are the tags of a drop-down."""
        row: Row = {"id": self._number(), "key": key, "type": kind, "title": key, "active": True, "system": False}
        if options:
            row["custom_field_options"] = [{"name": one, "value": one} for one in options]
        self.fields.append(row)

    def add_user(self, email: str, organization_id: int | None) -> None:
        """A person writes to the desk for the first time."""
        self.users.append({"id": self._number(), "name": email, "email": email, "organization_id": organization_id})

    def by_hand(self, organization_id: int, **values: Any) -> None:
        """An agent changes an organization."""
        self.change(organization_id, values, whose="hand")

    def make_by_hand(self, **values: Any) -> int:
        """An agent makes an organization; its id."""
        return int(self._make(values, whose="hand")["id"])

    def delete(self, organization_id: int) -> None:
        """An agent deletes an organization, or merges it into another: Zendesk forgets it either way."""
        del self.organizations[organization_id]

    # -- what a caller asks -------------------------------------------------------------------------------------------

    def listed(self) -> list[Row]:
        """Every organization, by id."""
        return [self._told(self.organizations[one]) for one in sorted(self.organizations)]

    def shown(self, query: Mapping[str, str]) -> list[Row]:
        """Those with these ids or external ids."""
        if "ids" in query:
            ids = {int(part) for part in query["ids"].split(",") if part.isdecimal()}
            return [row for row in self.listed() if row["id"] in ids]
        return [row for key in query["external_ids"].split(",") for row in self.called(key)]

    def called(self, external_id: str) -> list[Row]:
        """Those with this external id, in any letters."""
        wanted = external_id.casefold()
        return [row for row in self.listed() if wanted and (row["external_id"] or "").casefold() == wanted]

    def named(self, beginning: str) -> list[Row]:
        """Those whose name begins so, in any letters."""
        return [row for row in self.listed() if row["name"].casefold().startswith(beginning.casefold())]

    def searched(self, query: str) -> list[Row]:
        """Organizations that hold the text somewhere."""
        text = query.removeprefix("type:organization ").strip('"').casefold()
        return [
            {**row, "result_type": "organization"}
            for row in self.listed()
            if text in " ".join([row["name"], *(row["domain_names"] or [])]).casefold()
        ]

    def people(self, query: str) -> list[Row]:
        """Users by ``email:"…"``."""
        found = _ENTRY.match(query)
        wanted = "" if found is None or found[1] != "email" else found[2]
        return [one for one in self.users if one["email"].casefold() == wanted.casefold()]

    # -- what a caller writes -----------------------------------------------------------------------------------------

    def upsert(self, given: Row) -> tuple[Row, bool]:
        """Change the organization of that external id or id, or make one. The name finds nothing."""
        held = self.called(given.get("external_id") or "")
        if not held:
            return self._make(given, whose="hub"), True
        return self.change(held[0]["id"], given), False

    def change(self, organization_id: int, given: Row, *, whose: str = "hub") -> Row:
        """Change what is given, and nothing else."""
        held = self.organizations.get(organization_id)
        if held is None:
            raise Refused(404, {"error": "RecordNotFound", "description": "Not found"})
        changed = self._with(held, given)
        changed["updated_at"] = self._stamp()
        self.organizations[organization_id] = changed
        if whose == "hub":
            self.carried_out.append((changed["external_id"], "changed"))
        return self._told(changed)

    def _make(self, given: Row, *, whose: str) -> Row:
        number, stamp = self._number(), self._stamp()
        blank: Row = dict.fromkeys(_STANDARD) | {"domain_names": [], "tags": [], "organization_fields": {}}
        blank |= {"id": number, "created_at": stamp, "updated_at": stamp, "group_id": None, "shared_tickets": False}
        made = self._with(blank | {"shared_comments": False}, given)
        if not made["name"]:
            raise _invalid("name", "BlankValue", "Name: cannot be blank")
        self.organizations[number] = made
        if whose == "hub":
            self.carried_out.append((made["external_id"], "made"))
        return self._told(made)

    def _with(self, held: Row, given: Row) -> Row:
        changed = dict(held)
        for name in _STANDARD:
            if name in given:
                changed[name] = given[name]
        if "name" in given and not given["name"]:
            raise _invalid("name", "BlankValue", "Name: cannot be blank")
        for name, said in (("name", "Name"), ("external_id", "External")):
            taken = (changed[name] or "").casefold()
            others = (row for row in self.organizations.values() if row["id"] != held["id"])
            if taken and any((row[name] or "").casefold() == taken for row in others):
                raise _invalid(name, "DuplicateValue", f"{said}: {changed[name]} has already been taken")
        own = dict(held["organization_fields"])
        kinds = {field["key"]: field for field in self.fields if field["active"]}
        for key, value in (given.get("organization_fields") or {}).items():
            if key in kinds:  # what is no field of this account is dropped in silence
                own[key] = _kept(kinds[key], value)
        changed["organization_fields"] = own
        return changed

    def _told(self, row: Row) -> Row:
        own = {field["key"]: None if field["type"] != "checkbox" else False for field in self.fields if field["active"]}
        kept = {key: value for key, value in row["organization_fields"].items() if key in own}
        return {**row, "organization_fields": own | kept, "url": f"https://example.zendesk.com{row['id']}.json"}

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _stamp(self) -> str:
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _kept(field: Row, value: Any) -> Any:
    """A value as it comes back, by the field's type."""
    key, kind = field["key"], field["type"]
    if value is None or value == "":
        return False if kind == "checkbox" else None
    if kind == "dropdown" and value not in {one["value"] for one in field["custom_field_options"]}:
        raise _invalid(key, "InvalidValue", f"{key}: {value} is not an option of this field")
    if kind == "date":
        try:
            return f"{date.fromisoformat(str(value)[:10]).isoformat()}T00:00:00+00:00"
        except ValueError:
            raise _invalid(key, "InvalidValue", f"{key}: {value} is not a date") from None
    if kind in {"integer", "decimal"} and isinstance(value, str | bool):
        raise _invalid(key, "InvalidValue", f"{key}: {value} is not a number")
    if kind == "integer" and Decimal(value) != int(value):
        raise _invalid(key, "InvalidValue", f"{key}: {value} is not a whole number")
    return value
