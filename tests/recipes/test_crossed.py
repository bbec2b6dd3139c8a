"""`LOSS+ADAPTER`: rows made of two methods."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropo_bench.errors import UsageError
from ropo_bench.recipes.load import load_method, load_methods, load_suite, settings


def test_the_loss_is_the_left_ones_and_the_rest_the_right_ones() -> None:
    row, loss, adapter = (load_method(name) for name in ("simpo+ropo", "simpo", "ropo"))
    assert row.name == "simpo+ropo"
    assert row.loss == loss.loss
    assert (row.adapter, row.train) == (adapter.adapter, adapter.train)
    assert row.train.lr != loss.train.lr
    assert row.description == "loss, beta and loss options of simpo; adapter, learning rate and schedule of ropo"


def test_with_dpo_on_either_side_a_row_is_the_other_one() -> None:
    for name in ("ropo", "dora", "boft"):
        assert settings(load_method(f"dpo+{name}")) == settings(load_method(name))
    simpo = load_method("simpo+dpo")
    assert (simpo.loss, simpo.train.lr) == (load_method("simpo").loss, load_method("dpo").train.lr)


def test_a_suites_figures_are_those_of_the_parts() -> None:
    suite = load_suite("pocket")
    row = load_method("simpo+ropo", suite=suite)
    assert row.train.lr == load_method("ropo", suite=suite).train.lr != load_method("ropo").train.lr
    assert row.train.batch_size == 32


def test_a_suite_may_have_figures_for_the_row_itself(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    text = "inherit: pocket\ndescription: x\noverrides: {simpo+ropo: {train.lr: 3e-3, loss.beta: 1.5}}\n"
    path.write_text(text)
    row = load_method("simpo+ropo", suite=load_suite(path))
    assert (row.train.lr, row.loss.beta) == (3e-3, 1.5)
    path.write_text(text.replace("simpo+ropo", "simpo+rop"))
    with pytest.raises(UsageError, match=r"method 'simpo\+rop': unknown method 'rop'; did you mean 'ropo'"):
        load_suite(path)


def test_sets_reach_it_by_its_whole_name_alone() -> None:
    sets = ["simpo+ropo.loss.beta=3", "ropo.train.lr=0.5", "train.epochs=2"]
    row, ropo = load_methods("simpo+ropo,ropo", sets=sets)
    assert (row.loss.beta, row.train.epochs, row.train.lr) == (3, 2, load_method("ropo").train.lr)
    assert ropo.train.lr == 0.5
    with pytest.raises(UsageError, match="simpo is not among this run's methods"):
        load_methods("simpo+ropo", sets=["simpo.loss.beta=3"])


def test_rows_keep_their_order_and_are_there_once() -> None:
    names = [method.name for method in load_methods("simpo+ropo,dpo,dpo+dora,simpo+ropo")]
    assert names == ["simpo+ropo", "dpo", "dpo+dora"]


def test_an_included_method_may_be_a_part(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("inherit: ropo\ndescription: mine\ntrain: {lr: 1e-3}\n")
    assert load_method("ipo+mine", include=[tmp_path]).train.lr == 1e-3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("simpoo+ropo", r"method 'simpoo\+ropo': unknown method 'simpoo'; did you mean 'simpo'"),
        ("simpo+rpoo", r"method 'simpo\+rpoo': unknown method 'rpoo'; did you mean 'ropo'"),
        ("dpo+simpo+ropo", r"give LOSS\+ADAPTER, the names of two methods, such as simpo\+ropo"),
        ("dpo+", r"give LOSS\+ADAPTER"),
    ],
)
def test_a_mistake_gets_one_line(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_methods(name)
    assert "\n" not in str(caught.value)


def test_a_recipe_with_a_plus_in_its_name_is_itself(tmp_path: Path) -> None:
    (tmp_path / "dpo+ropo.yaml").write_text("inherit: dpo\ndescription: my own\n")
    assert load_method("dpo+ropo", include=[tmp_path]).description == "my own"
