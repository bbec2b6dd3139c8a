"""Laws that every loss obeys: each short name with its defaults, and each methods/*.yaml with its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ropo_bench.losses import LOSSES, Loss, PairLogps, StepStatistics, mean_margins, resolve_loss
from ropo_bench.recipes.load import list_recipes, load_method
from ropo_bench.recipes.method import LossRecipe
from tests.conftest import logged

RECIPES = [
    *(pytest.param(LossRecipe(name=name), id=name) for name in LOSSES),
    *(pytest.param(load_method(name).loss, id=f"methods/{name}") for name in list_recipes("methods")),
]
every_loss = pytest.mark.parametrize("recipe", RECIPES)

# Loss at logratio 0 and KL 0 (reference losses), or as a function of the base model's own token means and
# lengths; plain floats, written apart from the code.
Start = tuple[float, float, float, float, float]  # chosen, rejected logps; their lengths; mean chosen length
ClosedForm = Callable[[LossRecipe, Start], float]


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _simpo(recipe: LossRecipe, start: Start) -> float:
    c, r, nc, nr, _ = start
    ratio, alpha = recipe.options.get("gamma_beta_ratio", 0.5), recipe.options.get("alpha", 0.0)
    chosen, rejected = ((1 - math.exp(-alpha * x)) / alpha if alpha else x for x in (c / nc, r / nr))
    return softplus(-recipe.beta * (chosen - rejected - ratio))


def _exo(recipe: LossRecipe, start: Start) -> float:
    epsilon = recipe.options.get("epsilon", 1e-3)
    return 0.5 * math.log(0.5 / (1 - epsilon)) + 0.5 * math.log(0.5 / epsilon)


def _slic(recipe: LossRecipe, start: Start) -> float:
    c, r = start[:2]
    return max(0.0, recipe.options.get("delta", 1.0) - c + r) - recipe.options.get("lambda", 0.1) * c


def _alpha_dpo(recipe: LossRecipe, start: Start) -> float:
    c, r, nc, nr, _ = start
    return softplus(-recipe.beta * (c / nc - r / nr - recipe.options.get("gamma_beta_ratio", 0.6)))


def _orpo(recipe: LossRecipe, start: Start) -> float:
    c, r, nc, nr, mean = start
    chosen, rejected = math.exp(c / nc), math.exp(r / nr)
    odds_ratio = chosen / (1 - chosen) / (rejected / (1 - rejected))
    return -c / mean + recipe.beta * math.log1p(1 / odds_ratio)


CLOSED_FORM_AT_START: dict[str, ClosedForm] = {
    "sigmoid": lambda recipe, start: math.log(2),
    "ipo": lambda recipe, start: (1 / (2 * recipe.beta)) ** 2,
    "r-dpo": lambda recipe, s: softplus(-recipe.options.get("alpha", 0.01) * (s[2] - s[3])),
    "kto-pair": lambda recipe, start: 0.5,
    "simpo": _simpo,
    "orpo": _orpo,
    "cpo": lambda recipe, s: (
        softplus(-recipe.beta * (s[0] - s[1])) - recipe.options.get("cpo_alpha", 1.0) * s[0] / s[4]
    ),
    "robust-dpo": lambda recipe, start: math.log(2),
    "ln-dpo": lambda recipe, start: math.log(2),
    "dpo-nll": lambda recipe, s: math.log(2) - recipe.options.get("alpha", 1.0) * s[0] / s[2],
    "dpop": lambda recipe, start: math.log(2),
    "focalpo": lambda recipe, start: 0.5 ** recipe.options.get("gamma", 0.05) * math.log(2),
    # Policy and reference have the same margin: what is left of it is what the clip takes away.
    "hypo": lambda recipe, s: softplus(-recipe.beta * min(0.0, s[0] - s[1])),
    "f-dpo-js": lambda recipe, start: math.log(2),
    "f-dpo-alpha": lambda recipe, start: math.log(2),
    "f-dpo-kl": lambda recipe, start: math.log(2),
    "exo": _exo,
    "sppo": lambda recipe, start: 2 * (1 / (2 * recipe.beta)) ** 2,
    "bco": lambda recipe, start: 2 * math.log(2),
    "nca": lambda recipe, start: 2 * math.log(2),
    "apo-zero": lambda recipe, start: 1.0,
    "apo-down": lambda recipe, start: 1.0,
    "slic-hf": _slic,
    "simper": lambda recipe, s: math.exp(s[1] / s[3]) - math.exp(s[0] / s[2]),
    "repo": lambda recipe, s: max(0.0, recipe.options.get("gamma", 0.6) - s[0] / s[2] + s[1] / s[3]),
    "alpha-dpo": _alpha_dpo,
}

AIMED = ("ipo", "sppo", "exo", "nca", "apo-down")
"""Losses with an optimum at a finite distance from the reference: they pull the right way at the start."""
HINGED = ("slic-hf", "repo", "apo-down")
"""Losses that may leave an answer where it is: a hinge that is satisfied; APO-down's chosen answer at the start."""
ABSOLUTE = ("hypo", "alpha-dpo", "dpo-nll")
"""Losses with a reference that read more than log-ratios: its margin, or the policy's own likelihood."""
UNSMOOTHED = (
    *("ipo", "orpo", "kto-pair", "focalpo", "exo", "sppo", "bco", "nca", "apo-zero", "apo-down"),
    *("slic-hf", "simper", "repo"),
)
"""Losses that do not read label_smoothing."""


