"""A run's name and the request behind it: the same one goes on, more of it is added, another one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ropo_bench.comparison.request_changes import refuse_another_request
from ropo_bench.errors import StorageError, UsageError
from ropo_bench.request import Asked, resolve
from ropo_bench.store import Store
from tests import stored_run

ASKED = {"methods": "dpo", "suite": "pocket", "seeds": 2, "first_seed": 1}


def store_of(folder: Path, **changes: object) -> Store:
    store = Store(folder)
    asked = resolve(Asked(**(ASKED | changes))).record()  # type: ignore[arg-type]
    store.write_run("mine", stored_run.record(asked).model_dump())
    return store


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"methods": "dpo,ropo"},
        {"seeds": 3},
        {"seeds": 3, "first_seed": 0},
        {"checkpoints": ["a=/models/a"]},
    ],
)
def test_the_same_request_and_more_of_it_go_on(tmp_path: Path, changes: dict[str, object]) -> None:
    store = store_of(tmp_path)
    refuse_another_request(store, "mine", resolve(Asked(**(ASKED | changes))))  # type: ignore[arg-type]
    refuse_another_request(store, "yours", resolve(Asked(**(ASKED | changes))))  # type: ignore[arg-type]


def test_one_task_more_is_more(tmp_path: Path) -> None:
    tasks = resolve(Asked("dpo", "pocket")).suite.tasks
    store = store_of(tmp_path, tasks=tasks[0])
    more = resolve(Asked("dpo", "pocket", tasks=",".join(tasks), seeds=2, first_seed=1))
    refuse_another_request(store, "mine", more)
    with pytest.raises(UsageError, match=f"it has task {tasks[1]}, this has not"):
        refuse_another_request(store_of(tmp_path / "b"), "mine", resolve(Asked("dpo", "pocket", tasks=tasks[0])))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": "ropo"}, "it has method dpo, this has not"),
        ({"sets": ["train.lr=3e-3"]}, r"method dpo: train lr \S+ \| 0.003"),
        ({"sets": ["dpo.loss.beta=0.7"]}, r"method dpo: loss beta \S+ \| 0.7"),
        ({"seeds": 1}, r"seeds 1 to 2 \| 1 to 1"),
        ({"first_seed": 2}, r"seeds 1 to 2 \| 2 to 3"),
        ({"base": "/models/other"}, r"suite: base \S+ \| /models/other"),
        ({"data": "other.jsonl"}, r"suite: data \S+ \| other.jsonl"),
        ({"canaries": False}, r"canaries yes \| no"),
    ],
)
def test_another_request_is_refused_with_the_difference(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    store = store_of(tmp_path)
    with pytest.raises(UsageError, match=words) as caught:
        refuse_another_request(store, "mine", resolve(Asked(**(ASKED | changes))))  # type: ignore[arg-type]
    assert "--name mine: there is a run of this name" in str(caught.value)
    assert f"or delete {tmp_path / 'mine' / 'run.json'} to replace it" in str(caught.value)


def test_a_checkpoint_of_another_folder_is_another_row(tmp_path: Path) -> None:
    store = store_of(tmp_path, checkpoints=["a=/models/a"])
    for given, words in [(["a=/models/b"], "checkpoint a: /models/a | /models/b"), ([], "it has checkpoint a")]:
        with pytest.raises(UsageError, match=words.replace("|", r"\|")):
            refuse_another_request(store, "mine", resolve(Asked(**ASKED, checkpoints=given)))  # type: ignore[arg-type]


def test_a_damaged_record_is_no_other_request(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    path = tmp_path / "mine" / "run.json"
    path.write_text(path.read_text().replace("pocket", "rocket", 1))
    with pytest.raises(StorageError, match="content changed since it was written; delete it and repeat"):
        refuse_another_request(store, "mine", resolve(Asked(**ASKED)))  # type: ignore[arg-type]
