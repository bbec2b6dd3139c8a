"""What recipes, plans and documents know of each loss, without its code: options, formula, source.

The code is in `losses/`, and it alone decides the numbers; a test holds the two to each other.

Letters of the formulas: w, l are log(policy / reference) of the chosen and the rejected answer, W, L their
log-probabilities under the policy, n_w, n_l their tokens; s is the logistic function; sums are over tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

LETTERS = (
    "w, l: log(policy / reference) of the chosen and the rejected answer; W, L: log(policy) of them; "
    "n_w, n_l: their tokens; s: the logistic function"
)


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that an option may be; closed: its ends are among them."""

    low: float = -inf
    high: float = inf
    closed: bool = True

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high if self.closed else self.low < value < self.high

    def __str__(self) -> str:
        if self.low == -inf and self.high == inf:
            return "a number"
        if self.high == inf:
            return f"{'at least' if self.closed else 'above'} {self.low:g}"
        return f"from {self.low:g} to {self.high:g}" if self.closed else f"above {self.low:g} and below {self.high:g}"


@dataclass(frozen=True, slots=True)
class LossFacts:
    """What a loss of the project reads and computes.

    options: their ranges by name. uses_reference: whether it reads the reference's log-probabilities; the code says
    so for itself, here plans read it without loading torch. family: what rows are grouped by. idea: what differs from
    DPO, as the end of a sentence.
    """

    family: str
    formula: str
    source: str
    idea: str
    options: Mapping[str, Range] = field(default_factory=dict)
    uses_reference: bool = True
    variants: Mapping[str, tuple[str, str]] = field(default_factory=dict)


NOT_NEGATIVE, POSITIVE, NUMBER = Range(0.0), Range(0.0, closed=False), Range()

DPO, DIVERGENCE, TARGET, ABSOLUTE, LIKELIHOOD = (
    "DPO and other margins",
    "other divergences",
    "squared distance to a target",
    "each answer against a fixed point",
    "the policy's own likelihood",
)

