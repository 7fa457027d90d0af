"""No float on any path of money: the modules that reckon it are read, and none may make one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MONEY = (
    "instrumentation/spanledger/agreed.py",
    "instrumentation/spanledger/base_file.py",
    "instrumentation/spanledger/book.py",
    "instrumentation/spanledger/contract.py",
    "instrumentation/spanledger/contract_file.py",
    "instrumentation/spanledger/multipliers.py",
    "instrumentation/spanledger/pricing.py",
    "instrumentation/spanledger/rates.py",
    *(
        f"analytics/spanledger_analytics/alerts/{name}.py"
        for name in (
            *("expected", "lookout", "notification", "reading", "states", "store", "words"),
            *("kinds/budget", "kinds/sessions", "kinds/shares", "kinds/velocity"),
        )
    ),
    *(
        f"analytics/spanledger_analytics/controls/{name}.py"
        for name in ("balances", "history", "reconcile", "seen", "simulate", "spent")
    ),
    "analytics/spanledger_analytics/list_prices.py",
    "analytics/spanledger_analytics/price_cells.py",
    "analytics/spanledger_analytics/priced_tables.py",
    "analytics/spanledger_analytics/price_list.py",
    "analytics/spanledger_analytics/price_windows.py",
    "analytics/spanledger_analytics/pricing.py",
    *(
        f"analytics/spanledger_analytics/reports/{name}.py"
        for name in ("cache_breaks", "cache_health", "drivers", "efficiency", "growth", "loops")
    ),
    "analytics/spanledger_analytics/what_if.py",
    "collector/spanledger_collector/price_classes.py",
    "collector/spanledger_collector/pricing.py",
    "cli/spanledger_cli/budget.py",
    "cli/spanledger_cli/price.py",
    "cli/spanledger_cli/price_changes.py",
    "cli/spanledger_cli/price_table.py",
    "cli/spanledger_cli/prices.py",
    "cli/spanledger_cli/flatten.py",
    "tools/flatten_prices.py",
)
FLOATS_IN_SQL = re.compile(r"\b(double|float[48]?|real|avg|mean|median|stddev)\b|[^/]/[^/]|\b\d+(\.\d+)?e-?\d", re.I)
QUOTED = re.compile(r"'[^']*'")
FLOATING = frozenset({"float", "float32", "float64", "floating", "fsum", "true_divide"})


@pytest.mark.parametrize("module", MONEY)
def test_a_module_of_money_makes_no_float(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text("utf-8"))

    refusals = {id(part) for node in ast.walk(tree) if _is_check(node) for part in ast.walk(node)}
    made = [
        node for node in ast.walk(tree) if isinstance(node, ast.expr) and _floats(node) and id(node) not in refusals
    ]

    assert [f"{module}:{node.lineno}" for node in made] == []


def test_no_query_makes_a_float() -> None:
    """`/` and `avg` give a DOUBLE in DuckDB even of decimals."""
    made = [
        f"{path.name}:{number}"
        for path in sorted((ROOT / "analytics/spanledger_analytics/sql").rglob("*.sql"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if FLOATS_IN_SQL.search(QUOTED.sub("''", line).partition("--")[0])
    ]
    assert made == []


@pytest.mark.parametrize(
    "line", ["sum(cost_usd) / 2", "avg(cost_usd)", "cost_usd::double", "1e-6 * n", "cast(n as real)"]
)
def test_the_look_for_floats_finds_them(line: str) -> None:
    assert FLOATS_IN_SQL.search(line)


def _is_check(node: ast.AST) -> bool:
    """Tell a question for a value's type, which is how a float is refused."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance"


def _floats(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=value):
            return isinstance(value, float)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in FLOATING
        case ast.BinOp(op=ast.Div()):
            # Of Decimal, Fraction and paths: their own kind, where neither side is a literal.
            return isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant)
    return False
