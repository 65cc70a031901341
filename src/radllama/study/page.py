"""The page of a study: its words from the study's file, every figure from `study.json`."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, TemplateError

from radllama.errors import InputError
from radllama.study.design import Words
from radllama.study.tables import (
    comparisons_table,
    costs_table,
    figures_table,
    observations_table,
    render_markdown,
    with_interval,
)


def render_page(study: Mapping[str, Any], words: Words, name: str) -> str:
    """The page as Markdown. Raises InputError where the words ask for a figure that is not there.

    In `words.found`, `{{ value("LoRA", "300", measure="rouge1") }}` is a figure with its interval,
    and `{{ verdict(...) }}` what the comparison with the reference says ("higher", "lower", "not different").
    With `observations: true`, `{{ repeated_of("rare", "LoRA", "300") }}` is what is repeated of a group of them.
    """
    environment = Environment(
        loader=PackageLoader("radllama.study", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; nothing in it comes from reports
    )
    points = {tuple(point["levels"]): point for point in study["points"]}
    compared = {(*row["levels"], row["measure"]): row for row in study["comparisons"]}

    def value(*levels: str, measure: str) -> str:
        return with_interval(points[levels]["scores"][measure], measure)

    def verdict(*levels: str, measure: str) -> str:
        return str(compared[(*levels, measure)]["verdict"])

    def repeated_of(group: str, *levels: str) -> str:
        groups = study["observations"]["groups"] if study["observations"] else {}
        summaries = dict(zip(points, groups[group], strict=True))
        return with_interval(summaries[levels]["repeated"], "repeated")

    try:
        template = environment.from_string(words.found)
        found = template.render(value=value, verdict=verdict, repeated_of=repeated_of).strip()
    except (TemplateError, KeyError) as error:
        raise InputError(f"words.found asks for a figure that is not there ({type(error).__name__}: {error})") from None
    tables = {
        "figures": figures_table(study),
        "comparisons": comparisons_table(study),
        "costs": costs_table(study),
        "observations": observations_table(study),
    }
    return environment.get_template("page.md.j2").render(
        study=study,
        words=words,
        found=found,
        name=name,
        tables={kind: render_markdown(lines) if lines else "" for kind, lines in tables.items()},
        reports=sorted({point["reports"] for point in study["points"] if point["runs"]}),
        machines=sorted({point["cost"]["machine"] for point in study["points"] if point["cost"]}),
        missing=[point for point in study["points"] if point["failed"]],
    )
