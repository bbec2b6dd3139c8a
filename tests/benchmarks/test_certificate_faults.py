"""A fast part of the table of benchmarks/certificate.py: what must be caught, and what must not be refused."""

from __future__ import annotations

from benchmarks.certificate import ADAPTERS, honest, planted

CAUGHT = {  # fault in the folder: what the certificate names
    "none": "",
    "rope_theta x 1.0001": "rope_theta",
    "gelu for silu": "hidden_act",
    "temperature of generation_config": "temperature",
    "two words swapped": "other ids",
    "two merges of the tokenizer swapped": "tokenizer.json",
    "chat template": "chat template",
    "another dtype in the files": "asked: BF16",
    "two layers swapped": "weight_error",
    "one head's magnitude missing": "weight_error",
    "dense rotation off by 1e-4": "weight_error",
    "rounded twice": "weight_error",
    "stale shard": "weight_error",
    "q_norm missing": "q_norm",
}
IN_CODE = ("R for R^T", "magnitudes missing", "one head's magnitude missing", "nothing merged", "merged in bfloat16")


def test_faults_in_a_folder_are_caught_and_named() -> None:
    found = {
        case["fault"]: case["failures"]
        for case in planted(["qwen3"], ["bfloat16"], [*CAUGHT])
        if case["where"] == "folder"
    }
    assert found.keys() == CAUGHT.keys()
    assert found.pop("none") == []
    for fault, failures in found.items():
        assert any(CAUGHT[fault] in line for line in failures), (fault, failures)


def test_a_config_that_changes_the_function_is_seen_in_the_logits_too() -> None:
    names = ["rope_theta x 10", "rms_norm_eps 1e-2", "gelu for silu", "rope scaling added"]
    for case in planted(["llama"], ["float16"], names):
        assert any("folder_error" in line for line in case["failures"]), case


def test_a_merge_that_is_not_what_trained_is_caught_in_half_precision_too() -> None:
    found = {case["fault"]: case for case in planted(["llama"], ["bfloat16"], IN_CODE) if case["where"] == "code"}
    assert found.keys() == {*IN_CODE}
    for fault, case in found.items():
        assert case["weight_error"] == 0, "the folder holds what the merge made"
        assert any("merge_error" in line for line in case["failures"]), fault


def test_right_merges_of_small_and_large_updates_pass() -> None:
    for case in honest([5e-6, 3e-2], ["float16"]):
        assert case["failures"] == [], case


def test_a_change_that_bfloat16_cannot_hold_is_told() -> None:
    told = [case for case in honest([5e-6], ["bfloat16"]) if case["failures"]]
    assert 0 < len(told) <= len(ADAPTERS)
    assert all(case["grid"] and case["failures"][0].startswith("kept_change") for case in told)
