"""Expressions: typed before they run, exact, without effects, bounded; one that fails holds its own field only."""

import time
from datetime import UTC, date, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accordant.canonical.charter import FieldPart, FieldType, MappingPart
from accordant.canonical.facts import FACTS, Fact, FactType
from accordant.canonical.refs import EntityKind
from accordant.canonical.sources import facts_read
from accordant.kernel.money import Money
from accordant.mapping.expressions import (
    FUNCTIONS,
    TEXT_MAX,
    UNKNOWN,
    CompiledExpression,
    ExpressionDefect,
    compile_expression,
)
from accordant.mapping.spelling import Unspellable
from accordant.mapping.translate import check_mapping, translate

ACCOUNT = EntityKind.ACCOUNT
VALUES: dict[str, Fact] = {
    "external_id": "cus_1",
    "name": "Example AG",
    "status": "active",
    "mrr": Money(1200_00, "EUR"),
    "at_risk_mrr": Money(0, "EUR"),
    "plan_name": "Pro",
    "discount": None,
    "subscription_count": 3,
    "deleted": False,
    "next_renewal_on": date(2026, 3, 14),
}


def ready(text: str, field: FieldType = FieldType.TEXT, entity: EntityKind = ACCOUNT) -> CompiledExpression:
    compiled = compile_expression(text, entity, field)
    assert isinstance(compiled, CompiledExpression), compiled
    return compiled


def defect(text: str, field: FieldType = FieldType.TEXT) -> ExpressionDefect:
    compiled = compile_expression(text, ACCOUNT, field)
    assert isinstance(compiled, ExpressionDefect), compiled
    return compiled


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("name + ' (' + plan_name + ')'", FieldType.TEXT, "Example AG (Pro)"),
        ("status == 'active' && mrr.minor > 100000 ? 'Key account' : 'Account'", FieldType.TEXT, "Key account"),
        ("subscription_count * 2", FieldType.NUMBER, 6),
        ("!deleted && subscription_count > 0", FieldType.FLAG, True),
        ("mrr", FieldType.CURRENCY, Money(1200_00, "EUR")),
        ("{mrr.minor * 12: mrr.currency}", FieldType.CURRENCY, Money(14400_00, "EUR")),
        ("status == 'churned' ? {0: mrr.currency} : mrr", FieldType.CURRENCY, Money(1200_00, "EUR")),
        ("next_renewal_on - duration('720h')", FieldType.DATE, date(2026, 2, 12)),
        ("timestamp('2026-03-14T09:30:00Z')", FieldType.INSTANT, datetime(2026, 3, 14, 9, 30, tzinfo=UTC)),
        ("string(next_renewal_on.getFullYear()) + '-' + string(mrr.minor)", FieldType.TEXT, "2026-120000"),
        ("name.split(' ')[0].upperAscii()", FieldType.TEXT, "EXAMPLE"),
        ("empty.discount ? 'No discount' : discount", FieldType.TEXT, "No discount"),
        ("empty.plan_name ? 'No plan' : plan_name", FieldType.TEXT, "Pro"),
        ("['a', 'b'].exists(x, x == name)", FieldType.FLAG, False),
        ("'Accordant'", FieldType.TEXT, "Accordant"),
    ],
)
def test_an_expression_is_exact(text: str, field: FieldType, value: Fact) -> None:
    found = ready(text, field).evaluate(VALUES)
    assert (found, type(found)) == (value, type(value))


def test_a_fact_that_is_empty_makes_the_answer_empty_unless_it_is_asked_about() -> None:
    assert ready("discount + '!'").evaluate(VALUES) is None


def test_a_fact_nobody_stated_makes_the_answer_unknown_even_when_it_is_asked_about() -> None:
    assert ready("email + '!'").evaluate(VALUES) is UNKNOWN
    assert ready("empty.email ? 'none' : email").evaluate(VALUES) is UNKNOWN


