"""Scripts that train the models, and their shared parts (`training`)."""
