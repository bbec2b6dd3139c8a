"""The sentences of the pocket world that are no plain facts: answers, sums, comparisons, deeds, steps, lists.

The language of the lines is that of patterns.py.
"""

from __future__ import annotations

from ropo_bench.pocket.lexicon import ORDERS

ANSWERS = (
    "the answer is {v:number} => answer - v",
    "it is {v:number} => answer - v",
    "the result is {v:number} => answer - v",
    "the answer is the {v:entity} => answer - v",
    "it is the {v:entity} => answer - v",
    "it is {v:person} => answer - v",
    "the answer is {v:person} => answer - v",
    "the odd one is the {v:entity} => odd - v",
    "the {v:entity} does not belong => odd - v",
    "one is the {v:entity} => one - v",
    "one is {v:person} => one - v",
    "another one is the {v:entity} => one - v",
    "another one is {v:person} => one - v",
)
SUMS = (
    "{a:number} plus {b:number} (is|makes) {c:number} => plus a_b c",
    "{a:number} minus {b:number} (is|makes) {c:number} => minus a_b c",
    "{a:number} times {b:number} (is|makes) {c:number} => times a_b c",
    "{a:number} is more than {b:number} => more a_b -",
    "{b:number} is less than {a:number} => more a_b -",
    "(now|) {x:person} has {n:number} {o:plural} => count x n_o",
    "{x:person} has {n:number} {o:plural} now => count x n_o",
    "{x:he} has {n:number} {o:plural} (now|) => count x n_o",
    "there are {n:number} {o:plural} (now|) => total - n_o",
    "there are {n:number} {k:kinds} in the list => number k n",
    "the list has {n:number} {k:kinds} => number k n",
)
_SIZES = (
    "the {x:animal} is bigger than the {y:animal} => bigger x y",
    "the {x:animal} is smaller than the {y:animal} => smaller x y",
    "the bigger one is the {v:animal} => bigone - v",
    "the smaller one is the {v:animal} => smallone - v",
    "the {x1:animal} is {size1} and the {x2:animal} is {size2}",
    "this is because the {x1:animal} is {size1} and the {x2:animal} is {size2}",
)
_ORDERED = tuple(
    line
    for more, (most, least) in ORDERS.items()
    for line in (
        f"{{x:person}} is {more} than {{y:person}} => {more} x y",
        f"{{x:person}} is the {most} (of all|) => {most} x -",
        f"{{x:person}} is the {least} (of all|) => {least} x -",
        f"the {most} (one|) is {{x:person}} => {most} x -",
        f"the {least} (one|) is {{x:person}} => {least} x -",
    )
)
COMPARISONS = (*_SIZES, *_ORDERED)
LOCAL = (
    "{x:person} has (the|a) {o:thing} => owns x o",
    "{x:person} has (the|a) {c:colour} {o:thing} => owns x o; tint o c",
    "the {c:colour} {o:thing} belongs to {x:person} => owns x o; tint o c",
    "the {o:thing} belongs to {x:person} => owns x o",
    "the {o:thing} (of {x:person}|) is {c:colour} => tint o c",
    "{x:person} went to the {p:place} => went x p",
    "{x:person} went to the {p:place} on {d:day} => went x p; day x d",
    "on {d:day} , {x:person} went to the {p:place} => went x p; day x d",
    "{x:person} went there on {d:day} => day x d",
    "it was on {d:day} => on - d",
    "{x:person} bought {n:number} {o:plural} => bought x n_o",
    "{x:person} bought {n:number} {o:plural} in the {p:place} => bought x n_o; at x p",
    "{x:person} bought them in the {p:place} => at x p",
    "{x:person} saw the {y:entity} and the {z:entity} => saw x y; saw x z",
    "{x:person} saw the {y:entity} => saw x y",
)

GIFTS = (
    "a good gift for {x:person} is {likes}",
    "a good gift for {x:person} is {likes} , because {p:he} likes it => likes x likes",
    "{x:person} would (love|enjoy) some {likes}",
    "{x:person} would be happy about some {likes}",
)

# id -> line; {x} is the person in trouble, {f} the friend
DEEDS: dict[str, str] = {
    "search": "help {x} look for it",
    "lend": "lend {x} another one",
    "listen": "listen to {x}",
    "share": "share some food with {x}",
    "drink": "give {x} some water",
    "tea": "make a hot tea for {x}",
    "doctor": "call a doctor for {x}",
    "coat": "give {x} a warm coat",
    "walk": "walk home with {x}",
    "joke": "tell {x} a funny story",
    "play": "play a game with {x}",
    "praise": "praise {x} for the good work",
    "party": "make a party for {x}",
    "sorry": "say sorry to {x}",
    "sit": "sit beside {x}",
    "lamp": "bring {x} a lamp",
    "bed": "make a soft bed for {x}",
    "repair": "help {x} repair it",
}
# id -> (what happened to {x}, feeling, fitting deeds)
SITUATIONS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "lost": ("{x} cannot find a {thing}", "sad", ("search", "lend", "listen")),
    "broke": ("{x} broke a {thing}", "sad", ("repair", "lend", "listen")),
    "starved": ("{x} had no lunch", "hungry", ("share", "tea", "walk")),
    "ran": ("{x} ran all day in the sun", "thirsty", ("drink", "tea", "sit")),
    "ill": ("{x} has a bad cold", "tired", ("doctor", "tea", "bed")),
    "cold": ("{x} fell into the cold water", "cold", ("coat", "tea", "walk")),
    "alone": ("{x} is new in the town", "lonely", ("play", "walk", "share", "listen")),
    "dark": ("{x} is alone in the dark", "afraid", ("lamp", "sit", "walk")),
    "prize": ("{x} won a prize", "glad", ("praise", "party")),
    "birthday": ("{x} has a birthday", "happy", ("party", "praise", "play")),
    "rain": ("{x} must stay in the house", "bored", ("play", "joke", "sit")),
    "pushed": ("a friend was unkind to {x}", "angry", ("sorry", "listen", "sit")),
    "night": ("{x} worked all night", "sleepy", ("bed", "drink", "walk")),
    "exam": ("{x} has a test at school", "worried", ("listen", "praise", "sit")),
}
FEELINGS = tuple(dict.fromkeys(feeling for _, feeling, _ in SITUATIONS.values()))

