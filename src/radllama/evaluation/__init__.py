"""Drafts -> scores beside the trivial rows, with intervals; and which systems differ."""