@pytest.mark.parametrize(
    ("text", "field", "cause"),
    [
        ("subscription_count / (subscription_count - 3)", FieldType.NUMBER, "divide by zero"),
        ("mrr.minor * 9223372036854775807", FieldType.NUMBER, "overflow"),
        ("name.substring(5, 99)", FieldType.TEXT, "substring"),
        ("int(name)", FieldType.NUMBER, "int"),
        ("{1: 'XXX'}", FieldType.CURRENCY, "XXX"),
        ("{1: 'EUR', 2: 'USD'}", FieldType.CURRENCY, "one currency"),
        ("next_renewal_on + duration('1h')", FieldType.DATE, "a moment"),
        ("'a\\u0000b'", FieldType.TEXT, "NUL"),
        ("empty.discount ? discount : 'x'", FieldType.TEXT, "`discount` is empty there"),
    ],
)
def test_an_expression_that_fails_says_why(text: str, field: FieldType, cause: str) -> None:
    found = ready(text, field).evaluate(VALUES)
    assert isinstance(found, Unspellable)
    assert cause in found.reason


def test_a_failing_expression_holds_its_field_and_its_neighbors_go_on() -> None:
    mapping = MappingPart(
        entity=ACCOUNT,
        object="Account",
        key_field="Id__c",
        fields={
            "Name": FieldPart(source="name"),
            "Share__c": FieldPart(expression="mrr.minor / at_risk_mrr.minor", type=FieldType.NUMBER),
        },
    )
    answer = translate(VALUES, mapping)
    assert (answer.key, answer.fields) == ("cus_1", {"Name": "Example AG"})
    (problem,) = answer.problems
    assert (problem.field, problem.source) == ("Share__c", "mrr.minor / at_risk_mrr.minor")
    assert "`mrr.minor / at_risk_mrr.minor` fails: divide by zero" in problem.reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stauts == 'active'", "status"),
        ("empty.stauts ? 'a' : 'b'", "no fact called `empty"),
        ("name + mrr.minor", "no matching overload"),
        ("name == 1", "no matching overload"),
        ("status ? 'a' : 'b'", "no matching overload"),
        ("mrr + at_risk_mrr", "no matching overload"),
        ("true ? name : null", "no matching overload"),
        ("{mrr.minor: 'EUR'}.size() > 0 ? [1] : [2]", "no field holds"),
        ("duration('1h')", "no field holds"),
        ("mrr.minor * 1.19", "loses cents"),
        ("double(mrr.minor)", "no function called `double`"),
        ("dyn(name)", "no function called `dyn`"),
        ("now()", "no function called `now`"),
        ("name.replace('', name)", "no function called `replace`"),
        ("has(mrr.minor)", "no function called `has`"),
        ("google.protobuf.Timestamp{}", "message"),
        ("name +", "Syntax error"),
        ("name.substrin(1)", "Did you mean substring"),
        ("(" * 300 + "1" + ")" * 300, "recursion"),
        ("+".join(["1"] * 900), "recursion"),
        ("'" + "a" * 3000 + "'", "3002 characters"),
        ("'open", "character 1"),
        ("", "Syntax error"),
    ],
)
def test_what_can_never_work_is_refused_before_anything_runs(text: str, said: str) -> None:
    found = defect(text)
    assert said in f"{found.reason} {found.remedy}"
    assert found.remedy


def test_no_expression_runs_for_long() -> None:
    text = "true"
    for depth in range(9):
        text = f"[1,1,1,1,1,1,1,1,1,1].all(v{depth}, {text})"
    started = time.perf_counter()
    found = ready(text, FieldType.FLAG).evaluate(VALUES)
    assert time.perf_counter() - started < 1
    assert isinstance(found, Unspellable)
    assert "budget" in found.reason


@pytest.mark.parametrize("text", ["a\0b", "half \ud83d", "x" * (TEXT_MAX + 1)])
def test_a_text_that_the_library_would_cut_is_refused_before_it_gets_there(text: str) -> None:
    assert isinstance(ready("name + '!'").evaluate({"name": text}), Unspellable)


def test_a_number_too_long_for_the_library_holds_the_field() -> None:
    assert isinstance(ready("mrr.minor", FieldType.NUMBER).evaluate({"mrr": Money(2**63, "EUR")}), Unspellable)


