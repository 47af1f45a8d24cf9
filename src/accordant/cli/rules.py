"""Commands about the charter: `init` writes the first, `check` says go or no-go, `charter schema` helps editors."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter

from accordant.analytics.catalog_findings import CatalogFinding
from accordant.canonical.charter import Charter, CustomerModel
from accordant.canonical.people import bare_name, is_unverified, same_person
from accordant.canonical.shapes import TargetDrift
from accordant.cli.options import (
    COMMON,
    TOKEN_VARIABLE,
    Common,
    charter_in_force,
    charter_to_run,
    now,
    opened_hub,
    opened_store,
    people_office,
    person,
    settings_of,
)
from accordant.cli.render import emit, err, say, shown, table
from accordant.governance.access import Act
from accordant.governance.findings import Severity
from accordant.kernel.errors import AccordantError, ConfigurationError, RejectedError
from accordant.operations.check_target import check_target
from accordant.operations.endpoints import EndpointFinding
from accordant.operations.initialize import FILE_NAME, Answers, FirstCharter, System, initialize

charter_app = App(name="charter", help="About the charter's own language.")

_EXAMPLE_URL = "https://NAME.my.salesforce.com"


def init(
    *,
    company: Annotated[str | None, Parameter(help="1. The company's name.")] = None,
    timezone: Annotated[str | None, Parameter(help="2. Its time zone, as in Europe/Berlin.")] = None,
    owner: Annotated[str | None, Parameter(help="3. Who answers for billing and CRM data: a person or a team.")] = None,
    live: Annotated[
        bool | None, Parameter(negative="--sandbox", help="4. Stripe's real account, or a sandbox.")
    ] = None,
    salesforce_url: Annotated[str | None, Parameter(help=f"5. The org's address, {_EXAMPLE_URL}.")] = None,
    persons: Annotated[
        bool | None, Parameter(negative="--companies", help="6. Who buys: persons (a Contact each), or companies.")
    ] = None,
    common: Common = COMMON,
) -> int:
    """Write a first charter: six questions, asked where a flag does not answer them. It only compares."""
    folder = settings_of(common).charter
    if folder.is_dir() and any(folder.glob("*.y*ml")):
        raise ConfigurationError(
            f"There is a charter in {folder} already.", remedy="Name another folder with --charter, or edit that one."
        )
    answers = Answers(
        company=_answer("The company's name", "--company", company),
        timezone=_answer("Its time zone", "--timezone", timezone, default="UTC"),
        owner=_answer("Who answers for this data (a person or a team)", "--owner", owner),
        is_live=_is_live(live),
        crm_url=_answer(f"The address of the Salesforce org, {_EXAMPLE_URL}", "--salesforce-url", salesforce_url),
        model=_model(persons),
    )
    first = initialize(answers=answers, compose=_compose)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    path.write_text(first.text, encoding="utf-8")
    _tell_first(common, first, path, _witness(common))
    return 0


def _witness(common: Common) -> str:
    """The public half of the key pair that signs the checkpoints of the audit trail, made here and now."""
    from accordant.store.checkpoints import read_signer

    return read_signer(settings_of(common).home).public


def _answer(question: str, flag: str, given: str | None, *, default: str = "") -> str:
    if given is not None:
        return given
    if not sys.stdin.isatty():
        if default:
            return default
        raise ConfigurationError(f"{question} is not given.", remedy=f"Give {flag}.")
    shown = f" [{default}]" if default else ""
    return err().input(f"{question}{shown}: ", markup=False).strip() or default


def _is_live(given: bool | None) -> bool:  # noqa: FBT001  the command's own flag
    if given is not None:
        return given
    return _answer("Stripe's real account? (yes, or no for a sandbox)", "--live or --sandbox", None, default="no") in {
        "y",
        "yes",
    }


def _model(persons: bool | None) -> CustomerModel:  # noqa: FBT001  the command's own flag
    if persons is None:
        said = _answer("Who buys? (companies, or persons)", "--companies or --persons", None, default="companies")
        persons = said.startswith("p")
    return CustomerModel.B2C if persons else CustomerModel.B2B


def _compose(answers: Answers, source: System, target: System) -> str:
    from accordant.store.charter_folder import ExampleSystem, example_charter

    described = [
        ExampleSystem(connector=system.connector, owner=answers.owner, settings=system.settings)
        for system in (source, target)
    ]
    return example_charter(
        company=answers.company,
        timezone=answers.timezone,
        model=answers.model,
        source=described[0],
        target=described[1],
    )


def _tell_first(common: Common, first: FirstCharter, path: Path, public_key: str) -> None:
    if common.json:
        emit({"charter": str(path), "variables": first.variables, "public_key": public_key})
        return
    say(f"The charter is in {path}.")
    rows = [(one.name, one.purpose) for one in first.variables]
    table("Set these before you start", ("Variable", "What it is"), rows)
    say(f"Keep this on another machine; it proves the audit trail's checkpoints: {public_key}")
    say("Then: accordant check, and accordant serve. Nothing is written to Salesforce until a flow is made controlled.")


def check(
    *,
    offline: Annotated[bool, Parameter(negative="", help="Do not ask the targets how they look today.")] = False,
    common: Common = COMMON,
) -> int:
    """Go or no-go for each flow with the sentence that is missing, and where a target is not what the mapping needs."""
    from accordant.bootstrap import read_charter
    from accordant.charters import connector_facts
    from accordant.governance.charter import go_no_go

    folder = read_charter(settings_of(common))
    facts = connector_facts()
    defects = folder.check(facts)
    verdicts = go_no_go(folder.charter, connectors=facts)
    if all(one.severity is not Severity.ERROR for one in defects):
        # Sound by itself; whether it may follow on the charter in force is a question of its own.
        _, refused = charter_to_run(settings_of(common))
        defects += refused.defects if refused is not None else ()
    wrong = [one for one in defects if one.severity is Severity.ERROR]
    asked = _Asked() if offline or wrong else asyncio.run(_ask_systems(common, folder.charter))
    if common.json:
        emit(
            {
                "company": folder.charter.company,
                "version": folder.charter.version,
                "flows": verdicts,
                "defects": [{"severity": one.severity, "text": str(one)} for one in defects],
                "drift": asked.drift,
                "endpoints": asked.endpoints,
                "catalog": asked.catalog,
                "not_asked": asked.unasked,
            }
        )
    else:
        say(f"{folder.charter.company}, charter {folder.charter.version}")
        phases = {flow.name: flow.phase.value for flow in folder.charter.flows}
        table(
            "Flows",
            ("Flow", "Phase", "Verdict", "What is missing"),
            ((one.flow, phases[one.flow], "go" if one.go else "no go", " ".join(one.missing)) for one in verdicts),
        )
        table("Defects", ("Severity", "Where, what, and how to mend it"), ((d.severity.value, str(d)) for d in defects))
        _tell_drift(asked.drift, asked.unasked)
        _tell_endpoints(asked.endpoints)
        table(
            "What is sold",
            ("Severity", "Where", "What is wrong", "How to mend it"),
            ((one.severity.value, one.where, one.problem, one.remedy) for one in asked.catalog),
        )
    is_go = not wrong and all(one.go for one in verdicts)
    return 0 if is_go and asked.is_sound else 1


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What systems and the store said, by system; ``unasked`` holds who could not be asked, with the reason."""

    drift: dict[str, tuple[TargetDrift, ...]] = {}
    endpoints: dict[str, tuple[EndpointFinding, ...]] = {}
    catalog: tuple[CatalogFinding, ...] = ()
    unasked: dict[str, str] = {}

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found that stops a flow or what it would open."""
        no_go = any(one.severity is Severity.ERROR for one in self.catalog)
        return not no_go and not any(self.drift.values()) and not any(self.endpoints.values())


async def _ask_systems(common: Common, charter: Charter) -> _Asked:
    """What each target says of itself, each source of its adopted endpoint, and the store of what is sold."""
    from accordant.views.catalog import catalog_drift
    from accordant.web.lookout import Lookout

    catalog: tuple[CatalogFinding, ...] = ()
    endpoints: dict[str, tuple[EndpointFinding, ...]] = {}
    found: dict[str, tuple[TargetDrift, ...]] = {}
    unasked: dict[str, str] = {}
    try:
        async with opened_hub(common) as hub:
            for name, outbound in hub.outbounds.items():
                used = {flow.object for flow in charter.flows if flow.target == name}
                mappings = [mapping for mapping in charter.mappings.get(name, ()) if mapping.object in used]
                try:
                    found[name] = await check_target(outbound=outbound, mappings=mappings)
                except AccordantError as error:
                    unasked[name] = str(error)
            catalog = catalog_drift(hub.database, charter, now=hub.clock())
            endpoints, silent = await Lookout(hub).endpoint_findings()
            unasked |= silent
    except ConfigurationError as error:
        unasked["every target"] = str(error)
    return _Asked(drift=found, endpoints=endpoints, catalog=catalog, unasked=unasked)


def _tell_endpoints(endpoints: Mapping[str, tuple[EndpointFinding, ...]]) -> None:
    table(
        "Endpoints that deliver to this hub",
        ("System", "What is wrong", "How to mend it"),
        ((name, one.problem, one.remedy) for name, findings in endpoints.items() for one in findings),
    )


def _tell_drift(drift: Mapping[str, tuple[TargetDrift, ...]], unasked: Mapping[str, str]) -> None:
    for name, differences in drift.items():
        if not differences:
            say(f"{name} has everything the mapping needs.")
        table(f"{name} differs", ("What", "How to mend it"), ((one.problem, one.remedy) for one in differences))
    for name, reason in unasked.items():
        say(f"Not asked: {name}. {reason}")


@charter_app.command
def approve(
    version: Annotated[str, Parameter(help="The version of the folder as it is now, as `accordant check` prints it.")],
    /,
    *,
    who: Annotated[str | None, Parameter(name="--as", help="Your name; else the operating system's user.")] = None,
    common: Common = COMMON,
) -> int:
    """Approve a charter that changes more than 30 percent of the flows in force, which somebody else then starts."""
    from accordant.bootstrap import read_charter
    from accordant.store.charters import CharterShelf

    name = person(who, Act.APPROVE, common=common)
    folder = read_charter(settings_of(common))
    with opened_store(common) as database:
        kept = charter_in_force(database)
        if folder.charter.version != version:
            raise RejectedError(
                f"The folder holds charter {folder.charter.version}, not {version}: it changed since.",
                remedy="Look at `accordant check` again, and approve what you have seen.",
            )
        if people_office(database).is_configured and is_unverified(name):
            raise RejectedError(
                f"{bare_name(name)} is a typed name, and people have tokens here.",
                remedy=f"Set {TOKEN_VARIABLE} to your own token.",
            )
        if kept is None or not any(same_person(name, approver) for approver in kept.phases.approvers):
            listed = ", ".join(kept.phases.approvers) if kept is not None else ""
            raise RejectedError(
                f"{bare_name(name)} is no approver of the charter in force.",
                remedy=f"Its approvers are: {listed or 'nobody'}.",
            )
        CharterShelf(database).approve(version, actor=name, now=now())
    if common.json:
        emit({"version": version, "approved_by": name})
    else:
        say(f"{name} approved charter {version}. It comes into force when somebody else starts the hub.")
    return 0


@charter_app.command
def render(
    *,
    out: Annotated[Path, Parameter(help="Folder to write the pages into; it is made if it is not there.")],
    format: Annotated[  # noqa: A002  the command's own flag
        Literal["md", "html"], Parameter(help="md for a repository, html for a support runbook.")
    ] = "html",
    common: Common = COMMON,
) -> int:
    """Write the four artifacts as pages: system inventory, entity map, sensitivity policy and gate list."""
    from accordant.bootstrap import read_charter
    from accordant.charters import connector_facts
    from accordant.governance.charter import go_no_go
    from accordant.views.charter import artifacts
    from accordant.views.charter_text import html_page, markdown_page

    charter = read_charter(settings_of(common)).charter
    facts = connector_facts()
    pages = artifacts(charter, connectors=facts, verdicts=go_no_go(charter, connectors=facts))
    made_of = f"Charter {charter.version} of {charter.company}."
    try:
        out.mkdir(parents=True, exist_ok=True)
        for page in pages:
            text = (
                markdown_page(page, made_of=made_of)
                if format == "md"
                else html_page(page, pages, company=charter.company, made_of=made_of)
            )
            (out / f"{page.slug}.{format}").write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"The pages cannot be written to {out}: {error.strerror}.", remedy="Name a folder you may write to."
        ) from error
    written = [str(out / f"{page.slug}.{format}") for page in pages]
    if common.json:
        emit({"version": charter.version, "pages": written})
    else:
        say(f"Charter {charter.version}, written to:", *written)
    return 0


@charter_app.command
def history(*, common: Common = COMMON) -> int:
    """Which charters were in force, since when, on whose behalf, and what each changed."""
    from accordant.views.charter_versions import adoptions

    with opened_store(common) as database:
        found = adoptions(database)
    if common.json:
        emit({"versions": found})
        return 0
    table(
        "Charters",
        ("Version", "In force since", "By", "Changes"),
        (
            (
                one.version,
                f"{one.at:%Y-%m-%d %H:%M} UTC",
                one.by,
                "the first" if one.changes is None else shown(len(one.changes)),
            )
            for one in found
        ),
    )
    for one in found[:1]:
        rows = ((change.where, change.before or "", change.after or "") for change in one.changes or ())
        table(f"What {one.version} changed", ("Where", "Before", "After"), rows)
    return 0


@charter_app.command
def schema(
    *,
    part: Annotated[bool, Parameter(negative="", help="For one file of several: nothing is called missing.")] = False,
) -> int:
    """The charter's JSON Schema, for editors that complete and check YAML."""
    from accordant.store.charter_shape import charter_schema

    emit(charter_schema(is_part=part))
    return 0
