"""What names in recipes stand for: models, preference data, prompts, answers, benchmark files."""
