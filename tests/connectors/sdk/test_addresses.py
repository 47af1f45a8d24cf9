"""Which addresses a connector may call: every spelling of an inner address is refused, metadata even when named."""

from __future__ import annotations

import socket

import pytest

from accordant.connectors.sdk.addresses import AddressForbidden, AddressPolicy, AddressRefused

METADATA = (
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "0.0.0.0",  # noqa: S104  an address to refuse
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "240.0.0.1",
    "ff02::1",
)
PRIVATE = (
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::c0a8:1",
    "fc00::1",
    "fd12:3456::1",
    "2001:db8::1",
    "2001::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "100::1",
    "4000::1",
)
LOOPBACK = ("127.0.0.1", "127.1.2.3", "127.255.255.255", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1")
PUBLIC = ("93.184.216.34", "8.8.8.8", "172.15.255.255", "172.32.0.1", "192.167.1.1", "2606:4700::1111", "1.1.1.1")


@pytest.mark.parametrize("address", METADATA)
def test_metadata_is_refused_even_for_a_named_host(address: str) -> None:
    assert AddressPolicy().refusal("erp.example", address)
    assert AddressPolicy(allow_loopback=True, allowed_hosts=frozenset({"erp.example"})).refusal("erp.example", address)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_needs_its_host_named(address: str) -> None:
    assert AddressPolicy(allow_loopback=True).refusal("erp.example", address)
    assert AddressPolicy(allowed_hosts=frozenset({"other.example"})).refusal("erp.example", address)
    assert AddressPolicy(allowed_hosts=frozenset({"erp.example"})).refusal("ERP.example", address) is None


@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_needs_its_switch(address: str) -> None:
    assert AddressPolicy(allowed_hosts=frozenset({"localhost"})).refusal("localhost", address)
    assert AddressPolicy(allow_loopback=True).refusal("localhost", address) is None


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_fine(address: str) -> None:
    assert AddressPolicy().refusal("api.example", address) is None


def test_a_stand_in_is_this_machine_and_nothing_else() -> None:
    policy = AddressPolicy(allow_loopback=True, only_loopback=True, allowed_hosts=frozenset({"erp.example"}))
    assert policy.refusal("localhost", "127.0.0.1") is None
    for address in ("93.184.215.14", "10.0.0.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"):
        assert "stand-in" in (policy.refusal("erp.example", address) or "")


def test_a_name_is_no_address() -> None:
    assert AddressPolicy(allow_loopback=True).refusal("h", "localhost")


def test_the_factory_sees_the_address_of_the_moment() -> None:
    opened = AddressPolicy(allow_loopback=True).socket_factory("api.example")
    kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    opened((*kind, ("127.0.0.1", 443))).close()
    with pytest.raises(AddressRefused):
        opened((*kind, ("10.0.0.7", 443)))


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example",
        "ftp://api.example",
        "https://",
        "api.example",
        "",
        "https://user:secret@api.example",
        "https://api.example?x=1",
        "https://api.example#x",
        "file:///etc/passwd",
    ],
)
def test_an_unfit_base_address_is_refused(url: str) -> None:
    with pytest.raises(AddressForbidden) as raised:
        AddressPolicy().check_url(url)
    assert "secret" not in str(raised.value)


def test_a_fit_base_address_is_kept() -> None:
    assert AddressPolicy().check_url("https://api.example/base/") == "https://api.example/base"
    assert AddressPolicy(allow_loopback=True).check_url("http://127.0.0.1:80") == "http://127.0.0.1:80"
    assert AddressPolicy(allowed_hosts=frozenset({"erp"})).check_url("http://erp:8000") == "http://erp:8000"
