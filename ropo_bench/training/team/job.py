"""What a team of processes is asked to do."""

from __future__ import annotations

from pathlib import Path

from ropo_bench.recipes.method import MethodRecipe, Recipe, TrainRecipe


class Job(Recipe):
    """One stage's work: the reference pass (method is None) or the training of a method with a seed.

    base: folder of the base model; base_name: what the suite calls it. pairs: JSONL of the pairs; reference: JSONL
    of their log-probabilities, where the loss reads them. folder: the stage's, which exists. until: train to this
    step only, and save the policy as it is then to folder/EARLY.
    """

    base: Path
    base_name: str
    pairs: Path
    folder: Path
    train: TrainRecipe
    method: MethodRecipe | None = None
    seed: int = 0
    reference: Path | None = None
    until: int | None = None


# What a job leaves in its folder: the reference log-probabilities, or the record of a trained policy.
LOGPS = "logps.jsonl"
TRAINED = "trained.json"
# And the policy in the middle of its training, for a first look.
EARLY = "early"
