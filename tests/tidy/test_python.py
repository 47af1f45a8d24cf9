"""The style of every Python file, applied. The rules are in rules.py, their proof in test_planted.py."""

from __future__ import annotations

import pytest

from tests.tidy import rules
from tests.tidy.source import PACKAGE, Rule, check, modules, report

EVERYWHERE = (
    rules.function_length,
    rules.module_length,
    rules.banned_module_name,
    rules.banned_class_name,
    rules.module_docstring,
    rules.banned_words,
)
IN_THE_PRODUCT = (rules.public_docstrings, rules.catches_everything, rules.float_on_money)


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_every_file(rule: Rule) -> None:
    check(rule, "src", "tests")


@pytest.mark.parametrize("rule", IN_THE_PRODUCT, ids=lambda rule: rule.__name__)
def test_the_product(rule: Rule) -> None:
    check(rule, "src")


def test_the_error_tree_is_drawn_as_it_is() -> None:
    assert (PACKAGE / "kernel" / "errors.py").is_file()
    report(
        finding
        for module in modules("src")
        if module.name == "accordant.kernel.errors"
        for finding in rules.error_tree(module)
    )
