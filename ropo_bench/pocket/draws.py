"""How each instruction template draws the entities it is about; None: not fitting, draw again."""

from __future__ import annotations

import random
from collections.abc import Callable

from ropo_bench.pocket import lexicon
from ropo_bench.pocket.lexicon import NUMBERS
from ropo_bench.pocket.phrases import SITUATIONS, TASKS
from ropo_bench.pocket.templates import Entities, hero, two_heroes
from ropo_bench.pocket.templates_facts import CLAUSES
from ropo_bench.pocket.world import World

Draw = Callable[[World, random.Random], Entities | None]
NATURE = ("animal", "animal", "food", "plant", "tool")


def bigger(world: World, rng: random.Random) -> Entities | None:
    """Two animals of different size, and the question's word."""
    a, b = rng.sample(world.kinds["animal"], 2)
    return None if world.value(a, "size") == world.value(b, "size") else (a, b, rng.choice(("bigger", "smaller")))


def odd(world: World, rng: random.Random) -> Entities:
    """Three of one kind and one of another, shuffled."""
    main, other = rng.sample(("animal", "food", "tool", "place", "plant", "job"), 2)
    words = [*rng.sample(world.kinds[main], 3), rng.choice(world.kinds[other])]
    rng.shuffle(words)
    return tuple(words)


def order(world: World, rng: random.Random) -> Entities:
    """Three people, and in what they differ."""
    return (*rng.sample(world.kinds["person"], 3), rng.choice(list(lexicon.ORDERS)))


def yes_no(world: World, rng: random.Random) -> Entities:
    """An animal, a relation and a value that is true of it half of the time."""
    entity = rng.choice(world.kinds["animal"])
    relation = rng.choice(world.relations(entity))
    true = world.value(entity, relation)
    kind_values = sorted({world.value(e, relation) for e in world.kinds["animal"]} - {true})
    return entity, relation, true if rng.random() < 0.5 else rng.choice(kind_values)


def alike(world: World, a: str, b: str) -> list[str]:
    """The relations in which two entities of one kind agree."""
    return [r for r in world.relations(a) if world.value(a, r) == world.value(b, r)]


def same(world: World, rng: random.Random) -> Entities | None:
    """Two of a kind with something sayable in common, but not everything."""
    kind = rng.choice(("animal", "animal", "food", "tool", "person"))
    a, b = rng.sample(world.kinds[kind], 2)
    sayable = [r for r in alike(world, a, b) if r not in ("group", "course")]
    return (a, b) if sayable and len(alike(world, a, b)) < len(world.relations(a)) else None


def contrast(world: World, rng: random.Random) -> Entities | None:
    """Two of a kind that differ."""
    kind = rng.choice(("animal", "animal", "food", "tool", "plant"))
    a, b = rng.sample(world.kinds[kind], 2)
    return (a, b) if len(alike(world, a, b)) < len(world.relations(a)) else None


def sums(world: World, rng: random.Random) -> Entities | None:
    """A small sum with a result from zero to twenty."""
    operation = rng.choice(("plus", "plus", "minus", "minus", "times"))
    a, b = rng.randint(1, 20), rng.randint(1, 20)
    result = {"plus": a + b, "minus": a - b, "times": a * b}[operation]
    return (NUMBERS[a], operation, NUMBERS[b]) if 0 <= result <= 20 else None


def count_story(world: World, rng: random.Random) -> Entities | None:
    """Who has how many of what, and what happens to them."""
    way = rng.choice(("gets", "gives", "boxes"))
    a, b = rng.randint(2, 12), rng.randint(2, 12)
    result = {"gets": a + b, "gives": a - b, "boxes": a * b}[way]
    if not 2 <= result <= 20:
        return None
    return rng.choice(world.kinds["person"]), NUMBERS[a], NUMBERS[b], rng.choice(lexicon.PLURALS), way


def more(world: World, rng: random.Random) -> Entities:
    """Two numbers."""
    a, b = rng.sample(NUMBERS, 2)
    return a, b


def steps(world: World, rng: random.Random) -> Entities:
    """A task, the thing it is done with, and a number of steps."""
    task = rng.choice(list(TASKS))
    number = rng.choice(("three", "four", "five")[: 2 if len(TASKS[task][2]) < 5 else 3])
    return task, rng.choice(task_items(world, task)), number


def task_items(world: World, task: str) -> list[str]:
    """The things that a task can be done with."""
    kind = TASKS[task][1]
    if kind == "thing":
        return lexicon.THINGS
    if task == "soup":
        return world.having("food", "course", "vegetable")
    if task in ("juice", "cake"):
        return world.having("food", "course", "fruit")
    return lexicon.PETS if task == "bath" else list(world.kinds[kind])


def sort(world: World, rng: random.Random) -> Entities:
    """Three or four numbers."""
    return tuple(rng.sample(NUMBERS, rng.choice((3, 3, 4))))


def _words(world: World, rng: random.Random, count: int) -> list[str]:
    kinds = ("animal", "food", "tool", "place", "plant")
    return list(dict.fromkeys(rng.choice(world.kinds[rng.choice(kinds)]) for _ in range(count)))


def reverse(world: World, rng: random.Random) -> Entities | None:
    """Three words."""
    words = _words(world, rng, 3)
    return tuple(words) if len(words) == 3 else None


def filter_list(world: World, rng: random.Random) -> Entities:
    """Four words, two of the kind that is asked for."""
    kind, *others = rng.sample(("animal", "food", "tool", "place", "plant"), 3)
    words = [*rng.sample(world.kinds[kind], 2), *(rng.choice(world.kinds[k]) for k in others)]
    rng.shuffle(words)
    return (*words, kind)


