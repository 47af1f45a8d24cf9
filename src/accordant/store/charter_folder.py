"""The charter's folder: YAML, read strictly, filled in where a part follows from the rest, refused with every defect.

Nothing is written here. What types cannot say is checked by `governance/charter.py`; its defects get their places here.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from accordant.canonical.charter import (
    Charter,
    CustomerModel,
    FieldPart,
    FieldType,
    MappingPart,
    OwnershipPart,
    SeveralCustomers,
)
from accordant.canonical.facts import FactType
from accordant.canonical.refs import EntityKind
from accordant.governance.charter import check_charter
from accordant.governance.findings import ConnectorFacts, Defect, Severity, place
from accordant.governance.ownership import OwnershipMatrix, facts_of
from accordant.kernel.errors import ConfigurationError
from accordant.mapping.expressions import ExpressionDefect, compile_expression
from accordant.mapping.translate import check_mapping
from accordant.store.charter_shape import ALL_FIELDS, check_shape
from accordant.store.charter_yaml import CharterDefect, Document, Place, Value, defect_at, read_yaml

FILES_MAX = 100
RATE_PER_S_DEFAULT = 20
_SUFFIXES = frozenset({".yaml", ".yml"})

#: Connector and customer model (``mapping_name``) -> the mappings it ships.
DefaultMappings = Mapping[str, tuple[MappingPart, ...]]
#: Connector -> entity -> the sentence that says why such a system owns it.
DefaultOwnership = Mapping[str, Mapping[EntityKind, str]]

_Raw = dict[str, Any]


def mapping_name(connector: str, model: CustomerModel, several: SeveralCustomers = SeveralCustomers.ROLL_UP) -> str:
    """What the mapping is called that a connector ships for companies (its own name), for persons, or for companies
    whose customers are kept apart.
    """
    parts = (model,) if model is not CustomerModel.B2B else ()
    return ", ".join((connector, *parts, *((several,) if several is not SeveralCustomers.ROLL_UP else ())))


class CharterInvalid(ConfigurationError):
    """The charter cannot be used; the one in force stays. ``defects`` holds everything that is wrong with it."""

    remedy = "Correct the places named above; the charter in force stays in force."

    def __init__(self, defects: tuple[CharterDefect, ...]) -> None:
        self.defects = defects
        count = "one place" if len(defects) == 1 else f"{len(defects)} places"
        listed = "\n".join(f"  {defect}" for defect in defects)
        super().__init__(f"The charter is wrong in {count}:\n{listed}\n")


class CharterFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A charter as read, with the place of each of its parts."""

    charter: Charter
    places: dict[str, Place]

    def locate(self, where: str) -> Place:
        """Where a part of the charter stands; of something that is not written, the nearest part around it that is."""
        return _locate(self.places, where)

    def check(self, connectors: Mapping[str, ConnectorFacts]) -> tuple[CharterDefect, ...]:
        """Every defect of the charter with its place in the files, warnings included."""
        found = check_charter(self.charter, connectors=connectors)
        mapped = _mapping_defects(self.charter, tuple(defect.where for defect in found))
        return self.placed((*found, *mapped, *_condition_defects(self.charter)))

    def placed(self, defects: Iterable[Defect]) -> tuple[CharterDefect, ...]:
        """Defects with their places in the files."""
        return tuple(
            msgspec.structs.replace(
                defect_at(self.locate(defect.where), defect.where, defect.problem, defect.remedy),
                severity=defect.severity,
            )
            for defect in defects
        )


def load_charter(
    folder: Path,
    *,
    default_mappings: DefaultMappings,
    default_ownership: DefaultOwnership | None = None,
    connectors: Mapping[str, ConnectorFacts] | None = None,
) -> Charter:
    """The charter in a folder, filled in and, with ``connectors``, checked whole. Raises: CharterInvalid."""
    found = read_folder(
        folder,
        default_mappings=default_mappings,
        default_ownership=default_ownership or {},
        connectors=connectors or {},
    )
    if connectors is not None:
        errors = tuple(defect for defect in found.check(connectors) if defect.severity is Severity.ERROR)
        if errors:
            raise CharterInvalid(errors)
    return found.charter


