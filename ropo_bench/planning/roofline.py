"""Seconds of a stage on a device that has never made it: operations over its peak, bytes over its speed, start-up.

Estimates, not measurements: every share of a peak and every start-up is an assumption that stands here and in the
plan. Figures of finished stages take their place where there are some.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ropo_bench import planning
from ropo_bench.models.size import Anatomy, adapted_linears, head_dim, trainable_parameters
from ropo_bench.planning.choice import Choice
from ropo_bench.planning.devices import Device
from ropo_bench.planning.memory import DTYPE_BYTES
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.method import MethodRecipe, TrainRecipe
from ropo_bench.recipes.task import TaskRecipe

TRAINING_SHARE, FORWARD_SHARE, SCORING_SHARE = 0.40, 0.50, 0.30
"""Of the peak of matrix products: training, passes without gradients, passes over short texts."""
MEMORY_SHARE, LINK_SHARE = 0.60, 0.70
FLOAT32_SHARE = 1 / 16  # of the bf16 peak, where products are in fp32
DISK_BYTES_PER_SECOND = 2e9
HOST_FLOPS = 4e12  # single precision, all cores of a machine with devices
START_SECONDS = 20.0  # a process with torch and CUDA
VLLM_SECONDS = 90.0  # vLLM's start with its graphs, beside reading the weights
SCORING_SECONDS = 30.0
COMPLETION_TOKENS = 300
PROMPT_TOKENS = 130
"""Of a preference pair's texts where they are not here to be counted: about UltraFeedback's means."""
ANSWER_TOKENS = 400
BATCH = 256  # answers that vLLM decodes at a time
REQUESTS: Mapping[str, tuple[int, int]] = {"commonsense": (74_972, 90)}
"""Scorers that read their own items: sequences that they score, and tokens of each."""
LATENCY_SECONDS, JUDGE_TOKENS_PER_SECOND = 1.0, 50.0
FIRST_LOOK_STEPS = 100  # a training of so many stops once for a look at its merge (stages/first_look.py)

NOTE = (
    f"estimates, not measurements: {TRAINING_SHARE:.0%} of the device's bf16 peak in training, {FORWARD_SHARE:.0%} "
    f"in passes without gradients, {SCORING_SHARE:.0%} in scoring short texts; {MEMORY_SHARE:.0%} of its memory's "
    f"speed in decoding, {LINK_SHARE:.0%} of its link's; disk {DISK_BYTES_PER_SECOND / 1e9:g} GB/s; "
    f"{START_SECONDS:g} s to start a process, {VLLM_SECONDS:g} s vLLM; answers of {ANSWER_TOKENS} tokens, the "
    f"longest as long as allowed; a judge answers in {LATENCY_SECONDS:g} s and writes {JUDGE_TOKENS_PER_SECOND:g} "
    "tokens a second"
)


@dataclass(frozen=True, slots=True)
class Roofline:
    """A model on a device. pair_tokens: mean tokens of a pair, its prompt once."""

    model: Anatomy
    device: Device
    dtype: str
    num_pairs: int
    pair_tokens: float

    @property
    def _products(self) -> float:
        """Weights that every token is multiplied with: linear layers and head."""
        shape = self.model.shape
        head = 0 if shape is None else shape.vocab_size * shape.hidden_size
        return float(head + sum(map(math.prod, self.model.linears.values())))

    @property
    def _weight_bytes(self) -> float:
        return float(self.model.num_parameters * DTYPE_BYTES[self.dtype])

    def _flops(self, train: TrainRecipe) -> float:
        return self.device.flops * (FLOAT32_SHARE if train.dtype == "float32" else 1.0)

    def _loading(self) -> float:
        return START_SECONDS + self._weight_bytes / DISK_BYTES_PER_SECOND

    def reading(self) -> float:
        """Reading and checking the preference pairs."""
        return START_SECONDS + self.num_pairs / 2000

    def reference(self, train: TrainRecipe, num_devices: int) -> float:
        """One forward pass over all pairs."""
        work = self.num_pairs * self.pair_tokens * 2 * self._products
        return self._loading() + work / (num_devices * self._flops(train) * FORWARD_SHARE)

    def training(self, method: MethodRecipe, choice: Choice) -> float | None:
        """A training with its start, checkpoints, saved policy and first look at the merge."""
        trainable = trainable_parameters(self.model, method.adapter)
        if trainable is None:
            return None
        train, spread = method.train, choice.spread
        steps = planning.num_steps(self.num_pairs, train)
        pairs = steps * train.batch_size / spread.num_devices
        own = 6.0 * trainable if method.adapter.name != "full" else 2 * self._products
        token = (4 + 2 * choice.gradient_checkpointing) * self._products + own
        compute = pairs * self.pair_tokens * token / (self._flops(train) * TRAINING_SHARE)
        exchange = self._exchange(train, choice, trainable, pairs, steps)
        share = spread.num_devices if spread.sharded and method.adapter.name == "full" else 1
        adam = steps * 28 * trainable / share / (self.device.memory_bytes_per_second * MEMORY_SHARE)
        saved = 12 * trainable * (steps // train.checkpoint_every_steps) + 4 * trainable
        look = self.merging() if steps >= FIRST_LOOK_STEPS else 0.0
        return self._loading() + max(compute, exchange) + adam + saved / DISK_BYTES_PER_SECOND + look

    def _exchange(self, train: TrainRecipe, choice: Choice, trainable: int, pairs: float, steps: int) -> float:
        """Seconds of what devices send each other: gathered weights and summed gradients, beside the products."""
        speed = self.device.link_bytes_per_second * LINK_SHARE
        if choice.spread.num_devices == 1:
            return 0.0
        if not choice.spread.sharded:
            return steps * 8 * trainable / speed
        width = max(1.0, min(train.micro_batch_size, train.micro_batch_tokens // self.pair_tokens))
        gathered = 2 * 4 * self.model.num_parameters + (0 if choice.memory.adapted else 4 * trainable)
        return pairs / width * gathered / speed

    def merging(self) -> float:
        """Base and policy read, merged weights written, hashed and read again for the certificate."""
        return START_SECONDS + 4 * self._weight_bytes / DISK_BYTES_PER_SECOND

    def starting(self) -> float:
        """A generating engine until its first answer."""
        return VLLM_SECONDS + self._weight_bytes / DISK_BYTES_PER_SECOND

    def generation(self, task: TaskRecipe, num_answers: int, num_prompts: int, slots: int) -> float | None:
        """Decoding: weights are read once a step for a whole batch, the key-value cache for every token."""
        shape, decoding = self.model.shape, task.decoding
        if shape is None or decoding is None:
            return None
        mean = min(ANSWER_TOKENS, decoding.max_new_tokens)
        turns = max(1, round(num_answers / max(1, num_prompts * decoding.num_samples)))
        tokens = num_answers * mean
        steps = max(turns * decoding.max_new_tokens, tokens / BATCH)
        width = shape.num_key_value_heads * head_dim(shape) * shape.num_hidden_layers
        cache = 2 * width * DTYPE_BYTES[self.dtype] * (planning.PROMPT_SHARE * 1024 + mean)
        seconds = (steps * self._weight_bytes + tokens * cache) / (self.device.memory_bytes_per_second * MEMORY_SHARE)
        return seconds / slots

    def scoring(self, task: TaskRecipe, slots: int) -> float | None:
        """Sequences that a scorer gives the model; None where their number is not known beforehand."""
        if task.scorer not in REQUESTS:
            return None
        count, tokens = REQUESTS[task.scorer]
        return count * tokens * 2 * self._products / (slots * self.device.flops * SCORING_SHARE)

    def energy(self, method: MethodRecipe | None) -> float:
        """Every pair of neurons of a changed module once: cosines, and their change, which is twice as deep."""
        changed = {} if method is None else self.model.linears
        if method is not None and method.adapter.name != "full":
            changed = adapted_linears(self.model, method.adapter)
        work = sum(3 * outputs * outputs * inputs for outputs, inputs in changed.values())
        return SCORING_SECONDS + 2 * self._weight_bytes / DISK_BYTES_PER_SECOND + work / HOST_FLOPS


def judging(judge: JudgeRecipe, calls: planning.Calls | None) -> float:
    """Asking a judge: calls in flight at a time, and what the endpoint allows a minute."""
    if calls is None or not calls.calls:
        return SCORING_SECONDS
    latency = LATENCY_SECONDS + calls.output_tokens / calls.calls / JUDGE_TOKENS_PER_SECOND
    rate = min(judge.max_concurrency / latency, (judge.requests_per_minute or math.inf) / 60)
    return latency + calls.calls / rate + SCORING_SECONDS
