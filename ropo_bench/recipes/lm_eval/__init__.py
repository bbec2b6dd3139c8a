"""Tasks of lm-eval as task recipes, made from its YAML files alone: lm-eval itself is not imported."""

from ropo_bench.recipes.lm_eval.recipe import PREFIX, SCORER, check_name, check_options, is_name, recipe_data

__all__ = ["PREFIX", "SCORER", "check_name", "check_options", "is_name", "recipe_data"]
