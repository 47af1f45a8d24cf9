"""The charter's systems: known connectors, named owners, allowed rates, secrets by reference, signed deliveries."""

import difflib
import re
from collections.abc import Iterator, Mapping

import msgspec

from accordant.canonical.charter import Charter, IntegrationPath, SystemPart
from accordant.canonical.words import SOURCE
from accordant.governance.findings import ConnectorFacts, Defect, Severity, place

#: What a secret looks like: keys of payment providers and chat systems, webhook secrets, private keys, tokens, and
#: addresses that hold a password or are themselves the permission to post.
_SECRETS = re.compile(
    r"\b(sk|rk|pk)_(live|test)_|\bwhsec_|-----BEGIN [A-Z ]*PRIVATE KEY|\bxox[abeprs]-|\beyJ[\w-]{8,}\.eyJ"
    r"|\bAKIA[0-9A-Z]{16}\b|://[^/\s:@]+:[^/\s@]+@|://hooks\.[^/\s]+/(services|workflows)/"
)
#: What has to be promised in writing on each path, and what each promise says. The direct path promises nothing: its
#: keys, retries and redrive are this hub's, and its tests hold them.
ASSURANCES: Mapping[IntegrationPath, Mapping[str, str]] = {
    IntegrationPath.DIRECT: {},
    IntegrationPath.WRAPPER: {
        "request_identity": "that the hub's idempotency key reaches the system",
        "retries": "that a call which is repeated writes once",
        "failures": "how a call that failed is looked into",
        "replay": "how a call is made again",
    },
    IntegrationPath.NATIVE: {
        "support": "who supports it, and with which promise of service",
        "replay": "how events are delivered again",
        "retries": "how often and how long it tries",
        "duplicates": "what keeps it from doing a thing twice",
    },
}
_REFERENCE = re.compile(r"env:[A-Z_][A-Z0-9_]*")
_TO_THE_ENVIRONMENT = "Put the value into the environment and write env:NAME here; replace a secret that was committed."


