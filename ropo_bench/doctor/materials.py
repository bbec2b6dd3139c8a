"""What a suite reads: base model, preference data, benchmark files; here, or to be had from the network."""

from __future__ import annotations

import os
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ropo_bench.doctor.line import Line
from ropo_bench.errors import RopoBenchError
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.suite import SuiteRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring import entry_of, find_judged
from ropo_bench.sources import assets
from ropo_bench.sources.models import local_model
from ropo_bench.sources.options import ASSET
from ropo_bench.sources.pairs import data_source
from ropo_bench.sources.prompt_files import registered_files
from ropo_bench.types import Message, Pair

HUB = "https://huggingface.co"
PROBE_SECONDS = 3.0
PROBE_PAIR = Pair("probe", (Message(role="user", content="Which is larger, 2 or 3?"),), "3 is larger.", "2")


def of_suite(suite: SuiteRecipe, tasks: Sequence[TaskRecipe], judges: Mapping[str, JudgeRecipe]) -> Iterator[Line]:
    """Everything that the suite reads; the network is asked only where something is not here."""
    judging = {judge.model for judge in judges.values() if judge.is_local}
    models = {name: _local(name) for name in dict.fromkeys((suite.base, *sorted(judging)))}
    data, hub_files = _data_here(suite.data), any(entry_of(task).data for task in tasks)
    files, absent = _files(tasks)
    from_hub = None in models.values() or not data or hub_files
    network = _probe() if from_hub or absent else None
    offline = network is not None and network.state != "ok"
    if network is None:
        yield Line("network", "ok", "not needed: base, data and benchmark files are here")
    else:
        yield network
    for name, place in models.items():
        yield _model(name, place, offline, "base" if name == suite.base else "judge model")
    if models[suite.base] not in (None, "broken"):
        yield _template(Path(str(models[suite.base])), suite.data)
    yield _data(suite.data, data, offline)
    yield _benchmark_files(files, absent, offline)


def _local(name: str) -> str | None:
    try:
        folder = local_model(name)
    except RopoBenchError:
        return "broken"
    return None if folder is None else str(folder)


def _model(name: str, place: str | None, offline: bool, what: str) -> Line:
    if place == "broken":
        return Line(what, "problem", f"{name}: no model folder there", "give a Hugging Face model folder or a hub id")
    if place is not None:
        return Line(what, "ok", f"{name} is on this machine")
    if offline:
        option = " with --base" if what == "base" else ""
        mend = f"with a network: hf download {name}; or give a local folder{option}"
        return Line(what, "problem", f"{name} is not on this machine, and the hub is not reachable", mend)
    return Line(what, "warning", f"{name} is not on this machine; it will be downloaded", f"hf download {name}")


def _template(folder: Path, data: str) -> Line:
    """The preflight of training: one BOS at most, the same tokens in training and generation, an end of turn."""
    from ropo_bench.models.load import load_tokenizer
    from ropo_bench.preferences import read_pairs, template_preflight
    from ropo_bench.preferences.chat import encode_prompts

    source = data_source(data)
    try:
        pairs = read_pairs(source).pairs if Path(source).is_file() else [PROBE_PAIR]
        tokenizer = load_tokenizer(folder)
        template_preflight(tokenizer, pairs)
    except RopoBenchError as error:
        return Line("template", "problem", str(error), "take a base whose tokenizer has a chat template for training")
    first_token = encode_prompts(tokenizer, [pairs[0].prompt])[0][:1]
    bos = "one BOS" if tokenizer.bos_token_id is not None and first_token == [tokenizer.bos_token_id] else "no BOS"
    of = f"the first {min(len(pairs), 64)} pairs" if pairs[0] is not PROBE_PAIR else "a made-up pair"
    return Line("template", "ok", f"training and generation get the same tokens, {bos}, on {of}")


def _data_here(name: str) -> bool:
    source = data_source(name)
    if Path(source).is_file():
        return True
    owner = source.partition("@")[0].partition(":")[0]
    return any(folder.is_dir() for folder in _caches(owner))


