"""How the product's files stand together, applied and proved on plants. The rules are in shape.py."""

from __future__ import annotations

import pytest

from accordant.canonical.events import EventType
from tests.tidy import shape
from tests.tidy.source import PACKAGE, ROOT, Finding, check, modules, need_the_whole, parse, report

TEXT_SUFFIXES = frozenset({".html", ".j2", ".jinja", ".sql", ".css", ".js", ".yaml", ".yml", ".toml", ".svg"})


def vendors() -> tuple[str, ...]:
    """The folders of connectors/ that stand for somebody's product; `sdk` and `chaos` are ours."""
    folders = (path.name for path in (PACKAGE / "connectors").iterdir() if (path / "__init__.py").is_file())
    return tuple(sorted(set(folders) - {"sdk", "chaos"}))


def test_every_module_is_reached_from_an_entry_point() -> None:
    need_the_whole()
    report(shape.unreachable(modules("src")))


def test_what_packages_pass_on() -> None:
    check(shape.exports, "src")


def test_vendors_are_named_in_their_own_folder_only() -> None:
    assert vendors()
    report(finding for module in modules("src") for finding in shape.vendor_names(module, vendors()))


def test_vendors_are_named_in_no_template() -> None:
    files = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in PACKAGE.rglob("*")
        if path.suffix in TEXT_SUFFIXES
    }
    report(shape.vendor_names_in_text(files, vendors()))


def test_every_business_event_has_a_producer() -> None:
    need_the_whole()
    # A connector, or a desk at which people say what no system tells; an order is made into its event by its own words.
    said = "\n".join(
        module.text
        for module in modules("src")
        if ".connectors." in module.name
        or module.name.endswith((".operations.bill_desk", ".ledger.orders", ".pipeline.words"))
    )
    report(
        Finding("src/accordant/canonical/events.py", 1, f"nothing produces {event_type.name}")
        for event_type in EventType
        if f"EventType.{event_type.name}" not in said
    )


# -- plants ----------------------------------------------------------------------------------------------------------


def test_a_module_nobody_uses_is_found() -> None:
    tree = {
        "cli/main": "import accordant.kernel.money\nrun('accordant.web.app:app')\n",
        "kernel/__init__": "",
        "kernel/money": "",
        "kernel/forgotten": "import accordant.kernel.money\n",
        "web/app": "from accordant.views import trace\n",
        "views/trace": "",
        "connectors/x/inbound": "",
        "connectors/x/stray": "",
    }
    planted = [parse(f"src/accordant/{name}.py", text) for name, text in tree.items()]
    found = sorted(finding.path for finding in shape.unreachable(planted))
    assert found == ["src/accordant/connectors/x/stray.py", "src/accordant/kernel/forgotten.py"]


@pytest.mark.parametrize(
    ("path", "text", "count"),
    [
        ("src/accordant/kernel/__init__.py", "from accordant.kernel.money import Money\n__all__ = ['Money']\n", 0),
        ("src/accordant/kernel/__init__.py", "from accordant.kernel.money import Money\n", 1),
        ("src/accordant/kernel/__init__.py", "__all__ = ['Money']\n", 1),
        ("src/accordant/store/__init__.py", "from accordant.store.a import A\n__all__ = ['A']\n", 1),
        ("src/accordant/store/a.py", "from accordant.store.b import B\n", 0),
        ("src/accordant/store/a.py", "__all__ = ['C', 'f', 'D', 'gone']\nclass C: ...\ndef f(): ...\nD = 1\n", 1),
    ],
)
def test_exports_out_of_step_are_found(path: str, text: str, count: int) -> None:
    assert len(list(shape.exports(parse(path, text)))) == count


@pytest.mark.parametrize(
    ("path", "text", "lines"),
    [
        ("src/accordant/pipeline/a.py", "x = 1\nif name == 'acme': ...\n", [2]),
        ("src/accordant/pipeline/a.py", "def from_acme(): ...\nAcmeThing = 1\n", [1, 2]),
        ("src/accordant/pipeline/a.py", "import accordant.connectors.acme.client\n", [1]),
        ("src/accordant/pipeline/a.py", '"""Such as acme."""\ndef f():\n    """Acme."""\nx = "acmeology"\n', []),
        ("src/accordant/connectors/acme/client.py", "x = 'acme'\n", []),
        ("src/accordant/connectors/other/client.py", "x = 'acme'\n", [1]),
        ("src/accordant/demo/story.py", "x = 'acme'\n", []),
        ("src/accordant/cli/trace.py", "x = 'acme'\n", [1]),
    ],
)
def test_a_vendor_named_elsewhere_is_found(path: str, text: str, lines: list[int]) -> None:
    found = shape.vendor_names(parse(path, text), ("acme", "other"))
    assert sorted({finding.line for finding in found}) == lines


def test_a_vendor_in_a_template_is_found() -> None:
    files = {
        "src/accordant/web/console/a.html": "<p>\nAcme\n",
        "src/accordant/connectors/acme/manifest.toml": "name = 'acme'",
    }
    assert [finding.line for finding in shape.vendor_names_in_text(files, ("acme",))] == [2]
