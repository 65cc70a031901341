"""Write docs/studies/ from the studies' run files: the pages, their plots, and the run files themselves.

    python scripts/study_pages.py runs/studies

Every figure of a page comes from the run file beside it; `tests/test_study_pages.py` holds that they agree.
"""

import argparse
import sys
from pathlib import Path

from radllama.errors import InputError
from radllama.files import read_json, write_aside, write_json
from radllama.run import read_run
from radllama.study.design import read_study
from radllama.study.page import render_page
from radllama.study.plot import render_plot
from radllama.study.write import STUDY_FILE

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Write the page of every study in studies/ that has been run in the given folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, help="what `radllama study --out` was given")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "studies")
    options = parser.parse_args()
    written = [
        path for path in sorted((ROOT / "studies").glob("*.yaml")) if write_page(path, options.runs, options.docs)
    ]
    print("\n".join(str(options.docs / f"{path.stem}.md") for path in written) or "no study has been run there")


def write_page(design: Path, runs: Path, docs: Path) -> bool:
    """Write one study's page, plot and run file; False when it has not been run."""
    folder = runs / design.stem
    if read_run(folder) is None:
        return False
    study = read_json(folder / STUDY_FILE)
    for suffix, text in (
        ("md", render_page(study, read_study(design).words, design.stem)),
        ("svg", render_plot(study)),
    ):
        with write_aside(docs / f"{design.stem}.{suffix}") as file:
            file.write(text)
    write_json(docs / f"{design.stem}.json", study)
    return True


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