def pair_logps(seed: int, num_pairs: int = 8) -> PairLogps:
    """Random pairs in float64: 1 to 60 tokens a completion, 0 to 3 nats a token, logratios of a few nats."""
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 61, (2, num_pairs), generator=g).double()
    policy = -3 * lengths * (0.01 + torch.rand(2, num_pairs, generator=g, dtype=torch.float64))
    reference = policy + 2 * torch.randn(2, num_pairs, generator=g, dtype=torch.float64)
    kl = torch.rand((), generator=g, dtype=torch.float64)
    return with_statistics(PairLogps(*policy, *reference, *lengths, lengths[0].mean(), kl))


def with_statistics(logps: PairLogps) -> PairLogps:
    """The pairs as a whole step."""
    assert logps.reference_chosen is not None
    assert logps.reference_rejected is not None
    moved = torch.cat([logps.chosen - logps.reference_chosen, logps.rejected - logps.reference_rejected])
    margins = mean_margins(logps)
    return replace(logps, statistics=StepStatistics(moved.mean(), margins.mean(), margins.std(unbiased=False)))


def take(logps: PairLogps, index: Tensor) -> PairLogps:
    """Some of a step's pairs; the step's scalars stay."""
    pick = {f.name: getattr(logps, f.name) for f in fields(logps)}
    return PairLogps(**{k: v[index] if isinstance(v, Tensor) and v.dim() else v for k, v in pick.items()})


def with_gradients(logps: PairLogps) -> PairLogps:
    return replace(
        logps,
        chosen=logps.chosen.clone().requires_grad_(),
        rejected=logps.rejected.clone().requires_grad_(),
    )


def loss_of(recipe: LossRecipe) -> Loss:
    return resolve_loss(recipe.name)


@every_loss
def test_loss_at_step_0_equals_its_closed_form(recipe: LossRecipe) -> None:
    logps = pair_logps(0)
    zero = torch.zeros((), dtype=torch.float64)
    start = with_statistics(replace(logps, reference_chosen=logps.chosen, reference_rejected=logps.rejected, kl=zero))
    columns = (logps.chosen, logps.rejected, logps.chosen_num_tokens, logps.rejected_num_tokens)
    closed = CLOSED_FORM_AT_START[recipe.name]
    expected = [
        closed(recipe, (*pair, float(logps.mean_chosen_num_tokens)))
        for pair in zip(*(column.tolist() for column in columns), strict=True)
    ]
    assert loss_of(recipe).function(start, recipe).tolist() == pytest.approx(expected, rel=1e-12)


