"""radllama: findings in, impression out, on the hospital's own machine."""

__version__ = "0.1.0"
