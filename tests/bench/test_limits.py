"""What the multiply-adds allow, worked out by hand for B-LeNet."""

import pytest
from tiny import tiny_net

from branchynet import BranchyNet
from branchynet.bench.limits import gain_limits
from branchynet.inference.plan import make_plain_plan, make_plan
from networks import lenet_mnist


@pytest.fixture
def plans():
    net = BranchyNet(lenet_mnist.get_network(), lenet_mnist.INPUT_SHAPE)
    return make_plan(net), make_plain_plan(net)


def test_the_limit_of_the_gain_and_the_break_even_follow_from_multiply_adds(plans):
    result = gain_limits(*plans, [94.3, 5.7])
    assert result["plain_multiply_adds"] == 1_140_070
    assert result["multiply_add_limit_of_gain"] == pytest.approx(1_140_070 / (0.943 * 220_150 + 0.057 * 1_247_720))
    (first,) = result["early_exits"]
    assert first["break_even_pct_of_reaching"] == pytest.approx(100 * 107_650 / (1_140_070 - 112_500))
    assert first["leaving_pct_of_reaching"] == pytest.approx(94.3)


def test_where_exactly_the_break_even_leaves_there_is_no_gain(plans):
    (first,) = gain_limits(*plans, [50.0, 50.0])["early_exits"]
    share = first["break_even_pct_of_reaching"]
    assert gain_limits(*plans, [share, 100 - share])["multiply_add_limit_of_gain"] == pytest.approx(1)


def test_with_two_early_exits_each_is_held_against_what_is_behind_it():
    net = tiny_net()
    result = gain_limits(make_plan(net), make_plain_plan(net), [50, 30, 20])
    first, second = result["early_exits"]
    assert [first["exit"], second["exit"]] == [1, 2]
    trunk = [36 * 9 * 2, 16 * 18 * 3, 48 * 8]
    assert first["break_even_pct_of_reaching"] == pytest.approx(100 * 72 * 3 / (trunk[1] + trunk[2] + 8 * 3))
    assert second["break_even_pct_of_reaching"] == pytest.approx(100 * 48 * 3 / (trunk[2] + 8 * 3))
    assert second["multiply_adds_to_leave"] == sum(trunk[:2]) + 72 * 3 + 48 * 3
    assert (first["leaving_pct_of_reaching"], second["leaving_pct_of_reaching"]) == (50, 60)
    all_leave = gain_limits(make_plan(net), make_plain_plan(net), [100, 0, 0])["early_exits"]
    assert [row["leaving_pct_of_reaching"] for row in all_leave] == [100, 0]
