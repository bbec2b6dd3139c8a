"""What each kind of requirement asks of an answer, measured on the sentences as read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ropo_bench.pocket.lexicon import NUMBERS
from ropo_bench.pocket.parser import Sentence, suits, truth
from ropo_bench.pocket.phrases import SITUATIONS, TASKS
from ropo_bench.pocket.world import Statement, World

Requirement = Mapping[str, Any]
STORY_ROLES = ("open", "meet", "act", "end")


class Check(NamedTuple):
    """How far the instruction is met (0..1), its side constraints (each 0..1), and the number of sentences
    that are about it."""

    met: float
    constraints: list[float]
    relevant: int


def _stated(read: Sequence[Sentence]) -> list[Statement]:
    return list(dict.fromkeys(s for sentence in read for s in sentence.statements))


def check_states(world: World, need: Requirement, read: Sequence[Sentence], before: Sequence[Sentence]) -> Check:
    """One statement of every group is said; a sentence is relevant if it has one, or is about the subject."""
    stated = {tuple(s) for s in _stated(read)}
    groups = [{tuple(option) for option in group} for group in need["all"]]
    met = sum(bool(group & stated) for group in groups) / len(groups)
    wanted = {option for group in groups for option in group}
    subjects = {subject for _, subject, _ in wanted if subject} | {need.get("subject", "")}
    relevant = 0
    for sentence in read:
        said = [tuple(s) for s in sentence.statements]
        on_topic = any(s in wanted for s in said) or (any(s[1] in subjects for s in said) and not need.get("local"))
        relevant += on_topic
    constraints = []
    if "word" in need:
        words = {s.role for s in read} & {"yes", "no"}
        constraints = [float(words == {need["word"]})]
        if words - {need["word"]}:
            met *= 0.2
    return Check(met, constraints, relevant)


def check_about(world: World, need: Requirement, read: Sequence[Sentence], before: Sequence[Sentence]) -> Check:
    """Enough true facts about the subject, those asked for, in the first person where it is a persona."""
    subject, old = need["subject"], set(_stated(before)) if need["new"] else set()
    if old.issuperset(world.statements(subject)):
        old = set()  # all is told: there is nothing new to ask for
    told: dict[Statement, float] = {}
    relevant = 0
    for sentence in read:
        own = [s for s in sentence.statements if s.subject == subject]
        greets = any(s.relation in ("greet", "bye") and s.value == need["greet"] for s in sentence.statements)
        relevant += bool(own) or greets
        worth = 1.0 if not need["persona"] or sentence.role == "voice" else 0.3
        for statement in own:
            if statement not in old and statement.relation not in ("self", "kind") and world.holds(statement):
                told[statement] = max(worth, told.get(statement, 0.0))
    enough = min(1.0, sum(told.values()) / need["least"])
    if need["asked"]:
        answered = {s.relation: worth for s, worth in told.items()}
        enough = sum(answered.get(r, 0.0) for r in need["asked"]) / len(need["asked"])
    constraints = []
    if need["greet"]:
        constraints.append(float(any(need["greet"] in s.mentioned for s in read)))
        constraints.append(float(any(s.relation == "self" for s in _stated(read))))
    return Check(enough, constraints, relevant)


def _check_pair(world: World, need: Requirement, read: Sequence[Sentence], alike: bool) -> Check:
    a, b = need["pair"]
    true = [s for s in _stated(read) if s.subject in (a, b) and world.holds(s)]
    sides = ({s.relation: s.value for s in true if s.subject == e} for e in (a, b))
    first, second = sides
    both = any((first[r] == second[r]) == alike for r in first if r in second)
    relevant = sum(any(s.subject in (a, b) for s in sentence.statements) for sentence in read)
    return Check(1.0 if both else 0.25 * bool(first) + 0.25 * bool(second) if not alike else 0.0, [], relevant)


def check_contrast(world: World, need: Requirement, read: Sequence[Sentence], before: Sequence[Sentence]) -> Check:
    """A relation in which the two differ is said of both."""
    return _check_pair(world, need, read, alike=False)


def check_same(world: World, need: Requirement, read: Sequence[Sentence], before: Sequence[Sentence]) -> Check:
    """A relation in which the two agree is said of both."""
    return _check_pair(world, need, read, alike=True)


def check_name(world: World, need: Requirement, read: Sequence[Sentence], before: Sequence[Sentence]) -> Check:
    """Enough entities that suit are named; one that was named before does not count as another."""
    where = [tuple(claim) for claim in need["where"]]
    opposite = {"bigger": "smaller", "smaller": "bigger"}
    old = {w for sentence in before for w in sentence.mentioned} if need.get("new") else set()
    if old and not any(e not in old and suits(world, need, e) for e in world.kinds[need["of"]]):
        old = set()  # all are named: there is no other
    named: set[str] = set()
    relevant = 0
    for sentence in read:
        found: set[str] = set()
        for relation, subject, value in sentence.statements:
            if (relation, value) in where:
                found.add(subject)
            elif relation in ("one", "answer") or (opposite.get(relation), subject) in where:
                found.add(value)
        found = {e for e in found if e not in old and suits(world, need, e)}
        named |= found
        relevant += bool(found)
    return Check(min(1.0, len(named) / need["count"]), [], relevant)


def check_items(world: World, need: Requirement, read: Sequence[Sentence], before: Sequence[Sentence]) -> Check:
    """The list, in its order; half of the credit at most for part of it."""
    wanted = need["items"]
    best = 0.0
    relevant = 0
    for relation, _, value in _stated(read):
        if relation == "list":
            given = value.split()
            in_place = sum(a == b for a, b in zip(given, wanted, strict=False)) / max(len(given), len(wanted))
            best = max(best, 1.0 if given == wanted else 0.5 * in_place)
            relevant += 1
    return Check(best, [], relevant)


def check_steps(world: World, need: Requirement, read: Sequence[Sentence], before: Sequence[Sentence]) -> Check:
    """Steps of the task, with its thing, each once and in order; for a follow-up, the first or the last."""
    order = TASKS[need["task"]][2]
    earlier = [p.split()[0] for p in _step_values(before)]
    positions, right = [], 0
    given = _step_values(read)
    for value in given:
        step, *item = value.split()
        if step in order and (not item or item == [need["item"]]):
            right += 1
            positions.append(order.index(step))
    if not given:
        return Check(0.0, [], 0)
    low = need["sentences"][0]
    rising = sum(b > a for a, b in pairwise(positions)) / max(1, len(positions) - 1)
    met = min(1.0, right / low) * (right / len(given)) * (0.3 + 0.7 * rising if len(positions) > 1 else 1.0)
    names = [value.split()[0] for value in given]
    constraints = [float(any(need["item"] in s.mentioned for s in read))] if low > 2 else []
    constraints.append(_counted(read, from_one=not need["after"]))
    if need.get("head"):
        constraints.append(float(names[0] in (order[0], *earlier[:1])))
    if need["after"]:
        met *= float(names[-1] in (order[-1], *earlier[-1:])) * 0.9 + 0.1
    return Check(met, constraints, right)


def _counted(read: Sequence[Sentence], from_one: bool) -> float:
    """Whether numbered steps count up by one."""
    numbers = [NUMBERS.index(s.subject) for x in read for s in x.statements if s.relation == "step" and s.subject]
    start = 1 if from_one else numbers[0] if numbers else 0
    return sum(n == start + i for i, n in enumerate(numbers)) / len(numbers) if numbers else 1.0


def _step_values(read: Sequence[Sentence]) -> list[str]:
    return [s.value for sentence in read for s in sentence.statements if s.relation == "step"]


def check_advice(world: World, need: Requirement, read: Sequence[Sentence], before: Sequence[Sentence]) -> Check:
    """Deeds that fit the situation, and the right feeling where it is asked for."""
    deeds = SITUATIONS[need["situation"]][2]
    old = {s.value for s in _stated(before) if s.relation == "deed"} if need["new"] else set()
    if old.issuperset(deeds):
        old = set()  # all is said: there is nothing else to ask for
    fitting, felt, relevant = set(), False, 0
    for sentence in read:
        for statement in sentence.statements:
            if statement.relation == "deed" and truth(world, need, statement) and statement.value not in old:
                fitting.add(statement.value)
            felt = felt or (statement.relation == "feels" and bool(truth(world, need, statement)))
        relevant += any(s.relation in ("deed", "feels") for s in sentence.statements)
    wanted = [min(1.0, len(fitting) / need["least"])] if need["least"] else []
    wanted += [float(felt)] if need["feeling"] else []
    constraints = []
    if need["friend"] and need["least"]:
        constraints = [float(any(need["friend"] in s.mentioned for s in read))]
    if not need["least"]:
        constraints = [float(any(s.relation == "situation" for s in _stated(read)))]
    return Check(sum(wanted) / len(wanted), constraints, relevant)


def _texts(
    world: World, read: Sequence[Sentence], roles: Sequence[str], cast: Sequence[str], room: int
) -> tuple[list[Sentence], int]:
    """The sentences with these roles, and how many of them name no stranger beyond the room for some."""
    own = [s for s in read if s.role in roles]
    strangers: list[str] = []
    relevant = 0
    for sentence in own:
        heroes = [w for w in sentence.mentioned if world.kind_of.get(w) in ("animal", "person") and w not in cast]
        strangers += [w for w in heroes if w not in strangers]
        relevant += all(strangers.index(w) < room for w in heroes)
    return own, relevant


def _mentions(own: Sequence[Sentence], words: Sequence[str]) -> float:
    return sum(any(w in s.mentioned for s in own) for w in words) / len(words) if words else 1.0


def _fresh(own: Sequence[Sentence], before: Sequence[Sentence]) -> float:
    old = {s.text for s in before}
    return sum(s.text not in old for s in own) / len(own) if own else 0.0


def check_story(world: World, need: Requirement, read: Sequence[Sentence], before: Sequence[Sentence]) -> Check:
    """A story of the cast, with its place, its word and its parts in order."""
    own, relevant = _texts(world, read, STORY_ROLES, need["cast"], 2 - min(2, len(need["cast"])) or 0)
    if not own:
        return Check(0.0, [], 0)
    met = _mentions(own, need["cast"]) if len(need["cast"]) else 1.0
    constraints = [_mentions(own, [need[key]]) for key in ("place", "word") if need[key]]
    first, last = own[0].role, own[-1].role
    if need["flow"] == "whole":
        constraints.append(0.5 * (first == "open") + 0.5 * (last == "end"))
    elif need["flow"] == "end":
        constraints.append(float(last == "end"))
    elif need["flow"] == "next":
        constraints.append(float(first != "open"))
    if need.get("new"):
        met *= _fresh(own, before)
    return Check(met, constraints, relevant)


def check_diary(world: World, need: Requirement, read: Sequence[Sentence], before: Sequence[Sentence]) -> Check:
    """A day told in the first person, with those met and the place."""
    roles = tuple(f"diary-{role}" for role in STORY_ROLES)
    own, relevant = _texts(world, read, roles, need["cast"], 1)
    if not own:
        return Check(0.0, [], 0)
    met = 0.5 * _mentions(own, need["cast"]) + 0.5 * _mentions(own, [need["place"]] if need["place"] else [])
    constraints = []
    if not need["new"]:
        constraints = [0.5 * (own[0].role == "diary-open") + 0.5 * (own[-1].role == "diary-end")]
    else:
        met *= _fresh(own, before)
    return Check(met, constraints, relevant)


def check_letter(world: World, need: Requirement, read: Sequence[Sentence], before: Sequence[Sentence]) -> Check:
    """To whom, from whom, and about what."""
    own = [s for s in read if s.role.startswith("letter-")]
    if not own:
        return Check(0.0, [], 0)
    stated = _stated(own)
    dear = any(s.relation == "dear" and s.value == need["receiver"] for s in stated)
    sign = any(s.relation == "sign" and s.value == need["sender"] for s in stated)
    about = _mentions([s for s in own if s.role == "letter-body"], [need["word"]])
    frame = 0.5 * (own[0].role == "letter-dear") + 0.5 * (own[-1].role == "letter-sign")
    return Check((dear + sign + about) / 3, [frame], len(own))


def check_scene(world: World, need: Requirement, read: Sequence[Sentence], before: Sequence[Sentence]) -> Check:
    """The place in its weather: scene sentences and facts about the place."""
    own = [s for s in read if s.role == "scene" or any(x.subject == need["place"] for x in s.statements)]
    if not own:
        return Check(0.0, [], 0)
    met = 0.6 * _mentions(own, [need["place"]]) + 0.4 * _mentions(own, [need["word"]])
    if need["new"]:
        met *= 0.3 + 0.7 * _fresh(own, before)
    elsewhere = [s for s in own if any(world.kind_of.get(w) == "place" and w != need["place"] for w in s.mentioned)]
    return Check(met, [], len(own) - len(elsewhere))


CHECKS: dict[str, Callable[[World, Requirement, Sequence[Sentence], Sequence[Sentence]], Check]] = {
    "states": check_states,
    "about": check_about,
    "contrast": check_contrast,
    "same": check_same,
    "name": check_name,
    "items": check_items,
    "steps": check_steps,
    "advice": check_advice,
    "story": check_story,
    "diary": check_diary,
    "letter": check_letter,
    "scene": check_scene,
}
