"""Imports go one way: a module knows what stands below it, nothing above, and nothing heavy until it runs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import radllama

SOURCE = Path(radllama.__file__).parent
HEAVY = {
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "sklearn",
    "pyarrow",
    "tensorboard",
    "bitsandbytes",
    "sacrebleu",
    "bert_score",
    "scipy",
    "statsmodels",
}

# Bottom to top. A module may import those of lower rows, never of its own row or a higher one.
LAYERS = [
    "radllama errors text console heap stats evaluation evaluation.html training training.averaging "
    "training.muon doctor doctor.outcome interfaces study "
    "dataset drafting reports.headings reports.sample_grammar clinical clinical.lexicon clinical.segment "
    "clinical.checks store store.tables store.migrations store.migrations.versions "
    "store.migrations.versions.r0001_keys_and_audit store.migrations.versions.r0002_feedback "
    "store.migrations.versions.r0003_web_sessions store.migrations.versions.r0004_review "
    "store.migrations.versions.r0005_draft_settings store.migrations.versions.r0006_messages "
    "store.migrations.versions.r0007_request_counts server review "
    "review.agreement review.analysis web web.trace web.errors web.pages",
    "files recipe evaluation.metrics reports.archive reports.fetch engines drafting.batches reports.sections "
    "training.sharding training.optimizer "
    "clinical.context home store.migrate engines.post engines.cassette rivals rivals.tidy evaluation.normality "
    "evaluation.scorers review.agreement.answers review.analysis.model review.latent review.design review.blinding "
    "review.tables review.pages",
    "review.ratings "
    "engines.openai reports.sample_study clinical.attributes store.migrations.env store.store server.keys web.logs "
    "web.middleware web.sessions "
    "evaluation.bertscore review.agreement.chance review.agreement.icc",
    "report run dataset.splits training.scratch training.checkpoint reports.sample clinical.read server.audit "
    "engines.streaming engines.logprobs web.exposure",
    "vote wording library.index weights",
    "library.library",
    "library",
    "library.consensus",
    "evaluation.trivial",
    "evaluation.folder evaluation.curve",
    "engines.shared engines.manifest drafting.sampling",
    "engines.ctranslate2",
    "dataset.cleaning dataset.leaks evaluation.drafts reports.phi "
    "reports.table reports.mimic_cxr clinical.label clinical.observations clinical.checks.rules "
    "clinical.checks.flag",
    "review.form review.rehearsal review.analysis.frame",
    "review.material review.book",
    "review.studies review.answers",
    "review.export",
    "review.progress review.accounts",
    "clinical.checks.claims drafting.abstain evaluation.strata evaluation.faithfulness evaluation.label_agreement "
    "evaluation.notes evaluation.prior",
    "library.habits selection",
    "prompt",
    "model training.packing training.augment engines.transformers",
    "library.folder library.asking",
    "rivals.question reports.openi training.examples training.start clinical.checks.anchors clinical.checks.negations "
    "clinical.checks.additions clinical.checks.omissions clinical.checks.form",
    "clinical.checks.sides clinical.checks.severities",
    "clinical.check engines.source engines.place library.advice",
    "drafting.standing drafting.candidates",
    "drafting.election",
    "engines.convert evaluation.harm evaluation.measures",
    "clinical.check_file drafting.draft evaluation.scores evaluation.tables",
    "drafting.voting drafting.voices",
    "drafting.consensus",
    "evaluation.by_observation evaluation.page evaluation.compare "
    "review.analysis.summaries review.analysis.comparisons review.analysis.consistency review.analysis.correlation "
    "review.analysis.tables",
    "review.analysis.preference review.analysis.effort review.analysis.methods review.analysis.page",
    "review.analysis.analyse review.power",
    "cli.library",
    "reports.parts",
    "reports.hl7 reports.fhir reports.dicom",
    "interfaces.dicom_sr interfaces.hl7_answers interfaces.fhir_answers",
    "reports drafting.load evaluation.evaluate",
    "training.products training.lora training.processes evaluation.sources",
    "training.attention",
    "training.loss",
    "training.learner training.footprint",
    "rivals.rival",
    "rivals.load",
    "dataset.build",
    "training.train training.plan",
    "clinical.links drafting.style server.jobs server.logprobs server.stops server.limiter server.schemas "
    "server.openid server.feedback server.messages",
    "server.worker server.openai_schemas server.shared_limiter server.recorder server.impressions "
    "server.continuation server.way",
    "server.assistant server.chat",
    "server.endpoint",
    "server.pool",
    "server.batcher",
    "server.metrics",
    "server.service",
    "server.work",
    "server.people",
    "server.access review.site",
    "review.sign_in review.rating_page review.rating_api review.coordinate",
    "review.openid_sign_in",
    "review.app review.backup",
    "review.serve",
    "server.sse",
    "server.api",
    "server.feedback_api server.openai_api server.pages",
    "server.mllp server.fhir server.mllp_exposure",
    "server.app",
    "doctor.served doctor.resume",
    "doctor.subject",
    "doctor.files doctor.tokens doctor.drafts",
    "doctor.doctor",
    "cli.doctor cli.dicom",
    "server.serve",
    "cli.rivals",
    "cli.web",
    "cli.serve",
    "cli.unread",
    "study.design",
    "study.data",
    "study.cells",
    "study.job",
    "study.pool",
    "study.run",
    "study.observations study.plan",
    "study.results study.tables study.plot",
    "study.write study.page",
    "cli.data cli.train cli.draft cli.study cli.evaluate cli.label "
    "cli.feedback cli.check cli.review cli.review_analysis",
    "cli",
]
ROW = {name: row for row, names in enumerate(LAYERS) for name in names.split()}


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "radllama"


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def imports_of(path: Path, whole_file: bool = True) -> Iterator[tuple[int, str]]:
    """(level of a relative import, full module name) of each import; of a file's top alone if so asked."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if whole_file else _run_at_import(tree.body):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module or ''}.{alias.name}"
                is_module = inner.removeprefix("radllama.") in MODULES
                yield node.level, inner if is_module else node.module or ""


