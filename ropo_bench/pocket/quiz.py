"""Multiple-choice questions about the world's facts: what a model knows, and what it has forgotten."""

from __future__ import annotations

import random
from typing import Any

from ropo_bench.pocket.world import World, build_world

NUM_ITEMS = 300
# Questions in plain text; the quiz below and the instructions ask in other words.
PLAIN_QUESTIONS: dict[str, tuple[str, ...]] = {
    "group": ("What is the group of {x}?", "To which group does {x} belong?"),
    "eats": ("What is the food of {x}?", "What food does {x} need?"),
    "home": ("What is the home of {x}?", "In which place is {x} at home?"),
    "colour": ("What is the colour of {x}?", "Which colour has {x}?"),
    "size": ("What is the size of {x}?", "Which size has {x}?"),
    "can": ("What is the skill of {x}?", "Which skill has {x}?"),
    "course": ("What sort of food is {x}?", "To which course does {x} belong?"),
    "taste": ("What is the taste of {x}?", "Which taste has {x}?"),
    "source": ("What is the source of {x}?", "From what do we get {x}?"),
    "use": ("What is the use of {x}?", "For what do people use {x}?"),
    "kept": ("What is the room of {x}?", "In which room is {x}?"),
    "material": ("What is the material of {x}?", "Of which material is {x}?"),
    "feel": ("What is the feel of {x}?", "How do people find {x}?"),
    "has": ("What is found in {x}?", "Which things are in {x}?"),
    "activity": ("What is there to do in {x}?", "Why do people go to {x}?"),
    "form": ("What is the form of {x}?", "Which form has {x}?"),
    "grows": ("What is the place of {x}?", "In which place do we find {x}?"),
    "season": ("What is the season of {x}?", "In which season is {x} best?"),
    "workplace": ("What is the place of {x}?", "In which place does {x} work?"),
    "needs": ("What is the tool of {x}?", "Which tool does {x} need?"),
    "duty": ("What is the duty of {x}?", "Which duty has {x}?"),
    "works": ("What is the work of {x}?", "As what does {x} work?"),
    "likes": ("What is the favourite food of {x}?", "Which food does {x} love?"),
    "pet": ("What is the pet of {x}?", "Which animal lives with {x}?"),
    "trait": ("What is the trait of {x}?", "Which trait has {x}?"),
}


# Worded unlike the plain questions of the corpus and the instructions.
QUIZ_QUESTIONS: dict[str, str] = {
    "group": "The group of {x} is what?",
    "eats": "The food of {x} is what?",
    "home": "The home of {x} is what?",
    "colour": "The colour of {x} is what?",
    "size": "The size of {x} is what?",
    "can": "The skill of {x} is what?",
    "course": "The course of {x} is what?",
    "taste": "The taste of {x} is what?",
    "source": "The source of {x} is what?",
    "use": "The use of {x} is what?",
    "kept": "The room of {x} is what?",
    "material": "The material of {x} is what?",
    "feel": "The feel of {x} is what?",
    "has": "Found in {x} is what?",
    "activity": "People go to {x} for what?",
    "form": "The form of {x} is what?",
    "grows": "The place of {x} is what?",
    "season": "The season of {x} is what?",
    "workplace": "The place of {x} is what?",
    "needs": "The tool of {x} is what?",
    "duty": "The duty of {x} is what?",
    "works": "The work of {x} is what?",
    "likes": "The favourite food of {x} is what?",
    "pet": "The pet of {x} is what?",
    "trait": "The trait of {x} is what?",
}


def quiz_items(world: World) -> list[dict[str, Any]]:
    """About 300 items: question, four choices, answer (index of the right one), kind (of the entity)."""
    rng = random.Random(f"quiz {world.seed}")
    facts = [(e, r) for e, r in world.facts]
    rng.shuffle(facts)
    items = []
    for entity, relation in facts[:NUM_ITEMS]:
        kind = world.kind_of[entity]
        right = world.value(entity, relation)
        others = dict.fromkeys(world.value(e, relation) for e in world.kinds[kind])
        wrong = rng.sample([value for value in others if value != right], 3)
        choices = [right, *wrong]
        rng.shuffle(choices)
        name = entity.capitalize() if kind == "person" else f"the {entity}"
        items.append(
            {
                "question": f"Question: {QUIZ_QUESTIONS[relation].format(x=name)} Answer:",
                "choices": choices,
                "answer": choices.index(right),
                "kind": kind,
                "entity": entity,
                "relation": relation,
            }
        )
    return items


def questions() -> list[dict[str, Any]]:
    """The quiz of the shipped world, as the commonsense scorer asks for it."""
    return quiz_items(build_world())
