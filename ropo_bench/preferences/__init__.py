"""Preference data: files and hub data sets become pairs, pairs become token ids."""

from ropo_bench.preferences.chat import encode_prompts, end_of_turn_id
from ropo_bench.preferences.marks import special_tokens
from ropo_bench.preferences.read import LeftOut, PairsFile, read_pairs
from ropo_bench.preferences.tokenize import Tokenized, template_preflight, tokenize_pairs

__all__ = [
    "LeftOut",
    "PairsFile",
    "Tokenized",
    "encode_prompts",
    "end_of_turn_id",
    "read_pairs",
    "special_tokens",
    "template_preflight",
    "tokenize_pairs",
]
