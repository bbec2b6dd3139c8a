"""The sentences of the pocket world's stories, letters and scenes, by their place in the text.

The language of the lines is that of patterns.py, with {h} a hero ("Anna", "the fox"), {o} another one,
{ah}/{ao} their first appearance ("a fox"), {they} "they".
"""

from __future__ import annotations

HEROES: dict[str, tuple[str, ...]] = {
    "{h}": ("{x:person}", "the {x:animal}"),
    "{o}": ("{y:person}", "the {y:animal}"),
    "{ah}": ("{x:person}", "a {x:animal}"),
    "{ao}": ("{y:person}", "a {y:animal}"),
    "{p}": ("{p:he}", "{p:it}"),
}

STORY: dict[str, tuple[str, ...]] = {
    "open": (
        "one day , {ah} (went|walked|came) to the {place}",
        "one morning , {ah} (went|walked) to the {place} with {o}",
        "once there was a {mood} {x:animal} (in|near) the {place}",
        "once upon a time , {ah} lived near the {place}",
        "it was a {weather} (day|morning|evening) in the {place}",
        "on a {weather} day , {ah} walked (in|through) the {place}",
        "{h} left home early and went to the {place}",
        "the {place} was quiet when {h} arrived",
        "{h} and {o} (went|walked) to the {place}",
        "long ago , {h} and {o} lived near the {place}",
        "once there was a {size} {colour} {x:animal} => size x size; colour x colour",
    ),
    "meet": (
        "there {p} (met|saw|found) {ao}",
        "{h} (met|saw) {ao} (near a tree|by the water|on the way|)",
        "{ao} was (sitting|waiting|sleeping) (under a tree|by the road)",
        "suddenly , {ao} (came|appeared)",
        "{o} (said hello|smiled|waved) to {h}",
        "{h} was glad to see {o}",
    ),
    "act": (
        "{h} (was|felt) {mood}",
        "{p} (was|felt) {mood}",
        "{h} and {o} were {mood}",
        "they were {mood}",
        "{h} wanted to find a {thing}",
        "{h} (found|lost|dropped|carried) a {thing}",
        "{p} (found|lost|dropped|carried) a {thing}",
        "{h} gave the {thing} to {o}",
        "{h} showed {o} a {thing}",
        "they (looked|searched) for the {thing} together",
        "they (played|danced|sang|talked|walked|rested) (together|all day|for hours)",
        "{h} (played|danced|sang) with {o}",
        "the (rain|snow|wind) (began|stopped)",
        "the sun was (warm|bright)",
        "{h} asked {o} for help",
        "{h} helped {o}",
        "{h} told {o} a (story|secret)",
        "{h} heard a (strange|loud|soft) (sound|song)",
        "{h} hid behind a (tree|rock|wall)",
        "{h} climbed a (tree|hill)",
        "{h} was {upset} because {p} had lost a {thing}",
        "{h} looked everywhere , but the {thing} was gone",
        "there was a {thing} (on the ground|under a stone|behind the wall)",
        "the {x:animal} (ate|looked for) some {eats} => eats x eats",
        "{h} shared some {food} with {o}",
    ),
    "end": (
        "in the end , they were (good|best) friends",
        "in the end , {h} was {mood}",
        "then they (went|walked) home together",
        "from that day on , {h} and {o} were friends",
        "{h} went home and slept",
        "it was a (good|great) day",
        "at night , {h} fell asleep (under the stars|at home)",
        "{h} thanked {o} and went home",
        "{h} never forgot (that day|{o})",
        "in the end , {h} found the {thing}",
    ),
}
# In the first person.
DIARY: dict[str, tuple[str, ...]] = {
    "open": (
        "today i (went|walked) to the {place}",
        "this morning i (went|walked) to the {place}",
        "it was a {weather} day and i went to the {place}",
    ),
    "meet": ("there i (met|saw) {ao}", "i (met|saw) {ao} on the way", "{o} (smiled at|waved to) me"),
    "act": (
        "i (was|felt) {mood}",
        "i (found|lost|carried) a {thing}",
        "i (played|danced|sang|talked) with {o}",
        "we (played|danced|sang|talked) (together|all day)",
        "i ate some {meal:diet} => eats i meal",
        "i shared some {food} with {o}",
        "i heard a (strange|loud|soft) sound",
        "the weather was {weather} today",
    ),
    "end": (
        "then i went home",
        "in the end , i was {mood}",
        "today was a (good|great) day",
        "at night , i fell asleep under the stars",
        "i will go there again",
    ),
}
LETTER: dict[str, tuple[str, ...]] = {
    "dear": ("dear {y:person} , (i hope you are well|thank you for your letter) => dear i y",),
    "body": (
        "i (found|lost|saw) the {thing} in the {place}",
        "i am writing about the {thing}",
        "i have a {thing} for you",
        "please (come|walk) to the {place} on {day}",
        "let us meet in the {place} on {day}",
        "i miss you (very much|a lot)",
        "i am {mood} today",
        "thank you for the {thing}",
        "the weather is {weather} here",
        "yesterday i went to the {place}",
    ),
    "sign": ("your friend , {x:person} => sign i x", "with love , {x:person} => sign i x"),
}
SCENE = (
    "a soft light falls on the {place}",
    "many people come to the {place} on a {weather} day",
    "a {weather} day in the {place} is (long|calm)",
    "the {place} is lovely on a {weather} day",
    "on a {weather} day , the {place} is (quiet|full of life)",
    "(birds|children) sing in the {place}",
    "you can (see|hear) a {x:animal} in the {place}",
    "the {weather} air is fresh",
    "many people love the {place}",
    "the sky is (blue|grey|wide) there",
)
