"""The stages in order, each under its content key; the way through them is `pipeline`'s."""

from ropo_bench.stages.evaluation import Evaluation
from ropo_bench.stages.training import Model, Stages

__all__ = ["Evaluation", "Model", "Stages"]
