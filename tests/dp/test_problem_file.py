"""Problems as files, and what `mmcore solve` says, writes and draws."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import mmcore as mm
from mmcore.configuration import ConfigurationError
from mmcore.dp.problem_file import EXAMPLE, load_problem, parse_problem, save_solution


def solve(*arguments):
    from mmcore.cli.group import mmcore

    return CliRunner().invoke(mmcore, ["solve", *map(str, arguments)])


def problem_by_hand():
    wide = mm.dp.Offers.touch(2, join=0.35, improve=0.7)
    regimes = [
        mm.dp.Regime(mm.dp.Offers.touch(1, join=0.5), spread=1, running_penalty=0.02),
        mm.dp.Regime(wide, spread=2, running_penalty=0.02),
    ]
    return mm.dp.MarketMakingProblem(
        regimes,
        q_max=10,
        dt=0.1,
        horizon=40.0,
        liquidate=True,
        take=True,
        taker_fee=0.1,
        switching=[[0.0, 0.1], [0.2, 0.0]],
    )


def test_the_example_is_the_problem_that_it_describes():
    found, expected = parse_problem(EXAMPLE).solve(), problem_by_hand().solve()
    np.testing.assert_array_equal(found.solution.value, expected.solution.value)
    np.testing.assert_array_equal(found.solution.policy, expected.solution.policy)


@pytest.mark.parametrize(
    ("bid", "offers"),
    [
        ("{ depth = [1, 2], rate = [0.5, 0.2] }", mm.dp.Offers([1, 2], [0.5, 0.2])),
        ("{ depth = [1, 2], rate = [0.5, 0.2], size = [1, 2] }", mm.dp.Offers([1, 2], [0.5, 0.2], [1, 2])),
        ("{ A = 0.9, k = 0.3, depth = [1, 2] }", mm.dp.Offers.exponential(0.9, 0.3, [1, 2])),
        ("{ spread = 1, join = 0.5, back = [0.2] }", mm.dp.Offers.touch(1, join=0.5, back=[0.2])),
    ],
)
def test_offers_in_each_form(bid, offers):
    text = f"[problem]\nq_max = 4\ndt = 0.1\n[[regime]]\nadverse_selection = [0.1, 0.2]\nbid = {bid}\n"
    regime = parse_problem(text).problem.regimes[0]
    assert regime.adverse_selection == (0.1, 0.2)
    for name in ("depth", "rate", "size"):
        np.testing.assert_array_equal(getattr(regime.bid, name), getattr(offers, name))


def test_every_fault_is_told_with_its_line():
    text = EXAMPLE.replace("q_max", "qmax").replace("join = 0.35", "joyn = 3").replace("tol =", "tolerance =")
    with pytest.raises(ConfigurationError) as caught:
        parse_problem(text, "my.toml")
    told = [str(fault) for fault in caught.value.faults]
    lines = text.splitlines()
    assert [lines[fault.line - 1].split(" ")[0] for fault in caught.value.faults] == [
        "qmax",
        "bid",
        "tolerance",
    ]
    assert told[0].endswith("problem.qmax is not a key of [problem]; did you mean q_max?")
    assert "did you mean join?" in told[1]
    assert "solve.tolerance" in told[2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there must be a [problem]"),
        ("[problem]\nq_max = 4\ndt = 0.1", "there must be a [[regime]]"),
        ("[problem]\nq_max = 4\ndt = 0.1\n[[regime]]\nspread = 1", "regime.0.bid is missing"),
        (EXAMPLE.replace("dt = 0.1 ", "dt = 4.0 "), "dt = 4 s is too long"),
        (EXAMPLE.replace("spread = 1\n", "spread = -1\n"), "regime.0.spread must be a finite number >= 0"),
        (
            EXAMPLE.replace("{ spread = 1, join = 0.5 }", "{ A = 1, rate = [1] }"),
            "must have depth and rate, or",
        ),
        (EXAMPLE.replace("[problem]", "[problem"), "not TOML"),
        ("[problem]\nq_max = [1", "not TOML: Unclosed array, up to the end of the file"),
        (EXAMPLE.replace("{ spread = 1, join = 0.5 }", "{ join = 0.5 }"), "regime.0.bid.spread is missing"),
        (EXAMPLE.replace("{ spread = 1, join = 0.5 }", "{ depth = [1] }"), "bid.rate is missing"),
        (EXAMPLE.replace("join = 0.5 }", "back = 'a' }"), "regime.0.bid.back must be finite numbers"),
        (EXAMPLE.replace("q_max = 10\n", ""), "problem.q_max is missing"),
        (EXAMPLE.replace("spread = 1\n", "spread = 3\n"), "spread must be that of the offers of both sides"),
        (
            EXAMPLE.replace("{ spread = 1, join = 0.5 }", "{ depth = [1, 2], rate = [0.5] }"),
            "regime.0.bid.rate must be as many numbers as there are depths, 2",
        ),
        ("[mdp]\ndiscount = 0.9", "mdp.path is missing"),
        ("[mdp]\npath = 'x.npz'", "mdp must have a discount below 1, or a horizon"),
        ("[mdp]\npath = 'x.npz'\nhorizon = 0", "mdp.horizon must be an integer >= 1, got 0"),
        ("[mdp]\npath = 'x.npz'\naverage = true\ndiscount = 0.9", "mdp.discount must be left out"),
        (EXAMPLE + "max_iterations = 3\n", "solve.max_iterations must be left out where there is a horizon"),
        ("[mdp]\npath = 'nothere.npz'\ndiscount = 0.9", "nothere.npz"),
        ("[mdp]\npath = 'x.npz'\nmaximize = 'false'", "mdp.maximize must be true or false, got 'false'"),
        ("[mdp]\npath = 'x.npz'\ndiscount = '0.9'", "mdp.discount must be a number"),
        ("[mdp]\npath = 'x.npz'\nhorizon = 3\naverage = true", "mdp.average must be left out"),
        (EXAMPLE.replace("tol = 1e-8", "tol = '1e-3'"), "solve.tol must be a number, got '1e-3'"),
        (EXAMPLE.replace('name = "one tick wide"', "name = 5"), "regime.0.name must be a text, got 5"),
        (EXAMPLE + "[mdp]\npath = 'x.npz'\n", "line 30: only one of [problem] and [mdp] may be in a file"),
        ("[mdp]\npath = 'x.npz'\n[[regime]]\n", "line 3: [[regime]] belongs to a [problem]"),
        (
            EXAMPLE.replace("q_max = 10\n", "q_max = 10\nmax_states = 10\n"),
            "line 7: problem.max_states: 2 regimes and 21 inventories make 42 states; max_states=10",
        ),
        (
            "[problem]\nq_max = 4\ndt = 0.1\nmax_states = 5\n[regime]\nbid = { spread = 1, join = 0.5 }\n",
            "line 4: problem.max_states: 1 regime and 9 inventories make 9 states",
        ),
        (
            EXAMPLE.replace("dt = 0.1 ", "discount_rate = 0.1\ndt = 0.1 "),
            "problem.discount_rate must be left out where there is a horizon, got 0.1",
        ),
        (
            EXAMPLE.replace("horizon = 40.0 ", ""),
            "terminal_penalty or liquidate make the end count, and is left out",
        ),
        (EXAMPLE.replace("take = true", "take = 1"), "problem.take must be true or false, got 1"),
        (EXAMPLE.replace("[[regime]]", "[regime]"), "each of several regimes begins with [[regime]]"),
        (
            EXAMPLE.replace("[[regime]]", "[regime]", 1),
            "line 22: not TOML: Cannot overwrite a value; each of several regimes begins with [[regime]]",
        ),
        (EXAMPLE.replace("join = 0.5", "join = .5"), "Invalid value; did you mean 0.5?"),
        (EXAMPLE.replace("join = 0.5", "join = -.25"), "Invalid value; did you mean -0.25?"),
        ("[mdp]\npath = 'x.npz'\ndiscount = 1.0", "line 3: mdp.discount must be below 1 in every state"),
        ("[mdp]\npath = 'x.npz'\naverage = false", "line 1: mdp must have a discount below 1, or a horizon"),
        ("[mdp]\npath = 'x.npz'\naverage = false\ndiscount = 1", "line 4: mdp.discount must be below 1"),
        ("[mdp]\npath = 'x.npz'\ndiscount = [0.5, 1]", "must be below 1 in every state, got 1: else give a"),
    ],
)
def test_what_is_wrong_is_said(text, words):
    with pytest.raises(ConfigurationError) as caught:
        parse_problem(text)
    assert words in str(caught.value)
    assert "None" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "solving", "words"),
    [
        ("discount = 0.9", "method = 'vi'", "line 5: solve.method must be auto or one of value_iteration"),
        ("average = true", "method = 'vi'", "line 5: solve.method must be auto or one of policy_iteration"),
        ("horizon = 3", "tol = 0", "line 5: solve.tol must be a finite number > 0, got 0"),
        (
            "discount = 0.9",
            "max_iterations = 0",
            "line 5: solve.max_iterations must be an integer >= 1, got 0",
        ),
    ],
)
def test_faults_of_solve_have_file_and_line(machine, kind, solving, words):
    folder, *_ = machine
    path = folder / "machine.toml"
    path.write_text(f"[mdp]\npath = 'machine.npz'\n{kind}\n[solve]\n{solving}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_problem(path).solve()
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}: 1 fault")
    assert solve(path).exit_code == 2


def test_a_market_makers_tolerance_has_a_line_too():
    text = EXAMPLE.replace("tol = 1e-8", "tol = 0")
    with pytest.raises(ConfigurationError, match=r"solve\.tol must be a finite number > 0, got 0") as caught:
        parse_problem(text).solve()
    assert text.splitlines()[caught.value.faults[0].line - 1] == "tol = 0"


@pytest.mark.parametrize("terminal", [[1.0, 2.0, 3.0], [[1.0, 2.0]], [1.0, np.nan]])
def test_values_at_the_horizon_are_one_for_each_state(machine, terminal):
    folder, rewards, transitions = machine
    np.savez(folder / "ends.npz", rewards=rewards, transitions=transitions, terminal=terminal)
    (folder / "ends.toml").write_text("[mdp]\npath = 'ends.npz'\nhorizon = 3\n")
    with pytest.raises(ConfigurationError, match=r"line 2: mdp\.path: terminal"):
        load_problem(folder / "ends.toml")
    np.savez(folder / "ends.npz", rewards=rewards, transitions=transitions, terminal=[1.0, 2.0])
    assert load_problem(folder / "ends.toml").solve().value[-1].tolist() == [1.0, 2.0]


def test_a_fault_of_the_second_regime_has_its_line():
    text = EXAMPLE.replace("spread = 2\n", "spread = -2\n")
    with pytest.raises(ConfigurationError) as caught:
        parse_problem(text)
    (fault,) = caught.value.faults
    assert fault.key == "regime.1.spread"
    assert text.splitlines()[fault.line - 1] == "spread = -2"
    tables = (
        "[problem]\nq_max = 4\ndt = 0.1\n[[regime]]\n[regime.bid]\ndepth = [1]\nrate = [0.1]\n"
        "[[regime]]\n[regime.bid]\ndepth = [1]\nrate = [-0.1]\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        parse_problem(tables)
    (fault,) = caught.value.faults
    assert tables.splitlines()[fault.line - 1] == "rate = [-0.1]"


@pytest.fixture
def machine(tmp_path):
    """A machine, new or worn: run it, or renew it."""
    rewards = np.array([[3.0, -2.0], [1.0, -2.0]])
    transitions = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]])
    np.savez(tmp_path / "machine.npz", rewards=rewards, transitions=transitions)
    return tmp_path, rewards, transitions


@pytest.mark.parametrize("kind", ["discount = 0.9", "horizon = 3", "average = true"])
def test_any_decision_process_from_arrays(machine, kind):
    folder, rewards, transitions = machine
    (folder / "machine.toml").write_text(f"[mdp]\npath = 'machine.npz'\n{kind}\n")
    found = load_problem(folder / "machine.toml").solve()
    if "horizon" in kind:
        expected = mm.dp.backward_induction(rewards, transitions, horizon=3)
    elif "average" in kind:
        expected = mm.dp.average_reward(mm.dp.MDP(rewards, transitions, 1.0))
    else:
        expected = mm.dp.MDP(rewards, transitions, 0.9).solve()
    np.testing.assert_array_equal(found.value, expected.value)
    np.testing.assert_array_equal(found.policy, expected.policy)


def test_sparse_arrays_are_the_dense_model(machine):
    from scipy.sparse import csr_array

    folder, rewards, transitions = machine
    sparse = csr_array(transitions.reshape(4, 2))
    arrays = {name: getattr(sparse, name) for name in ("data", "indices", "indptr")}
    np.savez(folder / "sparse.npz", rewards=rewards, **arrays)
    text = "[mdp]\npath = '{}.npz'\ndiscount = 0.9\n[solve]\nmethod = 'value_iteration'\n"
    values = []
    for name in ("machine", "sparse"):
        (folder / f"{name}.toml").write_text(text.format(name))
        values.append(load_problem(folder / f"{name}.toml").solve().value)
    np.testing.assert_array_equal(*values)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"indices": np.array([b"0", b"1"])}, r"indices must be an array of integers, got \|S1"),
        ({"indices": np.array([0.0, 1.0])}, "indices must be an array of integers, got float64"),
        ({"indptr": np.array(2)}, "indptr must have one axis, got 0"),
        ({"data": np.ones((1, 2))}, "data must have one axis, got 2"),
        ({"rewards": np.array(["x", "y"])}, "rewards must be an array of numbers, got <U1"),
        ({"indptr": np.array([5, 1, 0])}, "are no sparse matrix"),
        ({"indices": np.array([2**63, 0], np.uint64)}, "are no sparse matrix"),
    ],
)
def test_arrays_that_are_no_model_are_refused(tmp_path, arrays, words):
    whole = {"rewards": np.ones(2), "data": np.ones(2), "indices": np.array([0, 1])}
    np.savez(tmp_path / "odd.npz", **(whole | {"indptr": np.array([0, 1, 2])} | arrays))
    (tmp_path / "odd.toml").write_text("[mdp]\npath = 'odd.npz'\ndiscount = 0.9\n")
    with pytest.raises(ConfigurationError, match=words):
        load_problem(tmp_path / "odd.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("horizon = 3\n[solve]\nmethod = 'anderson'", "solve.method must be left out where"),
        ("discount = 0.9", "the file has terminal, which is for a horizon"),
    ],
)
def test_what_would_not_be_read_is_refused(machine, text, words):
    folder, rewards, transitions = machine
    np.savez(folder / "ends.npz", rewards=rewards, transitions=transitions, terminal=[1.0, 0.0])
    (folder / "ends.toml").write_text(f"[mdp]\npath = 'ends.npz'\n{text}\n")
    with pytest.raises(ConfigurationError, match=words):
        load_problem(folder / "ends.toml")


def test_the_tolerance_of_a_horizon_is_read(machine):
    folder, *_ = machine
    (folder / "m.toml").write_text("[mdp]\npath = 'machine.npz'\nhorizon = 3\n[solve]\ntol = 1e-300\n")
    assert load_problem(folder / "m.toml").solve().stop_reason == "rounding"


@pytest.mark.parametrize(
    ("option", "name", "allowed"),
    [("--out", "s", ".npz"), ("--out", "s.csv", ".npz"), ("--plot", "s.txt", ".png or .pdf or .svg")],
)
def test_files_have_the_ending_of_what_they_hold(tmp_path, option, name, allowed):
    ran = solve(option, tmp_path / name)
    assert ran.exit_code == 2
    assert f"{option} must be a file that ends in {allowed}" in " ".join(ran.output.split())
    assert not (tmp_path / name).exists()


def test_the_command_solves_writes_and_draws(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "problem.toml"
    assert "solve it with" in solve("--example", path).output
    assert path.read_text() == EXAMPLE
    assert "exists" in solve("--example", path).output
    ran = solve(path, "--out", tmp_path / "s.npz", "--plot", tmp_path / "s.png")
    assert ran.exit_code == 0, ran.output
    for words in ("2 regimes", "proven bounds", "at the market", "one tick wide", "15.9724"):
        assert words in ran.output
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    found = problem_by_hand().solve()
    with np.load(tmp_path / "s.npz") as saved:
        np.testing.assert_array_equal(saved["value"], found.solution.value)
        assert saved["bid_depth"].shape == saved["value"].shape == saved["lower"].shape == (401, 2, 21)
        assert saved["time_left"][[0, -1]].tolist() == [40.0, 0.0]
        assert saved["take"][0, 0, -1] == found.take(10, 40.0, 0) == -8
        bid, ask = found.depths(3, 40.0, 1)
        assert (saved["bid_depth"][0, 1, 13], saved["ask_depth"][0, 1, 13]) == pytest.approx(
            (np.nan if bid is None else bid, np.nan if ask is None else ask), nan_ok=True
        )
        assert np.all(saved["lower"] <= saved["upper"])
        assert str(saved["stop_reason"]) == "tolerance"


def test_the_command_in_json_and_with_passes(machine):
    pytest.importorskip("matplotlib")
    folder, *_ = machine
    path = folder / "machine.toml"
    path.write_text("[mdp]\npath = 'machine.npz'\ndiscount = 0.9\n[solve]\nmethod = 'value_iteration'\n")
    ran = solve(path, "--json", "--plot", folder / "passes.png")
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["stop_reason"] == "tolerance"
    assert told["first"]["policy"] == [0, 1]
    assert (folder / "passes.png").stat().st_size > 5000


def test_bounds_wider_than_asked_for_are_an_answer_of_no(machine):
    folder, *_ = machine
    path = folder / "machine.toml"
    path.write_text("[mdp]\npath = 'machine.npz'\ndiscount = 0.9\n[solve]\ntol = 1e-18\n")
    ran = solve(path)
    assert ran.exit_code == 1
    assert "as close as floating point can prove" in " ".join(ran.output.split())


def test_wrong_files_end_with_2(tmp_path):
    assert solve(tmp_path / "nothere.toml").exit_code == 2
    (tmp_path / "bad.toml").write_text(EXAMPLE.replace("q_max", "qmax"))
    assert solve(tmp_path / "bad.toml").exit_code == 2
    ran = solve("--out", tmp_path / "no" / "s.npz")
    assert ran.exit_code == 2
    assert "--out must be" in ran.output


def test_a_stationary_solution_is_saved_and_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    regime = mm.dp.Regime(mm.dp.Offers.exponential(A=0.9, k=0.3, depth=range(1, 11)), running_penalty=0.01)
    found = mm.dp.MarketMakingProblem(regime, q_max=5, dt=0.1).solve()
    save_solution(tmp_path / "s.npz", found)
    with np.load(tmp_path / "s.npz") as saved:
        assert saved["time_left"].tolist() == [np.inf]
        assert saved["bid_depth"][0, 0, 5] == found.depths(0)[0]
    axes = found.draw().axes
    assert [ax.get_title(loc="left") for ax in axes[:2]] == ["Bid depth", "Ask depth"]


def test_market_orders_show_without_a_horizon():
    pytest.importorskip("matplotlib")
    regime = mm.dp.Regime(mm.dp.Offers.touch(1, join=0.5), spread=1, running_penalty=0.2)
    found = mm.dp.MarketMakingProblem(regime, q_max=5, dt=0.1, taker_fee=0.1, take=True).solve()
    assert found.take(5) < 0
    axes = found.draw().axes
    assert [ax.get_title(loc="right") for ax in axes[:2]] == [
        "shaded: bought at the market",
        "shaded: sold at the market",
    ]


def test_the_answer_for_programs_says_what_is_decided_first_and_is_short(tmp_path):
    told = solve("--json")
    assert len(told.stdout) < 30_000
    first, found = json.loads(told.stdout)["first"], problem_by_hand().solve()
    assert first["time_left"] == 40.0
    for state, (each, name) in enumerate(
        zip(first["states"], ["one tick wide", "two ticks wide"], strict=True)
    ):
        assert each["name"] == name
        for i, q in enumerate(first["inventory"]):
            assert (each["bid_depth"][i], each["ask_depth"][i]) == found.depths(q, 40.0, state)
            assert each["take"][i] == found.take(q, 40.0, state)
            assert each["lower"][i] <= each["value"][i] == found.value(q, 40.0, state) <= each["upper"][i]
    assert json.loads(told.stdout)["policy_unique"] is None
    (tmp_path / "large.toml").write_text(
        EXAMPLE.replace("q_max = 10\n", "q_max = 5000\n").replace("40.0", "0.5")
    )
    large = solve(tmp_path / "large.toml", "--json")
    assert json.loads(large.stdout)["first"] is None


def test_what_nothing_is_claimed_of_is_not_told(tmp_path):
    path = tmp_path / "average.toml"
    path.write_text(
        "[problem]\nq_max = 4\ndt = 0.1\ntake = true\n[[regime]]\nrunning_penalty = 0.02\n"
        "bid = { spread = 1, join = 0.5 }\n"
    )
    words = " ".join(solve(path).output.split())
    assert "policy is optimal" not in words
    assert "other policies" not in words
    assert "as close as asked for (tol 1e-08)" in words
    assert json.loads(solve(path, "--json").stdout)["gain"] == pytest.approx(0.36)


def test_the_distance_told_is_that_of_the_tolerance(machine):
    folder, *_ = machine
    path = folder / "machine.toml"
    path.write_text("[mdp]\npath = 'machine.npz'\ndiscount = 0.9\n[solve]\nmethod = 'value_iteration'\n")
    words = " ".join(solve(path).output.split())
    found = load_problem(path).solve()
    off = max((found.upper - found.value).max(), (found.value - found.lower).max())
    assert 1e-9 < off <= 1e-8
    assert f"at most {off:.2g} off" in words
    assert repr(found) == f"Solution(2 values, value_iteration: gap {found.gap:.3g}, tolerance)"


def test_a_vector_picture_has_no_path_for_each_cell(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "p.svg"
    assert solve("--plot", path).exit_code == 0
    assert path.stat().st_size < 1_000_000


def taking(**keys):
    regime = mm.dp.Regime(mm.dp.Offers.touch(1, join=1.0), spread=1, running_penalty=keys.pop("penalty"))
    return mm.dp.MarketMakingProblem(regime, dt=0.1, take=True, **keys).solve()


@pytest.mark.parametrize("horizon", [0.1, 0.2, 2.0])
def test_a_cell_is_drawn_where_its_decision_is_in_force(horizon):
    pytest.importorskip("matplotlib")
    found = taking(penalty=5, q_max=3, horizon=horizon, terminal_penalty=2)
    axes = found.draw().axes
    for side, title in enumerate(("hatched: bought at the market", "hatched: sold at the market")):
        ax = next(ax for ax in axes if ax.get_title(loc="right") == title)
        mesh = ax.collections[0]
        corners, drawn = np.asarray(mesh.get_coordinates()), np.ma.filled(mesh.get_array(), np.nan)
        assert drawn.shape == (7, round(horizon / 0.1))
        assert (corners[..., 0].min(), corners[..., 0].max()) == pytest.approx((0, horizon))
        hatched = ax.collections[1].get_paths()
        for q, i in np.ndindex(drawn.shape):
            inside = 0.25 * (corners[q, i] + corners[q + 1, i] + corners[q, i + 1] + corners[q + 1, i + 1])
            assert inside[1] == pytest.approx(q - 3)
            for left in corners[q, i : i + 2, 0] @ np.array([[0.01, 0.5, 0.99], [0.99, 0.5, 0.01]]):
                depth = found.depths(q - 3, left)[side]
                assert drawn[q, i] == pytest.approx(np.nan if depth is None else depth, nan_ok=True)
                sent = found.take(q - 3, left) * (1, -1)[side] > 0
                assert any(path.contains_point((left, q - 3.3)) for path in hatched) == sent


def test_one_decision_over_the_whole_horizon_is_drawn():
    pytest.importorskip("matplotlib")
    regime = mm.dp.Regime(mm.dp.Offers.touch(1, join=0.5), spread=1)
    found = mm.dp.MarketMakingProblem(regime, q_max=2, dt=0.1, lag=4, horizon=0.8).solve()
    short = mm.dp.MarketMakingProblem(regime, q_max=2, dt=0.1, horizon=0.1).solve()
    for solved, horizon, columns in ((found, 0.8, 2), (short, 0.1, 1)):
        mesh = solved.draw().axes[0].collections[0]
        assert mesh.get_array().shape == (5, columns)
        assert np.isfinite(np.ma.filled(mesh.get_array(), np.nan)).any()
        times = mesh.get_coordinates()[0, :, 0]
        assert (times.min(), times.max()) == pytest.approx((0, horizon))


def test_one_inventory_with_market_orders_is_shaded():
    pytest.importorskip("matplotlib")
    found = taking(penalty=0.006, q_max=6)
    assert [q for q in range(-6, 7) if found.take(q)] == [-6, 6]
    for ax, at in zip(found.draw().axes, (-6, 6), strict=False):
        ends = np.concatenate([path.vertices[:, 0] for path in ax.collections[0].get_paths()])
        assert (ends.min(), ends.max()) == (at - 0.5, at + 0.5)
        assert ax.get_xlim() == (-6.5, 6.5)


def test_pictures_say_what_the_bounds_are_of(machine):
    pytest.importorskip("matplotlib")
    from mmcore.dp.pictures import draw_passes

    _, rewards, transitions = machine
    one = mm.dp.average_reward(mm.dp.MDP(rewards, transitions, 1.0))
    (ax,) = draw_passes(one, []).axes
    off = (one.upper - one.lower) / 2
    assert ax.get_title(loc="left") == f"Relative values; the gain, 1.33333, is at most {off:.2g} off"
    found = mm.dp.MDP(rewards, transitions, 0.9).solve()
    off = max((found.upper - found.value).max(), (found.value - found.lower).max())
    title = draw_passes(found, []).axes[0].get_title(loc="left")
    assert title == f"Values; proven to be at most {off:.2g} off"
    made = taking(penalty=0.006, q_max=6)
    title = made.draw().axes[-1].get_title(loc="left")
    assert f"the gain per second, {float(made.solution.lower + made.solution.upper) / 2:.6g}, is" in title


def test_the_distance_drawn_is_the_one_told():
    pytest.importorskip("matplotlib")
    titles = [ax.get_title(loc="left") for ax in problem_by_hand().solve().draw().axes]
    (title,) = [title for title in titles if title.startswith("Value")]
    told = title.partition("proven to be ")[2]
    assert told.startswith("at most ")
    assert told in " ".join(solve().output.split())


def test_a_gain_that_depends_on_the_start_is_told_for_each_state(tmp_path):
    pytest.importorskip("matplotlib")
    stay = np.array([[[1.0, 0], [1, 0]], [[0, 1], [1, 0]]])
    np.savez(tmp_path / "two.npz", rewards=[[2.0, 2.0], [3.0, 0.0]], transitions=stay)
    (tmp_path / "two.toml").write_text("[mdp]\npath = 'two.npz'\naverage = true\n")
    ran = solve(tmp_path / "two.toml")
    assert ran.exit_code == 0
    assert "Warning" not in ran.output
    assert "note  the average reward depends on where one starts" in ran.output
    rows = [line.split() for line in ran.output.splitlines()]
    assert ["state", "action", "value", "gain"] in rows
    assert {row[0]: float(row[-1]) for row in rows if len(row) == 4 and row[0] in "01"} == {"0": 2, "1": 3}
    told = json.loads(solve(tmp_path / "two.toml", "--json").stdout)
    assert told["gain"] == pytest.approx([2, 3])
    assert [note[:18] for note in told["notes"]] == ["the average reward"]
    assert json.loads(solve("--json").stdout)["notes"] == []
    from mmcore.dp.pictures import draw_passes

    with pytest.warns(mm.errors.ModelWarning):
        found = load_problem(tmp_path / "two.toml").solve()
    values, gains = draw_passes(found, []).axes
    assert "the gain, 2 to 3 by the start, is at most" in values.get_title(loc="left")
    assert gains.lines[0].get_ydata() == pytest.approx([2, 3])


def test_more_regimes_than_are_shown_are_said_to_be_there(tmp_path):
    pytest.importorskip("matplotlib")
    regimes = "".join(
        f"[[regime]]\nrunning_penalty = 0.0{i}\nbid = {{ spread = 1, join = 0.5 }}\n" for i in range(7)
    )
    text = f"[problem]\nq_max = 2\ndt = 0.1\nhorizon = 1.0\nswitching = {[[0.1] * 7] * 7}\n{regimes}"
    (tmp_path / "seven.toml").write_text(text)
    ran = solve(tmp_path / "seven.toml")
    assert "The first 6 of 7 regimes are shown" in ran.output
    assert parse_problem(text).solve().draw().get_suptitle() == "The first 6 of 7 regimes"
    assert "are shown" not in solve().output


@pytest.mark.parametrize("others", [["--json"], ["--out", "s.npz"], ["--plot", "s.png"], ["p.toml"]])
def test_an_example_is_written_alone(tmp_path, monkeypatch, others):
    monkeypatch.chdir(tmp_path)
    ran = solve("--example", "e.toml", *others)
    assert ran.exit_code == 2
    name = "PATH" if others == ["p.toml"] else others[0]
    assert f"leave {name} out" in " ".join(ran.output.split())
    assert not list(tmp_path.iterdir())


def test_the_help_says_what_to_do_about_rounding():
    assert "raise tol" in " ".join(solve("--help").output.split())
