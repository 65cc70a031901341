"""What a section of a report says, read by rules: findings, their sides and sizes, what is denied and what is doubted.

The rules are data (`concepts.yaml`, `cues.yaml`, `attributes.yaml`) in the manner of ConText (Harkema et al. 2009): a
mention is asserted, denied or doubted by the cues whose reach it stands in. The fourteen observations and their
values are CheXpert's (Irvin et al. 2019, arXiv 1901.07031).
"""
