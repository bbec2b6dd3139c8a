"""Compiles the lines of patterns.py, phrases.py and stories.py into forms: fixed words, typed slots, a meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ropo_bench.pocket import lexicon, patterns, phrases, stories
from ropo_bench.pocket.world import World


@dataclass(frozen=True, slots=True)
class Form:
    """One way to say something.

    role: place in the grammar ("fact", "open", "step" ...); kind: of the subject, or a finer role;
    line: number of the source line; items: words, or (slot, type) pairs; meaning: (relation, subject,
    value) templates in slot names or plain words, parts of a value joined by "_"; relations: those stated.
    """

    role: str
    kind: str
    line: int
    items: tuple[str | tuple[str, str], ...]
    meaning: tuple[tuple[str, str, str], ...]

    @property
    def slots(self) -> dict[str, str]:
        """Slot name -> type."""
        return {item[0]: item[1] for item in self.items if isinstance(item, tuple)}


def slot_types(world: World) -> dict[str, frozenset[str]]:
    """The words that each slot type accepts."""
    entities = [e for kind in world.kinds if kind != "person" for e in world.kinds[kind]]
    types: dict[str, list[str] | tuple[str, ...]] = {
        **world.values,
        **world.kinds,
        "entity": entities,
        "word": [*entities, *world.kinds["person"], *lexicon.THINGS, *lexicon.NUMBERS],
        "kind": list(lexicon.KINDS),
        "kinds": [plural_kind(kind) for kind in lexicon.KINDS],
        "number": lexicon.NUMBERS,
        "thing": lexicon.THINGS,
        "plural": lexicon.PLURALS,
        "mood": lexicon.MOODS,
        "upset": lexicon.UPSETS,
        "weather": lexicon.WEATHERS,
        "day": lexicon.DAYS,
        "feeling": phrases.FEELINGS,
        "diet": world.values["eats"],
        "it": ["it"],
        "he": ["he", "she"],
        "him": ["him", "her"],
        "self": ["i"],
    }
    return {name: frozenset(words) for name, words in types.items()}


def plural_kind(kind: str) -> str:
    """people for person, animals for animal."""
    return "people" if kind == "person" else f"{kind}s"


def alternatives(line: str) -> Iterator[str]:
    """All texts of a line with `(a|b)` written out."""
    match = re.search(r"\(([^()]*)\)", line)
    if match is None:
        yield " ".join(line.split())
        return
    for option in match.group(1).split("|"):
        yield from alternatives(line[: match.start()] + option + line[match.end() :])


def _substitute(texts: list[str], marker: str, options: tuple[str, ...]) -> list[str]:
    return [t.replace(marker, option) for t in texts for option in (options if marker in t else ("",))]


def _roles() -> Iterator[tuple[str, str, str]]:
    """(role, kind, line) of every line of the grammar, fragments not yet substituted."""
    for kind, lines in patterns.FACTS.items():
        yield from (("fact", kind, line) for line in lines)
        for answer in ("yes", "no"):
            yield from ((answer, kind, f"{answer} , {line.replace('{s}', '{t}')}") for line in lines)
    for kind, lines in patterns.VOICE.items():
        yield from (("voice", kind, line) for line in lines)
    for kind, _, verb in patterns.SHARED:
        subject = "{x%d:person}" if kind == "person" else "the {x%d:" + kind + "}"
        one, two, three = (subject % i for i in (1, 2, 3))
        yield "both", kind, f"{one} and {two} {_with('(both|)', verb)}"
        yield "all", kind, f"{one} , {two} and {three} {_with('(all|)', verb)}"
    for kind, relation, verb in patterns.CONTRAST:
        subject = "{x%d:person}" if kind == "person" else "the {x%d:" + kind + "}"
        left, right = (
            f"{subject % i} {verb}".replace("{" + relation + "}", "{" + relation + str(i) + "}") for i in (1, 2)
        )
        yield "contrast", kind, f"{left} , (but|while) {right}"
    groups = {
        "greet": patterns.GREETINGS,
        "kind": patterns.KIND_LINES,
        "odd": patterns.ODD_LINES,
        "answer": phrases.ANSWERS,
        "sum": phrases.SUMS,
        "compare": phrases.COMPARISONS,
        "local": phrases.LOCAL,
        "list": phrases.LISTS,
        "scene": stories.SCENE,
        "gift": phrases.GIFTS,
    }
    for role, lines in groups.items():
        yield from ((role, "", line) for line in lines)
    for prefix, parts in (("", stories.STORY), ("diary-", stories.DIARY), ("letter-", stories.LETTER)):
        for role, lines in parts.items():
            yield from ((prefix + role, "", line) for line in lines)
    yield from _care_lines()
    for step, (kind, line) in phrases.STEPS.items():
        text = line.replace("{i}", "{i:" + kind + "}")
        for number, prefix in enumerate(phrases.STEP_PREFIXES):
            meaning = f"step {'k' if number == 0 else '-'} {step}{'_i' if kind else ''}"
            yield "step", f"{step}/{number}", f"{prefix}{text} => {meaning}"


def _with(word: str, verb: str) -> str:
    """ "both eat", but "are both red" and "can both fly"."""
    first, _, rest = verb.partition(" ")
    return f"{first} {word} {rest}" if first in ("are", "can") else f"{word} {verb}"


def _care_lines() -> Iterator[tuple[str, str, str]]:
    """Deeds of friends, and the situations and feelings that call for them."""
    for deed, line in phrases.DEEDS.items():
        for who in ("{x:person}", "{x:him}"):
            for start in ("{f:person} (can|could)", "a friend (can|could)"):
                yield "deed", deed, f"{start} {line.replace('{x}', who)} => deed x {deed}"
    for situation, (line, _, _) in phrases.SITUATIONS.items():
        yield "situation", situation, f"{line.replace('{x}', '{x:person}')} => situation x {situation}"
        cause = line.replace("{x}", "{p:him}" if "to {x}" in line else "{p:he}")
        for feels in ("feels", "is"):
            yield (
                "because",
                situation,
                f"{{x:person}} {feels} {{feeling}} because {cause} => feels x feeling; situation x {situation}",
            )
    yield "feeling", "", "{x:person} (feels|is) (very|) {feeling} => feels x feeling"
    yield "feeling", "", "{x:he} (feels|is) (very|) {feeling} => feels x feeling"


def compile_forms(world: World) -> list[Form]:
    """All forms of the grammar, in a fixed order."""
    forms = []
    for number, (role, kind, line) in enumerate(_roles()):
        text, _, meaning = line.partition(" => ")
        texts = list(alternatives(text))
        if kind in patterns.SUBJECTS:
            full = patterns.SUBJECTS[kind]
            pronoun = {"person": ("{x:he}",), "job": ()}.get(kind, ("{x:it}",))
            texts = _substitute(_substitute(texts, "{s}", (*full, *pronoun)), "{t}", full)
        for marker, options in stories.HEROES.items():
            texts = _substitute(texts, marker, options)
        forms += [_form(world, role, kind, number, text, meaning) for text in texts]
    return forms


def _form(world: World, role: str, kind: str, line: int, text: str, meaning: str) -> Form:
    items: list[str | tuple[str, str]] = []
    for token in text.split():
        if token.startswith("{"):
            name, _, type_ = token[1:-1].partition(":")
            items.append((name, type_ or name.rstrip("0123456789")))
        else:
            items.append("a" if token == "an" else token)
    slots = [item[0] for item in items if isinstance(item, tuple)]
    stated = [tuple(part.split()) for part in meaning.split(";")] if meaning else _implied(world, slots)
    return Form(role, kind, line, tuple(items), tuple((r, s, v) for r, s, v in stated))


def _implied(world: World, slots: list[str]) -> list[tuple[str, ...]]:
    """The meaning of a line that names relations as slots: they are stated of {x}, {x1}, {x2} ..."""
    stated: list[tuple[str, ...]] = []
    subjects = [slot for slot in slots if re.fullmatch(r"x\d*", slot)]
    for slot in slots:
        relation, digits = slot.rstrip("0123456789"), slot[len(slot.rstrip("0123456789")) :]
        if relation in world.values:
            owners = [f"x{digits}"] if digits else subjects
            stated += [(relation, owner, slot) for owner in owners]
    return stated
