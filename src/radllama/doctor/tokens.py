"""Checks of what the network sees: token ids, the end token, special tokens and the context."""

from radllama.doctor.outcome import Outcome, failed, passed, skipped
from radllama.doctor.subject import DRAFT_TOKENS, Subject
from radllama.prompt import encode_example

_TOKENIZER = "put back the tokenizer files that the model was trained with"


def check_prompt_ids(subject: Subject) -> Outcome:
    """A prompt has the same token ids in training, in drafting, converted, and at the server."""
    model, compared = subject.model, ["drafting"]
    training = [
        encode_example(model.prompt, model.tokenizer, one.findings, one.impression, one.indication).prompt_ids
        for one in subject.probes
    ]
    if training != [subject.engine.encode(prompt) for prompt in subject.prompts]:
        return failed("drafting sends other token ids than training taught", _TOKENIZER)
    for folder in subject.converted:
        from radllama.engines.ctranslate2 import CTranslate2Engine

        tokens = map(CTranslate2Engine(folder, model.prompt.before).encode, subject.prompts)
        if training != [model.tokenizer.convert_tokens_to_ids(list(one)) for one in tokens]:
            return failed(
                f"{folder.name} reads a prompt as other tokens than training taught",
                f"remove the folder {folder}: it is made anew when it is next needed",
            )
        compared.append(folder.name)
    if subject.served:
        served = [subject.served.tokenize(prompt) for prompt in subject.prompts]
        if all(served):
            if served != training:
                return failed(
                    f"{subject.served.host} makes other token ids of a prompt than training taught",
                    "give the server the tokenizer of this model's base, and no template of its own",
                )
            compared.append(subject.served.host)
    return passed(f"{len(training)} prompts: training = {' = '.join(compared)}")


def check_end_token(subject: Subject) -> Outcome:
    """The end token is taught, ends a draft, and is not the padding token, which trainers mask out."""
    tokenizer = subject.model.tokenizer
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    one = subject.probes[0]
    taught = encode_example(subject.model.prompt, tokenizer, one.findings, one.impression).completion_ids
    if taught[-1] != end or end not in subject.engine.ends:
        return failed("the end token is not what training teaches, or not what ends a draft", _TOKENIZER)
    if pad == end:
        return failed(
            f"padding and end are one token ({tokenizer.eos_token!r}): masked as padding, the end is never learned",
            "name a padding token of its own in tokenizer_config.json (an unused one, or <unk>)",
        )
    if taught.count(end) > 1:
        return failed("the impression itself holds the end token", _TOKENIZER)
    return passed(f"{tokenizer.eos_token!r} ({end}) is taught and ends; padding is {tokenizer.pad_token!r} ({pad})")


def check_special_tokens(subject: Subject) -> Outcome:
    """One begin token at most, none from inside the findings, and a row of the network for every id."""
    model = subject.model
    tokenizer, rows = model.tokenizer, model.network.get_input_embeddings().num_embeddings
    ids = [subject.engine.encode(prompt) for prompt in subject.prompts]
    if largest := max(map(max, ids)) if max(map(max, ids)) >= rows else 0:
        return failed(f"token {largest} has no row among the network's {rows}", _TOKENIZER)
    if tokenizer.eos_token_id >= rows:
        return failed(f"the end token {tokenizer.eos_token_id} has no row among the network's {rows}", _TOKENIZER)
    begin = tokenizer.bos_token_id
    if begin is not None and any(one.count(begin) > 1 for one in ids):
        return failed(
            f"{tokenizer.bos_token!r} stands twice at the start: the template and the tokenizer both write it",
            "take it out of prompt.json, or train again with a template without it",
        )
    special = set(tokenizer.all_special_ids)
    text = " ".join(tokenizer.all_special_tokens)
    plain, marked = (subject.engine.encode(model.prompt.render(f"The lungs are clear. {end}")) for end in ("", text))
    if sum(one in special for one in marked) > sum(one in special for one in plain):
        return failed("a special token that is written in the findings becomes one", _TOKENIZER)
    return passed(f"{rows} rows for every id; special tokens inside the findings stay text")


def check_context(subject: Subject) -> Outcome:
    """The context that was trained is one the network has, and reports with their drafts fit it."""
    engine = subject.engine
    trained = subject.run["settings"].get("context_tokens") if subject.run and "settings" in subject.run else None
    if trained and trained > engine.context_tokens:
        return failed(
            f"trained on {trained} tokens, but the network was made for {engine.context_tokens}",
            "train again with a context_tokens that the base has",
        )
    longest = max(map(engine.count_tokens, subject.prompts))
    if trained and longest + DRAFT_TOKENS > trained:
        return skipped(f"no longer text than {trained} tokens was trained; sample prompts take up to {longest}")
    of = f", {trained} of them trained" if trained else ""
    return passed(f"{engine.context_tokens} tokens{of}; sample prompts take up to {longest}, {DRAFT_TOKENS} a draft")
