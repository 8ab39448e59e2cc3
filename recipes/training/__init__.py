"""What the recipes share: the text that models learn, the models, and the loop that trains them."""
