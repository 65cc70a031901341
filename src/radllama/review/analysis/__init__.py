"""A closed study -> what it shows: means, differences, agreement, errors, preference, and what it does not show."""
