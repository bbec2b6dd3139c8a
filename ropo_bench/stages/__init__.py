"""One file a stage, its key and its making together: pairs, reference, policy, merged, completions, canaries, scores.

Every stage file has VERSION, which is raised when the stage's numbers change; `stage(bench, ...)`, which says under
which content key its output lies; and `make(bench, ...)`, which makes it unless that was done. What they share is the
`bench`: the store, the base model, the model in memory, the judges. Keys need no torch: a repeated run only reads.
"""
