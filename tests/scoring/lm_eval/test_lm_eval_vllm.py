"""The same tasks on vLLM: against lm-eval's own command with its own model of vLLM."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ropo_bench.sources.models import model_folder
from ropo_bench.types.engines import Engine
from tests.scoring.lm_eval.definitions import write
from tests.scoring.lm_eval.oracle import column, engine_of, lm_eval, percent, recipe, responses, scores

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed"),
]


@pytest.fixture(scope="module")
def folder() -> Path:
    return model_folder("pocket:sft")


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("definitions"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    made = engine_of(folder, "vllm")
    yield made
    made.close()


def test_every_item_is_that_of_lm_evals_own_command(
    folder: Path, tasks: Path, engine: Engine, tmp_path: Path
) -> None:
    samples, results = lm_eval("vllm", folder, tasks, tmp_path / "out", "--apply_chat_template")
    choice = scores(engine, folder, recipe(tmp_path, "tiny_choice", tasks, apply_chat_template=True))
    assert column(choice, "acc") == percent(samples, "tiny_choice", "acc")
    assert column(choice, "acc_norm") == percent(samples, "tiny_choice", "acc_norm")
    ordered = [sample for _, sample in sorted(samples["tiny_choice", "none"].items())]
    own = [float(logp) for sample in ordered for logp, _ in sample["filtered_resps"]]
    assert [logp for one in responses(choice, "acc") for logp, _ in one] == pytest.approx(own, abs=2e-3)

    maths = scores(engine, folder, recipe(tmp_path, "tiny_maths", tasks, apply_chat_template=True))
    for filter_ in ("strict-match", "flexible-extract"):
        assert column(maths, f"exact_match/{filter_}") == percent(samples, "tiny_maths", "exact_match", filter_)
        theirs = [one["filtered_resps"] for _, one in sorted(samples["tiny_maths", filter_].items())]
        assert responses(maths, f"exact_match/{filter_}") == theirs

    orders = scores(engine, folder, recipe(tmp_path, "tiny_orders", tasks, apply_chat_template=True))
    texts = [one["filtered_resps"] for _, one in sorted(samples["tiny_orders", "none"].items())]
    assert responses(orders, "prompt_level_strict_acc") == texts
    assert sum(len(text) > 3 for [text] in texts) > 1

    group = scores(engine, folder, recipe(tmp_path, "tiny_group", tasks, apply_chat_template=True))
    for name in ("tiny_east", "tiny_west"):
        assert column(group, f"acc/{name}") == percent(samples, name, "acc")

    rolling = scores(engine, folder, recipe(tmp_path, "tiny_texts", tasks))
    [value] = column(rolling, "bits_per_byte").values()
    assert value == pytest.approx(results["tiny_texts"]["bits_per_byte,none"], rel=1e-4)


def test_stop_texts_templates_and_samples(folder: Path, tasks: Path, engine: Engine, tmp_path: Path) -> None:
    """A stop text ends a text where it begins; what is drawn has a seed of its own, and is drawn again the same."""
    whole = scores(engine, folder, recipe(tmp_path, "tiny_orders", tasks, apply_chat_template=True))
    texts = [text for [text] in responses(whole, "prompt_level_strict_acc")]
    stop = next(text[len(text) // 2] for text in texts if len(text) > 3)
    options: dict[str, Any] = {"apply_chat_template": True, "gen_kwargs": {"until": [stop]}}
    cut = scores(engine, folder, recipe(tmp_path, "tiny_orders", tasks, **options))
    assert [text for [text] in responses(cut, "prompt_level_strict_acc")] == [text.split(stop)[0] for text in texts]
    options["gen_kwargs"] = {"do_sample": True, "temperature": 1.5}
    drawn = [scores(engine, folder, recipe(tmp_path, "tiny_orders", tasks, **options)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert responses(drawn[0], "prompt_level_strict_acc") != responses(whole, "prompt_level_strict_acc")
