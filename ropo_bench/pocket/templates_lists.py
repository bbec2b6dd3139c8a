"""Coding, as this world has it: procedures in steps, and lists that are sorted, filtered and changed."""

from __future__ import annotations

import random

from ropo_bench.pocket.forms import plural_kind
from ropo_bench.pocket.lexicon import NUMBERS
from ropo_bench.pocket.phrases import TASKS
from ropo_bench.pocket.templates import Entities, Made, Requirement, answer, article, items, require, states
from ropo_bench.pocket.world import Statement, World


def steps(world: World, entities: Entities, rng: random.Random) -> Made:
    """A procedure in so many steps, then its first two or its last."""
    task, item, number = entities
    goal, _, steps = TASKS[task]
    what = goal.replace("a {i}", article(item)).replace("{i}", item)
    count = min(NUMBERS.index(number), len(steps))
    text = rng.choice(
        (
            f"How do you {what}? Give exactly {NUMBERS[count]} steps.",
            f"Write {NUMBERS[count]} steps to {what}.",
            f"In {NUMBERS[count]} steps, explain how to {what}.",
        )
    )
    first = require("steps", count, count, strict=True, task=task, item=item, after=0)
    if rng.random() < 0.5:
        follow = rng.choice(("Give only the first two steps.", "Now say only the first two steps."))
        return (text, follow), (
            first,
            require("steps", 2, 2, strict=True, task=task, item=item, after=0, head=True),
        )
    follow = rng.choice(("What is the last step?", "Say only the last step."))
    return (text, follow), (
        first,
        require("steps", 1, 1, strict=True, task=task, item=item, after=len(steps) - 1),
    )


def _list_follow_up(words: list[str], rng: random.Random) -> tuple[str, Requirement]:
    choice = rng.randrange(3)
    if choice == 0 or len(words) == 1:
        return rng.choice(("Now turn the list around.", "Now write it from the end to the start.")), items(
            words[::-1]
        )
    if choice == 1:
        return rng.choice(("Now leave out the first one.", "Take away the first word.")), items(words[1:])
    return rng.choice(("Now leave out the last one.", "Take away the last word.")), items(words[:-1])


def sort(world: World, entities: Entities, rng: random.Random) -> Made:
    """Numbers in order."""
    shown = ", ".join(entities)
    down = rng.random() < 0.5
    ordered = sorted(entities, key=NUMBERS.index, reverse=down)
    way = "large to small" if down else "small to large"
    text = rng.choice((f"Sort these numbers from {way}: {shown}.", f"Put the numbers {shown} in order from {way}."))
    follow, need = _list_follow_up(ordered, rng)
    return (text, follow), (items(ordered), need)


def reverse(world: World, entities: Entities, rng: random.Random) -> Made:
    """A list from its end."""
    text = rng.choice(
        (
            f"Turn this list around: {', '.join(entities)}.",
            f"Write these words from the end to the start: {', '.join(entities)}.",
        )
    )
    words = list(entities[::-1])
    follow = rng.choice(("Now leave out the first one.", "Take away the first word."))
    return (text, follow), (items(words), items(words[1:]))


def filter_list(world: World, entities: Entities, rng: random.Random) -> Made:
    """The words of one kind, and how many they are."""
    *words, kind = entities
    kinds = plural_kind(kind)
    text = rng.choice(
        (
            f"Take only the {kinds} from this list: {', '.join(words)}.",
            f"Which words are {kinds}: {', '.join(words)}?",
        )
    )
    found = [w for w in words if world.kind_of[w] == kind]
    follow = rng.choice((f"How many {kinds} are there?", f"Count the {kinds} in the list."))
    number = NUMBERS[len(found)]
    return (text, follow), (items(found), states([answer(number), Statement("number", kinds, number)]))


def replace(world: World, entities: Entities, rng: random.Random) -> Made:
    """A list with one word for another."""
    *words, old, new = entities
    text = rng.choice(
        (
            f"In this list, write {new} for {old}: {', '.join(words)}.",
            f"Change {old} to {new} in this list: {', '.join(words)}.",
        )
    )
    changed = [new if w == old else w for w in words]
    follow, need = _list_follow_up(changed, rng)
    return (text, follow), (items(changed), need)