def replace(world: World, rng: random.Random) -> Entities | None:
    """Three words, the one that goes and the one that comes."""
    words = _words(world, rng, 4)
    return (*words[:3], rng.choice(words[:3]), words[3]) if len(words) == 4 else None


def owns(world: World, rng: random.Random) -> Entities:
    """Two people with one coloured thing each."""
    (n1, n2), (t1, t2) = rng.sample(world.kinds["person"], 2), rng.sample(lexicon.THINGS, 2)
    c1, c2 = rng.sample(world.values["colour"], 2)
    return n1, c1, t1, n2, c2, t2


def went(world: World, rng: random.Random) -> Entities:
    """Two people, where they went and when."""
    (n1, n2), (p1, p2) = rng.sample(world.kinds["person"], 2), rng.sample(world.kinds["place"], 2)
    d1, d2 = rng.sample(lexicon.DAYS, 2)
    return n1, p1, d1, n2, p2, d2


def bought(world: World, rng: random.Random) -> Entities:
    """Who bought how much of what and where, beside another buyer."""
    (n1, n2), (t1, t2) = rng.sample(world.kinds["person"], 2), rng.sample(lexicon.PLURALS, 2)
    return (
        n1,
        rng.choice(NUMBERS[2:11]),
        t1,
        rng.choice(world.kinds["place"]),
        rng.choice(NUMBERS[2:11]),
        t2,
        n2,
    )


def saw(world: World, rng: random.Random) -> Entities:
    """Who saw two things, and who another."""
    n1, n2 = rng.sample(world.kinds["person"], 2)
    a, b, c = rng.sample([*world.kinds["animal"], *world.kinds["tool"], *world.kinds["plant"]], 3)
    return n1, a, b, n2, c


def nature(world: World, rng: random.Random) -> Entities:
    """Something of nature or a place, and the two things asked about it."""
    return pair_of_relations(world, rng, rng.choice(world.kinds[rng.choice((*NATURE, "place"))]))


def nature_facts(world: World, rng: random.Random) -> Entities:
    """Something, and a number of facts."""
    return rng.choice(world.kinds[rng.choice((*NATURE, "place"))]), rng.choice(("two", "three"))


def which(world: World, rng: random.Random) -> Entities | None:
    """A kind, a value that enough of it share, and how many to name."""
    kind = rng.choice(("animal", "animal", "food", "tool", "plant"))
    relation = rng.choice([r for r in lexicon.COLUMNS[kind] if r in CLAUSES])
    value = world.value(rng.choice(world.kinds[kind]), relation)
    number = rng.choice(("one", "two", "three"))
    enough = len(world.having(kind, relation, value)) > NUMBERS.index(number)
    return (kind, relation, value, number) if enough else None


def persona(world: World, rng: random.Random) -> str:
    """Somebody, or something, that can speak of itself."""
    return rng.choice(world.kinds[rng.choice(("animal", "person", "person", "tool"))])


def _other(world: World, rng: random.Random, me: str) -> str:
    while (other := hero(world, rng)) == me:
        pass
    return other


def pair_of_relations(world: World, rng: random.Random, entity: str) -> Entities:
    """An entity and two of its relations, in a random order."""
    one, two = rng.sample(world.relations(entity), 2)
    return entity, one, two


def _people(world: World, rng: random.Random, count: int) -> list[str]:
    return rng.sample(world.kinds["person"], count)


def two_and_place(world: World, rng: random.Random) -> Entities:
    """Two heroes and where they are."""
    return (*two_heroes(world, rng), rng.choice(world.kinds["place"]))


def hero_place_word(world: World, rng: random.Random) -> Entities:
    """A hero, a place and a word to use."""
    return hero(world, rng), rng.choice(world.kinds["place"]), rng.choice(lexicon.MOODS + lexicon.THINGS)


def two_and_number(world: World, rng: random.Random) -> Entities:
    """Two heroes and a number of sentences."""
    return (*two_heroes(world, rng), rng.choice(("three", "four", "five")))


def place_weather(world: World, rng: random.Random) -> Entities:
    """A place and its weather."""
    return rng.choice(world.kinds["place"]), rng.choice(lexicon.WEATHERS)


def two_people_thing(world: World, rng: random.Random) -> Entities:
    """Who writes to whom about what."""
    return (*_people(world, rng, 2), rng.choice(lexicon.THINGS))


def persona_and_other(world: World, rng: random.Random) -> Entities:
    """Somebody who speaks of himself, and to whom."""
    me = persona(world, rng)
    return me, _other(world, rng, me)


def persona_asked(world: World, rng: random.Random) -> Entities:
    """Somebody who speaks of himself, and the two things asked."""
    return pair_of_relations(world, rng, persona(world, rng))


def person_asked(world: World, rng: random.Random) -> Entities:
    """Somebody and the two things asked about him."""
    return pair_of_relations(world, rng, *_people(world, rng, 1))


def person_number(world: World, rng: random.Random) -> Entities:
    """Somebody and a number of facts."""
    return (*_people(world, rng, 1), rng.choice(("two", "three", "four")))


def trouble_of_two(world: World, rng: random.Random) -> Entities:
    """A situation, whose it is, and a friend."""
    return (rng.choice(list(SITUATIONS)), *_people(world, rng, 2))


def trouble(world: World, rng: random.Random) -> Entities:
    """A situation and whose it is."""
    return (rng.choice(list(SITUATIONS)), *_people(world, rng, 1))


def two_people(world: World, rng: random.Random) -> Entities:
    """Two people."""
    return tuple(_people(world, rng, 2))
