"""Whose document is this record of an ERP? One question to the ERP, for a line or a number that only it knows.

True when you leave: nothing was changed anywhere, and a system that could not be asked has said why.
"""

from collections.abc import Mapping

import msgspec

from accordant.kernel.errors import HoldError, RejectedError, TransientError
from accordant.ports.connector import DocumentFinder, Outbound


class DocumentFound(msgspec.Struct, frozen=True, kw_only=True):
    """Our key of the document a record belongs to, which is its entry's id; or None, and what was answered instead."""

    key: str | None
    told: str | None = None


async def find_document(ref: str, *, outbounds: Mapping[str, Outbound]) -> DocumentFound | None:
    """The document of the record ``system:object/name``; None where no system offers to say so."""
    system, _, rest = ref.strip().partition(":")
    object_name, _, name = rest.partition("/")
    finder: object = outbounds.get(system)
    if not (object_name and name) or not isinstance(finder, DocumentFinder):
        return None
    try:
        key = await finder.document_of(object_name, name)
    except (TransientError, HoldError, RejectedError) as error:
        return DocumentFound(key=None, told=f"{system} did not answer: {error}")
    if key is None:
        return DocumentFound(key=None, told=f"{system} says that {object_name}/{name} is of no document of the hub.")
    return DocumentFound(key=key)
