"""Drafts in the forms that a hospital's other systems read."""
