"""Models that were not tuned here, asked under the conditions of ours: how they are asked, and what is kept."""