def read_folder(
    folder: Path,
    *,
    default_mappings: DefaultMappings,
    default_ownership: DefaultOwnership,
    connectors: Mapping[str, ConnectorFacts],
) -> CharterFolder:
    """Read every file of a folder and fill in what follows from the rest; the rules are not asked yet.

    ``connectors`` only lowers a rate of calls that is not written to what the vendor allows.

    Raises: CharterInvalid, with every defect of the files that can be found at once.
    """
    documents = _documents(folder)
    raw, places, defects = _merge(documents)
    # What an unreadable file may have held is not called missing as well.
    is_whole = all(isinstance(document.value, dict) for document in documents)
    defects += [
        defect_at(_locate(places, misfit.path), misfit.path, misfit.problem, misfit.remedy)
        for misfit in check_shape(cast("Value", raw))
        if is_whole or misfit.path in places or not misfit.path.isidentifier()
    ]
    if defects:
        raise CharterInvalid(tuple(defects))
    filler = _Filler(raw, places, default_mappings, default_ownership)
    filler.fill(connectors)
    if filler.defects:
        raise CharterInvalid(tuple(filler.defects))
    return CharterFolder(charter=msgspec.convert(raw, Charter), places=places)


def folders_beside(folder: Path) -> tuple[str, ...]:
    """The names of the folders with a charter beside ``folder``, itself first; links are not followed."""
    whole = folder.absolute()
    try:
        others = sorted(
            path.name
            for path in whole.parent.iterdir()
            if path.is_dir() and not path.is_symlink() and not path.name.startswith(".") and path != whole
        )
    except OSError:
        others = []
    return (whole.name, *(name for name in others if _has_documents(whole.parent / name)))


def _has_documents(folder: Path) -> bool:
    try:
        return any(path.suffix in _SUFFIXES for path in folder.iterdir())
    except OSError:
        return False


def _documents(folder: Path) -> list[Document]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and not path.name.startswith("."))
        if 1 <= len(paths) <= FILES_MAX:
            return [read_yaml(path.read_bytes(), path.name) for path in paths]
    except OSError as error:
        problem, remedy = f"The charter's folder cannot be read: {error.strerror}.", "Name a folder that can be read."
    else:
        problem = f"The folder holds {len(paths)} YAML files."
        remedy = f"A charter is 1 to {FILES_MAX} files ending in .yaml or .yml."
    raise CharterInvalid((defect_at(Place(folder.name, 1, 1), "", problem, remedy),))


def _merge(documents: list[Document]) -> tuple[_Raw, dict[str, Place], list[CharterDefect]]:
    raw: _Raw = {}
    places: dict[str, Place] = {"": Place(documents[0].file, 1, 1)}
    defects: list[CharterDefect] = []
    for document in documents:
        defects += document.defects
        if not isinstance(document.value, dict):
            if not document.defects:
                problem, remedy = "The file is no group of settings.", "Begin with a key such as `systems:`."
                defects.append(defect_at(document.places[""], "", problem, remedy))
            continue
        for key, value in document.value.items():
            if key in raw:
                problem = f"{key} already stands in {places[key].file}, line {places[key].line}."
                defects.append(defect_at(document.places[key], key, problem, "Keep each first-level key in one file."))
                continue
            raw[key] = value
            places |= {
                path: at for path, at in document.places.items() if re.match(re.escape(key) + r"(\.|\[|$)", path)
            }
    return raw, places, defects


def _locate(places: Mapping[str, Place], where: str) -> Place:
    while where not in places:
        where = re.sub(r"(\.[^.\[]*|\[\d+\]|^[^.\[]*)$", "", where)
    return places[where]


def _mapping_defects(charter: Charter, known: tuple[str, ...]) -> Iterator[Defect]:
    """What the mapping room finds, unless the charter check has already said it of the same field."""
    for system, mappings in charter.mappings.items():
        for index, mapping in enumerate(mappings):
            where = place("mappings", system, index)
            for found in check_mapping(mapping):
                is_key = found.field not in mapping.fields
                at = place(where, "key_source") if is_key else place(where, "fields", found.field)
                if not any(other == at or other.startswith(f"{at}.") for other in known):
                    yield Defect(where=at, problem=found.reason, remedy=found.remedy)


