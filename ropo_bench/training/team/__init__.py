"""The processes of one training: who they are, what each does, how weights are shared out."""
