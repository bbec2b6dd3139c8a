"""The embedded testbed: a closed little world, its grader, and the texts and instructions built from it."""
