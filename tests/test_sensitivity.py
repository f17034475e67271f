"""Sensitivity: each row is the replay that it says, bit for bit; a fee costs what the turnover says."""

from decimal import Decimal

import pytest

import mmcore as mm
from mmcore.errors import InvalidArgument


@pytest.fixture(scope="module")
def events():
    return mm.SimulatedMarket(duration=300.0, seed=2).events()


@pytest.fixture(scope="module")
def found(events):
    quoter = mm.Affine(base=1.5, slope=0.1, q_max=5)
    return mm.sensitivity(
        events, quoter, latency=(0.0, 0.2), maker_fee=("0", "0.0001", "-0.00005"), interval=0.5
    )


def test_each_row_is_the_replay_alone(events, found):
    assert [(r.latency, r.maker_fee) for r in found] == [
        (s, Decimal(f)) for s in (0.0, 0.2) for f in ("0", "0.0001", "-0.00005")
    ]
    for row in found:
        alone = mm.replay(
            events, mm.Affine(base=1.5, slope=0.1, q_max=5), latency=row.latency, maker_fee=row.maker_fee,
            interval=0.5,
        )  # fmt: skip
        assert row.result.attribution == alone.attribution
        assert row.result.fills.tobytes() == alone.fills.tobytes()


def test_a_fee_changes_nothing_but_the_fees(found):
    free, dear, rebate = found[:3]
    assert free.result.fills["price"].tolist() == dear.result.fills["price"].tolist()
    assert free.result.attribution.spread == dear.result.attribution.spread
    turnover = sum(
        abs(int(q)) * free.result.instrument.price(int(p))
        for q, p in zip(free.result.fills["qty"], free.result.fills["price"], strict=True)
    )
    unit = dear.result.instrument.currency.unit
    assert abs(dear.result.attribution.fees + turnover * Decimal("0.0001")) <= unit * len(dear.result.fills)
    assert rebate.total > free.total > dear.total


def test_it_shows_as_a_table(found):
    text = str(found)
    assert text.splitlines()[0].split()[:2] == ["latency", "(s)"]
    assert "1 bp" in text
    assert "-0.5 bp" in text
    assert "amounts in USD" in found._repr_html_()


def test_wrong_arguments(events):
    policy = mm.Affine(base=1.0)
    with pytest.raises(InvalidArgument, match="latency"):
        mm.sensitivity(events, policy, latency=())
    with pytest.raises(InvalidArgument, match="latency"):
        mm.sensitivity(events, policy, latency=(-1.0,))
    with pytest.raises(InvalidArgument, match="fil"):
        mm.sensitivity(events, policy, fil="touch")
    with pytest.raises(InvalidArgument, match=r"latency must be a list of seconds, got 0\.1"):
        mm.sensitivity(events, policy, latency=0.1)
    with pytest.raises(InvalidArgument, match=r"maker_fee must be a list of rates, got '0\.0001'"):
        mm.sensitivity(events, policy, maker_fee="0.0001")


def test_a_picture(found):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    ax = found.plot()
    assert len(ax.lines) == 4
    assert ax.get_xlabel() == "latency, s"