def test_every_function_that_is_offered_can_be_called() -> None:
    calls = {
        "all": "[1].all(x, x > 0)",
        "exists": "[1].exists(x, x > 0)",
        "exists_one": "[1].exists_one(x, x > 0)",
        "filter": "size([1].filter(x, x > 0))",
        "map": "size([1].map(x, x * 2))",
        "size": "name.size()",
        "charAt": "name.charAt(0)",
        "contains": "name.contains('a')",
        "endsWith": "name.endsWith('a')",
        "startsWith": "name.startsWith('a')",
        "indexOf": "name.indexOf('a')",
        "lastIndexOf": "name.lastIndexOf('a')",
        "int": "int('12')",
        "string": "string(1)",
        "lowerAscii": "name.lowerAscii()",
        "upperAscii": "name.upperAscii()",
        "matches": "name.matches('^E')",
        "split": "name.split(' ')[0]",
        "substring": "name.substring(0, 1)",
        "trim": "name.trim()",
        "duration": "next_renewal_on + duration('24h')",
        "timestamp": "timestamp('2026-03-14T00:00:00Z')",
        "getDate": "next_renewal_on.getDate()",
        "getDayOfWeek": "next_renewal_on.getDayOfWeek()",
        "getDayOfYear": "next_renewal_on.getDayOfYear()",
        "getFullYear": "next_renewal_on.getFullYear()",
        "getMonth": "next_renewal_on.getMonth()",
    }
    assert calls.keys() == FUNCTIONS.keys()
    for text in calls.values():
        assert not isinstance(ready(text).evaluate(VALUES), Unspellable), text


@pytest.mark.parametrize("entity", FACTS)
def test_every_fact_can_be_read_with_its_own_type(entity: EntityKind) -> None:
    fields = {
        FactType.TEXT: FieldType.TEXT,
        FactType.NUMBER: FieldType.NUMBER,
        FactType.FLAG: FieldType.FLAG,
        FactType.MONEY: FieldType.CURRENCY,
        FactType.DAY: FieldType.DATE,
        FactType.INSTANT: FieldType.INSTANT,
    }
    for fact, kind in FACTS[entity].items():
        assert ready(fact, fields[kind], entity).type is kind


_TEXTS = st.text().filter(lambda text: "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text))


@given(text=_TEXTS)
@example(text="\u202e=cmd|' /C calc'!A0")
@example(text="👨‍👩‍👧 İ ß ١٢٣")
def test_text_comes_out_of_an_expression_as_it_went_in(text: str) -> None:
    assert ready("name").evaluate({"name": text}) == text


@given(minor=st.integers(min_value=-(2**63), max_value=2**63 - 1), currency=st.sampled_from(["EUR", "JPY", "KWD"]))
def test_an_amount_comes_out_of_an_expression_as_it_went_in(minor: int, currency: str) -> None:
    amount = Money(minor, currency)
    assert ready("{mrr.minor: mrr.currency}", FieldType.CURRENCY).evaluate({"mrr": amount}) == amount


@given(st.text(alphabet="abmr.name()+-*/'\"\\ \n{}[]<>=!&|?:,0123456789eE`#@_", max_size=60))
def test_nothing_that_is_typed_raises_and_nothing_undeclared_is_read(text: str) -> None:
    compiled = compile_expression(text, ACCOUNT, FieldType.TEXT)
    if isinstance(compiled, CompiledExpression):
        assert set(compiled.reads) <= set(facts_read(FieldPart(expression=text)))
        compiled.evaluate(VALUES)


def test_a_field_is_made_of_exactly_one_thing() -> None:
    def found(part: FieldPart) -> list[str]:
        mapping = MappingPart(entity=ACCOUNT, object="Account", key_field="Id__c", fields={"F": part})
        return [f"{one.reason} {one.remedy}" for one in check_mapping(mapping)]

    assert found(FieldPart(source="name")) == []
    assert "exactly one" in found(FieldPart())[0]
    assert "has source and expression" in found(FieldPart(source="name", expression="name"))[0]
    assert "has path and expression" in found(FieldPart(path="name", expression="name"))[0]
    assert "which is of type money" in found(FieldPart(expression="mrr"))[0]
    assert "Make the field's type text or number" in found(FieldPart(expression="1 + 1", type=FieldType.DATE))[0]
