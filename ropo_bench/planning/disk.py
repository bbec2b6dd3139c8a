"""Steps of a training, and the disk that it keeps."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from ropo_bench.models.size import Anatomy
from ropo_bench.planning.memory import DTYPE_BYTES
from ropo_bench.recipes.method import TrainRecipe


def num_steps(num_pairs: int, train: TrainRecipe) -> int:
    """Optimizer steps of a training on so many pairs."""
    steps = math.ceil(round(train.epochs * num_pairs) / train.batch_size)
    return steps if train.max_steps is None else min(steps, train.max_steps)


def kept_bytes(model: Anatomy, trainable: int, dtype: str) -> int:
    """Disk that a trained row keeps: its policy in fp32 and its merged model."""
    return 4 * trainable + DTYPE_BYTES[dtype] * model.num_parameters


def checkpoint_bytes(trainable: int) -> int:
    """Disk of a checkpoint while a method trains, and of the one that replaces it: weights and two moments."""
    return 2 * 12 * trainable


def free_bytes(folder: Path) -> int:
    """Free bytes of the disk that holds the folder, or that will hold it once it is made."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(existing).free
