"""The class of an error says what happens next: five roots, and every leaf under exactly one of them."""

import pytest

from accordant.kernel.clock import InstantInvalid
from accordant.kernel.errors import (
    AccordantError,
    ConfigurationError,
    HoldError,
    InvariantBroken,
    RejectedError,
    TransientError,
)
from accordant.kernel.money import AmountInvalid, CurrencyMixed, CurrencyUnknown
from accordant.ports import connector

ROOTS = (TransientError, HoldError, RejectedError, ConfigurationError, InvariantBroken)
LEAVES = (
    InstantInvalid,
    AmountInvalid,
    CurrencyMixed,
    CurrencyUnknown,
    connector.RateLimited,
    connector.TargetUnavailable,
    connector.AnswerLost,
    connector.AuthorizationExpired,
    connector.SignatureInvalid,
)


def test_the_five_roots_hang_from_one() -> None:
    assert all(root.__bases__ == (AccordantError,) for root in ROOTS)
    assert AccordantError.__bases__ == (Exception,)


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_leaf_has_one_root_a_message_and_a_next_step(leaf: type[AccordantError]) -> None:
    assert sum(issubclass(leaf, root) for root in ROOTS) == 1
    error = leaf()
    assert error.message == (leaf.__doc__ or "").splitlines()[0]
    assert error.remedy.endswith(".")
    assert str(error) == f"{error.message} {error.remedy}"


def test_what_is_said_on_the_spot_replaces_the_default() -> None:
    error = HoldError("Flow crm is paused.", remedy="Resume it.")
    assert (error.message, error.remedy, str(error)) == (
        "Flow crm is paused.",
        "Resume it.",
        "Flow crm is paused. Resume it.",
    )
    assert HoldError().remedy != "Resume it."


def test_only_a_transient_error_names_a_time() -> None:
    assert TransientError("Busy.", retry_after_s=2.5).retry_after_s == 2.5
    assert TransientError().retry_after_s is None
