"""The stand-in's records: writes checked like Salesforce's, kept with every change and who made it.
Guarantees that a refused write leaves nothing behind, and that every committed one is in ``effects``.
Next: simulator_rest.py, which speaks HTTP's words to this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from accordant.connectors.salesforce import simulator_deals as deals
from accordant.connectors.salesforce.simulator_fields import Field, Json, Refusal, rendered, to_long_id
from accordant.connectors.salesforce.simulator_schema import SObject, derive, new_object, standard_objects

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Effect:
    """One committed write. ``changed`` maps a field to (before, after); a repeat that changes nothing has none."""

    sequence: int
    object: str
    id: str
    action: str
    changed: dict[str, tuple[Json, Json]]
    user: str
    at: str


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One line of a record's field history."""

    field: str
    old: Json
    new: Json
    user: str
    at: str


@dataclass(slots=True)
class Record:
    """One record: stored values by canonical field name; absent means null."""

    object: SObject
    id: str
    values: dict[str, Json] = field(default_factory=dict)
    deleted: bool = False


@dataclass(slots=True)
class Rejection:
    """A standing order to refuse writes to one record, as a validation rule or a lock would."""

    object: str
    key: str
    code: str
    message: str
    times: int | None


class Org:
    """One company's Salesforce in memory. Not thread-safe: one event loop owns it."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.objects: dict[str, SObject] = {}
        self.records: dict[str, dict[str, Record]] = {}
        self.indexes: dict[tuple[str, str], dict[Json, list[str]]] = {}
        self.effects: dict[str, list[Effect]] = {}
        self.effect_count = 0
        self.rejections: list[Rejection] = []
        self._undo: list[Callable[[], None]] | None = None
        self._next_number: dict[str, int] = {}
        self._users: dict[str, str] = {}
        self._stamp = (-1, "")
        for standard in (*standard_objects(), *deals.sales_objects()):
            self._install(standard)

    # -- schema -------------------------------------------------------------------------------------------------------

    def _install(self, made: SObject) -> SObject:
        self.objects[made.name.lower()] = made
        self.records[made.name] = {}
        for one in made.fields.values():
            if one.indexed:
                self.indexes[made.name, one.name] = {}
        return made

    def define_object(self, name: str, label: str = "") -> SObject:
        """Add a custom object with a Name field and an owner; an object that exists is returned as it is."""
        if name.lower() in self.objects:
            return self.objects[name.lower()]
        count = sum(1 for one in self.objects.values() if one.custom)
        made = new_object(name, label or name.removesuffix("__c").replace("_", " "), f"a{_base62(count, 2)}")
        made.add(Field(name="Name", type="string", label=f"{made.label} Name", length=80))
        return self._install(made)

    def add_field(self, object_name: str, one: Field) -> Field:
        """Add or replace a field; values that are there stay and are indexed anew."""
        target = self.object(object_name)
        target.add(one)
        self.indexes.pop((target.name, one.name), None)
        if one.indexed:
            index = self.indexes[target.name, one.name] = {}
            for record in self.records[target.name].values():
                value = record.values.get(one.name)
                if value is not None and not record.deleted:
                    index.setdefault(one.index_key(value), []).append(record.id)
        return one

    def rename_field(self, object_name: str, old: str, new: str) -> None:
        """Give a field another API name, as an administrator does at noon without telling anyone."""
        target = self.object(object_name)
        renamed = target.remove(old).renamed(new)
        self.indexes.pop((target.name, old), None)
        for record in self.records[target.name].values():
            if old in record.values:
                record.values[new] = record.values.pop(old)
        self.add_field(object_name, renamed)

    def delete_field(self, object_name: str, name: str) -> None:
        """Take a field and its values away."""
        target = self.object(object_name)
        gone = target.remove(name)
        self.indexes.pop((target.name, gone.name), None)
        for record in self.records[target.name].values():
            record.values.pop(gone.name, None)

    def object(self, name: str) -> SObject:
        """The object of that name in any case. Raises ``Refusal`` NOT_FOUND."""
        found = self.objects.get(name.lower())
        if found is None:
            raise Refusal("NOT_FOUND", "The requested resource does not exist")
        return found

    def user_id(self, name: str) -> str:
        """Id of the user of that name, created at first mention."""
        known = self._users.get(name)
        if known is None:
            target = self.objects["user"]
            record = Record(target, self._new_id(target))
            at = self.stamp()
            values = {"Username": name, "Name": name, "IsActive": True, "IsDeleted": False, "Id": record.id}
            record.values = values | dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), at)
            self.records["User"][record.id] = record
            self.indexes["User", "Username"][name.casefold()] = [record.id]
            known = self._users[name] = record.id
        return known

    # -- finding ------------------------------------------------------------------------------------------------------

    def by_id(self, target: SObject, text: str) -> Record:
        """The record of that id. Raises ``Refusal`` NOT_FOUND, MALFORMED_ID or ENTITY_IS_DELETED."""
        long_id = to_long_id(text)
        if long_id is None:
            raise Refusal("NOT_FOUND", "The requested resource does not exist")
        if not long_id.startswith(target.key_prefix):
            message = f"{target.label} ID: id value of incorrect type: {text}"
            raise Refusal("MALFORMED_ID", message, ("Id",))
        record = self.records[target.name].get(long_id)
        if record is None:
            raise Refusal("NOT_FOUND", "The requested resource does not exist")
        if record.deleted:
            raise Refusal("ENTITY_IS_DELETED", "entity is deleted", ())
        return record

    def external_field(self, target: SObject, name: str) -> Field:
        """The external id field of that name. Raises ``Refusal`` NOT_FOUND."""
        found = target.field(name)
        if found is None or not (found.external_id or found.name == "Id"):
            raise Refusal("NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {name}")
        return found

    def by_external(self, target: SObject, one: Field, value: Json) -> list[str]:
        """Ids of the live records that hold this value."""
        return self.indexes[target.name, one.name].get(one.index_key(value), [])

    def find(self, object_name: str, key: str) -> Record:
        """A live record by id, by any external id, or by name. Raises ``KeyError``: a test named none."""
        target = self.object(object_name)
        record = self.records[target.name].get(to_long_id(key) or "")
        if record is not None:
            return record
        for one in target.fields.values():
            if one.indexed and (ids := self.by_external(target, one, key)):
                return self.records[target.name][ids[0]]
        for candidate in self.records[target.name].values():
            if candidate.values.get("Name") == key and not candidate.deleted:
                return candidate
        raise KeyError(f"no {object_name} is known by {key}")

    # -- writing ------------------------------------------------------------------------------------------------------

    @contextmanager
    def all_or_none(self) -> Iterator[Callable[[], None]]:
        """Collects how to undo every write; the function it hands out undoes them all. Nested use joins the outer."""
        outer, mine = self._undo, list[Callable[[], None]]()
        self._undo = mine

        def undo() -> None:
            for step in reversed(mine):
                step()
            mine.clear()

        try:
            yield undo
        finally:
            self._undo = outer
            if outer is not None:
                outer.extend(mine)

    def clean(self, target: SObject, sent: dict[str, Json], forbidden: str = "") -> dict[str, Json]:
        """Stored form of the sent values, by canonical field name. Raises ``Refusal`` for the first bad one."""
        cleaned: dict[str, Json] = {}
        for name, value in sent.items():
            check = target.checks.get(name)
            one = target.fields.get(name.lower())
            if one is None:
                if name != "attributes":
                    cleaned.update(self._clean_parent(target, name, value))
                continue
            if one.name in (forbidden, "Id"):
                message = f"The {one.name} field should not be specified in the sobject data."
                raise Refusal("INVALID_FIELD", message, parsing=True)
            if not one.writable:
                message = (
                    f"Unable to create/update fields: {one.name}. Please check the security settings of this field "
                    "and verify that it is read/write for your profile or permission set."
                )
                raise Refusal("INVALID_FIELD_FOR_INSERT_UPDATE", message, (one.name,))
            cleaned[one.name] = (check or target.checks[one.name])(value)
        return cleaned

    def _clean_parent(self, target: SObject, name: str, value: Json) -> dict[str, Json]:
        reference = target.parent(name)
        if reference is None:
            raise Refusal("INVALID_FIELD", f"No such column '{name}' on sobject of type {target.name}", parsing=True)
        if value is None:
            return {reference.name: None}
        named = [(key, item) for key, item in value.items() if key != "attributes"] if isinstance(value, dict) else []
        if len(named) != 1:
            message = f"A relationship takes exactly one external ID field: {name}"
            raise Refusal("INVALID_FIELD", message, parsing=True)
        parent = self.object(self._named_object(reference, value))
        key, item = named[0]
        one = parent.field(key)
        if one is None or not one.external_id:
            message = f"{key} is not an External ID or indexed field for {parent.name}"
            raise Refusal("INVALID_FIELD", message, ())
        ids = self.by_external(parent, one, parent.checks[one.name](item))
        if not ids:
            message = f"Foreign key external ID: {item} not found for field {one.name} in entity {parent.name}"
            raise Refusal("INVALID_FIELD", message, ())
        if len(ids) > 1:
            raise Refusal("DUPLICATE_EXTERNAL_ID", f"{one.name}: more than one record found for {item}", ())
        return {reference.name: ids[0]}

    @staticmethod
    def _named_object(reference: Field, value: dict[str, Json]) -> str:
        """The object a relationship leads to; where it could be several, the value has to say which."""
        if not reference.also:
            return reference.reference_to
        told = value.get("attributes")
        kind = told.get("type") if isinstance(told, dict) else None
        if kind not in reference.leads_to:
            message = f"{reference.relationship} may lead to {', '.join(reference.leads_to)}: its type must be given"
            raise Refusal("INVALID_FIELD", message, (), parsing=True)
        return str(kind)

    def create(self, target: SObject, cleaned: dict[str, Json], user: str) -> Record:
        """Commit a new record from cleaned values. Raises ``Refusal``."""
        missing = tuple(
            one.name
            for one in target.fields.values()
            if one.required and one.writable and cleaned.get(one.name) is None and one.default is None
        )
        if missing:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            raise Refusal("REQUIRED_FIELD_MISSING", message, missing)
        for one in target.fields.values():
            if one.default is not None and one.name not in cleaned:
                cleaned[one.name] = one.default
            elif one.type == "boolean" and one.name not in cleaned:
                cleaned[one.name] = False
        record = Record(target, self._new_id(target))
        self._check_commit(record, cleaned)
        at = self.stamp()
        if target.custom and "name" in target.fields:
            cleaned.setdefault("Name", record.id)
        if "ownerid" in target.fields:
            cleaned.setdefault("OwnerId", user)
        record.values = {"Id": record.id, "IsDeleted": False, "CreatedDate": at, "CreatedById": user}
        self.records[target.name][record.id] = record
        if self._undo is not None:
            self._undo.append(lambda: self._forget(record))
        self._apply(record, cleaned, user, "created", at)
        return record

    def update(self, record: Record, cleaned: dict[str, Json], user: str) -> Record:
        """Commit changes to a record from cleaned values. Raises ``Refusal``."""
        for name, value in cleaned.items():
            if value is None and record.object.fields[name.lower()].required:
                raise Refusal("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{name}]", (name,))
        self._check_commit(record, cleaned)
        before = dict(record.values)
        if self._undo is not None:
            self._undo.append(lambda: self._restore(record, before))
        self._apply(record, cleaned, user, "updated", self.stamp())
        return record

    def delete(self, record: Record, user: str) -> None:
        """Move a record to the recycle bin: gone from indexes, still there for queryAll."""
        self._check_commit(record, {})
        if record.object.name == deals.OPPORTUNITY:
            for line in deals.lines_of(self.records, record):
                self.delete(line, user)
        self._unindex(record)
        record.deleted = True
        before = dict(record.values)
        if self._undo is not None:
            self._undo.append(lambda: self._restore(record, before))
        at = self.stamp()
        record.values |= {"IsDeleted": True, "SystemModstamp": at, "LastModifiedDate": at, "LastModifiedById": user}
        self._remember(record, "deleted", {}, user, at)
        self._roll_up(record, user, at)

    def revive(self, record: Record, user: str) -> None:
        """Take a record out of the recycle bin. Raises ``Refusal`` when another has taken its unique value."""
        if not record.deleted:
            return
        self._check_commit(
            record, {name: value for name, value in record.values.items() if self._is_unique(record, name)}
        )
        at = self.stamp()
        gone_at = record.values["SystemModstamp"]
        revived = {"IsDeleted": False, "SystemModstamp": at, "LastModifiedDate": at, "LastModifiedById": user}
        self._restore(record, record.values | revived)
        self._remember(record, "undeleted", {}, user, at)
        if record.object.name == deals.OPPORTUNITY:
            # What went with it comes back with it; a line that somebody had taken out before stays out.
            for line in deals.lines_of(self.records, record, deleted=True):
                if line.values["SystemModstamp"] == gone_at:
                    self.revive(line, user)
        self._roll_up(record, user, at)

    @staticmethod
    def _is_unique(record: Record, name: str) -> bool:
        one = record.object.field(name)
        return one is not None and one.unique

    def _apply(self, record: Record, cleaned: dict[str, Json], user: str, action: str, at: str) -> None:
        values, name = record.values, record.object.name
        cleaned.update(derive(name, values, cleaned) | deals.derived(self.records, record, cleaned))
        changed: dict[str, tuple[Json, Json]] = {}
        for key, new in cleaned.items():
            old = values.get(key)
            if old == new:
                continue
            changed[key] = (old, new)
            index = self.indexes.get((name, key))
            if index is not None:
                one = record.object.fields[key.lower()]
                if old is not None:
                    _drop(index, one.index_key(old), record.id)
                if new is not None:
                    index.setdefault(one.index_key(new), []).append(record.id)
            values[key] = new
        values["LastModifiedDate"] = values["SystemModstamp"] = at
        values["LastModifiedById"] = user
        self._remember(record, action, changed, user, at)
        self._roll_up(record, user, at)

    def _roll_up(self, record: Record, user: str, at: str) -> None:
        """A change of a line is a change of its opportunity: its amount is what the lines add up to."""
        opportunity = deals.opportunity_of(self.records, record)
        if opportunity is None:
            return
        before = dict(opportunity.values)
        if self._undo is not None:
            self._undo.append(lambda: self._restore(opportunity, before))
        self._apply(opportunity, {"Amount": deals.worth(self.records, opportunity)}, user, "updated", at)

    def _check_commit(self, record: Record, cleaned: dict[str, Json]) -> None:
        target = record.object
        for name, value in cleaned.items():
            one = target.fields[name.lower()]
            if value is None:
                continue
            if one.unique:
                others = [found for found in self.by_external(target, one, value) if found != record.id]
                if others:
                    message = f"duplicate value found: {name} duplicates value on record with id: {others[0]}"
                    raise Refusal("DUPLICATE_VALUE", message, ())
            if one.reference_to:
                self._check_reference(one, value)
        if self.rejections:
            self._check_rejections(record, cleaned)

    def _check_reference(self, one: Field, value: str) -> None:
        known = [self.objects[name.lower()] for name in one.leads_to if name.lower() in self.objects]
        parent = next((named for named in known if value.startswith(named.key_prefix)), None)
        if parent is None:
            raise Refusal("FIELD_INTEGRITY_EXCEPTION", f"{one.label}: id value of incorrect type: {value}", (one.name,))
        found = self.records[parent.name].get(value)
        if found is None or found.deleted:
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ())

    def _check_rejections(self, record: Record, cleaned: dict[str, Json]) -> None:
        known = {record.id, record.id[:15]}
        for one in record.object.fields.values():
            if one.indexed or one.name == "Name":
                known |= {str(source[one.name]) for source in (record.values, cleaned) if source.get(one.name)}
        for rejection in self.rejections:
            if rejection.object == record.object.name and rejection.key in known and rejection.times != 0:
                if rejection.times is not None:
                    rejection.times -= 1
                raise Refusal(rejection.code, rejection.message, ())

    # -- bookkeeping --------------------------------------------------------------------------------------------------

    def stamp(self) -> str:
        """Now, as Salesforce stamps it: whole seconds."""
        now = self.now()
        second = int(now.timestamp())
        if second != self._stamp[0]:
            self._stamp = (second, rendered(now))
        return self._stamp[1]

    def history(self, object_name: str, key: str) -> tuple[FieldChange, ...]:
        """Every change of every field of one record, oldest first. Raises ``KeyError``."""
        record = self.find(object_name, key)
        return tuple(
            FieldChange(name, old, new, self.user_name(effect.user), effect.at)
            for effect in self.effects.get(record.id, ())
            for name, (old, new) in effect.changed.items()
        )

    def user_name(self, user_id: str) -> str:
        """Name of the user with that id."""
        record = self.records["User"].get(user_id)
        return str(record.values["Username"]) if record is not None else user_id

    def live(self, target: SObject) -> Iterable[Record]:
        """Records that are not in the recycle bin."""
        return (record for record in self.records[target.name].values() if not record.deleted)

    def _new_id(self, target: SObject) -> str:
        number = self._next_number[target.name] = self._next_number.get(target.name, 0) + 1
        made = to_long_id(f"{target.key_prefix}SiM{_base62(number, 9)}")
        if made is None:
            raise ValueError(f"{target.key_prefix} makes no id")
        return made

    def _remember(self, record: Record, action: str, changed: dict[str, tuple[Json, Json]], user: str, at: str) -> None:
        self.effect_count += 1
        effect = Effect(self.effect_count, record.object.name, record.id, action, changed, user, at)
        log = self.effects.setdefault(record.id, [])
        log.append(effect)
        if self._undo is not None:
            self._undo.append(lambda: log.remove(effect))

    def _unindex(self, record: Record) -> None:
        for one in record.object.fields.values():
            value = record.values.get(one.name)
            if one.indexed and value is not None:
                _drop(self.indexes[record.object.name, one.name], one.index_key(value), record.id)

    def _forget(self, record: Record) -> None:
        self._unindex(record)
        del self.records[record.object.name][record.id]

    def _restore(self, record: Record, before: dict[str, Json]) -> None:
        if not record.deleted:
            self._unindex(record)
        record.deleted = False
        record.values = before
        for one in record.object.fields.values():
            value = before.get(one.name)
            if one.indexed and value is not None:
                self.indexes[record.object.name, one.name].setdefault(one.index_key(value), []).append(record.id)


def _drop(index: dict[Json, list[str]], key: Json, record_id: str) -> None:
    ids = index.get(key, [])
    if record_id in ids:
        ids.remove(record_id)
    if not ids:
        index.pop(key, None)


def _base62(number: int, width: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits.rjust(width, "0")
