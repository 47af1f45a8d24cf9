"""Objects of the Salesforce stand-in and how they describe themselves.
Guarantees that names are found without regard to case, and that a renamed or deleted field is gone at once.
Next: simulator_records.py, where records of these objects live.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from accordant.connectors.salesforce.simulator_fields import NUMBER_TYPES, TEXT_TYPES, Field, Json, checker

_STAGES = {
    "Prospecting": 10,
    "Qualification": 10,
    "Needs Analysis": 20,
    "Value Proposition": 50,
    "Id. Decision Makers": 60,
    "Perception Analysis": 70,
    "Proposal/Price Quote": 75,
    "Negotiation/Review": 90,
    "Closed Won": 100,
    "Closed Lost": 0,
}
_TASK_STATUSES = ("Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred")
_SYSTEM_DATES = ("CreatedDate", "LastModifiedDate", "SystemModstamp")


@dataclass(slots=True)
class SObject:
    """One object: its fields in order, keyed by lower-case name, and the checker of each."""

    name: str
    label: str
    key_prefix: str
    fields: dict[str, Field] = field(default_factory=dict)
    checks: dict[str, Callable[[Json], Json]] = field(default_factory=dict)

    @property
    def custom(self) -> bool:
        """Whether a company added the object itself."""
        return self.name.endswith("__c")

    @property
    def url(self) -> str:
        """Its path below the API version."""
        return f"sobjects/{self.name}"

    def add(self, one: Field) -> Field:
        """Add a field, or replace the one of that name."""
        self.fields[one.name.lower()] = one
        self.checks[one.name] = checker(one)
        return one

    def remove(self, name: str) -> Field:
        """Take a field away. Raises ``KeyError`` when there is none of that name."""
        gone = self.fields.pop(name.lower())
        del self.checks[gone.name]
        return gone

    def field(self, name: str) -> Field | None:
        """The field of that name in any case."""
        return self.fields.get(name.lower())

    def parent(self, relationship: str) -> Field | None:
        """The reference field whose relationship has that name in any case."""
        wanted = relationship.lower()
        return next((one for one in self.fields.values() if one.relationship.lower() == wanted), None)

    def describe(self, base: str) -> dict[str, Json]:
        """The describe answer; ``base`` is ``/services/data/vNN.N``."""
        return {
            **self.summary(base),
            "fields": [_describe_field(one) for one in self.fields.values()],
            "childRelationships": [],
            "recordTypeInfos": [],
            "namedLayoutInfos": [],
            "supportedScopes": [],
            "actionOverrides": [],
            "searchLayoutable": True,
            "compactLayoutable": True,
        }

    def summary(self, base: str) -> dict[str, Json]:
        """The row of this object in the list of all objects."""
        never = ("activateable", "customSetting", "deprecatedAndHidden", "hasSubtypes", "isInterface", "isSubtype")
        always = (
            "createable",
            "deletable",
            "layoutable",
            "mruEnabled",
            "queryable",
            "replicateable",
            "retrieveable",
            "searchable",
            "triggerable",
            "undeletable",
            "updateable",
        )
        flags = dict.fromkeys(never, False) | dict.fromkeys(always, True)
        urls = {"sobject": "", "describe": "/describe", "rowTemplate": "/{ID}"}
        return {
            "name": self.name,
            "label": self.label,
            "labelPlural": f"{self.label}s",
            "keyPrefix": self.key_prefix,
            "custom": self.custom,
            "mergeable": not self.custom,
            "feedEnabled": not self.custom,
            "dataTranslationEnabled": False,
            "deepCloneable": False,
            **flags,
            "urls": {name: f"{base}/{self.url}{tail}" for name, tail in urls.items()},
        }


def _describe_field(one: Field) -> dict[str, Json]:
    text = one.type in TEXT_TYPES
    number = one.type in NUMBER_TYPES
    return {
        "name": one.name,
        "label": one.label,
        "type": one.type,
        "soapType": "xsd:string" if text else ("tns:ID" if one.type in ("id", "reference") else f"xsd:{one.type}"),
        "length": 18 if one.type in ("id", "reference") else (one.length or 255) if text else 0,
        "byteLength": 18 if one.type in ("id", "reference") else (one.length or 255) * 3 if text else 0,
        "precision": one.precision if number else 0,
        "scale": one.scale if number else 0,
        "digits": 9 if one.type == "int" else 0,
        "nillable": not one.required and one.type != "boolean" and one.name != "Id",
        "defaultedOnCreate": one.default is not None or one.type == "boolean" or not one.writable,
        "defaultValue": one.default,
        "unique": one.unique,
        "externalId": one.external_id,
        "idLookup": one.external_id or one.name == "Id",
        "caseSensitive": one.case_sensitive,
        "custom": one.custom,
        "createable": one.writable,
        "updateable": one.writable,
        "calculated": False,
        "autoNumber": False,
        "nameField": one.name == "Name",
        "filterable": one.type != "textarea",
        "sortable": one.type != "textarea",
        "groupable": False,
        "restrictedPicklist": one.restricted,
        "picklistValues": [
            {"active": True, "defaultValue": value == one.default, "label": value, "validFor": None, "value": value}
            for value in one.picklist
        ],
        "referenceTo": list(one.leads_to),
        "namePointing": bool(one.also),
        "polymorphicForeignKey": bool(one.also),
        "relationshipName": one.relationship or None,
        "deprecatedAndHidden": False,
        "inlineHelpText": None,
    }


def new_object(name: str, label: str, key_prefix: str) -> SObject:
    """An object with the fields every object has."""
    made = SObject(name, label, key_prefix)
    made.add(Field(name="Id", type="string", label=f"{label} ID", length=18, writable=False))
    made.add(Field(name="IsDeleted", type="boolean", label="Deleted", default=False, writable=False))
    for stamp in _SYSTEM_DATES:
        made.add(Field(name=stamp, type="datetime", label=stamp, writable=False))
    for who in ("CreatedBy", "LastModifiedBy"):
        made.add(
            Field(name=f"{who}Id", type="reference", label=who, reference_to="User", relationship=who, writable=False)
        )
    if name != "User":
        made.add(Field(name="OwnerId", type="reference", label="Owner ID", reference_to="User", relationship="Owner"))
    return made


def _text(name: str, label: str, length: int, **more: Json) -> Field:
    return Field(name=name, type="string", label=label, length=length, **more)


def _picklist(name: str, label: str, *values: str) -> Field:
    return Field(name=name, type="picklist", label=label, length=255, picklist=values)


def _survivor(name: str) -> Field:
    """The record that one was merged into: filled only in the recycle bin, on the objects that can be merged."""
    return Field(
        name="MasterRecordId",
        type="reference",
        label="Master Record ID",
        reference_to=name,
        relationship="MasterRecord",
        writable=False,
    )


def _address(made: SObject, kind: str) -> None:
    made.add(Field(name=f"{kind}Street", type="textarea", label=f"{kind} Street", length=255))
    for part, length in (("City", 40), ("State", 80), ("PostalCode", 20), ("Country", 80)):
        made.add(_text(f"{kind}{part}", f"{kind} {part}", length))


def standard_objects() -> list[SObject]:
    """Account, Contact, Opportunity, Task and User with the fields integrations touch."""
    return [_user(), _account(), _contact(), _opportunity(), _task()]


def _user() -> SObject:
    made = new_object("User", "User", "005")
    made.add(_text("Username", "Username", 80, required=True, unique=True))
    made.add(_text("Name", "Full Name", 121))
    made.add(Field(name="Email", type="email", label="Email", length=128))
    made.add(Field(name="IsActive", type="boolean", label="Active", default=True))
    return made


def _account() -> SObject:
    made = new_object("Account", "Account", "001")
    made.add(_text("Name", "Account Name", 255, required=True))
    made.add(_survivor("Account"))
    made.add(_picklist("Type", "Account Type", "Prospect", "Customer - Direct", "Customer - Channel", "Other"))
    made.add(Field(name="ParentId", type="reference", label="Parent ID", reference_to="Account", relationship="Parent"))
    _address(made, "Billing")
    _address(made, "Shipping")
    for name, label in (("Phone", "Account Phone"), ("Fax", "Account Fax")):
        made.add(Field(name=name, type="phone", label=label, length=40))
    made.add(_text("AccountNumber", "Account Number", 40))
    made.add(Field(name="Website", type="url", label="Website", length=255))
    made.add(_picklist("Industry", "Industry", "Banking", "Finance", "Manufacturing", "Technology", "Other"))
    made.add(Field(name="AnnualRevenue", type="currency", label="Annual Revenue", scale=0))
    made.add(Field(name="NumberOfEmployees", type="int", label="Employees"))
    made.add(_picklist("Rating", "Account Rating", "Hot", "Warm", "Cold"))
    made.add(_picklist("AccountSource", "Account Source", "Web", "Partner Referral", "Other"))
    made.add(_text("Site", "Account Site", 80))
    made.add(Field(name="Description", type="textarea", label="Account Description", length=32000))
    return made


def _contact() -> SObject:
    made = new_object("Contact", "Contact", "003")
    made.add(
        Field(name="AccountId", type="reference", label="Account ID", reference_to="Account", relationship="Account")
    )
    made.add(_survivor("Contact"))
    made.add(_text("LastName", "Last Name", 80, required=True))
    made.add(_text("FirstName", "First Name", 40))
    made.add(_text("Name", "Full Name", 121, writable=False))
    made.add(_picklist("Salutation", "Salutation", "Mr.", "Ms.", "Mrs.", "Dr.", "Prof."))
    made.add(Field(name="Email", type="email", label="Email", length=80))
    for name in ("Phone", "MobilePhone"):
        made.add(Field(name=name, type="phone", label=name, length=40))
    made.add(_text("Title", "Title", 128))
    made.add(_text("Department", "Department", 80))
    _address(made, "Mailing")
    made.add(_picklist("LeadSource", "Lead Source", "Web", "Phone Inquiry", "Partner Referral", "Other"))
    made.add(Field(name="Birthdate", type="date", label="Birthdate"))
    made.add(Field(name="HasOptedOutOfEmail", type="boolean", label="Email Opt Out", default=False))
    made.add(Field(name="Description", type="textarea", label="Contact Description", length=32000))
    return made


def _opportunity() -> SObject:
    made = new_object("Opportunity", "Opportunity", "006")
    made.add(
        Field(name="AccountId", type="reference", label="Account ID", reference_to="Account", relationship="Account")
    )
    made.add(_text("Name", "Name", 120, required=True))
    made.add(
        Field(name="StageName", type="picklist", label="Stage", length=255, picklist=tuple(_STAGES), required=True)
    )
    made.add(Field(name="CloseDate", type="date", label="Close Date", required=True))
    made.add(Field(name="Amount", type="currency", label="Amount", scale=2))
    made.add(Field(name="Probability", type="percent", label="Probability (%)", precision=3))
    made.add(Field(name="ExpectedRevenue", type="currency", label="Expected Amount", scale=2, writable=False))
    made.add(_picklist("Type", "Opportunity Type", "Existing Business", "New Business"))
    made.add(_picklist("LeadSource", "Lead Source", "Web", "Phone Inquiry", "Partner Referral", "Other"))
    made.add(_text("NextStep", "Next Step", 255))
    for name in ("IsClosed", "IsWon"):
        made.add(Field(name=name, type="boolean", label=name[2:], default=False, writable=False))
    made.add(Field(name="Description", type="textarea", label="Description", length=32000))
    return made


def _task() -> SObject:
    made = new_object("Task", "Task", "00T")
    for name, label, first, also in (
        ("WhatId", "Related To ID", "Account", ("Opportunity",)),
        ("WhoId", "Name ID", "Contact", ("Lead",)),
    ):
        relation = name.removesuffix("Id")
        made.add(Field(name=name, type="reference", label=label, reference_to=first, also=also, relationship=relation))
    account = Field(
        name="AccountId",
        type="reference",
        label="Account ID",
        reference_to="Account",
        relationship="Account",
        writable=False,
    )
    made.add(account)
    made.add(_text("Subject", "Subject", 255))
    for name, values in (("Status", _TASK_STATUSES), ("Priority", ("High", "Normal", "Low"))):
        default = "Normal" if name == "Priority" else values[0]
        made.add(Field(name=name, type="picklist", label=name, length=255, picklist=values, default=default))
    made.add(Field(name="ActivityDate", type="date", label="Due Date Only"))
    made.add(Field(name="IsClosed", type="boolean", label="Closed", default=False, writable=False))
    made.add(Field(name="Description", type="textarea", label="Description", length=32000))
    return made


def _derived_task(changed: dict[str, Json]) -> dict[str, Json]:
    """A task that is completed is closed; one that is about an Account is that Account's."""
    made: dict[str, Json] = {}
    if "Status" in changed:
        made["IsClosed"] = changed["Status"] == "Completed"
    if "WhatId" in changed:
        about = changed["WhatId"]
        made["AccountId"] = about if about is not None and about.startswith("001") else None
    return made


def derive(name: str, values: dict[str, Json], changed: dict[str, Json]) -> dict[str, Json]:
    """What Salesforce itself sets because of a change: stage flags, a full name, an expected amount, a closed task."""
    if name == "Contact" and ("LastName" in changed or "FirstName" in changed):
        parts = (changed.get(part, values.get(part)) for part in ("FirstName", "LastName"))
        return {"Name": " ".join(part for part in parts if part)}
    if name == "Task":
        return _derived_task(changed)
    if name != "Opportunity":
        return {}
    made: dict[str, Json] = {}
    stage = changed.get("StageName")
    if stage is not None and stage != values.get("StageName"):
        made = {"IsClosed": stage in ("Closed Won", "Closed Lost"), "IsWon": stage == "Closed Won"}
        if "Probability" not in changed:
            made["Probability"] = _STAGES.get(stage, 0)
    amount, chance = ({**values, **changed, **made}.get(part) for part in ("Amount", "Probability"))
    made["ExpectedRevenue"] = None if amount is None or chance is None else amount * chance / 100
    return made
