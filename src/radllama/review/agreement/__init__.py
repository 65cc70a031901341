"""Do the raters agree? Coefficients of agreement, each with an interval, or with the reason why it has none."""
