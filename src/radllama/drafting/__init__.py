"""Findings -> drafts, one at a time or a file of them."""
