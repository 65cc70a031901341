import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from radllama.errors import InputError
from radllama.evaluation.scorers import ExternalScorer, parse_scorer, run_scorers

# A tool as a user would write one: JSON lines in, JSON lines out, in an order of its own.
TOOL = """
import json, sys
rows = [json.loads(line) for line in sys.stdin]
for row in reversed(rows):
    shared = set(row["reference"].split()) & set(row["draft"].split())
    print(json.dumps({"id": row["id"], "score": len(shared)}))
"""


def command(tmp_path: Path, program: str) -> str:
    (tmp_path / "a tool.py").write_text(program)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(tmp_path / 'a tool.py'))}"


def test_a_tool_scores_every_pair_in_any_order(tmp_path: Path) -> None:
    scorer = ExternalScorer("shared", command(tmp_path, TOOL))
    assert scorer.score([("a b c", "a b"), ("a", "z"), ("ä – \u2028b", "ä")]) == [2, 0, 1]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit(3)", "ended with exit code 3"),
        ('import sys; sys.stdin.read(); print(\'{"id": 0, "score": 1}\')', r"no score for 1 of 2 pairs .*id 1"),
        ("print('loading the model')", "line 1 of its output is no"),
        ("print('{\"id\": 0}')", "line 1 of its output is no"),
        ('print(\'{"id": 0, "score": NaN}\')', "has the score nan; a score must be a number"),
        ("print('[1, 2]')", "line 1 of its output is no"),
        ("import sys; sys.stdout.buffer.write(bytes([255]))", "not UTF-8"),
    ],
)
def test_a_tool_that_fails_says_so_in_one_line_without_report_text(tmp_path: Path, program: str, said: str) -> None:
    scorer = ExternalScorer("radgraph", command(tmp_path, program))
    with pytest.raises(InputError, match=said) as error:
        scorer.score([("secret words", "b"), ("c", "d")])
    assert str(error.value).startswith("scorer 'radgraph': the command ")
    assert "\n" not in str(error.value) and "secret" not in str(error.value)


def test_a_tool_that_is_not_there_says_so() -> None:
    with pytest.raises(InputError, match=r"cannot be started \(No such file"):
        ExternalScorer("x", "/nowhere/tool --fast").score([("a", "b")])
    with pytest.raises(InputError, match=r"cannot be started \(No closing quotation"):
        ExternalScorer("x", "tool 'a").score([("a", "b")])


def test_a_tool_that_stops_reading_is_no_traceback(tmp_path: Path) -> None:
    scorer = ExternalScorer("x", command(tmp_path, "import sys; sys.stdin.close(); sys.exit(4)"))
    with pytest.raises(InputError, match="exit code 4"):
        scorer.score([("word " * 2000, "word")] * 200)


class Counting:
    title = "length"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        self.asked += pairs
        return [float(len(draft)) for _, draft in pairs]


def test_each_different_pair_is_scored_once_and_an_empty_draft_scores_zero_unread() -> None:
    scorer = Counting()
    scores = run_scorers([scorer], ["a", "b", "c"], {"system": ["xx", "", "yyy"], "constant": ["xx", "xx", "yyy"]})
    assert scores == {"system": {"length": [2, 0, 3]}, "constant": {"length": [2, 2, 3]}}
    assert scorer.asked == [("a", "xx"), ("c", "yyy"), ("b", "xx")]


def test_where_all_drafts_are_empty_no_tool_is_started() -> None:
    scores = run_scorers([ExternalScorer("x", "/nowhere/tool")], ["a"], {"system": ["."]})
    assert scores == {"system": {"x": [0.0]}}


def test_without_scorers_every_row_has_no_further_score() -> None:
    assert run_scorers([], ["a"], {"system": ["b"]}) == {"system": {}}


def test_a_scorer_is_given_by_name_and_command() -> None:
    assert parse_scorer("RadGraph F1=python score.py --type=partial").title == "RadGraph F1"
    for argument in ("radgraph", "=python x.py", "radgraph= "):
        with pytest.raises(InputError, match="give NAME=COMMAND"):
            parse_scorer(argument)


def test_the_command_line_takes_scorers_and_stops_at_one_that_fails(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(json.dumps({"id": "1", "reference": "No stone.", "draft": "No stone."}) + "\n")

    def run(scorer: str) -> subprocess.CompletedProcess[str]:
        arguments = ["evaluate", "--drafts", "d.jsonl", "--out", "out", "--scorer", scorer]
        program = "import sys; from radllama.cli import main; sys.argv = ['radllama', *sys.argv[1:]]; main()"
        return subprocess.run(
            [sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    done = run(f"shared={command(tmp_path, TOOL)}")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["overall"]["shared"] == 2
    done = run("shared=/nowhere/tool")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("radllama: scorer 'shared': the command cannot be started")
    assert not (tmp_path / "out" / "run.json").exists()