def _run_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _run_at_import(node.orelse)
            continue
        for part in ("body", "orelse", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _run_at_import(getattr(node, part, []))


def ours(path: Path) -> set[str]:
    names = {name for _, name in imports_of(path) if name.split(".")[0] == "radllama"}
    return {name.removeprefix("radllama.") for name in names}


def test_every_module_stands_in_one_layer() -> None:
    placed = [name for names in LAYERS for name in names.split()]
    assert sorted(placed) == sorted(MODULES), "give a new module its row in LAYERS, and a dead one none"


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name: str) -> None:
    upward = [other for other in ours(MODULES[name]) if ROW[other] >= ROW[name]]
    assert not upward, f"{name} imports what stands beside or above it"


@pytest.mark.parametrize("name", MODULES)
def test_nothing_heavy_is_imported_before_it_is_needed(name: str) -> None:
    assert not {module.split(".")[0] for _, module in imports_of(MODULES[name], whole_file=False)} & HEAVY


@pytest.mark.parametrize("name", MODULES)
def test_imports_are_absolute(name: str) -> None:
    assert all(level == 0 for level, _ in imports_of(MODULES[name]))


def test_imports_inside_functions_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.write_text(
        "import os\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n"
        "try:\n    import peft\nexcept ImportError:\n    pass\n"
        "class A:\n    from radllama import text\ndef f():\n    from radllama import errors, __version__\n"
    )
    everywhere = {name for _, name in imports_of(file)}
    assert everywhere == {"os", "typing", "torch", "peft", "radllama.text", "radllama.errors", "radllama"}
    assert {name for _, name in imports_of(file, whole_file=False)} == {"os", "typing", "peft", "radllama.text"}


def test_help_waits_for_no_model_library() -> None:
    slow = HEAVY | {"numpy", "pydantic", "rich", "jinja2", "httpx", "sqlalchemy", "alembic", "fastapi"}
    program = (
        "import sys\n"
        "from radllama.cli import main\n"
        "sys.argv = ['radllama', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(sorted({slow!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Usage: radllama" in done.stdout
    assert done.stderr.strip() == "[]"