def _caches(owner: str) -> Iterator[Path]:
    """Where the hub's client and `datasets` keep a data set."""
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    datasets = Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets")
    yield (datasets / owner.replace("/", "___")).expanduser()


def _data(name: str, here: bool, offline: bool) -> Line:
    if here:
        return Line("data", "ok", f"{name} is on this machine")
    source = data_source(name)
    if source.count("/") != 1 or source.startswith((".", "/")):
        return Line("data", "problem", f"{name}: no such file", "give a preference file or a hub id with --data")
    if offline:
        mend = "repeat with a network, or give a local file with --data"
        return Line("data", "problem", f"{name} is not on this machine, and the hub is not reachable", mend)
    return Line("data", "warning", f"{name} is not on this machine; it will be downloaded", "nothing to do")


def _files(tasks: Sequence[TaskRecipe]) -> tuple[list[assets.Entry], list[assets.Entry]]:
    """Registered files that the tasks read, and those of them that are not here."""
    wanted: list[str] = []
    for task in tasks:
        scorer = find_judged(task.scorer)
        wanted += [] if scorer is None else [*scorer.question_files, *scorer.score_files]
        wanted += registered_files(task)
        options = (value for value in task.options.values() if isinstance(value, str))
        wanted += [value.removeprefix(ASSET) for value in options if value.startswith(ASSET)]
    files = [entry for entry in assets.entries() if entry.name.startswith(tuple(wanted))] if wanted else []
    return files, [entry for entry in files if assets.find(entry) is None]


def _benchmark_files(files: Sequence[assets.Entry], absent: Sequence[assets.Entry], offline: bool) -> Line:
    from ropo_bench.sources.assets.lookup import verify

    if not files:
        return Line("assets", "ok", "this suite needs no benchmark files")
    present = [entry for entry in files if entry not in absent]
    for entry in present:
        place = assets.find(entry)
        assert place is not None
        try:
            verify(entry, place[1])
        except RopoBenchError as error:
            return Line("assets", "problem", str(error), "take the file again: ropo-bench assets fetch")
    mirror = assets.mirror_folder()
    where = f"mirror {mirror}" if mirror else f"no mirror, cache {assets.cache_folder()}"
    text = f"{len(present)} of {len(files)} benchmark files here and verified ({where})"
    closed = [entry for entry in absent if offline or entry.url is None]
    if closed:
        names = ", ".join(entry.name for entry in closed[:3]) + (f" and {len(closed) - 3} more" if closed[3:] else "")
        mend = "give a mirror with --assets DIR or ROPO_BENCH_ASSETS, or with a network: ropo-bench assets fetch"
        return Line("assets", "problem", f"{text}; missing {names}", mend)
    if absent:
        return Line("assets", "warning", f"{text}; the others will be downloaded", "ropo-bench assets fetch")
    return Line("assets", "ok", text)


def _probe() -> Line:
    """Whether the hub answers within PROBE_SECONDS; name resolution, which knows no timeout, is bounded too."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Line("network", "warning", "HF_HUB_OFFLINE is set: the hub is not asked", "unset HF_HUB_OFFLINE")
    url = os.environ.get("HF_ENDPOINT") or HUB
    said: list[str | None] = []
    worker = threading.Thread(target=lambda: said.append(_ask(url)), daemon=True)
    worker.start()
    worker.join(PROBE_SECONDS + 1)
    reason = said[0] if said else f"no answer within {PROBE_SECONDS:g} s"
    if reason is None:
        return Line("network", "ok", f"{url} answers")
    mend = "check the network and its proxy settings; a mirror of the hub can be named in HF_ENDPOINT"
    return Line("network", "warning", f"{url} is not reachable ({reason})", mend)


def _ask(url: str) -> str | None:
    """None where any HTTP server answers, else why not."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return "its name cannot be resolved" if isinstance(reason, socket.gaierror) else str(reason) or "no answer"
    return None
