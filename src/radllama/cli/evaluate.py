"""`radllama evaluate` and `radllama compare`."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    drafts: Annotated[
        list[str],
        typer.Option(
            metavar="[NAME=]PATH", help="Drafts of any system, as .jsonl or .csv; repeat for other test sets."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for scores.json and report.html.")],
    train: Annotated[
        Path | None, typer.Option(help="The training dataset, for the trivial rows and seen/unseen findings.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="The training run, for its learning curve in the report.")] = None,
    bertscore_model: Annotated[
        Path | None, typer.Option(help="Folder of an encoder, for BERTScore (extra: bertscore).")
    ] = None,
    bertscore_layer: Annotated[int | None, typer.Option(help="Which layer of it. [default: the best known]")] = None,
    scorers: Annotated[
        list[str] | None,
        typer.Option("--scorer", metavar="NAME=COMMAND", help="A tool that scores JSON lines (RadGraph, ...); repeat."),
    ] = None,
) -> None:
    """Score drafts against findings and signed impressions, beside the trivial systems that any model must beat."""
    from radllama.evaluation.bertscore import BertScore
    from radllama.evaluation.evaluate import Scoring
    from radllama.evaluation.evaluate import evaluate as score
    from radllama.evaluation.scorers import Scorer, parse_scorer
    from radllama.evaluation.sources import evaluate_sources, parse_sets, render_sources
    from radllama.evaluation.tables import render_table

    asked: list[Scorer] = [parse_scorer(argument) for argument in scorers or []]
    if bertscore_model is not None:
        asked.insert(0, BertScore(bertscore_model, bertscore_layer))
    scoring = Scoring(train, asked, run)
    sets = parse_sets(drafts)
    if len(sets) > 1:
        print(render_sources(evaluate_sources(sets, out, scoring)))
    else:
        [path] = sets.values()
        print(render_table(score(path, out, scoring)))


def compare(
    drafts: Annotated[list[Path], typer.Argument(metavar="DRAFTS", help="Drafts files of two or more systems.")],
    out: Annotated[Path | None, typer.Option(help="Folder for compare.json.")] = None,
    train: Annotated[Path | None, typer.Option(help="The training dataset, for seen/unseen findings.")] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="METRIC", help="Any of scores.json; repeat. [default: rouge1]"),
    ] = None,
    common: Annotated[bool, typer.Option("--common", help="Leave out reports that a file lacks.")] = False,
) -> None:
    """Say which systems differ on the same reports, overall and by stratum, and which do not."""
    from radllama.evaluation.compare import compare as hold_against_each_other
    from radllama.evaluation.compare import render_comparison

    print(render_comparison(hold_against_each_other(drafts, out, train, metrics or ["rouge1"], common)))
