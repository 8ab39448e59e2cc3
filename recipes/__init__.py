"""Scripts that train the models, and what they share (`training`)."""
