"""Which reports are drafted together: like with like, as many as a token budget holds."""

from collections.abc import Mapping

# The keys and values of a 7B model in bfloat16 take half a megabyte a token: 8 GB for a whole batch.
BATCH_TOKENS = 16_384


def plan_batches(tokens: Mapping[int, int], new_tokens: int, batch_size: int | None = None) -> list[list[int]]:
    """Group keys by prompt length: `batch_size` a batch, or as many as fit BATCH_TOKENS.

    `tokens` maps a report to the length of its prompt. A report takes the longest prompt of its batch
    and `new_tokens` (of all its candidates together); one that is beyond the budget goes alone.
    """
    batches: list[list[int]] = []
    for key in sorted(tokens, key=lambda key: (tokens[key], key)):  # the last of a batch is its longest
        size = len(batches[-1]) + 1 if batches else 0
        fits = size <= batch_size if batch_size else size * (tokens[key] + new_tokens) <= BATCH_TOKENS
        if batches and fits:
            batches[-1].append(key)
        else:
            batches.append([key])
    return batches
