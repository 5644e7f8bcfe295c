"""Training: a recipe in, a run folder out (`reformer.training.train.train`)."""
