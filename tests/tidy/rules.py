"""The rules about single Python files: size, words, docstrings, exceptions, money.

Each is a pure function from a module to its findings. test_python.py applies them, test_planted.py proves them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.tidy.source import Finding, Module, functions

FUNCTION_LINES_MAX = 60
MODULE_LINES_MAX = 600
MODULE_DOC_LINES_MAX = 3

# The drawing of the error tree is part of this docstring, and another test holds it to the classes.
DRAWN_DOCSTRINGS = frozenset({"src/accordant/kernel/errors.py"})

BANNED_PARTS = frozenset(
    {"master", "slave", "golden", "cents", "dedupe", "poison", "collision", "resync", "amortization"}
)
BANNED_PHRASES = ("source_of_truth", "sync_rules", "normalized_payload", "month_end")
BANNED_MODULES = frozenset(
    {"util", "utils", "common", "helper", "helpers", "misc", "manager", "managers", "model", "models"}
)
BANNED_CLASS_ENDINGS = ("Manager", "Helper", "Util", "Utils", "Data", "Info", "Service")
DOCUMENTED_PACKAGES = ("kernel", "canonical", "ports", "connectors.sdk", "testing")

# The edges answer whatever happens; the group commit hands every error to those who wait for it.
MAY_CATCH_EVERYTHING = re.compile(r"src/accordant/(runtime/(worker|group_commit)\.py|web/.*|cli/main\.py)")

MONEY_PARTS = frozenset(
    {
        "amount",
        "amounts",
        "price",
        "balance",
        "mrr",
        "arr",
        "fee",
        "fees",
        "minor",
        "subtotal",
        "proration",
        "lifetime",
    }
)
# What these end in is a figure about money, not money.
NOT_MONEY_ENDINGS = frozenset(
    (
        "ratio",
        "rate",
        "share",
        "percent",
        "count",
        "at",
        "on",
        "id",
        "ids",
        "ms",
        "s",
        "score",
        "weight",
        "probability",
        "currency",
        "kind",
        "growth",
        "type",
        "index",
    )
)


def function_length(module: Module) -> Iterator[Finding]:
    for node in functions(module):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES_MAX:
            yield Finding(
                module.path, node.lineno, f"function `{node.name}` has {length} lines; at most {FUNCTION_LINES_MAX}"
            )


def module_length(module: Module) -> Iterator[Finding]:
    length = len(module.text.splitlines())
    if length > MODULE_LINES_MAX:
        yield Finding(module.path, length, f"module has {length} lines; at most {MODULE_LINES_MAX}: a noun is missing")


def words_of(identifier: str) -> tuple[str, ...]:
    """``parseMonthEnd_v2`` is parse, month, end, v2."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", identifier)
    return tuple(word for word in spaced.lower().split("_") if word)


def identifiers(module: Module) -> Iterator[tuple[str, int]]:
    """Every name this file chooses itself: definitions, arguments, targets, aliases."""
    for node in module.nodes:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno
            case _:
                pass


def banned_words(module: Module) -> Iterator[Finding]:
    named = [*identifiers(module), (module.path.rsplit("/", 1)[-1].removesuffix(".py"), 1)]
    for identifier, line in named:
        words = words_of(identifier)
        joined = "_".join(words)
        said = [word for word in words if word in BANNED_PARTS]
        said += [phrase for phrase in BANNED_PHRASES if f"_{phrase}_" in f"_{joined}_"]
        for word in said:
            yield Finding(module.path, line, f"`{identifier}` says `{word}`; docs/glossary.md has the word to use")


def banned_module_name(module: Module) -> Iterator[Finding]:
    for part in module.path.removesuffix(".py").split("/"):
        if part in BANNED_MODULES:
            yield Finding(module.path, 1, f"a module named `{part}` says nothing; name the noun or the verb")


def banned_class_name(module: Module) -> Iterator[Finding]:
    for node in module.nodes:
        if isinstance(node, ast.ClassDef) and node.name.endswith(BANNED_CLASS_ENDINGS):
            yield Finding(module.path, node.lineno, f"class `{node.name}` ends in a word that says nothing")


def module_docstring(module: Module) -> Iterator[Finding]:
    if not module.text.strip():
        return
    doc = ast.get_docstring(module.tree)
    if not doc:
        yield Finding(module.path, 1, "no module docstring: what room is this, what does it guarantee, where next?")
        return
    length = sum(1 for line in doc.splitlines() if line.strip())
    if length > MODULE_DOC_LINES_MAX and module.path not in DRAWN_DOCSTRINGS:
        yield Finding(
            module.path, 1, f"module docstring has {length} lines; at most {MODULE_DOC_LINES_MAX}, the rest is docs/"
        )


def public_docstrings(module: Module) -> Iterator[Finding]:
    if not any(f"{module.name}.".startswith(f"accordant.{package}.") for package in DOCUMENTED_PACKAGES):
        return
    yield from _undocumented(module, module.tree)