# id -> line of one step; {i} is the thing at hand
STEPS: dict[str, tuple[str, str]] = {
    "wash": ("food", "wash the {i}"),
    "cut": ("food", "cut the {i} with a knife"),
    "pot": ("food", "put the {i} in the pot"),
    "addwater": ("", "add some water"),
    "cook": ("food", "cook the {i} for an hour"),
    "serve": ("", "serve the soup in a bowl"),
    "press": ("food", "press the {i}"),
    "pour": ("", "pour the juice into a cup"),
    "taste": ("", "taste the juice"),
    "flour": ("", "mix flour and eggs in a bowl"),
    "addfood": ("food", "add the {i}"),
    "heat": ("", "put the cake in the oven"),
    "wait": ("", "wait for an hour"),
    "slice": ("", "cut the cake"),
    "dig": ("", "dig a deep hole"),
    "sow": ("plant", "put the {i} in the hole"),
    "soil": ("", "fill the hole with soil"),
    "water": ("plant", "water the {i} every day"),
    "keep": ("plant", "keep the {i} in the sun"),
    "dust": ("thing", "clean the {i}"),
    "open": ("", "open the paint"),
    "dip": ("", "dip the brush in the paint"),
    "paint": ("thing", "paint the {i}"),
    "dry": ("thing", "let the {i} dry"),
    "rinse": ("", "wash the brush"),
    "findbox": ("", "find a strong box"),
    "pack": ("thing", "put the {i} in the box"),
    "close": ("", "close the box"),
    "name": ("", "write the name on the box"),
    "send": ("", "carry the box to the station"),
    "tub": ("", "fill a tub with warm water"),
    "bathe": ("animal", "wash the {i} with soap"),
    "towel": ("animal", "dry the {i} with a towel"),
    "groom": ("animal", "brush the {i}"),
    "feed": ("animal", "give the {i} some food"),
    "paper": ("", "take a pencil and paper"),
    "body": ("animal", "draw the body of the {i}"),
    "head": ("animal", "draw the head of the {i}"),
    "eyes": ("", "draw two eyes"),
    "tint": ("", "add the right colours"),
    "bag": ("", "pack a small bag"),
    "road": ("place", "look for the road to the {i}"),
    "go": ("place", "walk to the {i}"),
    "stay": ("place", "stay a while in the {i}"),
    "home": ("", "come home before night"),
    "look": ("tool", "look at the {i}"),
    "part": ("", "find the broken part"),
    "new": ("tool", "put a new part on the {i}"),
    "test": ("tool", "test the {i}"),
}
# id -> (what it is for, item type, steps in order)
TASKS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "soup": ("make soup from a {i}", "food", ("wash", "cut", "pot", "addwater", "cook", "serve")),
    "juice": ("make juice from a {i}", "food", ("wash", "cut", "press", "pour", "taste")),
    "cake": ("bake a cake with a {i}", "food", ("wash", "flour", "addfood", "heat", "wait", "slice")),
    "plant": ("plant a {i}", "plant", ("dig", "sow", "soil", "water", "keep")),
    "paint": ("paint a {i}", "thing", ("dust", "open", "dip", "paint", "dry", "rinse")),
    "send": ("send a {i} to a friend", "thing", ("findbox", "pack", "close", "name", "send")),
    "bath": ("wash a {i}", "animal", ("tub", "bathe", "towel", "groom", "feed")),
    "draw": ("draw a {i}", "animal", ("paper", "body", "head", "eyes", "tint")),
    "visit": ("visit the {i}", "place", ("bag", "road", "go", "stay", "home")),
    "fix": ("repair a {i}", "tool", ("look", "part", "new", "test")),
}
STEP_PREFIXES = ("step {k:number} : ", "first , ", "then , ", "next , ", "after that , ", "finally , ", "")

LISTS = tuple(
    f"{start}{' , '.join(f'{{w{i}:word}}' for i in range(n))} => list - {'_'.join(f'w{i}' for i in range(n))}"
    for n in range(2, 6)
    for start in ("the list is ", "the answer is ", "")
)
