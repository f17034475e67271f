"""Twelve fills with two flips through zero, exact under FIFO and average cost, worked out independently."""

import json
from decimal import Decimal
from fractions import Fraction

import pytest

import mmcore as mm

pytestmark = pytest.mark.compiled

TICK = "0.01"


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "reference" / "pnl.json").read_text())


@pytest.mark.realdata
@pytest.mark.parametrize("cost", ["average", "fifo"])
def test_every_row_to_the_last_digit(golden, cost):
    stock = mm.Instrument("X", tick=TICK)
    book = mm.Book([stock], cost=cost)
    book.mark("X", stock.ticks(golden["mark"]))
    position, prefix = book["X"], {"average": "avg", "fifo": "fifo"}[cost]
    assert len(golden["rows"]) == 12
    for row in golden["rows"]:
        sign = {"B": 1, "S": -1}[row["side"]]
        fee = stock.currency.units(row["fee"])
        assert book.fill("X", sign * row["qty"], stock.ticks(row["px"]), fee, id=row["id"]) is mm.Status.OK

        assert position.net == row["pos"]
        assert position.money("cash") == Decimal(row["cash"])
        assert position.money("fees") == Decimal(row["fees"])
        assert position.money("realised") == Decimal(row[f"{prefix}_real"])
        assert position.money("unrealised") == Decimal(row[f"{prefix}_unreal"])
        assert position.money("cost") == Decimal(row[f"{prefix}_cost"])
        assert position.money("realised") + position.money("unrealised") == Decimal(row["total_ex_fees"])
        if cost == "average":
            assert Fraction(position.realised, 10**9) * Fraction(TICK) == Fraction(row["avg_real_frac"])


@pytest.mark.realdata
@pytest.mark.parametrize("cost", ["average", "fifo"])
def test_as_one_batch(golden, cost):
    stock = mm.Instrument("X", tick=TICK)
    book, rows = mm.Book([stock], cost=cost), golden["rows"]
    fills = book.records(
        qty=[{"B": 1, "S": -1}[r["side"]] * r["qty"] for r in rows],
        price=[stock.ticks(r["px"]) for r in rows],
        fee=[stock.currency.units(r["fee"]) for r in rows],
        id=[str(r["id"]) for r in rows],
    )
    assert book.apply(fills).tolist() == [0] * 12
    last = rows[-1]
    assert book["X"].net == last["pos"]
    assert book["X"].money("realised") == Decimal(last[{"average": "avg_real", "fifo": "fifo_real"}[cost]])
