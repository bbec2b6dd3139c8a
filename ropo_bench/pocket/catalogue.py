"""All instruction templates: what each draws, and how it becomes turns and requirements."""

from __future__ import annotations

from ropo_bench.pocket import draws
from ropo_bench.pocket import templates_facts as facts
from ropo_bench.pocket import templates_lists as lists
from ropo_bench.pocket import templates_people as people
from ropo_bench.pocket import templates_reasoning as reasoning
from ropo_bench.pocket import templates_writing as writing
from ropo_bench.pocket.templates import Template

TEMPLATES: tuple[Template, ...] = (
    Template("story-two", "writing", draws.two_and_place, writing.story_two, open=True),
    Template("story-word", "writing", draws.hero_place_word, writing.story_word, open=True),
    Template("story-length", "writing", draws.two_and_number, writing.story_length, open=True),
    Template("scene", "writing", draws.place_weather, writing.scene, open=True),
    Template("letter", "writing", draws.two_people_thing, writing.letter, open=True),
    Template("introduce", "roleplay", draws.persona_and_other, people.introduce, open=True),
    Template("ask-voice", "roleplay", draws.persona_asked, people.ask_voice),
    Template("day", "roleplay", draws.two_and_place, people.day, open=True),
    Template("person-two", "humanities", draws.person_asked, people.person_two),
    Template("person-about", "humanities", draws.person_number, people.person_about, open=True),
    Template("advice", "humanities", draws.trouble_of_two, people.advice, open=True),
    Template("feel", "humanities", draws.trouble, people.feel, open=True),
    Template("gift", "humanities", draws.two_people, people.gift),
    Template("bigger", "reasoning", draws.bigger, reasoning.bigger),
    Template("odd", "reasoning", draws.odd, reasoning.odd),
    Template("order", "reasoning", draws.order, reasoning.order),
    Template("yes-no", "reasoning", draws.yes_no, reasoning.yes_no),
    Template("same", "reasoning", draws.same, reasoning.same),
    Template("sum", "math", draws.sums, reasoning.sums),
    Template("count-story", "math", draws.count_story, reasoning.count_story),
    Template("more", "math", draws.more, reasoning.more),
    Template("steps", "coding", draws.steps, lists.steps),
    Template("sort", "coding", draws.sort, lists.sort),
    Template("reverse", "coding", draws.reverse, lists.reverse),
    Template("filter", "coding", draws.filter_list, lists.filter_list),
    Template("replace", "coding", draws.replace, lists.replace),
    Template("owns", "extraction", draws.owns, facts.owns),
    Template("went", "extraction", draws.went, facts.went),
    Template("bought", "extraction", draws.bought, facts.bought),
    Template("saw", "extraction", draws.saw, facts.saw),
    Template("nature-two", "stem", draws.nature, facts.nature_two),
    Template("nature-facts", "stem", draws.nature_facts, facts.nature_facts),
    Template("contrast", "stem", draws.contrast, facts.contrast),
    Template("which", "stem", draws.which, facts.which),
)
BY_ID: dict[str, Template] = {template.id: template for template in TEMPLATES}
