"""Metrics have one definition: nothing that analysts read works one out by hand, and none is there for nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from importlib import resources
from pathlib import Path

import pytest
import yaml

from warehouse import queries
from warehouse.errors import WarehouseError
from warehouse.metrics import metrics, with_metrics

COOKBOOK = Path(__file__).parents[3] / "docs" / "cookbook.md"
MONEY = r"(?:\w+\.)?(?:price|payout|returned_price|revenue|cost|returned|margin)\b"
BY_HAND = {
    # To divide by a number is to change the unit.
    "a ratio": r"/(?!\s*\d)|\bnullIf\(",
    "money that is reckoned with": rf"\b{MONEY}\s*[-+*]|[-+*]\s*\b{MONEY}",
    "a metric that is reckoned with": r"<\w+>\s*[-+*]|[-+*]\s*<\w+>",
}
AGGREGATED_BY_HAND = {
    "a figure of money": (r"\b(?:sum|avg|min|max|any|median|quantile)\w*(?:\([\d., ]*\))?\(", rf"\b{MONEY}"),
    "a count of returns": (r"\bcount\w*\(", r"\b(?:is_returned|returned_at)\b"),
}
"""An aggregate up to its parenthesis, and what it may not be of."""


def by_hand(sql: str) -> set[str]:
    """What SQL works out that a metric should say, its metrics as ``{metric:NAME}``; and names of metrics that it gives
    to other figures."""
    text = re.sub(r"'(?:[^']|'')*'|--[^\n]*", "''", sql)
    text = re.sub(r"\{metric:(\w+)[^}]*\}", r"<\1>", text)
    found = {what for what, pattern in BY_HAND.items() if re.search(pattern, text)}
    for what, (aggregate, columns) in AGGREGATED_BY_HAND.items():
        if any(re.search(columns, inside(text, match.end())) for match in re.finditer(aggregate, text)):
            found.add(what)
    for written, name in re.findall(r"(<\w+>|\))\s+AS\s+(\w+)", text):
        if name in metrics() and written != f"<{name}>":
            found.add(f"another {name}")
    return found


def inside(text: str, begin: int) -> str:
    """What is in the parentheses that are open at a place."""
    opened = 1
    for end, letter in enumerate(text[begin:], begin):
        opened += {"(": 1, ")": -1}.get(letter, 0)
        if not opened:
            return text[begin:end]
    raise ValueError(f"no end of {text[begin:]!r}")


def folded(sql: str) -> str:
    """SQL with its metrics' definitions as ``{metric:NAME}`` again."""
    text = re.sub(r"\s+", " ", sql).replace("( ", "(")
    written: list[tuple[str, str]] = []
    over = ["", *(f" of {view}" for view in sorted(set(re.findall(r"\b(?:FROM|JOIN) (\w+)", text))))]
    for named in (f"{{metric:{name}{rows}}}" for name in metrics() for rows in over):
        with suppress(WarehouseError):  # no metric of such rows
            written.append((with_metrics("the cookbook", named), named))
    # The longest first, for a metric may be a part of another.
    for definition, named in sorted(written, key=lambda pair: -len(pair[0])):
        text = text.replace(definition, named)
    return text


def texts() -> Iterator[tuple[str, str]]:
    """Everything that analysts read, with its metrics as ``{metric:NAME}``."""
    for kind in ("views", "rollups"):
        for file in (resources.files("warehouse") / kind).iterdir():
            if file.name.endswith(".sql"):
                yield f"{kind}/{file.name}", file.read_text()
    written = yaml.safe_load((resources.files("warehouse") / "dashboards.yml").read_text())
    for name, dashboard in written.items():
        for panel in dashboard["panels"]:
            yield f"{name}: {panel['title']}", panel["sql"]
    for number, sql in enumerate(re.findall(r"```sql\n(.*?)```", COOKBOOK.read_text(), re.DOTALL), 1):
        yield f"question {number}", folded(sql)
    yield "queries.FUNNEL", queries.FUNNEL
    yield "queries.REVENUE", queries.REVENUE


