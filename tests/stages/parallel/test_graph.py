"""The graph of stages: what needs what, and what one process makes together."""

from __future__ import annotations

from ropo_bench.planning import reads_reference
from ropo_bench.request import Asked, Request, resolve
from ropo_bench.stages.parallel.graph import Graph, make_graph


def graph_of(request: Request) -> Graph:
    return make_graph(
        request.methods,
        request.training_seeds,
        request.tasks,
        request.judges,
        request.checkpoints,
        request.canaries,
        reads_reference,
    )


FLAGSHIP = graph_of(resolve(Asked("ropo,dpo,simpo", "llama3-8b", seeds=2, judge="gpt-4.1")))


def test_every_need_stands_before_who_needs_it() -> None:
    names = list(FLAGSHIP)
    for place, node in enumerate(FLAGSHIP.values()):
        assert node.name == names[place]
        assert set(node.needs) <= set(names[:place]), node


def test_a_row_goes_from_pairs_to_scores() -> None:
    way = ["scores ropo seed 1 alpaca-eval-2"]
    while FLAGSHIP[way[-1]].needs:
        way.append(FLAGSHIP[way[-1]].needs[0])
    assert way[::-1] == [
        "pairs",
        "reference 2048 tokens, bfloat16 1800",
        "policy ropo seed 1",
        "merged ropo seed 1",
        "completions ropo seed 1 alpaca-eval-2",
        "scores ropo seed 1 alpaca-eval-2",
    ]


def test_a_loss_without_a_reference_waits_for_the_pairs_only() -> None:
    assert FLAGSHIP["policy simpo seed 0"].needs == ("pairs",)
    assert [name for name in FLAGSHIP if name.startswith("reference")] == ["reference 2048 tokens, bfloat16 1800"]


def test_tasks_that_share_answers_share_their_node() -> None:
    drawn = [node.what for node in FLAGSHIP.values() if node.stage == "completions" and node.row == "ropo"]
    assert drawn == ["mt-bench", "alpaca-eval-2"] * 2
    assert FLAGSHIP["scores ropo seed 0 diversity-mt-bench"].needs == (
        "completions ropo seed 0 mt-bench",
        "completions SFT mt-bench",
    )


def test_one_process_gives_all_answers_of_a_model() -> None:
    block = [node.name for node in FLAGSHIP.values() if node.block == "answers ropo seed 0"]
    assert block == [
        "completions ropo seed 0 mt-bench",
        "completions ropo seed 0 alpaca-eval-2",
        "scores ropo seed 0 commonsense",
    ]
    assert FLAGSHIP["scores ropo seed 0 energy"].needs == ("merged ropo seed 0",)
    assert FLAGSHIP["scores ropo seed 0 energy"].block == "scores ropo seed 0 energy"


def test_the_judge_compares_with_the_base_models_answers_unless_the_opponent_is_fixed() -> None:
    pairwise, alpaca = (FLAGSHIP[f"scores dpo seed 0 {task}"] for task in ("mt-bench-pairwise", "alpaca-eval-2"))
    assert pairwise.judged
    assert pairwise.needs == ("completions dpo seed 0 mt-bench", "completions SFT mt-bench")
    assert alpaca.needs == ("completions dpo seed 0 alpaca-eval-2",)
    assert FLAGSHIP["canaries SFT alpaca-eval-2"].needs == ()
