"""The rules about how files stand together: what nothing reaches, what a package exports, where a vendor may be named.

Pure functions from modules to findings, like those in rules.py.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from tests.tidy.source import Finding, Module

EXPORTING = frozenset({"accordant", "accordant.kernel", "accordant.connectors.sdk", "accordant.testing"})

# Modules nobody imports by name, and who finds them instead.
ENTRIES: tuple[tuple[str, str], ...] = (
    (r"accordant\.(__main__|cli\.main|bootstrap)", "the command line and the composition root"),
    (r"accordant\.audit_verifier", "run by auditors on a machine of their own"),
    (r"accordant\.bench\.dictionary", "run by whoever makes the next dictionary, and by nobody else"),
    (r"accordant\.testing(\..*)?", "public: imported by people who write connectors"),
    (r"accordant\.store\.migrations(\..*)?", "Alembic finds them in their folder"),
    (
        r"accordant\.connectors\.\w+\.(inbound|outbound|reader|snapshot|client|errors|simulator|connector)",
        "the registry finds a connector's standard modules through its manifest",
    ),
    (r"accordant\.connectors\.(netsuite|odoo)", "declared only: the registry reads a manifest, there is no code"),
)

# Where a vendor may be named outside its folder, and why.
MAY_NAME_VENDORS: tuple[tuple[str, str], ...] = (
    (r"src/accordant/demo/.*", "the demo plays one named company"),
    (r"src/accordant/connectors/\w+/simulator\w*\.py", "a stand-in's example company names fields after its neighbors"),
    (r"src/accordant/(bootstrap|connectors/registry)\.py", "the one place that knows every name"),
    (
        r"src/accordant/(cli/rules|operations/initialize)\.py",
        "the first charter is for one pair of systems",
    ),
    (r"src/accordant/bench/.*", "a benchmark measures one real pair of connectors"),
    (r"src/accordant/testing/simulator/provider\.py", "the one provider whose past the simulator can unfold"),
)


def references(module: Module) -> Iterator[str]:
    """Dotted names this module mentions: imports, and strings such as ``accordant.web.app:app``."""
    for node in module.nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\baccordant(?:\.\w+)+", node.value)


def unreachable(modules: Collection[Module]) -> Iterator[Finding]:
    """Modules that no entry point leads to. A package is reached through its members."""
    known = {module.name: module for module in modules}
    waiting = [name for name in known if any(re.fullmatch(pattern, name) for pattern, _ in ENTRIES)]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in reached or name not in known:
            continue
        reached.add(name)
        waiting.extend(references(known[name]))
        waiting.append(name.rpartition(".")[0])
    for name in known.keys() - reached:
        yield Finding(known[name].path, 1, f"no entry point leads to {name}; use it or delete it")


def exports(module: Module) -> Iterator[Finding]:
    """``__all__`` names what the module has; only three packages pass names on, and those name all they pass."""
    is_package = module.path.endswith("__init__.py")
    bound = set(_bound(module.tree))
    listed = _listed(module.tree)
    if listed is not None:
        for name in sorted(set(listed[0]) - bound):
            yield Finding(module.path, listed[1], f"`__all__` lists `{name}`, which does not exist here")
    if not is_package:
        return
    passed_on = {name for name, line in _imported(module.tree) if not name.startswith("_")}
    if module.name not in EXPORTING:
        for name in sorted(passed_on):
            yield Finding(
                module.path, 1, f"a package passes nothing on: import `{name}` from the module that defines it"
            )
    elif passed_on:
        for name in sorted(passed_on - set(listed[0] if listed else ())):
            yield Finding(module.path, 1, f"`{name}` is passed on and missing in `__all__`")


def _listed(tree: ast.Module) -> tuple[list[str], int] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return list(ast.literal_eval(node.value)), node.lineno
    return None


def _imported(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name.split(".")[0], node.lineno) for alias in node.names)


def _bound(tree: ast.Module) -> Iterator[str]:
    yield from (name for name, _ in _imported(tree))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.If | ast.Try):
            yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def vendor_names(module: Module, vendors: Collection[str]) -> Iterator[Finding]:
    """A vendor is named in its own folder only: not in identifiers, not in strings. Docstrings may give examples."""
    if any(re.fullmatch(pattern, module.path) for pattern, _ in MAY_NAME_VENDORS):
        return
    foreign = [vendor for vendor in vendors if not module.path.startswith(f"src/accordant/connectors/{vendor}/")]
    if not foreign:
        return
    pattern = _any_of(foreign)
    for text, line in _said(module):
        found = pattern.search(text)
        if found:
            yield Finding(module.path, line, f"names {found[0]!r} outside connectors/{found[0].lower()}/")


def _any_of(vendors: Iterable[str]) -> re.Pattern[str]:
    """Matches ``acme``, ``from_acme``, ``AcmeClient`` and ``ACME_URL``, and no longer word that holds the name."""
    forms = (
        rf"(?<![A-Za-z]){re.escape(name)}(?![a-z])|{re.escape(name.title())}(?![a-z])|{re.escape(name.upper())}(?![A-Za-z])"
        for name in vendors
    )
    return re.compile("|".join(forms))


def _said(module: Module) -> Iterator[tuple[str, int]]:
    docstrings = set(_docstrings(module))
    for node in module.nodes:
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                yield text, node.lineno
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                from_ = node.module or "" if isinstance(node, ast.ImportFrom) else ""
                yield " ".join([from_, *(alias.name for alias in names)]), node.lineno
            case _:
                pass


def _docstrings(module: Module) -> Iterator[int]:
    """The identity of every string that stands alone as a statement: the docstrings, those of fields too."""
    for node in module.nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield id(node.value)


def vendor_names_in_text(files: Mapping[str, str], vendors: Iterable[str]) -> Iterator[Finding]:
    """The same for templates, scripts, style sheets and SQL."""
    pattern = _any_of(vendors)
    for path, text in files.items():
        if path.startswith("src/accordant/connectors/") or any(re.fullmatch(p, path) for p, _ in MAY_NAME_VENDORS):
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            found = pattern.search(line)
            if found:
                yield Finding(path, number, f"names {found[0]!r} outside connectors/{found[0].lower()}/")
