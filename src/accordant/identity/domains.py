"""Whose domain is it? A company's own speaks for the company; one that many share speaks for nobody.

The registrable part counts, so `eu.acme.co.uk` is `acme.co.uk`. Lists lie in `data/`; a charter may add to them.
"""

import re
import unicodedata
from collections.abc import Iterable
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from urllib.parse import urlsplit

import idna
import msgspec
from disposable_email_domains import blocklist
from publicsuffixlist import PublicSuffixList

_DOMAIN_MAX = 253  # RFC 1035 2.3.4, without the final dot
#: A host in plain ASCII, which means what it says: no label begins or ends with a hyphen, none has two hyphens where a
#: coded label (`xn--`) has them, and the last is no number. Source: RFC 5891 4.2.3.1. All others take the long way.
_LABEL = r"(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PLAIN_HOST = re.compile(rf"(?:{_LABEL}\.)+(?![0-9]+\Z){_LABEL}", re.ASCII)
#: A mailbox and a page are often of one host, and a host is asked for several times in one decision.
_HOSTS_KEPT = 65_536
#: Scripts whose letters look like Latin ones: a label that mixes them with Latin imitates another.
_LOOK_ALIKES = frozenset({"CYRILLIC", "GREEK"})
#: Second-level labels under which a country keeps its universities, and the top level of those in America.
_ACADEMIC = ("edu", "ac")


class DomainKind(StrEnum):
    """What a domain says about who uses it."""

    COMPANY = "company"
    FREE_MAIL = "free_mail"
    DISPOSABLE = "disposable"
    INTERNET_PROVIDER = "internet_provider"
    UNIVERSITY = "university"
    SHARED = "shared"


class DomainBook(msgspec.Struct, frozen=True, kw_only=True):
    """Which domains are shared. ``extra_free_mail`` and ``extra_shared`` are a company's own additions."""

    extra_free_mail: frozenset[str] = frozenset()
    extra_shared: frozenset[str] = frozenset()

    def kind_of(self, domain: str) -> DomainKind:
        """What kind of domain this is; ``domain`` as `registrable` gives it."""
        if domain in self.extra_free_mail or domain in _listed("free_mail"):
            return DomainKind.FREE_MAIL
        if domain in blocklist:
            return DomainKind.DISPOSABLE
        if domain in _listed("internet_providers"):
            return DomainKind.INTERNET_PROVIDER
        if domain in self.extra_shared or domain in _listed("shared"):
            return DomainKind.SHARED
        if _is_academic(domain):
            return DomainKind.UNIVERSITY
        return DomainKind.COMPANY

    def company_domains(self, texts: Iterable[str]) -> frozenset[str]:
        """The domains among hosts, addresses of pages and e-mail domains that belong to one company each."""
        found = (registrable(text) for text in texts)
        return frozenset(one for one in found if one is not None and self.kind_of(one) is DomainKind.COMPANY)


def host_of(text: str) -> str | None:
    """The host of a domain, an e-mail's domain or an address of a page, in its ASCII spelling.

    None for what is no host name: an IP address, a single label, a label that mixes scripts to look like another.
    """
    raw = text.strip()
    plain = raw.lower() if raw.isascii() else ""
    if len(plain) <= _DOMAIN_MAX and _PLAIN_HOST.fullmatch(plain):
        return plain
    return _spelled_host(raw)


def _spelled_host(raw: str) -> str | None:
    if "//" not in raw:
        raw = f"//{raw}"
    try:
        host = (urlsplit(raw).hostname or "").rstrip(".")
        spelled = idna.encode(host, uts46=True, transitional=False).decode("ascii").lower() if host else ""
        shown = idna.decode(spelled) if spelled else ""
    except (ValueError, UnicodeError):  # idna's own errors are UnicodeErrors
        return None
    labels = spelled.split(".")
    if len(labels) < 2 or len(spelled) > _DOMAIN_MAX or labels[-1].isdigit():
        return None
    return None if any(_imitates(label) for label in shown.split(".")) else spelled


@lru_cache(maxsize=_HOSTS_KEPT)
def registrable(text: str) -> str | None:
    """The part of a host that somebody registered; None where nobody did (a public suffix, a shop platform's root)."""
    host = host_of(text)
    return None if host is None else _suffixes().privatesuffix(host)


def _imitates(label: str) -> bool:
    scripts = {unicodedata.name(letter, "?").split(" ")[0] for letter in label if letter.isalpha()}
    return "LATIN" in scripts and not scripts.isdisjoint(_LOOK_ALIKES)


def _is_academic(domain: str) -> bool:
    labels = domain.split(".")
    return labels[-1] == "edu" or (len(labels) > 2 and labels[-2] in _ACADEMIC)


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


@cache
def _listed(name: str) -> frozenset[str]:
    text = files("accordant.identity").joinpath("data", f"{name}.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.split() if line)
