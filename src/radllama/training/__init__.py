"""A dataset and a recipe -> a model, exactly and resumably."""
