"""Radiologists judge the drafts: a blinded study, from its design to its analysis."""
