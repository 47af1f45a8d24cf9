"""`serve` runs the hub as a server and says where it is; `version` says what this is."""

import asyncio
from functools import partial
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from accordant.cli.options import COMMON, Common, opened_hub, person, settings_of
from accordant.cli.render import emit, say, table
from accordant.governance.access import Act
from accordant.settings import Role

if TYPE_CHECKING:
    from accordant.bootstrap import Hub
    from accordant.web.server import HubServer


def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on (ACCORDANT_HOST).")] = None,
    port: Annotated[int | None, Parameter(help="Port; 0 takes a free one (ACCORDANT_PORT).")] = None,
    role: Annotated[
        tuple[str, ...],
        Parameter(negative="", help="door, worker, courier or all; repeat it or use commas (ACCORDANT_ROLES)."),
    ] = (),
    metrics_port: Annotated[
        int | None,
        Parameter(
            help="A port for /health and /metrics alone, as a process without a door needs it (ACCORDANT_METRICS_PORT)."
        ),
    ] = None,
    common: Common = COMMON,
) -> int:
    """Run the hub: the door for deliveries, the rooms, the couriers and the console. SIGTERM drains it."""
    from accordant.runtime.event_loop import run

    return run(_serve(common, host=host, port=port, roles=",".join(role) or None, metrics_port=metrics_port))


async def _serve(common: Common, **serving: str | int | None) -> int:
    from accordant.web import server

    settings = settings_of(common, **serving)

    async with opened_hub(common, alarm=True, proposed=False, **serving) as hub:

        def ready(running: "HubServer") -> None:
            _tell_ready(common, hub, running)

        await asyncio.to_thread(partial(hub.enforce_charter, actor=person(None, Act.LOOK, common=common)))
        await server.serve(hub, host=settings.host, port=settings.port, ready=ready)
    return 0


def _tell_ready(common: Common, hub: "Hub", running: "HubServer") -> None:
    shown, roles = hub.settings.shown(), sorted(running.roles)
    address = f"http://{running.host}:{running.port}" if Role.DOOR in running.roles else None
    if common.json:
        emit(
            {
                "address": address,
                "roles": roles,
                "environment": hub.environment,
                "charter": hub.charter.version,
                "settings": shown,
            }
        )
        return
    what = f"ready at {address}" if address else f"at work ({', '.join(roles)}, no door)"
    say(
        f"Accordant is {what} for {hub.charter.company}, {hub.environment}, charter {hub.charter.version}.",
        f"Store: {shown['store']}. " + (f"Console: {shown['console']}." if address else ""),
    )
    table(
        "Connected",
        ("System", "Connector", "Owner", "Receives at", "Read", "Written"),
        (
            (
                name,
                system.connector,
                system.owner,
                f"/webhooks/{name}" if name in hub.connections else "",
                name in hub.readers,
                name in hub.outbounds,
            )
            for name, system in hub.charter.systems.items()
        ),
    )


def version(*, common: Common = COMMON) -> int:
    """The version of Accordant."""
    number = installed_version("accordant")
    if common.json:
        emit({"version": number})
    else:
        say(f"Accordant {number}")
    return 0
