"""From pairs of token ids to a trained policy: objectives, the loop, its checkpoints; core/ and team/."""
