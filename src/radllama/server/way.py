"""How drafts are made, in one sentence for the console and the page."""

from radllama.drafting.election import Voting
from radllama.library import Library


def tell_way(voting: Voting | None, library: Library | None, samples: int) -> str:
    """The sentence, without a full stop."""
    if voting is None:
        return "each draft is the model's likeliest words: checked, but not voted on"
    model = f"{samples} samples of the model" if samples > 1 else "the model's likeliest draft"
    if library is None:
        return f"{model} vote; what does not agree with the findings is voted down; there is no library"
    prior = f"the {voting.neighbours} most similar of {len(library)} prior reports"
    return f"{model} and {prior} vote; what does not agree with the findings is voted down"
