"""Stripe's signature: ``Stripe-Signature: t=<seconds>,v1=<hex>``, HMAC-SHA256 over ``<seconds>.<body>``.
Several ``v1`` appear while a secret rolls; ``v0`` and anything else is not looked at. Next: inbound.py.
"""

from accordant.connectors.sdk.signatures import SignatureScheme

TOLERANCE_S = 300

SCHEME = SignatureScheme(
    header="stripe-signature", signature_label="v1", stamp_label="t", joint=b".", tolerance_s=TOLERANCE_S
)
