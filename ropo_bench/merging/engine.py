"""The certificate's last step: does the engine that will generate answer as the policy did?

Beside a merged model lie single tokens with the log-probabilities that the policy gave them; an engine that has
loaded the folder is asked for the same, before anything that it says is judged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ropo_bench.errors import CertificateFailed
from ropo_bench.merging.function import Answers, kept_positions
from ropo_bench.store.files import atomic_write_json, read_json
from ropo_bench.types.engines import Engine

TOKEN_PROBES = "token_probes.json"
TOKENS_A_PROBE = 4  # those that training changed most, and as many evenly spread
# Mean |difference| in nats a token. The engine computes in its dtype, the policy answered in fp32.
MAX_ENGINE_ERROR = {"float32": 0.01, "float16": 0.02, "bfloat16": 0.1}


def write_token_probes(answers: Answers, merged_dir: Path) -> None:
    """Keep the tokens of every probe that training changed most, and some evenly spread, with the policy's answer."""
    probes: list[dict[str, Any]] = []
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
            answers_here = {"logp": logps[place].item(), "base_logp": before[place].item()}
            probes.append({"context": list(ids[:end]), "token": ids[end], **answers_here})
    atomic_write_json(merged_dir / TOKEN_PROBES, probes)


def swap_engine(engine: Engine, merged_dir: Path) -> bool:
    """Let a running engine take a merged model's weights in place of another's; False where it has to start anew.

    Raises CertificateFailed where its answers did not change by one bit: engines have been seen to go on with the
    weights before, in silence. Whether the new answers are the merged model's is for `check_engine`; a folder without
    token probes cannot be told, and is not swapped to.
    """
    probes = _token_probes(engine, merged_dir)
    if not probes:
        return False
    before = _ask(engine, probes)
    if not engine.swap(merged_dir):
        return False
    if _ask(engine, probes) == before:
        raise CertificateFailed(
            f"merge certificate of {merged_dir}: the running {engine.backend} engine answers {len(probes)} tokens as "
            "with the weights before; start it anew"
        )
    return True


def check_engine(engine: Engine, merged_dir: Path, dtype: str) -> float | None:
    """Mean |difference| in nats of the engine's log-probabilities from the policy's; None where none were kept.

    Raises CertificateFailed above the limit of its dtype, and where what training changed is not in the engine's
    answers though it could be seen. Contexts that the engine has no room for are left out.
    """
    probes = _token_probes(engine, merged_dir)
    if not probes:
        return None
    logps = _ask(engine, probes)
    error: float = sum(abs(logp - probe["logp"]) for logp, probe in zip(logps, probes, strict=True)) / len(probes)
    bound, fault = MAX_ENGINE_ERROR[dtype], None
    if not error <= bound:
        fault = f"engine_error {error:.3g} > {bound:g} nats a token"
    else:
        share, highest = engine_share(logps, probes)
        least = 0.5 * read_json(merged_dir / "certificate.json")["kept_change"]
        if highest < least:
            fault = f"engine_share {share:.2g} < {least:.2g} of what training changed"
    if fault:
        raise CertificateFailed(
            f"merge certificate of {merged_dir}: {fault} ({len(probes)} tokens): {engine.backend} in {dtype} does "
            "not answer as the trained policy; generate with --backend "
            f"{'hf' if engine.backend == 'vllm' else 'vllm'}, or set merge.dtype: float32"
        )
    return error


def _token_probes(engine: Engine, merged_dir: Path) -> list[dict[str, Any]]:
    """The token probes beside a merged model that the engine has room for; none where none were kept."""
    path = merged_dir / TOKEN_PROBES
    room = engine.room_tokens
    probes: list[dict[str, Any]] = read_json(path) if path.is_file() else []
    return [probe for probe in probes if room is None or len(probe["context"]) + 2 <= room]


def _ask(engine: Engine, probes: Sequence[Mapping[str, Any]]) -> list[float]:
    """The engine's log-probability of each probe's token."""
    return [logp for logp, _ in engine.loglikelihoods([(probe["context"], [probe["token"]]) for probe in probes])]


def engine_share(given: Sequence[float], probes: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Of the change from base to policy, the share that an engine's log-probabilities show, and its upper end.

    The slope through the origin of engine - base on policy - base, and three of its standard errors more; infinite
    where training changed nothing.
    """
    changes = [probe["logp"] - probe["base_logp"] for probe in probes]
    moves = [logp - probe["base_logp"] for logp, probe in zip(given, probes, strict=True)]
    size = sum(change * change for change in changes)
    if size == 0:
        return 1.0, math.inf
    slope = sum(move * change for move, change in zip(moves, changes, strict=True)) / size
    rest = sum((move - slope * change) ** 2 for move, change in zip(moves, changes, strict=True))
    return slope, slope + 3 * math.sqrt(rest / max(1, len(probes) - 1) / size)