def _undocumented(module: Module, scope: ast.Module | ast.ClassDef) -> Iterator[Finding]:
    for node in scope.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if _is_setter_or_overload(node):
            continue
        doc = ast.get_docstring(node)
        if not doc:
            yield Finding(module.path, node.lineno, f"`{node.name}` is public here and has no docstring")
        elif words_of(re.sub(r"\W+", "_", doc)) == words_of(node.name):
            yield Finding(module.path, node.lineno, f"the docstring of `{node.name}` only repeats its name")
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(module, node)


def _is_setter_or_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any(ast.unparse(decorator).endswith((".setter", "overload")) for decorator in node.decorator_list)


def catches_everything(module: Module) -> Iterator[Finding]:
    """No net that swallows: a handler that ends in a bare ``raise`` only cleans up, and may catch anything."""
    if MAY_CATCH_EVERYTHING.fullmatch(module.path):
        return
    for node in module.nodes:
        if not isinstance(node, ast.ExceptHandler) or not _is_broad(node.type):
            continue
        if not any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node)):
            yield Finding(
                module.path, node.lineno, "catches everything; name the errors, or let runtime/worker.py decide"
            )


def _is_broad(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(_is_broad(item) for item in caught.elts)
    return caught is None or ast.unparse(caught).rsplit(".", 1)[-1] in {"Exception", "BaseException"}


def is_money(identifier: str) -> bool:
    words = words_of(identifier)
    return bool(words) and words[-1] not in NOT_MONEY_ENDINGS and not MONEY_PARTS.isdisjoint(words)


def float_on_money(module: Module) -> Iterator[Finding]:
    """Names of money carry no float: not as a type, not as a value, not through ``/``."""
    for node in module.nodes:
        for name, line, what in _floats(node):
            if is_money(name):
                yield Finding(module.path, line, f"`{name}` is money and {what}; use Money or integer minor units")


def _floats(node: ast.AST) -> Iterator[tuple[str, int, str]]:
    match node:
        case ast.arg(arg=name, annotation=ast.expr() as annotation) if _says_float(annotation):
            yield name, node.lineno, "is typed float"
        case ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name), annotation=annotation):
            if _says_float(annotation):
                yield name, node.lineno, "is typed float"
            if node.value is not None and _makes_float(node.value):
                yield name, node.lineno, "is given a float"
        case ast.FunctionDef(name=name, returns=ast.expr() as returns) if _says_float(returns):
            yield name, node.lineno, "returns float"
        case ast.Assign(targets=targets, value=value) if _makes_float(value):
            for target in targets:
                if isinstance(target, ast.Name | ast.Attribute):
                    yield (target.id if isinstance(target, ast.Name) else target.attr), node.lineno, "is given a float"
        case ast.Call(func=ast.Name(id="float"), args=[ast.Name(id=name) | ast.Attribute(attr=name)]):
            yield name, node.lineno, "is turned into a float"
        case ast.keyword(arg=str(name), value=value) if _makes_float(value):
            yield name, value.lineno, "is given a float"
        case _:
            pass


def _says_float(annotation: ast.expr) -> bool:
    return bool(re.search(r"\bfloat\b", ast.unparse(annotation)))


def _makes_float(value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=float()):
            return True
        case ast.Call(func=ast.Name(id="float")):
            return True
        case ast.BinOp(op=ast.Div()):
            # Fraction and Decimal divide exactly; that the operands are one must be visible in the expression.
            return not re.search(r"\b(Fraction|Decimal)\b", ast.unparse(value))
        case ast.UnaryOp(operand=operand):
            return _makes_float(operand)
        case _:
            return False


def error_tree(module: Module) -> Iterator[Finding]:
    """The tree drawn in the docstring is the tree of classes in the module, name for name and parent for parent."""
    drawn = drawn_tree(ast.get_docstring(module.tree, clean=False) or "")
    classes = {node.name: node for node in module.tree.body if isinstance(node, ast.ClassDef)}
    for name, node in classes.items():
        bases = {ast.unparse(base) for base in node.bases}
        parent = drawn.get(name, "not drawn")
        if parent == "not drawn":
            yield Finding(module.path, node.lineno, f"`{name}` is missing in the tree drawn at the top")
        elif parent is not None and parent not in bases:
            yield Finding(
                module.path, node.lineno, f"`{name}` is drawn under `{parent}` but derives from {sorted(bases)}"
            )
    for name in drawn.keys() - classes.keys():
        yield Finding(module.path, 1, f"`{name}` is drawn at the top but is no class of this module")


def drawn_tree(text: str) -> dict[str, str | None]:
    """Class name -> the name it hangs from, read from the box-drawing lines; the root hangs from None."""
    tree: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = re.match(r"^(?P<stem>[\s│├└─┬]*)(?P<name>[A-Z]\w+)\b", line)
        if not found or not (found["stem"].strip() or re.fullmatch(r"\w*Error", line.strip())):
            continue
        depth = len(found["stem"])
        above = [entry for entry in above if entry[0] < depth]
        tree[found["name"]] = above[-1][1] if above else None
        above.append((depth, found["name"]))
    return tree
