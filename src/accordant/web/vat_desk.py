"""The desk that asks the register of value-added tax numbers, put together from a hub for as long as it is needed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from accordant.bootstrap import Hub
from accordant.canonical.charter import VatPart
from accordant.canonical.vat import VatNumber
from accordant.connectors import registry
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.identity.vat import NotAsked, vat_number
from accordant.kernel.errors import ConfigurationError
from accordant.operations.check_vat import VatDesk
from accordant.store.vat import SqlVatBook


@asynccontextmanager
async def vat_desk(hub: Hub) -> AsyncIterator[VatDesk]:
    """The desk. Raises ConfigurationError where the charter does not switch the register on."""
    part = hub.charter.vat or VatPart()
    register = registry.vat_register()(
        requester=_requester(part),
        clock=hub.clock,
        address=part.address,
        addresses=AddressPolicy(allow_loopback=part.stand_in, only_loopback=part.stand_in),
    )
    try:
        yield VatDesk(
            register,
            SqlVatBook(hub.database, hub.vault),
            hub.state,
            charter=hub.charter,
            everybody=hub.state.account_ids,
            clear=hub.clear,
            clock=hub.clock,
        )
    finally:
        await register.close()


def _requester(part: VatPart) -> VatNumber | None:
    if not part.requester:
        return None
    read = vat_number(part.requester)
    if isinstance(read, NotAsked):
        raise ConfigurationError(
            f"vat.requester cannot be asked with. {read.because}", remedy="Give the company's own number there."
        )
    return read
