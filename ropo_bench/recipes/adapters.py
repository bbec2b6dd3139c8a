"""What recipes, plans and documents know of each adapter, without its code: options, formula, source, size.

The code is PEFT's, but for `ropo`; `adapters/` names its config classes.

Letters of the formulas: W is a frozen weight, out x in, its rows the neurons; W' the weight after training; r a rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

LETTERS = "W: the frozen weight, out x in; W': after training; r: rank; R: a rotation of the inputs"

Options = Mapping[str, Any]
Count = Callable[[int, int, Options], int | None]


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """What an adapter of the project changes in a linear layer.

    choices: of each option that has few; None where the options are fields of a PEFT config, which checks them when
    the adapter is attached. variants: what an option that is set makes of it, formula and source, by its name. count:
    (out, in, options) of a layer -> its trainable parameters, None where no formula is known; counted: the options
    that it knows the effect of. linear_only: whether GPT-2's Conv1D is out of its reach.
    """

    formula: str
    source: str
    idea: str
    count: Count | None = None
    counted: frozenset[str] = frozenset()
    choices: Mapping[str, tuple[Any, ...]] | None = None
    variants: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    linear_only: bool = True


def _lora(outputs: int, inputs: int, options: Options) -> int:
    r: int = options.get("r", 8)
    # There are no more singular parts than the smaller side has, and PEFT keeps to that in silence.
    r = min(r, inputs, outputs) if options.get("init_lora_weights") == "pissa" else r
    return r * (inputs + outputs) + (outputs if options.get("use_dora") else 0)


def _oft(outputs: int, inputs: int, options: Options) -> int | None:
    block: int = options.get("oft_block_size", 32)
    # PEFT takes another block size where this does not divide the width.
    return None if inputs % block else inputs // block * (block * (block - 1) // 2)


def _ropo(outputs: int, inputs: int, options: Options) -> int:
    trees = 2 if options.get("reverse", True) else 1
    return trees * (inputs - 1) + (outputs if options.get("magnitude", True) else 0)


def _boft(outputs: int, inputs: int, options: Options) -> int | None:
    # With more factors the number depends on whether PEFT could compile its CUDA kernel on this machine.
    block = options.get("boft_block_size", 4)
    plain = options.get("boft_n_butterfly_factor", 1) == 1 and inputs % block == 0
    return inputs * block + outputs if plain else None


def _road(outputs: int, inputs: int, options: Options) -> int:
    return {"road_1": 1, "road_2": 2, "road_4": 4}[options.get("variant", "road_1")] * outputs


def _psoft(outputs: int, inputs: int, options: Options) -> int:
    r: int = options.get("r", 32)
    return r * (r - 1) // 2 + 2 * r


ADAPTERS: dict[str, AdapterFacts] = {
    "full": AdapterFacts(
        "W' = W + dW, every parameter of the model",
        "full fine-tuning",
        "everything trains",
        choices={},
        linear_only=False,
    ),
    "lora": AdapterFacts(
        "W' = W + (lora_alpha / r) B A, B out x r, A r x in",
        "LoRA, arXiv 2106.09685",
        "an update of low rank",
        _lora,
        frozenset({"r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "init_lora_weights"}),
        variants={
            "use_dora": (
                "W' = m (W + (lora_alpha / r) B A) / |.|, |.| and m for each neuron",
                "DoRA, arXiv 2402.09353",
            ),
            "use_rslora": ("W' = W + (lora_alpha / sqrt(r)) B A", "rsLoRA, arXiv 2312.03732"),
            "init_lora_weights": (
                "W' = W - B_0 A_0 + B A, B A starting as B_0 A_0, the r largest singular parts of W",
                "PiSSA, arXiv 2404.02948",
            ),
        },
        linear_only=False,
    ),
    "vera": AdapterFacts(
        "W' = W + diag(b) B diag(d) A, B and A random, frozen and the same in all layers; b, d train",
        "VeRA, arXiv 2310.11454",
        "an update of low rank between fixed random matrices",
        lambda outputs, inputs, options: outputs + int(options.get("r", 256)),
        frozenset({"r", "projection_prng_key", "save_projection", "vera_dropout", "d_initial", "init_weights"}),
    ),
    "delora": AdapterFacts(
        "W' = W + (lambda / r) sum of b_i a_i / (|b_i| |a_i|), times the norm of each column of W; lambda trains too",
        "DeLoRA, arXiv 2503.18225",
        "an update of low rank whose size and direction are apart",
        lambda outputs, inputs, options: int(options.get("r", 8)) * (inputs + outputs) + 1,
        frozenset({"r", "delora_lambda", "module_dropout", "init_weights"}),
    ),
    "miss": AdapterFacts(
        "W' = W + (D D ... D), one block D of out x r, repeated over the inputs",
        "MiSS, arXiv 2409.15371",
        "one block of the update is shared by all shards of the inputs",
        lambda outputs, inputs, options: int(options.get("r", 64)) * outputs,
        frozenset({"r", "miss_dropout"}),
    ),
    "ia3": AdapterFacts(
        "W' = diag(l) W, for feedforward_modules W diag(l)",
        "IA3, arXiv 2205.05638",
        "outputs, or a feed-forward layer's inputs, are scaled one by one",
    ),
    "oft": AdapterFacts(
        "W' = W R, R block-diagonal, each block (I + Q)(I - Q)^-1 of a skew-symmetric Q",
        "OFT, arXiv 2306.07280",
        "blocks of inputs are rotated",
        _oft,
        frozenset(
            {
                *("oft_block_size", "use_cayley_neumann", "num_cayley_neumann_terms", "module_dropout"),
                *("init_weights", "coft", "eps"),
            }
        ),
        variants={
            "coft": (
                "W' = W R as in OFT, |Q| of each block at most eps / sqrt(number of blocks)",
                "COFT, arXiv 2306.07280",
            ),
            "use_cayley_neumann": (
                "W' = W R as in OFT, (I - Q)^-1 as I + Q + Q^2 + ..., which is only nearly orthogonal",
                "OFTv2, arXiv 2506.19847",
            ),
        },
    ),
    "boft": AdapterFacts(
        "W' = diag(s) W R, R a product of block rotations between butterfly permutations",
        "BOFT, arXiv 2311.06243",
        "blocks of inputs are rotated, factor by factor; outputs are scaled",
        _boft,
        frozenset({"boft_block_size", "boft_n_butterfly_factor", "boft_dropout", "init_weights"}),
    ),
    "hra": AdapterFacts(
        "W' = W H_1 ... H_r, each H = I - 2 u u^T / |u|^2",
        "HRA, arXiv 2405.17484",
        "inputs go through r reflections",
        lambda outputs, inputs, options: int(options.get("r", 8)) * inputs,
        frozenset({"r", "apply_GS", "init_weights"}),
    ),
    "road": AdapterFacts(
        "W' = S W, S block-diagonal of 2 x 2 blocks alpha (cos theta, -sin theta; sin theta, cos theta)",
        "RoAd, arXiv 2409.00119",
        "pairs of outputs are rotated and scaled",
        _road,
        frozenset({"variant", "group_size", "init_weights"}),
    ),
    "psoft": AdapterFacts(
        "W' = W + A (diag(a) R diag(b) - I) B, A B the r largest singular parts of W, R r x r",
        "PSOFT, arXiv 2505.11235",
        "a rotation inside the principal subspace of W",
        _psoft,
        frozenset({"r", "psoft_alpha", "psoft_dropout", "ab_svd_init", "psoft_svd", "init_weights"}),
    ),
    "ropo": AdapterFacts(
        "W' = diag(m) (W / |.|) R, |.| and m for each neuron, R = R_reverse R_forward, two trees of Givens rotations",
        "RoPO, arXiv 2409.14836",
        "all inputs are rotated together; every neuron has a magnitude",
        _ropo,
        frozenset({"reverse", "magnitude", "planes"}),
        choices={"reverse": (True, False), "magnitude": (True, False), "planes": ("shared", "mirror")},
    ),
}


def num_trainable(name: str, options: Options, sizes: Mapping[str, tuple[int, int]]) -> int | None:
    """Parameters that an adapter trains on linear layers, name -> (out, in); None where no formula is known."""
    facts = ADAPTERS.get(name)
    if name == "ia3":
        ends = options.get("feedforward_modules", ())
        return sum(size[_is_one_of(layer, ends)] for layer, size in sizes.items())
    if facts is None or facts.count is None or not options.keys() <= facts.counted:
        return None
    counts = [facts.count(outputs, inputs, options) for outputs, inputs in sizes.values()]
    return None if None in counts else sum(count for count in counts if count is not None)


def _is_one_of(layer: str, ends: Any) -> bool:
    return not isinstance(ends, str) and any(layer == end or layer.endswith(f".{end}") for end in ends)
