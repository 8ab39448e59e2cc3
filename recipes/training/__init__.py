"""Shared by the recipes: the text that models learn, the models, and the loop that trains them."""
