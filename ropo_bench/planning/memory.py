"""Peak memory of training, merging and generation on a device, before anything is loaded; sizes in bytes.

Letters: D hidden width, K key-value width, I inner width, V vocabulary, e bytes an activation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ropo_bench.models.size import Anatomy, adapted_linears, head_dim, trainable_parameters
from ropo_bench.recipes.losses import LOSSES
from ropo_bench.recipes.method import AdapterRecipe, MethodRecipe, TrainRecipe
from ropo_bench.recipes.task import TaskRecipe

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
TILE_BYTES = 12 << 21  # logits of the fused head that exist at once, with their softmax (training/core/head.py)
PROMPT_SHARE = 0.3  # of a sequence; UltraFeedback's prompts are 0.42 of its completions
PROMPT_TOKENS = 1024  # assumed of a chat before its last answer, where a batch's memory is estimated
ACTIVATIONS_ERROR = 1 / 3  # how far the estimate of activations may be off; the rest is counted
DROPOUTS = ("lora_dropout", "module_dropout")

State = Literal["fits", "tight", "no"]


def reads_reference(method: MethodRecipe) -> bool:
    """Whether a method's loss reads reference log-probabilities; a loss of a user's own is loaded to know it."""
    if method.loss.name in LOSSES:
        return LOSSES[method.loss.name].uses_reference
    from ropo_bench.losses import resolve_loss

    return resolve_loss(method.loss.name).uses_reference


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak memory of training on a device, by what it holds; activations None where the sizes are unknown.

    copies: of the weights, in autocast's type. gathered: what a device holds whole for a moment where the training
    is sharded, which `on` adds to its share. floor: what loading, the reference pass and the merge take of each
    device, however the training is spread. adapted: the base is frozen. host: what offload puts into the machine's
    memory, of all devices.
    """

    weights: int
    copies: int
    gradients: int
    optimizer: int
    activations: int | None
    gathered: int
    floor: int
    adapted: bool
    host: int = 0

    @property
    def total(self) -> int | None:
        """The peak on the device; None where a part is unknown."""
        return None if self.activations is None else max(self.floor, self._num_bytes() + self.activations)

    @property
    def least(self) -> int | None:
        """The total if the activations are over-estimated by all that they may be."""
        if self.activations is None:
            return None
        return max(self.floor, self._num_bytes() + round(self.activations * (1 - ACTIVATIONS_ERROR)))

    def _num_bytes(self) -> int:
        return self.weights + self.copies + self.gradients + self.optimizer

    def on(self, num_devices: int, sharded: bool, offload: bool = False) -> Memory:
        """A device's memory where several train, each on micro-batches of its own (training/team/sharding.py).

        Not sharded: everything on every device. Sharded (FSDP): a share of what is not an adapter, and what is
        gathered. offload: the share lies in the machine's memory.
        """
        if not sharded:
            return self
        own = self.gradients if self.adapted else 0  # an adapter's weights, as many bytes as its gradients
        moments = self.optimizer if self.adapted else _share(self.optimizer, num_devices, offload)
        host = self.weights - own + (0 if self.adapted else self.gradients + self.optimizer)
        return replace(
            self,
            weights=_share(self.weights - own, num_devices, offload) + own + self.gathered,
            gradients=self.gradients if self.adapted else _share(self.gradients, num_devices, offload),
            optimizer=moments,
            gathered=0,
            host=host if offload else 0,
        )


