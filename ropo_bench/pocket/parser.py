"""Reads an answer: its sentences, what they state once pronouns are resolved, and whether that is true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ropo_bench.pocket.grammar import Parsed, grammar, sentences
from ropo_bench.pocket.lexicon import ORDERS
from ropo_bench.pocket.phrases import SITUATIONS
from ropo_bench.pocket.world import Statement, World

_PRONOUNS = frozenset(("it", "he", "she", "him", "her"))
# Said of the answer's own situation, not of the world: wrong unless the requirement has them.
_LOCAL = frozenset(
    (
        "answer",
        "odd",
        "bigone",
        "smallone",
        "count",
        "total",
        "number",
        "owns",
        "tint",
        "went",
        "day",
        "on",
        "bought",
        "at",
        "saw",
    )
)
_LOCAL |= frozenset(
    ("list", "step", "deed", "feels", "one", *ORDERS, *(end for ends in ORDERS.values() for end in ends))
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of an answer; parsed is None where it is not grammatical."""

    text: str
    parsed: Parsed | None
    statements: tuple[Statement, ...]
    mentioned: frozenset[str]

    @property
    def role(self) -> str:
        """The place of the sentence in the grammar, "" where it is not grammatical."""
        return "" if self.parsed is None else self.parsed.role


def read(world: World, requirement: Mapping[str, Any], answer: str) -> list[Sentence]:
    """The sentences of an answer, "I" being the persona, "it", "he" and "she" the last that they fit."""
    parse = grammar(world).parse
    persona = requirement.get("persona", "")
    start = requirement.get("subject") or requirement.get("person") or ""
    last = {world.pronoun(start): start} if start else {}
    out = []
    for text in sentences(answer):
        parsed = parse(text)
        if parsed is None:
            out.append(Sentence(text, None, (), frozenset()))
            continue
        statements = tuple(_resolve(world, s, persona, last) for s in parsed.statements)
        for word in parsed.bindings.values():
            if word in world.kind_of:
                last[world.pronoun(word)] = word
        for statement in statements:
            if statement.subject in world.kind_of:
                last[world.pronoun(statement.subject)] = statement.subject
        out.append(Sentence(text, parsed, statements, frozenset(parsed.bindings.values())))
    return out


def _resolve(world: World, statement: Statement, persona: str, last: Mapping[str, str]) -> Statement:
    subject = statement.subject
    if subject == "i" and persona:
        return statement._replace(subject=persona)
    if subject in _PRONOUNS:
        key = {"him": "he", "her": "she"}.get(subject, subject)
        return statement._replace(subject=last.get(key, "nobody"))
    return statement


def truth(world: World, requirement: Mapping[str, Any], statement: Statement) -> bool | None:
    """Whether a statement is right as an answer to the requirement; None where it is neither."""
    if list(statement) in requirement.get("local", ()) or any(
        list(statement) in group for group in requirement.get("all", ())
    ):
        return True
    if statement.relation == "self":
        return statement.value == requirement.get("persona")
    if statement.relation in _LOCAL:
        return _local_truth(world, requirement, statement)
    return world.holds(statement)


def _local_truth(world: World, requirement: Mapping[str, Any], statement: Statement) -> bool | None:
    relation, subject, value = statement
    match requirement["kind"], relation:
        case "steps", "step":
            return None  # the check of the steps sees to it
        case "advice", "deed":
            return subject == requirement["person"] and value in SITUATIONS[requirement["situation"]][2]
        case "advice", "feels":
            return subject == requirement["person"] and value == SITUATIONS[requirement["situation"]][1]
        case "items", "list":
            return bool(value.split() == requirement["items"])
        case "name", "one" | "answer":
            return suits(world, requirement, value)
    return False


def suits(world: World, requirement: Mapping[str, Any], entity: str) -> bool:
    """Whether an entity is one of those that a "name" requirement asks for."""
    if world.kind_of.get(entity) != requirement["of"] or entity in requirement["excluded"]:
        return False
    for relation, value in requirement["where"]:
        claim = Statement(relation, entity, value)
        if not world.holds(claim):
            return False
    return True
