"""From a batch of pairs to log-probabilities: everything that train.core.* switches."""
