"""The certificate's last step: does the engine that will generate answer as the policy did?

Beside a merged model lie single tokens with the log-probabilities that the policy gave them; an engine that has
loaded the folder is asked for the same, before anything that it says is judged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ropo_bench.engines import Engine
from ropo_bench.errors import CertificateFailed
from ropo_bench.merging.function import Answers, kept_positions
from ropo_bench.runs.files import atomic_write_json, read_json

TOKEN_PROBES = "token_probes.json"
TOKENS_A_PROBE = 4  # those that training changed most, and as many evenly spread
# Mean |difference| in nats a token. The engine computes in its dtype, the policy answered in fp32.
MAX_ENGINE_ERROR = {"float32": 0.01, "float16": 0.02, "bfloat16": 0.1}


def write_token_probes(answers: Answers, merged_dir: Path) -> None:
    """Keep the tokens of every probe that training changed most, and some evenly spread, with the policy's answer."""
    kept: list[dict[str, Any]] = []
    for ids, policy, base in zip(answers.probes, answers.read("policy"), answers.read("base"), strict=True):
        positions = kept_positions(len(ids))
        rows = [row for row, position in enumerate(positions) if position + 1 < len(ids)]
        words = [[ids[positions[row] + 1]] for row in rows]
        logps, before = (
            logits[rows].log_softmax(-1).gather(1, logits.new_tensor(words).long())[:, 0] for logits in (policy, base)
        )
        changed = (logps - before).abs().argsort(descending=True)[:TOKENS_A_PROBE].tolist()
        spread = [(len(rows) * k) // TOKENS_A_PROBE for k in range(TOKENS_A_PROBE)] if rows else []
        for place in sorted({*changed, *spread}):
            end = positions[rows[place]] + 1
            kept.append({"context": list(ids[:end]), "token": ids[end], "logp": logps[place].item()})
    atomic_write_json(merged_dir / TOKEN_PROBES, kept)


def check_engine(engine: Engine, merged_dir: Path, dtype: str) -> float | None:
    """Mean |difference| in nats of the engine's log-probabilities from the policy's; None where none were kept.

    Raises CertificateFailed above the limit of its dtype. Contexts that the engine has no room for are left out.
    """
    path = merged_dir / TOKEN_PROBES
    if not path.is_file():
        return None
    room = engine.room_tokens
    probes = [probe for probe in read_json(path) if room is None or len(probe["context"]) + 2 <= room]
    if not probes:
        return None
    given = engine.loglikelihoods([(probe["context"], [probe["token"]]) for probe in probes])
    differences = [abs(logp - probe["logp"]) for (logp, _), probe in zip(given, probes, strict=True)]
    error: float = sum(differences) / len(probes)
    if not error <= MAX_ENGINE_ERROR[dtype]:
        raise CertificateFailed(
            f"merge certificate of {merged_dir}: engine_error {error:.3g} > {MAX_ENGINE_ERROR[dtype]:g} nats a token "
            f"({len(probes)} tokens): {engine.backend} in {dtype} does not answer as the trained policy; generate "
            f"with --backend {'hf' if engine.backend == 'vllm' else 'vllm'}, or set merge.dtype: float32"
        )
    return error
