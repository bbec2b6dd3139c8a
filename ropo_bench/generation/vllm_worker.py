"""The child process that holds one vLLM engine: token ids in, token ids and log-probabilities out.

One JSON object a line. First in: the arguments of vllm.LLM. First out: {"ready": ...}. Then in any order
    {"do": "generate", "id", "prompt", "temperature", "top_p", "seed", "max_tokens", "stop"} -> {"id", "tokens"}
    {"do": "score", "id", "prompt", "start"} -> {"id", "logprob", "greedy"}: of prompt[start:], given what is before
    {"do": "complete", "id", "prompt", "max_tokens", "stop", "stop_ids", "sampling"} -> {"id", "text"}: stop are texts
    {"do": "abort", "ids"}: no answers to these
    {"do": "reload", "id", "folder"} -> {"id", "reloaded"}: its weights from now on; sent while nothing is open
and at the end of the input the process ends. Chats and turns are the parent's business (vllm.py).
"""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
from collections.abc import Mapping
from typing import Any, TextIO

FAREWELL_SECONDS = 30  # a process that cannot end by itself is ended by its alarm
END: dict[str, Any] = {"do": "end"}


def main() -> None:
    """Serve until the input ends; errors go to stderr, which is the log."""
    lines_in, lines_out = _take_pipes()
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines_in, requests), daemon=True).start()
    arguments = requests.get()
    if arguments is END:
        return
    from vllm import LLM

    engine: Any = LLM(**arguments).llm_engine
    _write(lines_out, {"ready": {"max_model_len": engine.model_config.max_model_len}})
    _serve(engine, requests, lines_out)


def _take_pipes() -> tuple[TextIO, TextIO]:
    """The protocol's pipes on descriptors of their own; whoever prints from now on prints into the log."""
    lines_in, lines_out = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return lines_in, lines_out


def _read(lines: TextIO, requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Always reading, so that the parent never waits; the input also ends when the parent is killed."""
    for line in lines:
        requests.put(json.loads(line))
    signal.alarm(FAREWELL_SECONDS)
    requests.put(END)


def _serve(engine: Any, requests: queue.SimpleQueue[dict[str, Any]], lines_out: TextIO) -> None:
    starts: dict[str, int] = {}
    texts: set[str] = set()
    while True:
        while not (requests.empty() and engine.has_unfinished_requests()):
            request = requests.get()
            if request is END:
                return
            if request["do"] == "abort":
                engine.abort_request(request["ids"])
                continue
            if request["do"] == "reload":
                _reload(engine, request["folder"])
                _write(lines_out, {"id": request["id"], "reloaded": True})
                continue
            if request["do"] == "score":
                starts[request["id"]] = request["start"]
            if request["do"] == "complete":
                _give_tokenizer(engine)
                texts.add(request["id"])
            engine.add_request(request["id"], {"prompt_token_ids": request["prompt"]}, _sampling(request))
        for output in engine.step():
            if output.finished:
                start = starts.pop(output.request_id, None)
                if output.request_id in texts:
                    texts.remove(output.request_id)
                    _write(lines_out, {"id": output.request_id, "text": output.outputs[0].text})
                else:
                    _write(lines_out, _plain_answer(output) if start is None else _plain_score(output, start))
        lines_out.flush()


def _reload(engine: Any, folder: str) -> None:
    """Read another model's weights in place; what was computed with the ones before is forgotten."""
    from vllm.platforms import current_platform

    engine.collective_rpc("reload_weights", kwargs={"weights_path": folder})
    if current_platform.is_cpu():
        engine.collective_rpc(_pack_heads_anew)
    if not engine.reset_prefix_cache():
        raise RuntimeError("the prefix cache still holds what the weights before computed")
    engine.model_config.model = folder
    engine.output_processor.tokenizer = None


def _pack_heads_anew(worker: Any) -> None:
    """Let tied heads see the new embeddings: vLLM 0.32 on a CPU goes on with a packed copy of the old ones."""
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for module in worker.get_model().modules():
        if isinstance(module, ParallelLMHead):
            module.quant_method.process_weights_after_loading(module)


def _give_tokenizer(engine: Any) -> None:
    """Let the engine look for stop texts; it began without a tokenizer, which nothing else here needs."""
    if engine.output_processor.tokenizer is None:
        from vllm.tokenizers import get_tokenizer

        engine.output_processor.tokenizer = get_tokenizer(engine.model_config.model)


def _sampling(request: Mapping[str, Any]) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    # Only the stop tokens that the parent names, so that both backends stop alike.
    given: dict[str, Any] = {"output_kind": RequestOutputKind.FINAL_ONLY, "detokenize": False, "ignore_eos": True}
    if request["do"] == "complete":
        return SamplingParams(
            **{
                "skip_special_tokens": False,
                "spaces_between_special_tokens": False,
                **request["sampling"],
                **given,
                "detokenize": True,
                "max_tokens": request["max_tokens"],
                "stop": request["stop"],
                "stop_token_ids": request["stop_ids"],
            }
        )
    if request["do"] == "score":
        return SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=1, **given)
    return SamplingParams(
        temperature=request["temperature"],
        top_p=request["top_p"],
        seed=request["seed"],
        max_tokens=request["max_tokens"],
        stop_token_ids=request["stop"],
        **given,
    )


def _plain_answer(output: Any) -> dict[str, Any]:
    return {"id": output.request_id, "tokens": list(output.outputs[0].token_ids)}


def _plain_score(output: Any, start: int) -> dict[str, Any]:
    total, greedy = 0.0, True
    for token, position in zip(output.prompt_token_ids[start:], output.prompt_logprobs[start:], strict=True):
        # Each position holds the prompt's own token and the best one.
        total += position[token].logprob
        greedy &= position[token].logprob >= max(other.logprob for other in position.values())
    return {"id": output.request_id, "logprob": total, "greedy": greedy}


def _write(lines_out: TextIO, message: Mapping[str, Any]) -> None:
    print(json.dumps(message), file=lines_out, flush="ready" in message or "reloaded" in message)


if __name__ == "__main__":
    main()
