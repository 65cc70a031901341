"""Raw reports -> a dataset folder: cleaned, split, checked for leaks, with its card."""
