"""`serve` runs the hub as a server and says where it is; `version` says what this is."""

import asyncio
from functools import partial
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from accordant.cli.options import COMMON, Common, opened_hub, person, settings_of
from accordant.cli.render import emit, say, table

if TYPE_CHECKING:
    from accordant.bootstrap import Hub
    from accordant.web.server import HubServer


def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on (ACCORDANT_HOST).")] = None,
    port: Annotated[int | None, Parameter(help="Port; 0 takes a free one (ACCORDANT_PORT).")] = None,
    common: Common = COMMON,
) -> int:
    """Run the hub: the door for deliveries, the rooms, the couriers and the console. SIGTERM drains it."""
    from accordant.runtime.event_loop import run

    return run(_serve(common, host, port))


async def _serve(common: Common, host: str | None, port: int | None) -> int:
    from accordant.web import server

    settings = settings_of(common, host=host, port=port)

    async with opened_hub(common, host=host, port=port, alarm=True) as hub:

        def ready(running: "HubServer") -> None:
            _tell_ready(common, hub, running)

        await asyncio.to_thread(partial(hub.enforce_charter, actor=person(None)))
        await server.serve(hub, host=settings.host, port=settings.port, ready=ready)
    return 0


def _tell_ready(common: Common, hub: "Hub", running: "HubServer") -> None:
    address = f"http://{running.host}:{running.port}"
    shown = hub.settings.shown()
    if common.json:
        emit({"address": address, "environment": hub.environment, "charter": hub.charter.version, "settings": shown})
        return
    say(
        f"Accordant is ready at {address} for {hub.charter.company}, {hub.environment}, charter {hub.charter.version}.",
        f"Store: {shown['store']}. Console: {shown['console']}.",
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
