"""`radllama draft`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radllama.cli import rivals
from radllama.console import note
from radllama.drafting.sampling import SAMPLES, plan_sampling
from radllama.errors import InputError

if TYPE_CHECKING:
    from radllama.drafting.consensus import ConsensusDrafter
    from radllama.drafting.draft import Drafter
    from radllama.rivals.rival import Rival


def draft(
    model: Annotated[str, typer.Option(help="A run or model folder, a hub name, or mini (embedded).")] = "mini",
    findings: Annotated[str | None, typer.Option(help="Draft the impression of these findings.")] = None,
    indication: Annotated[str, typer.Option(help="Why the study was made, with --findings.")] = "",
    reports: Annotated[Path | None, typer.Option("--in", help="A .jsonl of reports, drafted into --out.")] = None,
    out: Annotated[Path | None, typer.Option(help="The .jsonl of drafts, with --in.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Reports a batch.  [default: by length]")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="A draft's greatest length.")] = 128,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="0 is greedy: the likeliest words.  [default: 0; of samples, 1]")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help=f"Candidates that vote for the draft.  [default: 1; with --library, {SAMPLES}]"),
    ] = None,
    beams: Annotated[int, typer.Option(min=1, help="Search so many drafts at once for the likeliest.")] = 1,
    seed: Annotated[int, typer.Option(help="For a temperature above 0.")] = 0,
    library: Annotated[
        Path | None, typer.Option(help="A library of prior reports (radllama library build) that vote too.")
    ] = None,
    consensus: Annotated[
        int | None,
        typer.Option(min=1, help="With --library: no model, the impression that so many prior reports share."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="transformers, ctranslate2, ctranslate2-int8 (see docs/engines.md), or openai (docs/rivals.md).  "
            "[default: ctranslate2-int8 for mini, transformers for every other model]"
        ),
    ] = None,
    checks: Annotated[
        bool, typer.Option("--checks/--no-checks", help="Vote down what does not agree with the findings.")
    ] = True,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto.")] = "auto",
    template: rivals.Template = None,
    shots: rivals.Shots = 0,
    tidy: rivals.Tidy = True,
    base_url: rivals.BaseUrl = None,
    key_variable: rivals.KeyVariable = "OPENAI_API_KEY",
    request: rivals.Request = None,
    concurrency: rivals.Concurrency = 4,
    timeout_s: rivals.TimeoutS = 120.0,
    cassette: rivals.Recording = None,
    offline: rivals.Offline = False,
) -> None:
    """Draft an impression, or those of a whole file."""
    one, many = findings is not None, reports is not None or out is not None
    if one == many or (many and (reports is None or out is None)):
        raise InputError("draft: give either --findings TEXT or both --in REPORTS.jsonl and --out DRAFTS.jsonl")
    if consensus and not library:
        raise InputError("draft: --consensus asks prior reports; give their --library too")
    options = rivals.RivalOptions(
        engine, template, shots, tidy, base_url, key_variable, request or (), concurrency, timeout_s, cassette, offline
    )
    options.check(library, consensus)
    from radllama.clinical.check import check
    from radllama.drafting.consensus import load_consensus
    from radllama.drafting.draft import MISSES_LIBRARY, REFUSALS, draft_file
    from radllama.drafting.election import FINDINGS_ALONE, FROM_FINDINGS, Voting
    from radllama.drafting.load import load_drafter
    from radllama.drafting.voting import load_voting
    from radllama.files import read_json
    from radllama.library.advice import custom_advice

    votes = library is not None and not consensus and not options.are_used
    sampling = plan_sampling(votes, max_new_tokens, temperature, samples, beams, seed)
    drafter: ConsensusDrafter | Drafter | Rival[Any]
    if library and consensus:
        drafter = load_consensus(library, consensus)
    elif options.are_used:
        drafter = rivals.make_rival(model, device, library, options)
    else:
        drafter = load_drafter(model, device, engine)
        if drafter.prompt.shelf and not library:
            note(MISSES_LIBRARY)
        if votes or sampling.samples > 1:
            drafter = load_voting(drafter, Voting(checks=checks), library)
    if findings is not None:
        completion = drafter.draft(findings, indication, sampling)
        if completion.finish_reason == "length":
            note(f"the draft was ended after {max_new_tokens} tokens; raise --max-new-tokens for the rest")
        if completion.finish_reason == FROM_FINDINGS:
            note(FINDINGS_ALONE)
        for flag in check(findings, completion.text, is_custom=custom_advice(drafter.library, findings)):
            note(f"{flag.kind}: {flag.message}")
        print(completion.text)
    elif reports is not None and out is not None:
        counts = draft_file(drafter, reports, out, batch_size or options.batch_size, sampling)
        for reason, told in REFUSALS.items():
            if counts[reason]:
                note(f"empty drafts: {counts[reason]} ({told})")
        if counts[FROM_FINDINGS]:
            note(f"{FINDINGS_ALONE}: {counts[FROM_FINDINGS]}")
        if counts["length"]:
            note(f"drafts ended after {max_new_tokens} tokens (finish_reason length): {counts['length']}")
        for reason in sorted(counts.keys() - REFUSALS.keys() - {"stop", "length", FROM_FINDINGS}):
            note(f"drafts that ended otherwise (finish_reason {reason}): {counts[reason]}")
        if options.are_used:
            rivals.tell_facts(out)
        run = read_json(out.with_suffix(".run.json"))
        if left_out := run.get("neighbours_in_prompts", {}).get("left_out"):
            note(f"prior reports that did not fit their place in the prompt: {left_out}")
        flagged = run.get("flagged", {})
        if flagged.pop("any", 0):
            note("drafts with flags: " + ", ".join(f"{kind} {count}" for kind, count in flagged.items()))
        print(out)