def _condition_defects(charter: Charter) -> Iterator[Defect]:
    """What the mapping room finds of the conditions of flows: each has to be true or false of facts there are."""
    for index, flow in enumerate(charter.flows):
        for at, part in enumerate(flow.conditions):
            where = place("flows", index, "conditions", at, "when")
            found = compile_expression(part.when, flow.entity, FieldType.FLAG)
            if isinstance(found, ExpressionDefect):
                yield Defect(where=where, problem=found.reason, remedy=found.remedy, flows=(flow.name,))
            elif found.type is not FactType.FLAG:
                problem = f"{part.name} of {flow.name} comes to {found.type}, and neither holds nor does not."
                yield Defect(
                    where=where, problem=problem, remedy="Compare it with something: a == b.", flows=(flow.name,)
                )


class _Filler:
    """Fills in what a person may leave out, so that a usual company is under twenty lines. Works on checked shapes."""

    def __init__(
        self, raw: _Raw, places: dict[str, Place], mappings: DefaultMappings, ownership: DefaultOwnership
    ) -> None:
        self.defects: list[CharterDefect] = []
        self._raw = raw
        self._places = places
        self._mappings = mappings
        self._ownership = ownership

    def fill(self, connectors: Mapping[str, ConnectorFacts]) -> None:
        self._raw.setdefault("mappings", {})
        self._raw.setdefault("ownership", [])
        for name, system in self._raw["systems"].items():
            system.setdefault("connector", name)
            self._fill_mappings(name, system["connector"])
            facts = connectors.get(system["connector"])
            if facts is not None:
                system.setdefault("rate_per_s", min(RATE_PER_S_DEFAULT, facts.rate_per_s_max))
        self._fill_ownership()
        for index, flow in enumerate(self._raw["flows"]):
            flow.setdefault("name", f"{flow['source']}-{flow['entity']}-to-{flow['target']}")
            self._fill_object(index, flow)
            if flow.get("write_fields", ALL_FIELDS) == ALL_FIELDS:
                flow["write_fields"] = self._own_fields(flow)

    def _fill_mappings(self, system: str, connector: str) -> None:
        """A system without mappings of its own gets those its connector ships, whole."""
        identity = self._raw.get("identity") or {}
        model = CustomerModel(identity.get("model", CustomerModel.B2B))
        several = SeveralCustomers(identity.get("several_customers", SeveralCustomers.ROLL_UP))
        shipped = self._mappings.get(mapping_name(connector, model, several))
        is_source = any(flow["source"] == system for flow in self._raw["flows"])
        is_target = any(flow["target"] == system for flow in self._raw["flows"])
        # Who only tells is not told anything, and a mapping nobody uses would stand in every page of the charter.
        if system not in self._raw["mappings"] and shipped is not None and (is_target or not is_source):
            self._raw["mappings"][system] = [msgspec.to_builtins(mapping) for mapping in shipped]
            self._places[place("mappings", system)] = self._places[place("systems", system)]

    def _fill_ownership(self) -> None:
        """Who owns what nobody wrote: the one source that carries it, or the one source whose connector says so.

        The first may be told to where the flows lead; what no flow carries is taken in and told to nobody.
        """
        written = {part["entity"] for part in self._raw["ownership"]}
        sources = list(dict.fromkeys(flow["source"] for flow in self._raw["flows"]))
        carried = dict.fromkeys(flow["entity"] for flow in self._raw["flows"])
        for entity in carried:
            flows = [flow for flow in self._raw["flows"] if flow["entity"] == entity]
            carrying = {flow["source"] for flow in flows}
            if entity not in written and len(carrying) == 1:
                at = place("flows", self._raw["flows"].index(flows[0]))
                self._own(entity, carrying.pop(), at, readers=sorted({flow["target"] for flow in flows}))
        for kind in EntityKind:
            speaking = [source for source in sources if kind in self._sentences(source)]
            if kind.value not in written and kind.value not in carried and len(speaking) == 1:
                self._own(kind.value, speaking[0], place("systems", speaking[0]), readers=[], direction="inbound")

    def _own(self, entity: str, system: str, at: str, **said: list[str] | str) -> None:
        sentence = self._sentences(system).get(EntityKind(entity))
        if sentence is None:
            return
        self._places[place("ownership", len(self._raw["ownership"]))] = _locate(self._places, at)
        self._raw["ownership"].append({"entity": entity, "system_of_record": system, "purpose": sentence} | said)

    def _sentences(self, system: str) -> Mapping[EntityKind, str]:
        """Why a system of this connector owns what it owns, in the connector's words."""
        return self._ownership.get(self._raw["systems"].get(system, {}).get("connector"), {})

    def _fill_object(self, index: int, flow: _Raw) -> None:
        if "object" in flow:
            return
        objects = [
            mapping["object"]
            for mapping in self._raw["mappings"].get(flow["target"], ())
            if mapping["entity"] == flow["entity"]
        ]
        if len(objects) == 1:
            flow["object"] = objects[0]
            return
        where = place("flows", index, "object")
        problem = (
            f"{flow['entity']} is mapped to {len(objects)} objects of {flow['target']}, so the object is not clear."
        )
        remedy = (
            f"Add object: one of {', '.join(objects)}." if objects else f"Add a mapping to mappings.{flow['target']}."
        )
        self.defects.append(defect_at(_locate(self._places, where), where, problem, remedy))
        flow["object"] = ""

    def _own_fields(self, flow: _Raw) -> list[str]:
        """Every mapped field whose facts the flow's source owns; where nobody is named yet, every mapped field."""
        parts = [part for part in self._raw["ownership"] if part["entity"] == flow["entity"]]
        owners = OwnershipMatrix.from_parts(msgspec.convert(parts, tuple[OwnershipPart, ...]))
        entity = EntityKind(flow["entity"])
        return [
            name
            for mapping in self._raw["mappings"].get(flow["target"], ())
            if (mapping["entity"], mapping["object"]) == (flow["entity"], flow["object"])
            for name, field in mapping["fields"].items()
            if {owners.owner_of(entity, fact) for fact in facts_of(msgspec.convert(field, FieldPart))}
            <= {flow["source"], None}
        ]