LOSSES: dict[str, LossFacts] = {
    "sigmoid": LossFacts(
        DPO,
        "-log s(beta (w - l))",
        "DPO, arXiv 2305.18290 Eq. 7",
        "a classifier of pairs, its logit the difference in log-ratios",
        variants={
            "label_smoothing": (
                "(1 - e) D(w - l) + e D(l - w), D(x) = -log s(beta x), e = label_smoothing",
                "cDPO, E. Mitchell 2023 (ericmitchell.ai/cdpo.pdf) Eq. 3",
            )
        },
    ),
    "robust-dpo": LossFacts(
        DPO,
        "((1 - e) D(w - l) - e D(l - w)) / (1 - 2 e), D(x) = -log s(beta x), e = label_smoothing",
        "robust DPO, arXiv 2403.00409",
        "takes the bias out that a share e of flipped labels puts into DPO's loss",
    ),
    "ln-dpo": LossFacts(
        DPO,
        "-log s(beta (w / n_w - l / n_l))",
        "length-normalised DPO, arXiv 2411.15124 (Tulu 3) Eq. 6",
        "log-ratios are means over tokens, so that length buys no margin",
    ),
    "r-dpo": LossFacts(
        DPO,
        "-log s(beta (w - l) + alpha (n_w - n_l))",
        "R-DPO, arXiv 2403.19159",
        "a longer chosen answer needs less of a margin",
        {"alpha": NUMBER},
    ),
    "dpo-nll": LossFacts(
        DPO,
        "-log s(beta (w - l)) - alpha W / n_w",
        "RPO (DPO + NLL), arXiv 2404.19733 Eq. 1",
        "likelihood of the chosen answer is trained too",
        {"alpha": NOT_NEGATIVE},
    ),
    "dpop": LossFacts(
        DPO,
        "-log s(beta (w - l - lambda max(0, -w)))",
        "DPO-Positive, arXiv 2402.13228 (Smaug) Eq. 3",
        "a chosen answer that gets less likely costs its margin",
        {"lambda": NOT_NEGATIVE},
    ),
    "focalpo": LossFacts(
        DPO,
        "-p^gamma log p, p = s(beta (w - l))",
        "FocalPO, arXiv 2501.06645",
        "pairs that are ranked wrongly count less",
        {"gamma": NOT_NEGATIVE},
    ),
    "hypo": LossFacts(
        DPO,
        "-log s(beta (W - L - max(0, R))), R = W - L of the reference",
        "HyPO, arXiv 2602.11902",
        "a reference that prefers the rejected answer counts as undecided",
    ),
    "f-dpo-js": LossFacts(
        DIVERGENCE,
        "-log s(beta (f(w) - f(l))), f(x) = log 2 + log s(x)",
        "f-DPO, Jensen-Shannon, arXiv 2309.16240",
        "the pull to the reference is a Jensen-Shannon divergence, so rewards are at most beta log 2",
    ),
    "f-dpo-alpha": LossFacts(
        DIVERGENCE,
        "-log s(beta (f(w) - f(l))), f(x) = (1 - exp(-alpha x)) / alpha",
        "f-DPO, alpha-divergence, arXiv 2309.16240",
        "the pull to the reference is an alpha-divergence, between DPO's (0) and forward KL (1)",
        {"alpha": Range(0.0, 1.0, closed=False)},
    ),
    "f-dpo-kl": LossFacts(
        DIVERGENCE,
        "-log s(beta (f(w) - f(l))), f(x) = 1 - exp(-x)",
        "f-DPO, forward KL, arXiv 2309.16240",
        "the pull to the reference is the forward KL divergence, which covers all that the reference says",
    ),
    "exo": LossFacts(
        DIVERGENCE,
        "q log(q / (1 - epsilon)) + (1 - q) log((1 - q) / epsilon), q = s(beta (w - l))",
        "EXO on pairs, arXiv 2402.00856 Eq. 16",
        "the KL divergence between model and label is turned round",
        {"epsilon": Range(0.0, 0.5, closed=False)},
    ),
    "ipo": LossFacts(
        TARGET,
        "(w / n_w - l / n_l - 1 / (2 beta))^2",
        "IPO, arXiv 2310.12036 Eq. 17, tau = beta",
        "the margin has a target and no pull beyond it",
    ),
    "sppo": LossFacts(
        TARGET,
        "(w - 1 / (2 beta))^2 + (l + 1 / (2 beta))^2",
        "SPPO with hard win probabilities, arXiv 2405.00675 Eq. 4.7, eta = 1 / beta",
        "each answer has a target of its own; the paper's new samples at every iteration are left out",
    ),
    "kto-pair": LossFacts(
        ABSOLUTE,
        "(s(beta (z - w)) + s(beta (l - z))) / 2, z = max(0, mean log-ratio of the step)",
        "KTO on pairs, arXiv 2402.01306 Eq. 7",
        "answers are judged one by one against the policy's own drift",
    ),
    "bco": LossFacts(
        ABSOLUTE,
        "-log s(beta (w - d)) - log s(beta (d - l)), d = mean log-ratio of the step",
        "BCO on pairs, arXiv 2404.04656",
        "a classifier of good and bad answers, its threshold d their mean",
    ),
    "nca": LossFacts(
        ABSOLUTE,
        "-log s(beta w) - log s(-beta w) / 2 - log s(-beta l) / 2",
        "NCA on pairs, arXiv 2402.05369",
        "each answer is told from noise, which keeps the likelihood of the chosen one",
    ),
    "apo-zero": LossFacts(
        ABSOLUTE,
        "s(-beta w) + s(beta l)",
        "APO-zero, arXiv 2408.06266 Eq. 7",
        "for answers better than the model's: chosen up, rejected down",
    ),
    "apo-down": LossFacts(
        ABSOLUTE,
        "s(beta w) + s(beta (l - w))",
        "APO-down, arXiv 2408.06266 Eq. 8",
        "for answers worse than the model's: both down, rejected more",
    ),
    "simpo": LossFacts(
        LIKELIHOOD,
        "-log s(beta (W / n_w - L / n_l - gamma_beta_ratio))",
        "SimPO, arXiv 2405.14734 Eq. 6",
        "mean log-probability of a token is the reward, with a target margin and no reference",
        {"gamma_beta_ratio": NUMBER, "cpo_alpha": NUMBER, "alpha": NUMBER},
        uses_reference=False,
        variants={
            "alpha": (
                "-log s(beta (f(W / n_w) - f(L / n_l) - gamma_beta_ratio)), f(x) = (1 - exp(-alpha x)) / alpha",
                "AlphaPO, arXiv 2501.03884",
            ),
            "cpo_alpha": ("SimPO's loss less cpo_alpha W / n, n = mean chosen tokens", "CPO-SimPO"),
        },
    ),
    "orpo": LossFacts(
        LIKELIHOOD,
        "-W / n - beta log s(o(W / n_w) - o(L / n_l)), o(x) = log odds of exp(x), n = mean chosen tokens",
        "ORPO, arXiv 2403.07691 Eq. 6, lambda = beta",
        "likelihood of the chosen answer plus an odds ratio, no reference",
        uses_reference=False,
    ),
    "cpo": LossFacts(
        LIKELIHOOD,
        "-log s(beta (W - L)) - cpo_alpha W / n, n = mean chosen tokens",
        "CPO, arXiv 2401.08417 Eq. 3",
        "DPO against a uniform reference, plus likelihood of the chosen answer",
        {"cpo_alpha": NUMBER},
        uses_reference=False,
    ),
    "slic-hf": LossFacts(
        LIKELIHOOD,
        "max(0, delta - W + L) - lambda W",
        "SLiC-HF, arXiv 2305.10425",
        "a hinge on log-probabilities plus likelihood of the chosen answer, no reference",
        {"delta": NOT_NEGATIVE, "lambda": NOT_NEGATIVE},
        uses_reference=False,
    ),
    "simper": LossFacts(
        LIKELIHOOD,
        "exp(L / n_l) - exp(W / n_w)",
        "SimPER, arXiv 2502.00883",
        "inverse perplexities are compared; no reference, no hyper-parameter",
        uses_reference=False,
    ),
    "repo": LossFacts(
        LIKELIHOOD,
        "max(0, gamma - W / n_w + L / n_l)",
        "RePO, arXiv 2503.07426",
        "a hinge on SimPO's margin, so that pairs beyond gamma are left alone; no reference",
        {"gamma": NOT_NEGATIVE},
        uses_reference=False,
    ),
    "alpha-dpo": LossFacts(
        LIKELIHOOD,
        "-log s(beta (W / n_w - L / n_l - gamma_beta_ratio - alpha z)), z = z-score of w / n_w - l / n_l in the step",
        "AlphaDPO, arXiv 2410.10148",
        "SimPO's loss with a target margin for each pair, from how far it has moved off the reference",
        {"alpha": NOT_NEGATIVE, "gamma_beta_ratio": NOT_NEGATIVE},
    ),
}
