"""The vLLM backend as an engine: chats and turns here, tokens in worker processes whose memory ends with them.

vLLM keeps as many conversations going as fit; each goes on to its next turn as soon as it has its answer.
"""

from __future__ import annotations

import itertools
import os
import queue
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ropo_bench.errors import UsageError
from ropo_bench.generation.base import Conversation, check_logps, fit, num_new_tokens, temperature_of, turn_seed
from ropo_bench.generation.hf import stop_ids
from ropo_bench.generation.swapping import differ_in_weights_only
from ropo_bench.generation.vllm_process import Worker
from ropo_bench.models.checks import check_model
from ropo_bench.models.load import DTYPES, generation_config, load_tokenizer
from ropo_bench.preferences.chat import encode_prompts
from ropo_bench.recipes.suite import VllmRecipe
from ropo_bench.recipes.task import Decoding
from ropo_bench.types import Completion, Prompt
from ropo_bench.types.engines import TextRequest

CPU_CONVERSATIONS = 32  # whole contexts that the CPU's key-value cache has room for, where memory allows
CPU_CACHE_BYTES = 256 << 20  # at least
CPU_MEMORY_SHARE = 0.25  # at most
CPU_STEP_TOKENS = 4096  # read in one step, where the context is not longer

ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
# One process an engine: its memory is the worker's, and there is nothing to compile for.
CPU_ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "TORCHDYNAMO_DISABLE": "1"}


