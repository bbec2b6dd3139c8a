"""AlpacaEval 2 as a judged task: what to ask about each pair of answers, and the scores of what came back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ropo_bench.errors import UsageError
from ropo_bench.recipes.judge import JudgeRecipe
from ropo_bench.recipes.task import TaskRecipe
from ropo_bench.scoring.alpaca_eval.leaderboard import Annotation
from ropo_bench.scoring.alpaca_eval.prompt import is_switched, messages
from ropo_bench.scoring.alpaca_eval.verdict import TIE, discrete, preference
from ropo_bench.scoring.arena import preference as better
from ropo_bench.scoring.difficulty import read_difficulties
from ropo_bench.scoring.gold import by_key, expected_answers, sample_name
from ropo_bench.scoring.judged import Grader, JudgedScorer, Material, Probe, Protocol
from ropo_bench.types import Completion, JudgeAnswer, JudgeCall, Prompt, Score, Status

# Those of alpaca_eval's weighted_alpaca_eval_gpt4_turbo; the log-probabilities are the verdict, not the draw.
WEIGHTED_PARAMS = {"max_tokens": 1, "temperature": 1, "logprobs": True, "top_logprobs": 5}
# Without log-probabilities the draw is the verdict, so the likeliest one is asked for.
WRITTEN_PARAMS = {"max_tokens": 1, "temperature": 0}


@dataclass(frozen=True, slots=True)
class _Battle:
    """A model's answer against the baseline's; None is an answer that was never received."""

    item: str
    prompt: Prompt
    answer: Completion | None
    opponent: Completion | None

    @property
    def instruction(self) -> str:
        return self.prompt.turns[0]

    @property
    def complete(self) -> bool:
        return self.answer is not None and self.opponent is not None

    def texts(self) -> tuple[str, str]:
        """The baseline's answer, the model's."""
        assert self.answer is not None
        assert self.opponent is not None
        return self.opponent.turns[0], self.answer.turns[0]

    def identical(self) -> bool:
        baseline, ours = self.texts()
        return baseline == ours


_Verdict = tuple[float | None, Status]


def calls(material: Material, judge: JudgeRecipe) -> list[JudgeCall]:
    """One question for each pair of answers that differ, the order of the two drawn from the instruction.

    Raises UsageError for a prompt of several turns.
    """
    calls = []
    for battle in _battles(material):
        if battle.complete and not battle.identical():
            baseline, ours = battle.texts()
            shown = (ours, baseline) if is_switched(battle.instruction) else (baseline, ours)
            calls.append(replace(ask(material.task, judge, battle.prompt, shown), item=battle.item))
    return calls


def score(material: Material, judge: JudgeRecipe, answers: Mapping[str, JudgeAnswer]) -> list[Score]:
    """Scores of each battle: percent for the model, and `average_length` in characters.

    A judge with log-probabilities gives `win_rate` (weighted), `discrete_win_rate` (the side it is on) and
    `lc_win_rate`; one without gives `win_rate_discrete` and `lc_win_rate_discrete` alone. The length-controlled
    ones hold the same preferences and what length control needs (length_delta in characters, baseline minus
    model; difficulty); without options.difficulties their name ends in _nodiff. Identical answers are a tie.
    """

    def verdict(battle: _Battle) -> _Verdict:
        answer = answers.get(battle.item)
        if answer is None:
            return None, "infrastructure-failed"
        preferred = preference(answer, weighted=judge.logprobs, switched=is_switched(battle.instruction))
        return preferred, "unparsable" if preferred is None else "scored"

    return _scores(material, verdict, weighted=judge.logprobs)


def compare(material: Material, grader: Grader) -> list[Score]:
    """Scores by grades: the better answer wins, equal grades are a tie; `win_rate_discrete` as in `score`."""

    def verdict(battle: _Battle) -> _Verdict:
        baseline, ours = (grader(battle.prompt, [text])[0] for text in battle.texts())
        won = better(ours, baseline, 0.0)
        return (None, "unparsable") if won is None else (1.0 + won, "scored")

    return _scores(material, verdict, weighted=False)


def ask(task: TaskRecipe, judge: JudgeRecipe, prompt: Prompt, answers: Sequence[str]) -> JudgeCall:
    """The question about two answers to a prompt, the first shown first."""
    params = WEIGHTED_PARAMS if judge.logprobs else WRITTEN_PARAMS
    return JudgeCall(prompt.id, messages(prompt.turns[0], *answers), params)


def read(task: TaskRecipe, judge: JudgeRecipe, answer: JudgeAnswer) -> float | None:
    """The preference for the answer shown first, 0..1."""
    preferred = preference(answer, weighted=judge.logprobs, switched=True)
    return None if preferred is None else preferred - 1


# Lengths are means over 2,415 published annotations, whose answers are one token.
ALPACA_EVAL = JudgedScorer(
    calls=calls,
    score=score,
    compare=compare,
    probe=Probe(2, ask, read),
    protocol=Protocol(calls_per_turn=1, input_characters=4930, output_characters=4),
    score_files=("alpaca_eval/calibration/", "alpaca_eval/reference_outputs_gpt4_1106_preview.json"),
    export="ropo_bench.scoring.alpaca_eval.export:write",
)


def to_annotations(
    material: Material, scores: Sequence[Score], *, generator: str, baseline: str, annotator: str
) -> list[Annotation]:
    """The scores of a judged model in alpaca_eval's form; preference None where there was no verdict.

    generator, baseline, annotator: names of the model, its opponent and the judge. Battles of which an answer
    is missing are left out.
    """
    preferences = {s.item: s.value for s in scores if s.metric in ("win_rate", "win_rate_discrete")}
    annotations = []
    for battle in _battles(material):
        if battle.complete:
            output_1, output_2 = battle.texts()
            value = preferences.get(battle.item)
            verdict = None if value is None else 1 + value / 100
            annotations.append(
                Annotation(battle.instruction, output_1, baseline, output_2, generator, annotator, verdict)
            )
    return annotations


def _battles(material: Material) -> Iterator[_Battle]:
    ours, theirs = by_key(material.completions), by_key(material.baseline)
    for prompt, sample in expected_answers(material.prompts, material.task):
        if len(prompt.turns) != 1:
            raise UsageError(
                f"task {material.task.name}, prompt {prompt.id}: has {len(prompt.turns)} turns; AlpacaEval's judge"
                " compares answers to one, so give single-turn prompts"
            )
        opponent = theirs.get((prompt.id, sample)) or theirs.get((prompt.id, 0))
        yield _Battle(sample_name(prompt.id, sample), prompt, ours.get((prompt.id, sample)), opponent)


def _scores(material: Material, verdict: Callable[[_Battle], _Verdict], *, weighted: bool) -> list[Score]:
    difficulties = read_difficulties(material.task, material.prompts)
    scores = []
    for battle in _battles(material):
        if battle.answer is not None:
            length = float(len(battle.answer.turns[0]))
            scores.append(Score(battle.item, battle.prompt.id, "average_length", length))
        if not battle.complete:
            outcome: _Verdict = (None, "infrastructure-failed")
        else:
            outcome = (TIE, "scored") if battle.identical() else verdict(battle)
        scores += _battle_scores(battle, outcome, difficulties, weighted=weighted)
    return scores


def _battle_scores(
    battle: _Battle, verdict: _Verdict, difficulties: Mapping[str, float] | None, *, weighted: bool
) -> Iterator[Score]:
    preferred, status = verdict
    rates = ("win_rate", "discrete_win_rate") if weighted else ("win_rate_discrete",)
    controlled = f"lc_win_rate{'' if weighted else '_discrete'}{'' if difficulties is not None else '_nodiff'}"
    if preferred is None:
        for metric in (*rates, controlled):
            yield Score(battle.item, battle.prompt.id, metric, None, status)
        return
    baseline, ours = battle.texts()
    delta = {"length_delta": len(baseline) - len(ours)}
    detail = delta if difficulties is None else {**delta, "difficulty": difficulties[battle.prompt.id]}
    for metric in (*rates, controlled):
        value = discrete(preferred) if metric == "discrete_win_rate" else preferred
        yield Score(
            battle.item, battle.prompt.id, metric, 100 * (value - 1), detail=detail if metric == controlled else {}
        )