@every_loss
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 8))
def test_gradient_accumulation_changes_nothing(recipe: LossRecipe, seed: int, size: int) -> None:
    """8 micro-batches of 1, 1 of 8, and unequal splits: same loss, same gradient."""
    whole, parts = with_gradients(pair_logps(seed)), with_gradients(pair_logps(seed))
    function = loss_of(recipe).function
    loss = function(whole, recipe).mean()
    loss.backward()
    total = 0.0
    for index in torch.randperm(8, generator=torch.Generator().manual_seed(seed)).split(size):
        share = function(take(parts, index), recipe).mean() * len(index) / 8
        share.backward()
        total += share.item()
    assert total == pytest.approx(loss.item(), rel=1e-12)
    for one, other in ((whole.chosen, parts.chosen), (whole.rejected, parts.rejected)):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-11, atol=1e-14)


@every_loss
def test_one_loss_a_pair_and_no_pair_sees_another(recipe: LossRecipe) -> None:
    logps = pair_logps(1)
    losses = loss_of(recipe).function(logps, recipe)
    assert losses.shape == (8,)
    order = torch.tensor([3, 1, 7])
    torch.testing.assert_close(loss_of(recipe).function(take(logps, order), recipe), losses[order])


@every_loss
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_better_chosen_answer_never_costs_more(recipe: LossRecipe, seed: int) -> None:
    """Descent raises the chosen and lowers the rejected log-probability (where a loss has a target: up to it)."""
    logps = pair_logps(seed)
    if recipe.name in AIMED:
        logps = replace(logps, reference_chosen=logps.chosen, reference_rejected=logps.rejected)
    logps = with_gradients(logps)
    loss_of(recipe).function(logps, recipe).sum().backward()
    chosen, rejected = logps.chosen.grad, logps.rejected.grad
    assert chosen is not None
    assert rejected is not None
    if recipe.name in HINGED:
        assert (chosen <= 0).all()
        assert (rejected >= 0).all()
    else:
        assert (chosen < 0).all()
        assert (rejected > 0).all()


@every_loss
def test_the_reference_matters_only_through_logratios(recipe: LossRecipe) -> None:
    logps, loss = pair_logps(2), loss_of(recipe)
    expected = loss.function(logps, recipe)
    if not loss.uses_reference:
        without = replace(logps, reference_chosen=None, reference_rejected=None, kl=None, statistics=None)
        torch.testing.assert_close(loss.function(without, recipe), expected, rtol=0, atol=0)
        return
    assert logps.reference_chosen is not None
    assert logps.reference_rejected is not None
    moved = replace(
        logps,
        chosen=logps.chosen - 7,
        reference_chosen=logps.reference_chosen - 7,
        rejected=logps.rejected - 3,
        reference_rejected=logps.reference_rejected - 3,
    )
    if recipe.name not in ABSOLUTE:
        torch.testing.assert_close(loss.function(moved, recipe), expected)
    nearer = replace(logps, reference_chosen=logps.reference_chosen - 1)
    assert not torch.allclose(loss.function(nearer, recipe), expected)


@every_loss
def test_kl_is_needed_where_it_is_said_to_be(recipe: LossRecipe) -> None:
    logps, loss = pair_logps(3), loss_of(recipe)
    assert logps.kl is not None
    kl = logps.kl.clone().requires_grad_()
    losses = loss.function(with_gradients(replace(logps, kl=kl)), recipe)
    losses.sum().backward()
    assert kl.grad is None  # a reference point, not a path of the gradient
    other = loss.function(replace(logps, kl=logps.kl + 1), recipe)
    assert torch.equal(losses.detach(), other) is not loss.needs_kl


@every_loss
def test_statistics_are_needed_where_they_are_said_to_be(recipe: LossRecipe) -> None:
    logps, loss = pair_logps(3), loss_of(recipe)
    assert logps.statistics is not None
    other = StepStatistics(*(getattr(logps.statistics, f.name) + 1 for f in fields(StepStatistics)))
    losses = [
        loss.function(replace(logps, statistics=statistics), recipe) for statistics in (logps.statistics, other)
    ]
    assert torch.equal(*losses) is not loss.needs_statistics
    if not loss.needs_statistics:
        assert torch.equal(loss.function(replace(logps, statistics=None), recipe), losses[0])


