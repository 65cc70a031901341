"""Studies: recipes x variants x seeds, each cell an ordinary run, and what comes of them in one table."""
