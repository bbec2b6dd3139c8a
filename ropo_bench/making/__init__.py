"""How each stage's folder is made: the only place where the pipeline touches models. Called by `stages`."""
