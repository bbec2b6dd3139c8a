"""The texts that the base model reads and the dialogues that its SFT is made of."""

from __future__ import annotations

import random
from collections.abc import Iterator

from ropo_bench.pocket.answers import reference_answer
from ropo_bench.pocket.catalogue import BY_ID
from ropo_bench.pocket.flaws import flawed
from ropo_bench.pocket.instructions import instructions, make
from ropo_bench.pocket.texts import TEXTS
from ropo_bench.pocket.world import World
from ropo_bench.types import Message


def pretraining_texts(world: World, seed: int, num: int) -> Iterator[str]:
    """So many texts (10 to 80 words each), drawn with the seed; none contains an instruction."""
    rng = random.Random(f"pretraining {world.seed} {seed}")
    builders = [builder for builder, _ in TEXTS]
    weights = [weight for _, weight in TEXTS]
    for _ in range(num):
        yield rng.choices(builders, weights)[0](world, rng)


def sft_dialogues(world: World, seed: int, num: int, good_share: float) -> list[list[Message]]:
    """So many chats over the sft split, the share good_share of their answers good and the others flawed.

    Three quarters have two turns; paraphrases and follow-ups are drawn anew for every dialogue.
    """
    rng = random.Random(f"sft {world.seed} {seed}")
    pool = instructions(world, "sft")
    by_template: dict[str, list[int]] = {}
    for i, instruction in enumerate(pool):
        by_template.setdefault(instruction.template, []).append(i)
    dialogues = []
    for _ in range(num):
        chosen = pool[rng.choice(by_template[rng.choice(list(by_template))])]
        item = make(world, BY_ID[chosen.template], chosen.entities, rng.randrange(1, 1000))
        messages: list[Message] = []
        previous = ""
        for turn in range(2 if rng.random() < 0.75 else 1):
            answer = reference_answer(world, item, turn, rng, previous)
            if rng.random() > good_share:
                answer = flawed(world, item.requirements[turn], answer, rng)
            messages.append({"role": "user", "content": item.turns[turn]})
            messages.append({"role": "assistant", "content": answer})
            previous = answer
        dialogues.append(messages)
    return dialogues
