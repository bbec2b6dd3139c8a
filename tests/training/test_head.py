"""The fused head gives the log-probabilities and gradients of full logits, without ever holding them."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from ropo_bench.training.core import head as head_module
from ropo_bench.training.core.head import head_logps
from ropo_bench.training.core.logit_change import LogitChange

C, D, V = 37, 24, 211
PLAIN = LogitChange()
CHANGES = {
    "plain": PLAIN,
    "capped": LogitChange(cap=1.5),
    "scaled": LogitChange(0.3),
    "divided and capped": LogitChange(4.0, 2.0),
}
every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


def tiles(elements: int) -> Any:
    return patch.dict(head_module.TILE_ELEMENTS, {"cpu": elements})


class Problem:
    """A head, hidden states, targets (first and last token of the vocabulary among them) and a loss's gradient."""

    def __init__(
        self, num_tokens: int = C, width: int = D, entries: int = V, trained: bool = False, bias: bool = False,
        dtype: torch.dtype = torch.float32, seed: int = 0,
    ) -> None:  # fmt: skip
        torch.manual_seed(seed)
        self.head = nn.Linear(width, entries, bias=bias, dtype=dtype).requires_grad_(trained)
        self.hidden = (3 * torch.randn(num_tokens, width, dtype=dtype)).requires_grad_()
        self.target = torch.randint(entries, (num_tokens,))
        self.target[:2] = torch.tensor([0, entries - 1])[:num_tokens]
        self.grad = torch.randn(num_tokens, dtype=torch.promote_types(dtype, torch.float32))

    def solve(self, fused: bool, change: LogitChange = PLAIN) -> dict[str, Tensor]:
        """Log-probabilities and the gradients of all that trains."""
        leaves = {"hidden": self.hidden} | {k: p for k, p in self.head.named_parameters() if p.requires_grad}
        logps = head_logps(self.hidden, self.head, self.target, change, fused)
        return {"logps": logps.detach()} | dict(
            zip(leaves, torch.autograd.grad(logps, list(leaves.values()), self.grad), strict=True)
        )


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        size = max(value.abs().flatten().tolist(), default=0.0)
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance * size, msg=name)


@every_change
@pytest.mark.parametrize("elements", [64, 600, 10**6])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_fused_equals_naive(trained: bool, bias: bool, elements: int, change: LogitChange) -> None:
    problem = Problem(trained=trained, bias=bias)
    with tiles(elements):
        assert_same(problem.solve(True, change), problem.solve(False, change), 1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 9), st.integers(1, 5), st.integers(1, 40), st.integers(1, 90), st.booleans(), st.booleans(),
    st.sampled_from(list(CHANGES.values())), st.integers(0, 99),
)  # fmt: skip
def test_any_shape_and_tile(
    num_tokens: int,
    width: int,
    entries: int,
    elements: int,
    trained: bool,
    bias: bool,
    change: LogitChange,
    seed: int,
) -> None:
    problem = Problem(num_tokens, width, entries, trained, bias, torch.float64, seed)
    with tiles(elements):
        assert_same(problem.solve(True, change), problem.solve(False, change), 1e-10)


@every_change
@pytest.mark.parametrize("trained", [False, True])
def test_gradients_are_the_derivatives(trained: bool, change: LogitChange) -> None:
    problem = Problem(5, 4, 11, trained, bias=True, dtype=torch.float64)

    def logps(hidden: Tensor, *_: Tensor) -> Any:  # gradcheck goes back many times: each time from the start
        return checkpoint(head_logps, hidden, problem.head, problem.target, change, True, use_reentrant=False)

    with tiles(12):
        assert torch.autograd.gradcheck(logps, (problem.hidden, *problem.head.parameters()))


@pytest.mark.parametrize("leaf", ["weight", "bias"])
def test_one_parameter_may_train_alone(leaf: str) -> None:
    problem = Problem(bias=True)
    problem.hidden.requires_grad_(False)
    parameter = problem.head.get_parameter(leaf).requires_grad_()
    found, expected = (
        torch.autograd.grad(
            head_logps(problem.hidden, problem.head, problem.target, PLAIN, fused), parameter, problem.grad
        )
        for fused in (True, False)
    )
    torch.testing.assert_close(found, expected)


def in_float64(problem: Problem) -> Problem:
    exact = Problem(dtype=torch.float64)
    exact.target, exact.grad = problem.target, problem.grad.double()
    exact.head = nn.Linear(1, 1, bias=False).requires_grad_(problem.head.weight.requires_grad)
    exact.head.weight.data, exact.hidden.data = problem.head.weight.data.double(), problem.hidden.data.double()
    return exact


