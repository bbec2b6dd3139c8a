"""From scores to estimates with intervals, and from rows' scores to differences one may believe.

sample: what an estimator says. estimators: mean, ratio, census, max. crossed: seeds x prompts. intervals: of a mean.
cells, comparisons: a table. permutation: a test. multiplicity: of a whole table's. letters: what is not separated.
power: what could be seen. docs/statistics.md has formulas and simulations.
"""
