"""Good answers of the pocket world, built from what a turn requires; flawed ones are in flaws.py."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ropo_bench.pocket import tales
from ropo_bench.pocket.flaws import flawed
from ropo_bench.pocket.forms import Form
from ropo_bench.pocket.grader import grade
from ropo_bench.pocket.grammar import Grammar, grammar, say
from ropo_bench.pocket.instructions import Instruction
from ropo_bench.pocket.parser import read, suits
from ropo_bench.pocket.patterns import SHARED
from ropo_bench.pocket.phrases import SITUATIONS, STEP_PREFIXES, TASKS
from ropo_bench.pocket.world import Statement, World

Requirement = Mapping[str, Any]
GOOD = 9.0
_TRIES = 40
# Share of answers to plain questions that say a little more than was asked.
_EXTRA = 0.25


def reference_answer(
    world: World, instruction: Instruction, turn: int, rng: random.Random, previous: str = ""
) -> str:
    """A good answer (grade >= 9) to one turn (0 or 1), given the answer of the turn before."""
    return answer_to(world, instruction.requirements[turn], rng, previous)


def flawed_answer(world: World, instruction: Instruction, turn: int, rng: random.Random, previous: str = "") -> str:
    """An answer with one or two realistic flaws, from a little to entirely wrong."""
    need = instruction.requirements[turn]
    return flawed(world, need, reference_answer(world, instruction, turn, rng, previous), rng)


def answer_to(world: World, need: Requirement, rng: random.Random, previous: str = "") -> str:
    """The first drawn answer that the grader finds good, or the best of those drawn."""
    build = BUILDERS[need["kind"]]
    best, best_score = "", 0.0
    for _ in range(_TRIES):
        answer = " ".join(build(world, need, rng, previous))
        score = grade(world, need, answer, previous).score
        if score >= GOOD:
            return answer
        if score > best_score:
            best, best_score = answer, score
    return best


def express(known: Grammar, statement: Statement, rng: random.Random) -> str | None:
    """A sentence that states one thing that is no fact of the knowledge base ("the answer is ...")."""
    for role in rng.sample(_EXPRESSIVE, len(_EXPRESSIVE)):
        options = []
        for form in known.by_role[role]:
            bindings = unify(form, statement)
            if bindings is not None and known.fits(form, bindings):
                options.append((form, bindings))
        if options:
            line = rng.choice(sorted({form.line for form, _ in options}))
            form, bindings = rng.choice([o for o in options if o[0].line == line])
            return known.fill(form, bindings)
    return None


_EXPRESSIVE = ("answer", "sum", "compare", "local", "kind", "odd", "gift")


def unify(form: Form, statement: Statement) -> dict[str, str] | None:
    """The words for the slots of a form with which it states exactly this, if it can."""
    if len(form.meaning) != 1 or form.meaning[0][0] != statement.relation:
        return None
    slots = form.slots
    bindings: dict[str, str] = {}
    for template, words in zip(form.meaning[0][1:], statement[1:], strict=True):
        parts, given = template.replace("-", "").split("_"), words.split(" ")
        if len(parts) != len(given):
            return None
        for part, word in zip(parts, given, strict=True):
            if part in slots:
                bindings[part] = word
            elif part != word:
                return None
    return bindings


def _facts(world: World, facts: Sequence[Statement], rng: random.Random, role: str = "fact") -> list[str]:
    """Sentences for facts about one subject: two in one where the grammar can, pronouns after the first."""
    out: list[str] = []
    rest = list(facts)
    while rest:
        pronoun = bool(out) and rng.random() < 0.7
        text = None
        if len(rest) > 1 and rng.random() < 0.5:
            text = say(world, rest[:2], rng, role=role, pronoun=pronoun)
        taken = 2 if text else 1
        text = text or say(world, rest[:1], rng, role=role, pronoun=pronoun) or say(world, rest[:1], rng, role=role)
        assert text is not None, rest
        out.append(text)
        rest = rest[taken:]
    return out


def _states(world: World, need: Requirement, rng: random.Random, previous: str) -> list[str]:
    known = grammar(world)
    chosen = [Statement(*rng.choice(group)) for group in need["all"]]
    subjects = [s.subject for s in chosen]
    if len(chosen) == 2 and chosen[0].relation == "size" and subjects[0] != subjects[1]:
        first, second = rng.sample(chosen, 2)
        bindings = {"x1": first.subject, "x2": second.subject, "size1": first.value, "size2": second.value}
        return [known.pick(rng, known.by_role["compare"], bindings) or ""]
    if len(chosen) == 2 and chosen[0].relation == "saw":
        bindings = {"x": subjects[0], "y": chosen[0].value, "z": chosen[1].value}
        return [known.pick(rng, known.by_role["local"], bindings, ("z",)) or ""]
    if chosen[0].relation in world.values:
        if "word" in need:
            return [say(world, chosen, rng, role=need["word"]) or ""]
        more = [s for s in world.statements(subjects[0]) if s not in chosen]
        extra = rng.sample(more, 1) if more and rng.random() < _EXTRA else []
        return _facts(world, [*chosen, *extra], rng)
    options = [Statement(*option) for option in need["all"][0]]
    if len(need["all"]) == 1 and len(options) > 1 and rng.random() < _EXTRA:
        chosen = rng.sample(options, 2)
    return [express(known, s, rng) or "" for s in chosen]


def _about(world: World, need: Requirement, rng: random.Random, previous: str) -> list[str]:
    known, subject = grammar(world), need["subject"]
    role = "voice" if need["persona"] else "fact"
    old = {s for sentence in read(world, need, previous) for s in sentence.statements} if need["new"] else set()
    facts = [s for s in world.statements(subject) if s not in old] or world.statements(subject)
    rng.shuffle(facts)
    asked = [s for s in facts if s.relation in need["asked"]]
    asked.sort(key=lambda s: need["asked"].index(s.relation))
    count = need["least"] + (rng.randrange(3) if need["least"] > 1 else rng.randrange(2))
    chosen = asked if asked else facts[:count]
    out = _facts(world, chosen, rng, role)
    if need["greet"]:
        self_forms = known.by_relations["voice", world.kind_of[subject], frozenset(["self"])]
        bindings = {"x": "i", "i": "i", "me": subject, "y": need["greet"]}
        greetings = [f for f in known.by_role["greet"] if f.meaning[0][0] == "greet"]
        hello = known.pick(rng, greetings, bindings)
        out = [hello or "", known.pick(rng, self_forms, bindings) or "", *out]
    return out


def _pair(world: World, need: Requirement, rng: random.Random, previous: str) -> list[str]:
    known = grammar(world)
    a, b = rng.sample(need["pair"], 2)
    alike = need["kind"] == "same"
    relations = [r for r in world.relations(a) if (world.value(a, r) == world.value(b, r)) == alike]
    sayable = {relation for kind, relation, _ in SHARED if kind == need["of"]}
    out = []
    for relation in rng.sample(relations, min(len(relations), rng.choice((1, 1, 2)))):
        va, vb = world.value(a, relation), world.value(b, relation)
        bindings = {"x1": a, "x2": b, f"{relation}1": va, f"{relation}2": vb, relation: va}
        if alike and relation not in sayable:
            continue
        forms = known.by_relations["both" if alike else "contrast", need["of"], frozenset([relation])]
        out.append(known.pick(rng, forms, bindings) or "")
    return out


def _name(world: World, need: Requirement, rng: random.Random, previous: str) -> list[str]:
    known = grammar(world)
    old = {w for s in read(world, need, previous) for w in s.mentioned} if need.get("new") else set()
    suited = [e for e in world.kinds[need["of"]] if suits(world, need, e)]
    suited = [e for e in suited if e not in old] or suited
    chosen = rng.sample(suited, min(len(suited), need["count"]))
    relation, value = need["where"][0]
    if relation not in world.values:
        return [express(known, Statement(relation, e, value), rng) or "" for e in chosen]
    role = {2: "both", 3: "all"}.get(len(chosen))
    if role and (need["of"], relation) in {row[:2] for row in SHARED} and rng.random() < 0.8:
        bindings = {relation: value} | {f"x{i}": e for i, e in enumerate(chosen, 1)}
        return [known.pick(rng, known.by_relations[role, need["of"], frozenset([relation])], bindings) or ""]
    if len(chosen) == 1 and rng.random() < 0.3:
        return [express(known, Statement("one", "", chosen[0]), rng) or ""]
    return [say(world, [Statement(relation, e, value)], rng) or "" for e in chosen]


def _items(world: World, need: Requirement, rng: random.Random, previous: str) -> list[str]:
    known = grammar(world)
    forms = [f for f in known.by_role["list"] if len(f.slots) == len(need["items"])]
    return [known.pick(rng, forms, {f"w{i}": w for i, w in enumerate(need["items"])}) or ""]


def _steps(world: World, need: Requirement, rng: random.Random, previous: str) -> list[str]:
    known = grammar(world)
    order = TASKS[need["task"]][2]
    count = need["sentences"][0]
    if need["after"]:
        chosen = [order[-1]]
    elif need.get("head"):
        chosen = list(order[:2])
    else:
        left_out = rng.sample(range(1, len(order)), len(order) - count)
        chosen = [step for i, step in enumerate(order) if i not in left_out]
    earlier = [s.value.split()[0] for x in read(world, need, previous) for s in x.statements if s.relation == "step"]
    usable = len(earlier) > 1 and earlier == [step for step in order if step in earlier]
    if usable:
        chosen = [earlier[-1]] if need["after"] else earlier[:2] if need.get("head") else chosen
    return steps(known, chosen, need["item"], rng, start=len(earlier) if need["after"] else 1)


NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def steps(known: Grammar, names: Sequence[str], item: str, rng: random.Random, start: int = 1) -> list[str]:
    """The steps in one style: numbered, or with first, then and finally."""
    numbered = rng.random() < 0.5
    by_kind = {form.kind: form for form in known.by_role["step"]}
    out = []
    for i, name in enumerate(names):
        if numbered:
            prefix = 0
        elif len(names) == 1:
            prefix = len(STEP_PREFIXES) - 1
        elif i in (0, len(names) - 1):
            prefix = 1 if i == 0 else 5
        else:
            prefix = rng.choice((2, 3, 4))
        out.append(known.fill(by_kind[f"{name}/{prefix}"], {"i": item, "k": NUMBER_WORDS[i + max(start, 1)]}))
    return out


def _advice(world: World, need: Requirement, rng: random.Random, previous: str) -> list[str]:
    known, person = grammar(world), need["person"]
    _, feeling, deeds = SITUATIONS[need["situation"]]
    old = {s.value for x in read(world, need, previous) for s in x.statements if s.relation == "deed"}
    bindings = {"x": person, "feeling": feeling, "p": world.pronoun(person), "f": need["friend"]}
    bindings["thing"] = rng.choice(("book", "kite"))
    out = []
    if need["feeling"] or rng.random() < 0.2:
        forms = list(known.by_role["feeling"])
        if not need["least"] or rng.random() < 0.4:
            forms = [f for f in known.by_role["because"] if f.kind == need["situation"]]
            him = {"he": "him", "she": "her"}[world.pronoun(person)]
            if any(f.slots.get("p") == "him" for f in forms):
                bindings["p"] = him
        out.append(known.pick(rng, forms, bindings) or "")
    fresh = [d for d in deeds if d not in old or not need["new"]] or list(deeds)
    wanted = min(len(fresh), need["least"] + rng.choice((0, 0, 1)) if need["least"] else 0)
    for i, deed in enumerate(rng.sample(fresh, wanted)):
        forms = [f for f in known.by_role["deed"] if f.kind == deed]
        if need["friend"] and i == 0:
            forms = [f for f in forms if "f" in f.slots]
        words = {
            **bindings,
            "x": person if not out or rng.random() < 0.5 else "him" if world.pronoun(person) == "he" else "her",
        }
        out.append(known.pick(rng, forms, words) or "")
    return out


BUILDERS: dict[str, Callable[[World, Requirement, random.Random, str], list[str]]] = {
    "states": _states,
    "about": _about,
    "contrast": _pair,
    "same": _pair,
    "name": _name,
    "items": _items,
    "steps": _steps,
    "advice": _advice,
    "story": tales.story,
    "diary": tales.diary,
    "letter": tales.letter,
    "scene": tales.scene,
}