# -- a first charter -------------------------------------------------------------------------------------------------


class ExampleSystem(msgspec.Struct, frozen=True, kw_only=True):
    """A system of a first charter. ``settings`` as they are to stand in the file; secrets as ``env:NAME``."""

    connector: str
    owner: str
    settings: dict[str, str | bool]


def example_charter(
    *, company: str, timezone: str, model: CustomerModel, source: ExampleSystem, target: ExampleSystem
) -> str:
    """A complete first charter in one file: accounts and subscriptions of one system, compared with another."""
    flow = f"source: {source.connector}, target: {target.connector}, phase: read_only"
    return "\n".join(
        [
            "# This folder is the company's charter: which systems there are, who owns what, and what may be written.",
            "# Check it with `accordant check`; each setting is described in docs/howto/write-your-charter.md.",
            f"company: {_text(company)}",
            f"timezone: {_text(timezone)}",
            "systems:",
            *_example_system(source),
            *_example_system(target),
            "# Before a record is made, the one that is already there is looked for; doubtful ones are asked about.",
            # The model also says which mapping is filled in.
            f"identity: {{ model: {model}, unmatched: create }}",
            "# read_only compares and writes nothing. Once what it would write is right, make a flow controlled.",
            "flows:",
            f"  - {{ entity: account, {flow}, verify: Customers in {target.connector} }}",
            f"  - {{ entity: subscription, {flow}, verify: Subscriptions in {target.connector} }}",
            "",
        ]
    )


def _example_system(system: ExampleSystem) -> list[str]:
    settings = ", ".join(
        f"{name}: {str(value).lower() if isinstance(value, bool) else _text(value)}"
        for name, value in system.settings.items()
    )
    return [
        f"  {system.connector}:",
        f"    owner: {_text(system.owner)}",
        f"    settings: {{ {settings} }}" if settings else "    settings: {}",
    ]


def _text(value: str) -> str:
    """Text as YAML: bare where it can only be text, else in quotes (a JSON string is a YAML string)."""
    is_plain = re.fullmatch(r"env:[A-Z_][A-Z0-9_]*|[A-Za-z][A-Za-z]*(/[A-Za-z_]+)+|https://[A-Za-z0-9./-]+", value)
    return value if is_plain else json.dumps(value, ensure_ascii=False)