class VllmEngine:
    """An Engine (see ropo_bench.types.engines) of vLLM; data_parallel_size workers share the prompts round robin.

    Sampled text has a seed of its own for every prompt, sample and turn, but may still differ between engine lives
    and with what else was in a batch: `life` says which made it. Raises MethodFailed where a worker dies.
    """

    backend = "vllm"

    def __init__(self, folder: Path, dtype: str, recipe: VllmRecipe) -> None:
        import torch
        from transformers import AutoConfig

        self.life = _life()
        check_model(folder, self.backend)
        self.tokenizer = load_tokenizer(folder)
        self._folder = folder
        config = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config()
        on_cpu = not torch.cuda.is_available()
        memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if on_cpu else None
        arguments = engine_arguments(folder, dtype, recipe, config, memory_bytes)
        if on_cpu:
            threads = max(1, torch.get_num_threads() // recipe.data_parallel_size)
            shared = {**CPU_ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}
            places: list[dict[str, str]] = [shared] * recipe.data_parallel_size
        else:
            places = gpu_places(recipe, os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count())
        self._ids = map(str, itertools.count())
        self._inbox: queue.SimpleQueue[tuple[Worker, dict[str, Any] | None]] = queue.SimpleQueue()
        self._workers: list[Worker] = []
        try:
            for place in places:
                self._workers.append(Worker(f"model {folder}", arguments, {**ENVIRONMENT, **place}, self._inbox))
            ready = [self._receive()["ready"] for _ in places]
        except BaseException:
            self.close()
            raise
        self.room_tokens: int = ready[0]["max_model_len"]

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Where answers end; on first use, because log-likelihoods alone need no chat template."""
        return stop_ids(generation_config(self._folder), self.tokenizer)

    def generate(
        self, prompts: Sequence[Prompt], decoding: Decoding, done: Collection[tuple[str, int]] = ()
    ) -> Iterator[list[Completion]]:
        """Completions as they come, of every (prompt id, sample) that is not in `done`.

        An answer ends where the model's context does.
        """
        wanted = [
            Conversation(prompt, sample, thoughts=decoding.thoughts)
            for prompt in prompts
            for sample in range(decoding.num_samples)
            if (prompt.id, sample) not in done
        ]
        chats = encode_prompts(self.tokenizer, [conversation.ask() for conversation in wanted])
        open_: dict[str, tuple[Worker, Conversation]] = {}
        finished: list[Completion] = []

        def go_on(worker: Worker, conversation: Conversation, ids: Sequence[int] | None = None) -> None:
            """Ask for the next answer that there is room for; without any room it is empty."""
            while not conversation.finished:
                if ids is None:
                    [ids] = encode_prompts(self.tokenizer, [conversation.ask()])
                room = num_new_tokens(len(ids), decoding.max_new_tokens, self.room_tokens)
                if room:
                    open_[self._ask(worker, conversation, ids, room, decoding)] = worker, conversation
                    return
                conversation.answer([], self.stop_ids, self.tokenizer)
                ids = None
            finished.append(conversation.completion())

        try:
            for conversation, ids, worker in zip(wanted, chats, itertools.cycle(self._workers), strict=False):
                go_on(worker, conversation, ids)
            while open_ or finished:
                if finished:
                    yield list(finished)
                    finished.clear()
                    continue
                for message in self._receive_all():
                    if message["id"] not in open_:
                        continue  # of a call that was given up
                    worker, conversation = open_.pop(message["id"])
                    conversation.answer(message["tokens"], self.stop_ids, self.tokenizer)
                    go_on(worker, conversation)
        finally:
            self._give_up({id: worker for id, (worker, _) in open_.items()})

    def _ask(
        self, worker: Worker, conversation: Conversation, ids: Sequence[int], room: int, decoding: Decoding
    ) -> str:
        id = next(self._ids)
        worker.send(
            {
                "do": "generate",
                "id": id,
                "prompt": ids,
                "temperature": temperature_of(conversation.prompt, decoding),
                "top_p": decoding.top_p,
                "seed": turn_seed(decoding.seed, conversation.prompt.id, conversation.sample, conversation.turn),
                "max_tokens": room,
                "stop": sorted(self.stop_ids),
            }
        )
        return id

    def loglikelihoods(self, requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[tuple[float, bool]]:
        """Of each (context ids, continuation ids): summed log-probability in nats, and whether it is greedy.

        vLLM wants room for one more token than it reads; see base.fit.
        """
        fitted = [fit(context, continuation, self.room_tokens - 1) for context, continuation in requests]
        answers = self._answers([{"do": "score", "prompt": ids, "start": start} for ids, start in fitted])
        return check_logps([(answer["logprob"], answer["greedy"]) for answer in answers])

    def complete(self, requests: Sequence[TextRequest]) -> list[str]:
        """The texts that follow; see TextEngine. They end at the model's and the tokenizer's end tokens, too."""
        ends = generation_config(self._folder).eos_token_id
        given = [*(ends if isinstance(ends, list) else [ends]), self.tokenizer.eos_token_id]
        shared = {"do": "complete", "stop_ids": sorted({id for id in given if id is not None})}
        answers = self._answers(
            [
                {
                    **shared,
                    "prompt": list(request.ids),
                    "max_tokens": request.max_tokens,
                    "stop": list(request.stop),
                    "sampling": dict(request.sampling),
                }
                for request in requests
            ]
        )
        return [answer["text"] for answer in answers]

    def _answers(self, questions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The worker's answer to each question, in order."""
        open_: dict[str, tuple[Worker, int]] = {}
        answers: list[dict[str, Any]] = [{}] * len(questions)
        try:
            for index, (question, worker) in enumerate(zip(questions, itertools.cycle(self._workers), strict=False)):
                id = next(self._ids)
                worker.send({**question, "id": id})
                open_[id] = worker, index
            while open_:
                for message in self._receive_all():
                    if message["id"] in open_:
                        answers[open_.pop(message["id"])[1]] = message
        finally:
            self._give_up({id: worker for id, (worker, _) in open_.items()})
        return answers

    def swap(self, folder: Path) -> bool:
        """Take the weights of another folder into the running workers, where all else is the same; see Engine.

        A start costs minutes on a GPU, a swap what reading the weights costs. Raises MethodFailed where a worker dies
        of it.
        """
        if not differ_in_weights_only(self._folder, folder):
            return False
        check_model(folder, self.backend)
        self._answers([{"do": "reload", "folder": str(folder)}] * len(self._workers))  # one to each
        self._folder, self.tokenizer = folder, load_tokenizer(folder)
        self.__dict__.pop("stop_ids", None)
        self.life = _life()
        return True

    def close(self) -> None:
        """End the workers; their memory is free when this returns."""
        for worker in self._workers:
            worker.close()
        self._workers = []

    def _receive_all(self) -> list[dict[str, Any]]:
        """Everything that has arrived, at least one message."""
        messages = [self._receive()]
        while not self._inbox.empty():
            messages.append(self._receive())
        return messages

    def _receive(self) -> dict[str, Any]:
        worker, message = self._inbox.get()
        if message is None:
            raise worker.describe_end()
        return message

    def _give_up(self, open_: Mapping[str, Worker]) -> None:
        """Let the workers forget what nobody waits for any more."""
        for worker in self._workers:
            ids = [id for id, owner in open_.items() if owner is worker]
            if ids and worker.process.poll() is None:
                worker.send({"do": "abort", "ids": ids})


def _life() -> str:
    return f"vllm-{secrets.token_hex(4)}"


def engine_arguments(
    folder: Path, dtype: str, recipe: VllmRecipe, config: Any, memory_bytes: int | None
) -> dict[str, Any]:
    """The arguments of vllm.LLM; config: transformers' of the model, memory_bytes: of a machine without GPUs."""
    context: int | None = getattr(config, "max_position_embeddings", None)
    limits = [limit for limit in (recipe.max_model_len, context) if limit is not None]
    max_model_len = min(limits) if limits else None
    arguments: dict[str, Any] = {
        "model": str(folder),
        "dtype": dtype,  # vLLM's default casts fp32 down
        "seed": 0,
        "max_model_len": max_model_len,
        "tensor_parallel_size": recipe.tensor_parallel_size,
        "enable_prefix_caching": True,
        "generation_config": "vllm",  # what is drawn is the task's business, not that of a file beside the model
        "skip_tokenizer_init": True,
        "disable_log_stats": True,
    }
    if memory_bytes is None:
        return {**arguments, "gpu_memory_utilization": recipe.gpu_memory_utilization}
    token_bytes = 2 * config.num_hidden_layers * _kv_width(config) * DTYPES[dtype].itemsize
    wanted = max(CPU_CACHE_BYTES, CPU_CONVERSATIONS * (max_model_len or 0) * token_bytes)
    share = int(memory_bytes * CPU_MEMORY_SHARE / recipe.data_parallel_size)
    return {
        **arguments,
        "enforce_eager": True,
        "kv_cache_memory_bytes": min(wanted, share),
        # vLLM 0.32 winds a CUDA generator back after a chunk of a seeded prompt, and fails on a CPU's.
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(CPU_STEP_TOKENS, max_model_len or 0),
    }


def _kv_width(config: Any) -> int:
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int((getattr(config, "num_key_value_heads", None) or heads) * head_dim)


def gpu_places(recipe: VllmRecipe, visible: str | None, num_gpus: int) -> list[dict[str, str]]:
    """The environment of each worker, which names its GPUs; visible: CUDA_VISIBLE_DEVICES, if it is set."""
    wanted = recipe.data_parallel_size * recipe.tensor_parallel_size
    if wanted > num_gpus:
        raise UsageError(
            f"vllm: data_parallel_size {recipe.data_parallel_size} x tensor_parallel_size"
            f" {recipe.tensor_parallel_size} wants {wanted} GPUs, here are {num_gpus}; lower them in the suite"
        )
    if recipe.data_parallel_size == 1:
        return [{}]
    names = visible.split(",") if visible else [str(index) for index in range(num_gpus)]
    size = recipe.tensor_parallel_size
    groups = [names[i * size : (i + 1) * size] for i in range(recipe.data_parallel_size)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups]