def check_systems(charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """Each system with the facts of its connector."""
    if not charter.systems:
        yield Defect(where="systems", problem="The charter names no system.", remedy="List at least two systems.")
    for name, system in charter.systems.items():
        flows = tuple(flow.name for flow in charter.flows if name in {flow.source, flow.target})
        facts = connectors.get(system.connector)
        found = (
            *_system(name, system, facts, connectors),
            *_settings(name, system, facts),
            *_silence(name, system, facts),
            *_path(name, system),
        )
        for defect in found:
            yield msgspec.structs.replace(defect, flows=flows)


def _path(name: str, system: SystemPart) -> Iterator[Defect]:
    """A way in that is not this hub's own is recorded with its reason and its written promises (requirement 23)."""
    asked = ASSURANCES[system.path]
    if asked and not system.path_because.strip():
        yield Defect(
            where=place("systems", name, "path_because"),
            problem=f"{name} is reached by a {system.path} connector, and nobody wrote down who chose that and why.",
            remedy="Write the decision in one sentence, with the name of who took it.",
        )
    for assurance, meaning in asked.items():
        if not system.assurances.get(assurance, "").strip():
            yield Defect(
                where=place("systems", name, "assurances", assurance),
                problem=f"{name} is reached by a {system.path} connector, and nothing says {meaning}.",
                remedy=f"Write it under assurances, as {assurance}, or reach the system directly.",
            )
    for assurance in sorted(system.assurances.keys() - asked.keys()):
        yield Defect(
            where=place("systems", name, "assurances", assurance),
            problem=f"Nobody asks for the assurance {assurance!r} on the path {system.path}.",
            remedy=f"Use: {', '.join(asked)}."
            if asked
            else "Take it out: what the hub's own connector does is tested.",
        )


def _silence(name: str, system: SystemPart, facts: ConnectorFacts | None) -> Iterator[Defect]:
    for event_type, seconds in system.silence_s.items():
        where = place("systems", name, "silence_s", event_type)
        if facts is not None and event_type not in facts.event_types:
            near = difflib.get_close_matches(event_type, facts.event_types, n=3)
            yield Defect(
                where=where,
                problem=f"{system.connector} understands no event of the type {event_type}, so nobody waits for it.",
                remedy=f"Use one of: {', '.join(near)}." if near else "Take it out.",
            )
        if seconds < 1:
            yield Defect(
                where=where,
                problem=f"A pause of {seconds} seconds between events would always be over.",
                remedy="Give the longest usual pause in seconds.",
            )


def _system(
    name: str, system: SystemPart, facts: ConnectorFacts | None, connectors: Mapping[str, ConnectorFacts]
) -> Iterator[Defect]:
    if name == SOURCE:
        yield Defect(
            where=place("systems", name),
            problem=f"{name} is the name under which the hub keeps what persons say.",
            remedy="Call the system otherwise.",
        )
    if facts is None:
        yield Defect(
            where=place("systems", name, "connector"),
            problem=f"There is no connector {system.connector!r} for the system {name}.",
            remedy=f"Use one of: {', '.join(sorted(connectors))}.",
        )
    elif facts.declared is not None:
        able = sorted(
            other.name for other in connectors.values() if other.category is facts.category and other.is_target
        )
        others = f" Connectors of its kind with code: {', '.join(able)}." if able else ""
        yield Defect(
            where=place("systems", name, "connector"),
            problem=f"The connector {facts.name} is only declared, no code of it runs. {facts.declared[0]}",
            remedy=f"{name} may stand in the inventory; no flow leads to it or from it. {facts.declared[1]}{others}",
            severity=Severity.WARNING,
        )
    if not system.owner.strip():
        yield Defect(
            where=place("systems", name, "owner"),
            problem=f"Nobody owns the system {name}.",
            remedy="Name the person or team who answers for it.",
        )
    if system.rate_per_s < 1:
        yield Defect(
            where=place("systems", name, "rate_per_s"),
            problem=f"At {system.rate_per_s} calls a second {name} would never be called.",
            remedy="Give a whole number of calls per second, at least 1; pause a flow to stop its calls.",
        )
    elif facts is not None and facts.declared is None and system.rate_per_s > facts.rate_per_s_max:
        yield Defect(
            where=place("systems", name, "rate_per_s"),
            problem=f"{system.rate_per_s} calls a second are more than {system.connector} allows.",
            remedy=f"Give {facts.rate_per_s_max} or less.",
        )


def _settings(name: str, system: SystemPart, facts: ConnectorFacts | None) -> Iterator[Defect]:
    if facts is None:
        return
    for setting, value in system.settings.items():
        where = place("systems", name, "settings", setting)
        if setting not in facts.settings:
            yield Defect(
                where=where,
                problem=f"The connector {facts.name} has no setting {setting!r}.",
                remedy=f"Its settings are: {', '.join(sorted(facts.settings)) or 'none'}.",
            )
        elif setting in facts.secret and not _is_by_reference(value):
            yield Defect(
                where=where, problem=f"The secret setting {setting!r} stands in the file.", remedy=_TO_THE_ENVIRONMENT
            )
        elif isinstance(value, str) and value.startswith("env:") and not _REFERENCE.fullmatch(value):
            yield Defect(
                where=where,
                problem=f"{value!r} names no environment variable.",
                remedy="Write env: and the name in capitals, digits and underscores, without spaces.",
            )
    missing = {setting for setting in facts.required if _is_empty(system.settings.get(setting))}
    if facts.signing is not None and _is_empty(system.settings.get(facts.signing)):
        missing.discard(facts.signing)
        yield Defect(
            where=place("systems", name, "settings", facts.signing),
            problem=f"{name} sends events and has no secret to prove them with; unsigned events are never accepted.",
            remedy=f"Set {facts.signing} to env:NAME, where the variable holds the webhook secret.",
        )
    for setting in sorted(missing):
        yield Defect(
            where=place("systems", name, "settings", setting),
            problem=f"The setting {setting!r} of {name} is missing.",
            remedy=f"Set it{' to env:NAME' if setting in facts.secret else ''}; {facts.name} cannot work without it.",
        )


def _is_by_reference(value: object) -> bool:
    """Secrets come one by one or, while they are rotated, several at a time: each a reference of its own."""
    values = value if isinstance(value, tuple) else (value,)
    return all(isinstance(one, str) and _REFERENCE.fullmatch(one) for one in values)


def _is_empty(value: object) -> bool:
    return value is None or value in {"", ()} or (isinstance(value, str) and not value.strip())


def check_secrets(charter: Charter, connectors: Mapping[str, ConnectorFacts]) -> Iterator[Defect]:
    """No text anywhere in the charter looks like a secret. The value itself is never repeated."""
    known = {
        place("systems", name, "settings", setting)
        for name, system in charter.systems.items()
        if (facts := connectors.get(system.connector)) is not None
        for setting in facts.secret
    }
    for steps, text in _texts(msgspec.to_builtins(charter), ()):
        # What a connector calls secret is judged by that, once.
        if _SECRETS.search(text) and (where := place(*steps)).partition("[")[0] not in known:
            yield Defect(
                where=where, problem="This looks like a secret, and it stands in the file.", remedy=_TO_THE_ENVIRONMENT
            )


def _texts(value: object, steps: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    match value:
        case str():
            yield steps, value
        case dict():
            for key, item in value.items():
                yield from _texts(item, (*steps, str(key)))
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _texts(item, (*steps, index))
        case _:
            pass
