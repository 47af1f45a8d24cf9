"""`accordant connect`: adopt the endpoint by which a system delivers. Nothing is changed at the provider."""

import asyncio
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from accordant.cli.operate import Who
from accordant.cli.options import COMMON, Common, opened_hub, person
from accordant.cli.render import emit, say, shown, table

if TYPE_CHECKING:
    from accordant.operations.endpoints import Adopted


def connect(
    system: Annotated[str, Parameter(help="The system that delivers.")],
    /,
    *,
    url: Annotated[
        str | None, Parameter(help="The address it delivers to; without it the adopted one is shown.")
    ] = None,
    who: Who = None,
    common: Common = COMMON,
) -> int:
    """Adopt an existing endpoint with its id, secret and version. Exit code 1 when something is wrong with it."""
    found = asyncio.run(_connect(common, system, url, person(who, common=common)))
    if common.json:
        emit(found)
    else:
        _tell(system, found)
    return 1 if found.findings else 0


async def _connect(common: Common, system: str, url: str | None, actor: str) -> "Adopted":
    from accordant.web.lookout import Lookout

    async with opened_hub(common) as hub:
        return await Lookout(hub).adopt(system, url=url, actor=actor)


def _tell(system: str, found: "Adopted") -> None:
    one = found.adoption
    version = one.api_version or "the account's default"
    say(f"{system} delivers to {one.url} by its endpoint {one.endpoint_id}, in version {version}.")
    if found.delivered_at is None:
        say(
            "No delivery was proved by the signing secrets in webhook_secrets yet. No API key can look "
            "one up: copy it from the provider's own page of this endpoint."
        )
    else:
        say(f"The last delivery was proved by its signing secret at {shown(found.delivered_at)}.")
    table("To be mended there", ("What is wrong", "How to mend it"), ((f.problem, f.remedy) for f in found.findings))