@pytest.mark.parametrize("sure", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_bfloat16_loses_no_more_than_naive(trained: bool, sure: bool) -> None:
    """The median row's error against fp64 on the same rounded inputs; sure: targets with p of about 0.99."""
    problem = Problem(256, 64, 1000, trained)
    with torch.no_grad():
        problem.head.weight.copy_(problem.head.weight.normal_().bfloat16())
        if sure:
            own = problem.head.weight[problem.target]
            problem.hidden.copy_(14 * own / own.square().sum(1, keepdim=True))
        problem.hidden.copy_(problem.hidden.bfloat16())
    expected = in_float64(problem).solve(False)
    with torch.autocast("cpu", torch.bfloat16), tiles(20_000):
        fused, naive = problem.solve(True), problem.solve(False)
    for name, value in expected.items():
        assert fused[name].dtype == naive[name].dtype == torch.float32
        rows = [x[name].reshape(len(value), -1).double() for x in (fused, naive, expected)]
        error, accepted = ((rows[i] - rows[2]).norm(dim=1) / rows[2].norm(dim=1) for i in (0, 1))
        assert error.median() <= 1.3 * accepted.median(), name


def test_bfloat16_weights_gather_their_gradient_in_float32() -> None:
    problem = Problem(512, 64, 300, trained=True, dtype=torch.bfloat16)
    with tiles(4096):  # eight tiles of tokens
        fused = problem.solve(True)
    expected = in_float64(problem).solve(False)
    assert fused["logps"].dtype == torch.float32
    assert fused["weight"].dtype == fused["hidden"].dtype == torch.bfloat16
    assert (fused["logps"] - expected["logps"]).abs().max() < 0.05
    assert (fused["weight"] - expected["weight"]).norm() / expected["weight"].norm() < 0.0036


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("trained", [False, True])
def test_no_completion_tokens_give_zero_gradients(trained: bool, fused: bool) -> None:
    found = Problem(0, trained=trained).solve(fused)
    assert found["logps"].shape == (0,)
    assert found["hidden"].shape == (0, D)
    assert not trained or not found["weight"].any()


class Watch(TorchDispatchMode):
    """The size of the largest tensor made, the name of every operation, and multiplications in matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.largest, self.multiplications, self.operations = 0, 0, set[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations.add(func.overloadpacket.__name__)
        matrices = {"mm": slice(2), "addmm": slice(1, 3), "addmm_": slice(1, 3), "_linear_pointwise": slice(2)}
        for a, b in [args[where] for name, where in matrices.items() if name == func.overloadpacket.__name__]:
            self.multiplications += a.shape[0] * b.numel()
        outputs = result if isinstance(result, tuple | list) else [result]
        self.largest = max([self.largest, *(x.numel() for x in outputs if isinstance(x, Tensor))])
        return result


def products(action: Any) -> float:
    """Matrix products of the size of the (C, V) logits that an action costs."""
    with Watch() as watch:
        action()
    return watch.multiplications / (C * D * V)


@pytest.mark.parametrize("trained", [False, True])
def test_without_gradients_only_logits_are_made(trained: bool) -> None:
    problem = Problem(trained=trained)
    arguments = (problem.hidden, problem.head, problem.target, PLAIN, True)
    with torch.no_grad():
        assert products(lambda: head_logps(*arguments)) == 1
    logps = head_logps(*arguments)
    assert products(lambda: head_logps(*arguments)) == (1 if trained else 2)
    assert products(lambda: logps.sum().backward()) == (3 if trained else 0)
    problem.hidden.requires_grad_(False)
    problem.head.requires_grad_(False)
    assert products(lambda: head_logps(*arguments)) == 1


@every_change
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_no_tensor_outgrows_a_tile_and_nothing_waits_for_the_device(
    autocast: bool, trained: bool, change: LogitChange
) -> None:
    problem = Problem(num_tokens=300, width=8, entries=500, trained=trained)
    with torch.autocast("cpu", torch.bfloat16, autocast), tiles(5000):
        with Watch() as naive:
            problem.solve(False, change)
        with Watch() as fused:
            problem.solve(True, change)
    assert naive.largest == 300 * 500
    assert fused.largest <= 5000
    assert not fused.operations & {"_local_scalar_dense", "nonzero", "item", "equal"}


def test_a_second_backward_is_refused_not_wrong() -> None:
    problem = Problem()
    logps = head_logps(problem.hidden, problem.head, problem.target, PLAIN, True).sum()
    logps.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="inplace"):
        logps.backward()


def test_a_tied_head_trains_the_embedding_from_both_ends(llama: Any) -> None:
    ids = torch.randint(10, 200, (1, 40))

    def gradient(fused: bool) -> Tensor:
        llama.zero_grad()
        hidden = llama.model(ids).last_hidden_state[0, :-1]
        head_logps(hidden, llama.get_output_embeddings(), ids[0, 1:], PLAIN, fused).sum().backward()
        return llama.get_input_embeddings().weight.grad.clone()

    assert llama.get_output_embeddings().weight is llama.get_input_embeddings().weight
    torch.testing.assert_close(gradient(True), gradient(False), rtol=1e-5, atol=1e-5)


def test_an_adapted_head_takes_part(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """LoRA on lm_head: its branch is in the log-probabilities and gets gradients, chunk by chunk."""
    from peft import LoraConfig, get_peft_model

    llama.lm_head.weight = nn.Parameter(llama.lm_head.weight.clone())
    llama.config.tie_word_embeddings = False
    model = get_peft_model(llama, LoraConfig(r=2, target_modules=["lm_head"], init_lora_weights=False))
    head = model.get_base_model().get_output_embeddings()
    lora = [p for p in head.parameters() if p.requires_grad]
    hidden, target = torch.randn(60, 48, requires_grad=True), torch.randint(262, (60,))
    monkeypatch.setattr(head_module, "CHUNK_TOKENS", 7)
    found, expected = (head_logps(hidden, head, target, PLAIN, fused) for fused in (True, False))
    torch.testing.assert_close(found, expected)
    pairs = zip(*(torch.autograd.grad(x.sum(), [hidden, *lora]) for x in (found, expected)), strict=True)
    assert len(lora) == 2
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    with torch.no_grad(), Watch() as watch:
        head_logps(hidden, head, target, PLAIN, True)
    assert watch.largest < 60 * 262


def test_a_head_with_hooks_is_called() -> None:
    problem = Problem()
    called: list[Any] = []
    problem.head.register_forward_pre_hook(lambda *arguments: called.append(arguments))
    problem.solve(True)
    assert called
