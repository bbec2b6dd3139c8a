"""docs/methods.md: every row with its formula, source, difference to dpo and size, made from the recipes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ropo_bench.commands.method_words import BOTH, FAMILIES, adapter_forms, grouped, loss_forms, plain
from ropo_bench.models.size import Anatomy, of_shape, trainable_parameters
from ropo_bench.recipes import adapters, crossed, losses
from ropo_bench.recipes.load import diff_recipes, load_method, load_methods, load_suite
from ropo_bench.recipes.method import MethodRecipe

HEAD = """# Methods

<!-- made by `ropo-bench methods page > docs/methods.md`; a test holds it to the recipes -->

A method is a row of the leaderboard: a loss, an adapter and a schedule (`methods/NAME.yaml`). `ropo-bench methods
show NAME` prints one in words and as a recipe. A row differs from `dpo` by what the last column says and by nothing
else; a suite may give every row a learning rate of its own. All rows of one base and data set read the same reference
log-probabilities, computed once.
"""

CROSSED = """## Loss x adapter

`--methods simpo+ropo,dpo+dora` makes a row of two: {rule}. Its name is as typed, also in
`--set simpo+ropo.train.lr=1e-3` and in a suite's `overrides`; `ropo-bench methods show simpo+ropo` prints it. The
loss is that of any row on this page, and so is the adapter.
"""

ABSENT = """## Losses that are not here

A loss gets the log-probability of each answer, summed over its tokens, under the policy and under the reference, the
answers' lengths, and scalars of the optimizer step. That is what makes one cached reference pass serve every row.
These need more, and are left out rather than approximated:

- **TDPO** (arXiv 2404.11999): the KL divergence from the reference at every token, over the whole vocabulary.
- **WPO** (arXiv 2406.11827): its weights divide every token's probability by the sum of squares over the vocabulary.
- **LD-DPO** (arXiv 2409.06411): the log-probability of each answer's first tokens, as many as the shorter answer has,
  under the policy and under the reference.
- **AOT** (arXiv 2406.05882): the margins of all pairs of a step, sorted against each other; a pair's loss depends on
  every other pair, not on a scalar of the step.
- **HyPO** of arXiv 2406.01462: samples of the policy while it trains. `hypo` is another method of that name.

SPPO, BCO, SLiC-HF, RPO and EXO are here as they stand for given pairs; what their papers do besides (new samples at
every iteration, a preference model's probabilities, more than two answers) is not.
"""

START = """An adapter leaves the base model as it is at the start, bit for bit; `pissa`, `hra` and `dora` do so but
for rounding: PiSSA splits the weights in two, HRA's reflections cancel in pairs, DoRA divides by norms and multiplies
by them again.
"""


def page() -> str:
    """The page as Markdown; needs neither torch nor a model."""
    shape = load_suite("llama3-8b").shape
    assert shape is not None
    model, dpo = of_shape(shape), load_method("dpo")
    parts = [HEAD, f"## Losses\n\n{losses.LETTERS}.\n"]
    for group, methods in grouped(load_methods("all")):
        if group in FAMILIES:
            parts.append(f"### {group[0].upper()}{group[1:]}\n\n" + "\n".join(_loss_lines(methods, dpo)) + "\n")
        else:
            letters = (
                "" if group == BOTH else f"{adapters.LETTERS}. Trainable parameters are those of Llama-3-8B.\n\n"
            )
            table = "\n".join(_adapter_lines(methods, dpo, model))
            parts.append(f"## {group[0].upper()}{group[1:]}\n\n{letters}{table}\n\n{START}")
    return "\n".join([*parts, CROSSED.format(rule=crossed.RULE.format(loss="the left", adapter="the right")), ABSENT])


def _loss_lines(methods: Sequence[MethodRecipe], dpo: MethodRecipe) -> Iterator[str]:
    yield "| row | loss of a pair | source | idea | differs from dpo |"
    yield "|---|---|---|---|---|"
    for method in methods:
        formula, source = loss_forms(method.loss)[-1]
        idea = losses.LOSSES[method.loss.name].idea
        cells = (f"`{formula}`", source, idea, _difference(method, dpo))
        yield f"| `{method.name}` | {' | '.join(map(_cell, cells))} |"


def _adapter_lines(methods: Sequence[MethodRecipe], dpo: MethodRecipe, model: Anatomy) -> Iterator[str]:
    yield "| row | weights | source | trainable | share | differs from dpo |"
    yield "|---|---|---|--:|--:|---|"
    for method in methods:
        formula, source = adapter_forms(method.adapter)[-1]
        count = trainable_parameters(model, method.adapter)
        sizes = ("", "") if count is None else (f"{count:,}", f"{100 * count / model.num_parameters:.4f} %")
        cells = (f"`{formula}`", source, *sizes, _difference(method, dpo))
        yield f"| `{method.name}` | {' | '.join(map(_cell, cells))} |"


def _difference(method: MethodRecipe, dpo: MethodRecipe) -> str:
    changes = (f"{key} {plain(value)}" for key, _, value in diff_recipes(dpo, method))
    return ", ".join(changes) or "nothing"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
