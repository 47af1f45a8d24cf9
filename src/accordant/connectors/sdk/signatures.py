"""Keyed signatures of deliveries, one verifier for every vendor's way of writing them: a scheme is a row of facts.
Guarantees that an unsigned body is never taken for a signed one; whatever is wrong, one error says so.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from accordant.ports.connector import SignatureInvalid

HEADER_LENGTH_MAX = 8192
CANDIDATES_MAX = 100
_STAMP_DIGITS_MAX = 15


@dataclass(frozen=True, slots=True)
class SignatureScheme:
    """How one vendor writes a keyed signature.

    ``header`` is its name in lower case. With ``signature_label`` the header reads ``label=value,label=value`` and may
    hold several signatures; without it the header is one bare signature after ``prefix``. The signed message is
    ``stamp`` + ``joint`` + body where there is a stamp, else the body. The stamp stands under ``stamp_label`` in the
    same header or in ``stamp_header``. Units: ``tolerance_s`` seconds, to both sides.
    """

    header: str
    algorithm: Literal["sha1", "sha256"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    signature_label: str = ""
    prefix: str = ""
    stamp_label: str = ""
    stamp_header: str = ""
    stamps_per_second: int = 1
    joint: bytes = b""
    tolerance_s: int = 300


def verify_signature(
    scheme: SignatureScheme, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: datetime
) -> None:
    """Prove that the holder of one of ``secrets`` signed ``body``, within the tolerance around ``now``.

    Header names are lower case. Raises: SignatureInvalid, with a reason for the operator, never for the sender.
    """
    text = headers.get(scheme.header, "")
    if not text:
        raise SignatureInvalid(f"The delivery has no {scheme.header} header.")
    if len(text) > HEADER_LENGTH_MAX:
        raise SignatureInvalid(f"The {scheme.header} header is longer than {HEADER_LENGTH_MAX} characters.")
    stamp, candidates = _read(scheme, text, headers)
    if not candidates:
        raise SignatureInvalid(f"The {scheme.header} header holds no signature of the expected kind.")
    if len(candidates) > CANDIDATES_MAX:
        raise SignatureInvalid(f"The {scheme.header} header holds more than {CANDIDATES_MAX} signatures.")
    message = body if stamp is None else stamp.encode() + scheme.joint + body
    if not _matches(scheme, message, candidates, secrets):
        raise SignatureInvalid("No signature of the delivery fits its bytes and the secrets of this connection.")
    # The age is judged after the signature: only the vendor itself learns what our clock says.
    if stamp is not None:
        _check_age(scheme, stamp, now)


def _read(scheme: SignatureScheme, text: str, headers: Mapping[str, str]) -> tuple[str | None, tuple[bytes, ...]]:
    """The stamp, None for schemes without one, and the candidate signatures as bytes."""
    stamps: list[str] = []
    found: list[str] = []
    if scheme.signature_label:
        for part in text.split(","):
            label, _, value = part.partition("=")
            if label == scheme.signature_label:
                found.append(value)
            elif label == scheme.stamp_label:
                stamps.append(value)
    elif text.startswith(scheme.prefix):
        found.append(text[len(scheme.prefix) :])
    if scheme.stamp_header:
        stamps = [headers.get(scheme.stamp_header, "")]
    candidates = tuple(value.encode("utf-8", "surrogatepass") for value in found)
    if not (scheme.stamp_label or scheme.stamp_header):
        return None, candidates
    if len(stamps) != 1 or not (stamps[0].isascii() and stamps[0].isdigit() and len(stamps[0]) <= _STAMP_DIGITS_MAX):
        raise SignatureInvalid("The delivery's signature has no readable time stamp.")
    return stamps[0], candidates


def _matches(scheme: SignatureScheme, message: bytes, candidates: tuple[bytes, ...], secrets: Sequence[bytes]) -> bool:
    """Whether any candidate is right; every pair is compared, so that the time taken says nothing."""
    matched = False
    for secret in secrets:
        if not secret:
            continue  # an empty key would let anybody sign
        expected = hmac.digest(secret, message, scheme.algorithm)
        spelled = expected.hex().encode() if scheme.encoding == "hex" else base64.b64encode(expected)
        for candidate in candidates:
            matched |= hmac.compare_digest(spelled, candidate)
    return matched


def _check_age(scheme: SignatureScheme, stamp: str, now: datetime) -> None:
    age_s = now.timestamp() - int(stamp) / scheme.stamps_per_second
    if abs(age_s) > scheme.tolerance_s:
        word = "old" if age_s > 0 else "early"
        raise SignatureInvalid(f"The signature of the delivery is {abs(age_s):.0f} s {word}.")
