"""What a run will need, as pure estimates: steps, memory, disk, judge calls, money.

Every figure that is not exact says in NOTES what it assumes. Sizes in bytes, money in US dollars. Nothing here loads
a model or imports torch.
"""

from __future__ import annotations

from ropo_bench.planning.disk import checkpoint_bytes, free_bytes, kept_bytes, num_steps
from ropo_bench.planning.judge_costs import CHARACTERS_PER_TOKEN, Calls, canary_calls, judge_calls
from ropo_bench.planning.machine import Machine, given_machine, this_machine
from ropo_bench.planning.memory import (
    PROMPT_SHARE,
    Fit,
    Memory,
    activation_bytes,
    fits,
    forward_tokens,
    generation_memory,
    merging_memory,
    reads_reference,
    training_memory,
)
from ropo_bench.planning.ways import Spread, Way, best_spread, fit_on, gib, launched_spread, refusal, ways_on

__all__ = [
    "NOTES",
    "PROMPT_SHARE",
    "Calls",
    "Fit",
    "Machine",
    "Memory",
    "Spread",
    "Way",
    "activation_bytes",
    "best_spread",
    "canary_calls",
    "checkpoint_bytes",
    "fit_on",
    "fits",
    "forward_tokens",
    "free_bytes",
    "generation_memory",
    "gib",
    "given_machine",
    "judge_calls",
    "kept_bytes",
    "launched_spread",
    "merging_memory",
    "num_steps",
    "reads_reference",
    "refusal",
    "this_machine",
    "training_memory",
    "ways_on",
]

NOTES = {
    "memory": (
        "memory: fp32 weights, gradients and two Adam moments of what trains; activations of the largest forward "
        f"pass, whose sequences have max_length, {PROMPT_SHARE:.0%} of it prompt, from the sizes of a Llama block: "
        "within about a third; tight: fits if they are over-estimated by that; loading: the base in fp32, the "
        "reference pass and the merge, whole on each device; on a CPU the C library may hold up to twice as much"
    ),
    "judge tokens": (
        f"judge tokens: {CHARACTERS_PER_TOKEN} characters a token; lengths are means of published GPT-4 judgments, "
        "longer answers cost more; calls are without retries, and without those whose answers are on the disk"
    ),
    "time": "time: means of finished stages in this runs folder, same method and size of model, or same task",
}
