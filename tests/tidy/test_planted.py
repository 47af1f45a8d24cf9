"""Each rule is shown one violation and one honest neighbour: a guard that never fires guards nothing."""

from __future__ import annotations

import pytest

from tests.tidy import rules
from tests.tidy.source import Finding, Rule, parse, report

ANY = "src/accordant/a.py"
KERNEL = "src/accordant/kernel/a.py"
STORE = "src/accordant/store/a.py"
LONG = "def long():\n" + "    x = 1\n" * 60
SHORT = "def short():\n" + "    x = 1\n" * 59

# rule, path, text, lines that must be found
PLANTS: tuple[tuple[Rule, str, str, list[int]], ...] = (
    (rules.function_length, ANY, LONG, [1]),
    (rules.function_length, ANY, SHORT, []),
    (rules.module_length, ANY, "x = 1\n" * 601, [601]),
    (rules.module_length, ANY, "x = 1\n" * 600, []),
    (rules.banned_words, ANY, "a = 1\nprice_cents = 2\n", [2]),
    (rules.banned_words, ANY, "def run(self, masterRecord): ...\n", [1]),
    (rules.banned_words, ANY, "class MonthEnd: ...\n", [1]),
    (rules.banned_words, ANY, "import x as dedupe\nself.golden = 1\n", [1, 2]),
    (rules.banned_words, "src/accordant/sync_rules.py", "", [1]),
    (rules.banned_words, ANY, "accents = 1\nend_of_month = 2\nx = 'master'\n", []),
    (rules.banned_module_name, "src/accordant/kernel/utils.py", "", [1]),
    (rules.banned_module_name, "tests/helpers/test_a.py", "", [1]),
    (rules.banned_module_name, "src/accordant/kernel/utilisation.py", "", []),
    (rules.banned_class_name, ANY, "class FlowManager: ...\nclass Flow: ...\n", [1]),
    (rules.module_docstring, ANY, "x = 1\n", [1]),
    (rules.module_docstring, ANY, '"""One.\nTwo.\nThree.\nFour."""\n', [1]),
    (rules.module_docstring, ANY, '"""One.\n\nTwo.\nThree.\n"""\n', []),
    (rules.module_docstring, "tests/__init__.py", "", []),
    (rules.public_docstrings, KERNEL, "def f(): ...\nclass C:\n    '''D.'''\n    def m(self): ...\n", [1, 4]),
    (rules.public_docstrings, KERNEL, 'def is_open():\n    """Is open."""\n', [1]),
    (rules.public_docstrings, "src/accordant/connectors/sdk/a.py", "def f(): ...\n", [1]),
    (rules.public_docstrings, "src/accordant/kernel/__init__.py", "def f(): ...\n", [1]),
    (rules.public_docstrings, "src/accordant/connectors/x/a.py", "def f(): ...\n", []),
    (rules.public_docstrings, KERNEL, "def _f(): ...\nclass _C:\n    def m(self): ...\n", []),
    (rules.catches_everything, STORE, "try: f()\nexcept Exception: g()\n", [2]),
    (rules.catches_everything, STORE, "try: f()\nexcept: g()\n", [2]),
    (rules.catches_everything, STORE, "try: f()\nexcept (OSError, BaseException) as e: g()\n", [2]),
    (rules.catches_everything, STORE, "try: f()\nexcept BaseException:\n    g()\n    raise\n", []),
    (rules.catches_everything, STORE, "try: f()\nexcept Exception as e:\n    raise Other() from e\n", [2]),
    (rules.catches_everything, "src/accordant/runtime/worker.py", "try: f()\nexcept Exception: g()\n", []),
    (rules.catches_everything, "src/accordant/web/a/b.py", "try: f()\nexcept Exception: g()\n", []),
    (rules.catches_everything, "src/accordant/cli/trace.py", "try: f()\nexcept Exception: g()\n", [2]),
    (rules.float_on_money, ANY, "def f(amount: float, rate: float): ...\n", [1]),
    (rules.float_on_money, ANY, "class C:\n    mrr_minor: float | None = None\n", [2]),
    (rules.float_on_money, ANY, "price = 9.99\nself.balance = total / 2\n", [1, 2]),
    (rules.float_on_money, ANY, "def price_of(x) -> float: ...\n", [1]),
    (rules.float_on_money, ANY, "x = float(amount)\ny = f(fee=-0.5)\n", [1, 2]),
    (rules.float_on_money, ANY, "price_ratio = 0.5\nmrr_growth: float = 1.5\namount = 5\n", []),
    (rules.float_on_money, ANY, "amount = Fraction(total) / 3\nelapsed_s: float = 0.5\n", []),
)  # fmt: skip


NAMES = [f"{number}-{plant[0].__name__}" for number, plant in enumerate(PLANTS)]


@pytest.mark.parametrize(("rule", "path", "text", "lines"), PLANTS, ids=NAMES)
def test_a_planted_violation_is_found_at_its_line(rule: Rule, path: str, text: str, lines: list[int]) -> None:
    found = sorted(rule(parse(path, text)))
    assert sorted({finding.line for finding in found}) == lines
    assert all(finding.path == path and finding.rule for finding in found)


TREE = '''
"""Errors.

RootError
├── KindError       try again
│   └── LeafError   sooner
└── Broken          stop

Prose Begins here.
"""
class RootError(Exception): ...
class KindError(RootError): ...
class LeafError(KindError): ...
class Broken(RootError): ...
'''


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("", ""), []),
        (("│   └── LeafError   sooner\n", ""), ["`LeafError` is missing in the tree drawn at the top"]),
        (("class Broken(RootError): ...\n", ""), ["`Broken` is drawn at the top but is no class of this module"]),
        (("(KindError)", "(Broken)"), ["`LeafError` is drawn under `KindError` but derives from ['Broken']"]),
    ],
)  # fmt: skip
def test_a_wrong_drawing_of_the_errors_is_found(change: tuple[str, str], found: list[str]) -> None:
    module = parse("src/accordant/kernel/errors.py", TREE.lstrip().replace(*change))
    assert [finding.rule for finding in rules.error_tree(module)] == found


def test_a_report_names_file_line_and_rule() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"a\.py:3: too long\nb\.py:1: no name"):
        report([Finding("b.py", 1, "no name"), Finding("a.py", 3, "too long")])
    report([])
