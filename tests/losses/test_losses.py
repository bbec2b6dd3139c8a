"""Losses against values worked by hand from the papers' formulas, and how a loss is found."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from ropo_bench.errors import UsageError
from ropo_bench.losses import LOSSES, Loss, PairLogps, StepStatistics, estimate_kl, resolve_loss
from ropo_bench.recipes.method import LossRecipe
from tests.conftest import logged

own_loss = Loss(lambda logps, recipe: recipe.beta * -logps.chosen, uses_reference=False)
not_a_loss = 3


def step_loss(name: str, logps: PairLogps, **recipe: Any) -> float:
    return float(LOSSES[name].function(logps, LossRecipe(name=name, **recipe)).mean())


# --- worked by hand --------------------------------------------------------------------------------

WORKED = PairLogps(  # logratios: chosen (1, -2), rejected (-1, 1); lengths (4, 10), (6, 5)
    chosen=torch.tensor([-4.0, -12.0], dtype=torch.float64),
    rejected=torch.tensor([-7.0, -5.0], dtype=torch.float64),
    reference_chosen=torch.tensor([-5.0, -10.0], dtype=torch.float64),
    reference_rejected=torch.tensor([-6.0, -6.0], dtype=torch.float64),
    chosen_num_tokens=torch.tensor([4.0, 10.0], dtype=torch.float64),
    rejected_num_tokens=torch.tensor([6.0, 5.0], dtype=torch.float64),
    mean_chosen_num_tokens=torch.tensor(7.0, dtype=torch.float64),
    kl=torch.tensor(0.5, dtype=torch.float64),
    statistics=StepStatistics(*torch.tensor([-0.25, 0.01, 0.4], dtype=torch.float64)),
)


E = math.e


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        # margins beta * (2, -3)
        ({"name": "sigmoid", "beta": 0.5}, [softplus(-1.0), softplus(1.5)]),
        (
            {"name": "sigmoid", "beta": 0.5, "label_smoothing": 0.1},
            [0.9 * softplus(-1.0) + 0.1 * softplus(1.0), 0.9 * softplus(1.5) + 0.1 * softplus(-1.5)],
        ),
        # token means (1/4 + 1/6, -2/10 - 1/5), target 1 / (2 * 0.5) = 1
        ({"name": "ipo", "beta": 0.5}, [(5 / 12 - 1) ** 2, (-0.4 - 1) ** 2]),
        # margins above + alpha * (4 - 6, 10 - 5): a longer chosen answer needs less of a logratio
        (
            {"name": "r-dpo", "beta": 0.5, "options": {"alpha": 0.1}},
            [softplus(-(1.0 - 0.2)), softplus(-(-1.5 + 0.5))],
        ),
        # 1 - sigmoid(beta (chosen - z0)) and 1 - sigmoid(beta (z0 - rejected)), z0 = 0.5, and their mean
        (
            {"name": "kto-pair", "beta": 0.5},
            [
                ((1 - logistic(0.5 * 0.5)) + (1 - logistic(0.5 * 1.5))) / 2,
                ((1 - logistic(0.5 * -2.5)) + (1 - logistic(0.5 * -0.5))) / 2,
            ],
        ),
        # token means (-1, -1.2) and (-7/6, -1); gamma = 2 * 0.25
        (
            {"name": "simpo", "beta": 2.0, "options": {"gamma_beta_ratio": 0.25}},
            [softplus(-(2 * (1 / 6) - 0.5)), softplus(-(2 * -0.2 - 0.5))],
        ),
        ({"name": "cpo", "beta": 0.1}, [softplus(-0.3) + 4 / 7, softplus(0.7) + 12 / 7]),
        # (0.9 L - 0.1 L of the swapped pair) / 0.8
        (
            {"name": "robust-dpo", "beta": 0.5, "label_smoothing": 0.1},
            [
                (0.9 * softplus(-1.0) - 0.1 * softplus(1.0)) / 0.8,
                (0.9 * softplus(1.5) - 0.1 * softplus(-1.5)) / 0.8,
            ],
        ),
        # log-ratios a token (1/4, -2/10) and (-1/6, 1/5)
        ({"name": "ln-dpo", "beta": 5.0}, [softplus(-5 * (1 / 4 + 1 / 6)), softplus(-5 * (-0.2 - 0.2))]),
        # DPO, and 0.5 times 4/4 and 12/10 nats a token
        (
            {"name": "dpo-nll", "beta": 0.5, "options": {"alpha": 0.5}},
            [softplus(-1.0) + 0.5 * 1, softplus(1.5) + 0.5 * 1.2],
        ),
        # the second chosen answer lost 2 nats: 3 * 2 off its margin of -3
        ({"name": "dpop", "beta": 0.5, "options": {"lambda": 3}}, [softplus(-0.5 * 2), softplus(-0.5 * (-3 - 6))]),
        (
            {"name": "focalpo", "beta": 0.5, "options": {"gamma": 2}},
            [logistic(1.0) ** 2 * softplus(-1.0), logistic(-1.5) ** 2 * softplus(1.5)],
        ),
        # the policy's margins (3, -7) less those of the reference, (1, -4) held above 0
        ({"name": "hypo", "beta": 0.5}, [softplus(-0.5 * (3 - 1)), softplus(-0.5 * (-7 - 0))]),
        # f'(u) = log(2 u / (1 + u)) at u = e, 1/e and e^-2, e
        (
            {"name": "f-dpo-js", "beta": 0.5},
            [
                softplus(-0.5 * (math.log(2 * E / (1 + E)) - math.log(2 / E / (1 + 1 / E)))),
                softplus(-0.5 * (math.log(2 * E**-2 / (1 + E**-2)) - math.log(2 * E / (1 + E)))),
            ],
        ),
        # f'(u) = (1 - u^-1/4) 4
        (
            {"name": "f-dpo-alpha", "beta": 0.5, "options": {"alpha": 0.25}},
            [softplus(-0.5 * 4 * (E**0.25 - E**-0.25)), softplus(-0.5 * 4 * (E**-0.25 - E**0.5))],
        ),
        ({"name": "f-dpo-kl", "beta": 0.5}, [softplus(-0.5 * (E - 1 / E)), softplus(-0.5 * (1 / E - E**2))]),
        (
            {"name": "exo", "beta": 0.5, "options": {"epsilon": 0.1}},
            [
                logistic(1.0) * math.log(logistic(1.0) / 0.9) + logistic(-1.0) * math.log(logistic(-1.0) / 0.1),
                logistic(-1.5) * math.log(logistic(-1.5) / 0.9) + logistic(1.5) * math.log(logistic(1.5) / 0.1),
            ],
        ),
        # targets +-1 / (2 * 0.5) of the log-ratios (1, -2) and (-1, 1)
        ({"name": "sppo", "beta": 0.5}, [0.0 + 0.0, 9.0 + 4.0]),
        # the shift is 0.5 * -0.25
        (
            {"name": "bco", "beta": 0.5},
            [softplus(-(0.5 + 0.125)) + softplus(-0.5 + 0.125), softplus(-(-1 + 0.125)) + softplus(0.5 + 0.125)],
        ),
        (
            {"name": "nca", "beta": 0.5},
            [
                softplus(-0.5) + softplus(0.5) / 2 + softplus(-0.5) / 2,
                softplus(1.0) + softplus(-1.0) / 2 + softplus(0.5) / 2,
            ],
        ),
        ({"name": "apo-zero", "beta": 0.5}, [logistic(-0.5) * 2, logistic(1.0) + logistic(0.5)]),
        ({"name": "apo-down", "beta": 0.5}, [logistic(0.5) + logistic(-1.0), logistic(-1.0) + logistic(1.5)]),
        # margins (3, -7) in nats
        ({"name": "slic-hf", "options": {"delta": 4, "lambda": 0.5}}, [4 - 3 + 0.5 * 4, 4 + 7 + 0.5 * 12]),
        ({"name": "simper"}, [math.exp(-7 / 6) - math.exp(-1), math.exp(-1) - math.exp(-1.2)]),
        ({"name": "repo", "options": {"gamma": 0.1}}, [0.0, 0.1 + 0.2]),
        # means (1 - p^-1/4) 4 of p = e^-1, e^-7/6 and e^-1.2, e^-1
        (
            {"name": "simpo", "beta": 2.0, "options": {"gamma_beta_ratio": 0.25, "alpha": 0.25}},
            [
                softplus(-2 * (4 * (E ** (7 / 24) - E**0.25) - 0.25)),
                softplus(-2 * (4 * (E**0.25 - E**0.3) - 0.25)),
            ],
        ),
        # targets 0.6 + 0.2 z, z = (5/12 - 0.01) / 0.4 and (-0.4 - 0.01) / 0.4
        (
            {"name": "alpha-dpo", "beta": 2.0, "options": {"alpha": 0.2, "gamma_beta_ratio": 0.6}},
            [
                softplus(-2 * (1 / 6 - 0.6 - 0.2 * (5 / 12 - 0.01) / 0.4)),
                softplus(-2 * (-0.2 - 0.6 - 0.2 * (-0.41) / 0.4)),
            ],
        ),
    ],
)
def test_losses_equal_the_papers_formulas_worked_by_hand(recipe: dict[str, Any], expected: list[float]) -> None:
    got = LOSSES[recipe["name"]].function(WORKED, LossRecipe(**recipe))
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-15)


def test_r_dpo_sign_follows_from_its_objective() -> None:
    """At the optimum of E[r - alpha tokens] - beta KL, the loss of a pair is -log sigmoid(r_w - r_l)."""
    beta, alpha = 0.5, 0.2
    reference = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    reward = torch.tensor([1.0, -0.5, 0.3], dtype=torch.float64)
    tokens = torch.tensor([9.0, 2.0, 4.0], dtype=torch.float64)
    policy = reference * torch.exp((reward - alpha * tokens) / beta)
    policy /= policy.sum()
    for w in range(3):
        for r in range(3):
            logps = PairLogps(
                *(p[i : i + 1] for p in (policy.log(), reference.log()) for i in (w, r)),
                tokens[w : w + 1],
                tokens[r : r + 1],
                tokens.mean(),
            )
            expected = softplus(-float(reward[w] - reward[r]))
            assert step_loss("r-dpo", logps, beta=beta, options={"alpha": alpha}) == pytest.approx(expected)


def test_kl_estimate_is_a_mean_that_is_never_negative_and_has_no_gradient() -> None:
    ratios = torch.tensor([1.0, -0.5, 0.7], requires_grad=True)
    assert estimate_kl(ratios).item() == pytest.approx(0.4)
    assert not estimate_kl(ratios).requires_grad
    assert estimate_kl(-ratios).item() == 0.0


# --- finding a loss --------------------------------------------------------------------------------


def test_resolve_loss_finds_short_names_and_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "my_losses", sys.modules[__name__])
    assert resolve_loss("ipo") is LOSSES["ipo"]
    assert resolve_loss("my_losses:own_loss") is own_loss
    recipe = LossRecipe(name="my_losses:own_loss", beta=0.5)
    assert logged(WORKED, recipe)["rewards/chosen"] == pytest.approx(0.5 * -8.0)
    with pytest.raises(UsageError, match=r"'my_losses:not_a_loss'.*is a int.*Loss object"):
        resolve_loss("my_losses:not_a_loss")


@pytest.mark.parametrize(
    ("name", "message"),
    [("sigmod", "did you mean 'sigmoid'"), ("zzz", "kto-pair"), ("no_such_module:loss", "no_such_module")],
)
def test_unknown_losses_are_usage_errors(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve_loss(name)