@every_loss
@pytest.mark.parametrize("scale", [0.0, 1e-9, 1.0, 1e4])
def test_extreme_log_probabilities_stay_finite_in_float32(recipe: LossRecipe, scale: float) -> None:
    """A certain model (0 nats), an impossible answer (-10,000 nats), an empty completion (0 tokens)."""
    num = torch.tensor([0.0, 1.0, 5.0])
    chosen, rejected = -scale * torch.tensor([0.0, 1.0, 1.0]), -scale * torch.tensor([1.0, 0.0, 1.0])
    logps = PairLogps(chosen, rejected, rejected, chosen, num, num.flip(0), num.mean(), torch.tensor(0.1))
    logps = with_gradients(with_statistics(logps))
    losses = loss_of(recipe).function(logps, recipe)
    losses.sum().backward()
    assert logps.chosen.grad is not None
    assert logps.rejected.grad is not None
    for tensor in (losses, logps.chosen.grad, logps.rejected.grad):
        assert tensor.isfinite().all()


@every_loss
def test_gradients_are_those_of_finite_differences(recipe: LossRecipe) -> None:
    logps = with_gradients(pair_logps(4, num_pairs=3))
    if recipe.name == "alpha-dpo":  # its margin is held still, which finite differences do not know
        recipe = recipe.model_copy(update={"options": recipe.options | {"alpha": 0.0}})

    def function(chosen: Tensor, rejected: Tensor) -> Tensor:
        return loss_of(recipe).function(replace(logps, chosen=chosen, rejected=rejected), recipe)

    assert torch.autograd.gradcheck(function, (logps.chosen, logps.rejected))


@every_loss
@pytest.mark.parametrize("label_smoothing", [0.1, 0.3])
def test_smoothing_mixes_a_pair_with_its_swap(recipe: LossRecipe, label_smoothing: float) -> None:
    """Where labels are smoothed: L_e = (1-e) L(pair) + e L(labels swapped); elsewhere it is not read."""
    recipe = recipe.model_copy(update={"label_smoothing": 0.0})
    smooth = recipe.model_copy(update={"label_smoothing": label_smoothing})
    logps, function = pair_logps(5), loss_of(recipe).function
    plain, smoothed = function(logps, recipe), function(logps, smooth)
    if recipe.name in UNSMOOTHED:
        assert torch.equal(plain, smoothed)
    elif recipe.name in ("sigmoid", "r-dpo", "ln-dpo", "f-dpo-js", "f-dpo-alpha", "f-dpo-kl"):
        swapped = PairLogps(
            logps.rejected,
            logps.chosen,
            logps.reference_rejected,
            logps.reference_chosen,
            logps.rejected_num_tokens,
            logps.chosen_num_tokens,
            logps.mean_chosen_num_tokens,
        )
        mixed = (1 - label_smoothing) * plain + label_smoothing * function(swapped, recipe)
        torch.testing.assert_close(smoothed, mixed)
    else:
        assert (smoothed - plain).abs().min() > 1e-4


@every_loss
def test_metrics_are_trls_names_and_consistent(recipe: LossRecipe) -> None:
    logps = pair_logps(6)
    values = logged(logps, recipe)
    assert set(values) == {
        *(f"rewards/{name}" for name in ("chosen", "rejected", "margins", "accuracies")),
        *(f"logps/{name}" for name in ("chosen", "rejected")),
    }
    assert values["rewards/margins"] == pytest.approx(values["rewards/chosen"] - values["rewards/rejected"])
    assert values["logps/chosen"] == pytest.approx(logps.chosen.mean().item())
    singles = [logged(take(logps, torch.tensor([i])), recipe) for i in range(8)]
    for name, value in values.items():
        assert sum(single[name] for single in singles) / 8 == pytest.approx(value)
    if loss_of(recipe).uses_reference:
        start = replace(logps, reference_chosen=logps.chosen, reference_rejected=logps.rejected)
        rewards = {name: value for name, value in logged(start, recipe).items() if "rewards" in name}
        assert list(rewards.values()) == pytest.approx([0.0] * 4, abs=1e-12)
