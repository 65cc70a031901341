"""How many candidates a command has its model write, and how, where the command leaves that open."""

from radllama.engines import Sampling

# Of 1, 4, 8, 16 and 32 the fewest that the vote gains by; more cost time alone (docs/studies/best.md).
SAMPLES = 4
_TEMPERATURE = 1.0


def plan_sampling(
    votes: bool,
    max_new_tokens: int,
    temperature: float | None,
    samples: int | None,
    beams: int,
    seed: int,
) -> Sampling:
    """The sampling of a command that leaves some of it open.

    Where a vote is held, SAMPLES at temperature 1 take part, unless beams or temperature 0 ask for the likeliest words;
    elsewhere a single draft is greedy.
    """
    if samples is None:
        samples = SAMPLES if votes and beams == 1 and temperature != 0 else 1
    if temperature is None:
        temperature = _TEMPERATURE if samples > 1 else 0.0
    return Sampling(max_new_tokens, temperature, seed, samples, beams)