@pytest.mark.parametrize(("what", "sql"), [pytest.param(*one, id=one[0]) for one in texts()])
def test_nothing_is_worked_out_by_hand(what: str, sql: str) -> None:
    assert by_hand(sql) == set(), what


def test_every_metric_is_asked_for() -> None:
    asked = {name for _, sql in texts() for name in re.findall(r"\{metric:(\w+)", sql)}
    assert asked == set(metrics())


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT sum(accepted) / sum(asked) AS rate FROM acceptance", {"a ratio"}),
        ("SELECT sum(accepted) / nullIf(sum(asked), 0) FROM acceptance", {"a ratio"}),
        ("SELECT sum(toFloat64(price)) AS earned FROM sales", {"a figure of money"}),
        ("SELECT sum(if(exclusive, toFloat64(price), 0)) AS earned FROM sales", {"a figure of money"}),
        ("SELECT sum(greatest(least(1, 2), price)) AS earned FROM sales", {"a figure of money"}),
        ("SELECT quantile(0.5)(sales.price) FROM sales", {"a figure of money"}),
        ("SELECT revenue - cost AS profit FROM source_roi", {"money that is reckoned with"}),
        ("SELECT {metric:revenue} - {metric:cost} AS profit FROM sales", {"a metric that is reckoned with"}),
        ("SELECT countIf(is_returned) AS back FROM sales", {"a count of returns"}),
        ("SELECT count() AS sales FROM sales", {"another sales"}),
        ("SELECT {metric:returns} AS returned FROM sales", {"another returned"}),
        # The definition of yesterday, when metrics.yml has another.
        (
            "SELECT (sum(revenue.revenue) - sum(revenue.cost)) AS margin FROM revenue",
            {"a metric that is reckoned with", "another margin"},
        ),
        ("SELECT (sum(revenue.returns) / nullIf(sum(revenue.sales), 1)) AS share FROM revenue", {"a ratio"}),
    ],
)
def test_what_is_worked_out_by_hand_is_found(sql: str, found: set[str]) -> None:
    assert by_hand(folded(sql)) == found


def test_what_is_no_metric_is_not_mistaken_for_one() -> None:
    sql = "SELECT day, sum(asked), price, 'a / b', max(told) / 1000 AS seconds, {metric:revenue} AS price -- a / b"
    assert by_hand(sql) == set()


@pytest.mark.parametrize(
    ("sql", "written"),
    [
        ("{metric:returns}", "countIf(outcome = 'delivered' AND isNotNull(returned_at))"),
        ("{metric:revenue of revenue}", "sum(revenue.revenue)"),
        ("{metric:revenue of leads}", "sum(leads.price)"),
        ("{metric:return_rate of revenue}", "(sum(revenue.returns) / nullIf(sum(revenue.sales), 0))"),
        ("{metric:sold_share of funnel}", "(sum(funnel.delivered) / nullIf(sum(funnel.received), 0))"),
        (
            "x Int8 COMMENT 'metric speed_to_lead_p50'",
            "x Int8 COMMENT 'Half of the events came within this time of the raw lead''s arrival, to 1 %."
            " (speed_to_lead_p50)'",
        ),
    ],
)
def test_a_metric_is_written_out(sql: str, written: str) -> None:
    assert with_metrics("it", sql) == written


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("{metric:luck}", "it asks for the metric 'luck', which metrics.yml has not"),
        ("x Int8 COMMENT 'metric luck'", "it asks for the metric 'luck', which metrics.yml has not"),
        (
            "{metric:answer_p99 of acceptance}",
            "it asks for the metric 'answer_p99' of acceptance, which does not add up",
        ),
        ("{metric:acceptance_rate}", "it asks for a metric and not of which rows: 'accepted' is"),
    ],
)
def test_a_metric_that_cannot_be_is_refused(sql: str, said: str) -> None:
    with pytest.raises(WarehouseError, match=re.escape(said)):
        with_metrics("it", sql)
