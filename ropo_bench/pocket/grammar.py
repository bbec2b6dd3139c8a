"""Says statements in sentences, and parses sentences back: the pocket world's own idea of being grammatical."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ropo_bench.pocket import lexicon
from ropo_bench.pocket.forms import Form, compile_forms, slot_types
from ropo_bench.pocket.world import Statement, World

_SENTENCE = re.compile(r"[^.?!]+[.?!]*|[.?!]+")
_TOKEN = re.compile(r"[A-Za-z]+|[^A-Za-z\s]")
_MEMO_LIMIT = 200_000


@dataclass(frozen=True, slots=True)
class Parsed:
    """One grammatical sentence: its form, the words in its slots and what it states."""

    form: Form
    bindings: Mapping[str, str]
    statements: tuple[Statement, ...]

    @property
    def role(self) -> str:
        """The place of the sentence in the grammar."""
        return self.form.role


@dataclass(slots=True)
class _Node:
    words: dict[str, _Node] = field(default_factory=dict)
    slots: list[tuple[str, frozenset[str], _Node]] = field(default_factory=list)
    form: Form | None = None


class Grammar:
    """The grammar of one world; get it from `grammar(world)`."""

    def __init__(self, world: World) -> None:
        self.types = slot_types(world)
        self.forms = compile_forms(world)
        self.capitals = frozenset([*world.kinds["person"], *lexicon.DAYS, "i"])
        self.by_role: dict[str, list[Form]] = {}
        self.by_relations: dict[tuple[str, str, frozenset[str]], list[Form]] = {}
        self._root = _Node()
        self._memo: dict[str, Parsed | None] = {}
        for form in self.forms:
            self._insert(form)
            self.by_role.setdefault(form.role, []).append(form)
            stated = frozenset(relation for relation, _, _ in form.meaning)
            self.by_relations.setdefault((form.role, form.kind, stated), []).append(form)

    def _insert(self, form: Form) -> None:
        node = self._root
        for item in form.items:
            if isinstance(item, str):
                node = node.words.setdefault(item, _Node())
                continue
            name, type_ = item
            for slot, _, following in node.slots:
                if slot == f"{name}:{type_}":
                    node = following
                    break
            else:
                following = _Node()
                node.slots.append((f"{name}:{type_}", self.types[type_], following))
                node = following
        node.form = node.form or form

    def parse(self, sentence: str) -> Parsed | None:
        """The reading of one sentence with its full stop, or None where the world cannot say it."""
        if sentence not in self._memo:
            if len(self._memo) >= _MEMO_LIMIT:
                self._memo.clear()
            self._memo[sentence] = self._parse(sentence)
        return self._memo[sentence]

    def _parse(self, sentence: str) -> Parsed | None:
        tokens = _TOKEN.findall(sentence)
        if len(tokens) < 2 or tokens.pop() != ".":
            return None
        words = ["a" if t.lower() == "an" else t.lower() for t in tokens]
        if self.spell(words) != sentence:
            return None
        bindings: dict[str, str] = {}
        form = _walk(self._root, words, 0, bindings)
        return None if form is None else Parsed(form, bindings, meaning(form, bindings))

    def spell(self, words: Sequence[str]) -> str:
        """Words (with "a" for "a" and "an") as a sentence with capital, articles, commas and full stop."""
        out: list[str] = []
        for i, word in enumerate(words):
            text = word
            if word == "a" and i + 1 < len(words):
                text = lexicon.article(words[i + 1])
            if word in self.capitals or i == 0:
                text = text[0].upper() + text[1:]
            out.append(text if word in (",", ":") or i == 0 else f" {text}")
        return "".join(out) + "."

    def fill(self, form: Form, bindings: Mapping[str, str]) -> str:
        """A form with words in its slots, as a sentence."""
        return self.spell([i if isinstance(i, str) else bindings[i[0]] for i in form.items])

    def fits(self, form: Form, bindings: Mapping[str, str]) -> bool:
        """Whether the bindings fill every slot with a word of its type, without naming one entity twice."""
        slots = form.slots
        if not all(name in bindings and bindings[name] in self.types[type_] for name, type_ in slots.items()):
            return False
        used = [bindings[name] for name in slots if name in ("x", "y", "f")]
        return len(set(used)) == len(used)

    def pick(
        self,
        rng: random.Random,
        forms: Sequence[Form],
        bindings: Mapping[str, str],
        needs: Collection[str] = (),
    ) -> str | None:
        """A sentence from the forms that these words fill, using the slots in needs; None if there is none.

        Lines are equally likely, whatever their number of variants.
        """
        lines: dict[int, list[Form]] = {}
        for form in forms:
            if self.fits(form, bindings) and all(need in form.slots for need in needs):
                lines.setdefault(form.line, []).append(form)
        if not lines:
            return None
        return self.fill(rng.choice(rng.choice(list(lines.values()))), bindings)


def _walk(node: _Node, words: Sequence[str], at: int, bindings: dict[str, str]) -> Form | None:
    """Depth-first search of the trie; fixed words before slots."""
    if at == len(words):
        return node.form
    word = words[at]
    following = node.words.get(word)
    if following is not None:
        form = _walk(following, words, at + 1, bindings)
        if form is not None:
            return form
    for slot, allowed, after in node.slots:
        if word in allowed:
            form = _walk(after, words, at + 1, bindings)
            if form is not None:
                bindings[slot[: slot.index(":")]] = word
                return form
    return None


def meaning(form: Form, bindings: Mapping[str, str]) -> tuple[Statement, ...]:
    """What a form states with these words in its slots."""

    def words(template: str) -> str:
        if template == "-":
            return ""
        return " ".join(bindings.get(part, part) for part in template.split("_"))

    return tuple(Statement(relation, words(subject), words(value)) for relation, subject, value in form.meaning)


@lru_cache(maxsize=4)
def grammar(world: World) -> Grammar:
    """The grammar of a world, built once."""
    return Grammar(world)


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with its stop."""
    return [part.strip() for part in _SENTENCE.findall(text) if part.strip()]


def parse(world: World, sentence: str) -> Parsed | None:
    """The world's reading of one sentence, or None where it is not grammatical."""
    return grammar(world).parse(sentence)


def say(
    world: World,
    statements: Sequence[Statement],
    rng: random.Random,
    *,
    role: str = "fact",
    pronoun: bool = False,
) -> str | None:
    """One sentence that states exactly these facts about one subject; None where no form does.

    role: "fact", "voice" (the subject speaks of itself), "yes" or "no". pronoun: it, he or she for the subject.
    """
    known = grammar(world)
    subject = statements[0].subject
    kind = world.kind_of[subject]
    relations = frozenset(s.relation for s in statements)
    bindings = {s.relation: s.value for s in statements}
    bindings |= {"x": "i", "i": "i", "me": subject} if role == "voice" else {"x": subject}
    if pronoun and role == "fact":
        bindings["x"] = world.pronoun(subject)
    forms = known.by_relations.get((role, kind, relations), [])
    return known.pick(rng, forms, bindings)
