"""A reward model as grader: a sequence-classification model with one output reads a chat and gives one number.

Shapes: B chats of a batch, T tokens of the longest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ropo_bench.errors import MethodFailed, UsageError
from ropo_bench.preferences.chat import encode, render
from ropo_bench.types import Message, Prompt

BATCH_SIZE = 16


class RewardGrader:
    """Grades conversations: the reward of an answer is that of the chat up to it, turns before included.

    Rewards are on the model's own scale; they compare answers to one prompt and nothing else. In fp32 on a CPU,
    in the checkpoint's dtype on a GPU. Raises UsageError for a chat that does not fit into the model's context.

    folder: config, safetensors, a tokenizer with a chat template; UsageError where it is no reward model. batch_size:
    chats a forward pass; it changes no reward beyond rounding.
    """

    def __init__(self, folder: Path, batch_size: int = BATCH_SIZE) -> None:
        from ropo_bench.models.load import load_tokenizer

        self.folder, self.batch_size = folder, batch_size
        self.tokenizer = load_tokenizer(folder)
        self.model = _load(folder)
        self._own_pad: int | None = self.model.config.pad_token_id

    def __call__(self, prompt: Prompt, turns: Sequence[str]) -> list[float]:
        """One reward an answer."""
        return self.grade([(prompt, turns)])[0]

    def grade(self, conversations: Sequence[tuple[Prompt, Sequence[str]]]) -> list[list[float]]:
        """The same for many conversations, in batches of chats of like length."""
        chats = [chat for prompt, turns in conversations for chat in _chats(prompt, turns)]
        rewards = iter(self._rewards(chats))
        return [[next(rewards) for _ in turns] for _, turns in conversations]

    def _rewards(self, chats: Sequence[tuple[str, list[Message]]]) -> list[float]:
        rows = encode(self.tokenizer, [self._render(name, chat) for name, chat in chats])
        room = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        for (name, _), ids in zip(chats, rows, strict=True):
            if room is not None and len(ids) > room:
                raise UsageError(
                    f"reward model, {name}: a chat of {len(ids)} tokens does not fit into its context of {room};"
                    " lower the task's max_new_tokens or take a model of longer context"
                )
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        rewards = [0.0] * len(rows)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            for i, reward in zip(batch, self._batch([rows[i] for i in batch]), strict=True):
                rewards[i] = reward
        return rewards

    def _render(self, name: str, chat: Sequence[Message]) -> str:
        return render(self.tokenizer, chat[:-1], name, answer=chat[-1]["content"])

    def _batch(self, rows: Sequence[Sequence[int]]) -> list[float]:
        import torch

        from ropo_bench.weights.checks import is_finite

        pad = self._pad(rows)
        width = max(map(len, rows))
        ids_BT = torch.tensor([[*ids, *[pad] * (width - len(ids))] for ids in rows], device=self.model.device)
        mask_BT = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in rows], device=self.model.device)
        with torch.inference_mode():
            logits_B1 = self.model(input_ids=ids_BT, attention_mask=mask_BT).logits
        if not is_finite(logits_B1):
            raise MethodFailed(
                f"reward model {self.folder}: gives NaN or infinity for an answer, and no grade; grade in float32, or"
                " give another reward model"
            )
        rewards: list[float] = logits_B1[:, 0].float().tolist()
        return rewards

    def _pad(self, rows: Sequence[Sequence[int]]) -> int:
        """The id to pad with: transformers reads the reward at the last token that is not it.

        The model's own decides which token that is, in a batch as alone. A model without one reads the very last
        token: any id that these chats do not hold gives that.
        """
        if self._own_pad is not None:
            return self._own_pad
        held = {id for ids in rows for id in ids}
        pad = next(id for id in range(self.model.config.get_text_config().vocab_size) if id not in held)
        self.model.config.pad_token_id = pad
        return pad


def _chats(prompt: Prompt, turns: Sequence[str]) -> list[tuple[str, list[Message]]]:
    """For each answer the conversation up to it, with a name for errors; answers may end before the questions."""
    chats: list[tuple[str, list[Message]]] = []
    chat: list[Message] = []
    for number, (question, answer) in enumerate(zip(prompt.turns, turns, strict=False), 1):
        chat = [*chat, Message(role="user", content=question), Message(role="assistant", content=answer)]
        chats.append((f"prompt {prompt.id}, turn {number}", chat))
    return chats


def _load(folder: Path) -> Any:
    from transformers import AutoModelForSequenceClassification

    from ropo_bench.models.load import best_device, read_weights
    from ropo_bench.weights.checks import check_finite, check_loading

    where, device = f"reward model {folder}", best_device()
    dtype = "float32" if device.type == "cpu" else "auto"
    model, info = read_weights(
        where, folder, AutoModelForSequenceClassification, dtype, "a sequence-classification model"
    )
    head = {str(key) for key in info["missing_keys"] if str(key).startswith("score.")}
    if head:
        raise UsageError(
            f"{where}: the checkpoint has no {min(head)}, so it was not trained as a"
            f" reward model (architectures: {model.config.architectures}); give a sequence-classification model"
        )
    check_loading(where, model, info)
    if model.config.num_labels != 1:
        raise UsageError(
            f"{where}: gives {model.config.num_labels} numbers for an answer, one is needed;"
            " give a model with num_labels 1"
        )
    model = model.eval().to(device)
    check_finite(where, model.named_parameters())
    return model