def _share(size: int, num_devices: int, offload: bool) -> int:
    return 0 if offload else math.ceil(size / num_devices)


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a training fits a device: tight where the estimate says no, and its error leaves room for a yes."""

    state: State
    needed_bytes: int
    available_bytes: int


def fits(
    memory: Memory, available_bytes: int, num_devices: int = 1, sharded: bool = False, offload: bool = False
) -> Fit | None:
    """Hold the memory of a training to what a device has; None where the memory is unknown.

    memory: on one device, as `training_memory` gives it. available_bytes: of each device.
    """
    needed = memory.on(num_devices, sharded, offload)
    if needed.total is None or needed.least is None:
        return None
    if needed.total <= available_bytes:
        return Fit("fits", needed.total, available_bytes)
    if needed.least <= available_bytes:  # the estimate may be too high by all that the activations may be
        return Fit("tight", needed.total, available_bytes)
    return Fit("no", needed.total, available_bytes)


def training_memory(model: Anatomy, method: MethodRecipe) -> Memory | None:
    """Peak memory of training on one device; None where the adapter's parameters cannot be counted.

    Reference log-probabilities are data, so there is one model only, loaded in fp32; AdamW keeps two moments of what
    trains. With bfloat16 frozen linear layers are held in it (training/core/precision.py), but those that an adapter
    other than LoRA may read; of the other linear layers autocast keeps copies for the step, unless gradient
    checkpointing makes them anew for each frozen layer.
    """
    adapter, train = method.adapter, method.train
    trainable = trainable_parameters(model, adapter)
    if trainable is None:
        return None
    adapted = adapter.name != "full"
    weights, copies = 4 * (model.num_parameters + (trainable if adapted else 0)), 0
    if train.dtype == "bfloat16":
        linears = _size(model.linears)
        is_lora = adapter.name == "lora" and not adapter.options.get("use_dora")
        cast = linears if not adapted else 0 if is_lora else _size(adapted_linears(model, adapter))
        weights -= 2 * (linears - cast) if adapted else 0
        copies = 0 if adapted and train.gradient_checkpointing else 2 * cast
    return Memory(
        weights=weights,
        copies=copies,
        gradients=4 * trainable,
        optimizer=8 * trainable,
        activations=activation_bytes(model, adapter, train),
        gathered=_gathered_bytes(model, adapted),
        floor=_floor_bytes(model, method),
        adapted=adapted,
    )


def _size(linears: Mapping[str, tuple[int, int]]) -> int:
    return sum(math.prod(size) for size in linears.values())


def _floor_bytes(model: Anatomy, method: MethodRecipe) -> int:
    """What every device needs for a while, however the training is spread: the base is loaded whole in fp32.

    The reference pass goes through it whole, with autocast's copy of it; merge and certificate hold it whole.
    """
    passes = reads_reference(method) and method.train.dtype == "bfloat16"
    reference = 4 * model.num_parameters + (2 * _size(model.linears) if passes else 0)
    return max(reference, merging_memory(model))


def _gathered_bytes(model: Anatomy, adapted: bool) -> int:
    """What FSDP holds whole, in fp32: embeddings, head, two layers; where they train, gradients of all but one."""
    layers = 1 if model.shape is None else model.shape.num_hidden_layers
    linears = _size(model.linears)
    root, layer = model.num_parameters - linears, linears // layers
    return 4 * (root + 2 * layer) + (0 if adapted else 4 * (root + layer))


def forward_tokens(train: TrainRecipe) -> int:
    """Tokens of the largest forward pass: micro_batch_size pairs of max_length, held to micro_batch_tokens.

    One pair goes in any case. A shared prompt is computed once; padding computes it twice.
    """
    shared = train.core.packing and train.core.prefix_sharing
    pair = 2 * train.max_length - (round(PROMPT_SHARE * train.max_length) if shared else 0)
    return max(pair, min(train.micro_batch_tokens, train.micro_batch_size * pair))


def activation_bytes(model: Anatomy, adapter: AdapterRecipe, train: TrainRecipe) -> int | None:
    """What the backward pass of the largest micro-batch needs (after arXiv 2205.05198); None without a shape.

    A token and layer of a Llama block keep, where everything trains: norms and inputs of linear layers 24 D in
    fp32; attention (5 D + 3 K) e; feed-forward 4 I e; under autocast a cast input for q, k, v, gate, up: 10 D.
    Frozen weights keep none of their inputs: norms 8 D, attention 4 D e, feed-forward 3 I e; each adapted layer
    then its input in fp32, with dropout its mask too. Checkpointing keeps 4 D a layer and all of one layer. The
    head has its inputs, their gradients and their sums, 16 D; a tile of logits, or all with softmax and gradient.
    """
    shape = model.shape
    if shape is None:
        return None
    e = DTYPE_BYTES[train.dtype]
    hidden, keys = shape.hidden_size, shape.num_key_value_heads * head_dim(shape)
    if adapter.name == "full":
        layer = 24 * hidden + (5 * hidden + 3 * keys + 4 * shape.intermediate_size) * e
        layer += 10 * hidden if train.dtype != "float32" else 0
    else:
        inputs = sum(size for _, size in adapted_linears(model, adapter).values()) // shape.num_hidden_layers
        dropout = any(adapter.options.get(name) for name in DROPOUTS)
        layer = 8 * hidden + (4 * hidden + 3 * shape.intermediate_size) * e + inputs * (4 + (e if dropout else 0))
    layers, tokens = shape.num_hidden_layers, forward_tokens(train)
    numbers = layers * 4 * hidden + layer if train.gradient_checkpointing else layers * layer
    logits = tokens * shape.vocab_size * (2 * e + 8)
    return tokens * (numbers + 16 * hidden) + (min(logits, TILE_BYTES) if train.core.fused_head else logits)


def merging_memory(model: Anatomy) -> int:
    """Peak memory of merge and certificate, in fp32: the policy, then the merged model, and a layer beside it."""
    return 4 * model.num_parameters + 8 * max(map(math.prod, model.linears.values()), default=0)


def generation_memory(model: Anatomy, dtype: str, task: TaskRecipe) -> int | None:
    """Weights and the key-value cache of one whole batch of the task; None where the sizes are unknown."""
    assert task.decoding is not None
    if model.shape is None:
        return None
    width = model.shape.num_key_value_heads * head_dim(model.shape)
    token = 2 * model.shape.num_hidden_layers * width * DTYPE_BYTES[dtype]
    length = PROMPT_TOKENS + task.decoding.max_new_tokens
    return model.num_parameters * DTYPE_BYTES[dtype] + task.decoding.batch_size * length * token
