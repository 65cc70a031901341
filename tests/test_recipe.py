from pathlib import Path

import pytest

from radllama.errors import InputError
from radllama.recipe import Recipe, read_recipe

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def test_the_defaults_are_the_papers(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, "base: some/llama\n"))
    assert (recipe.lora.rank, recipe.lora.alpha, recipe.lora.dropout) == (8, 16, 0.05)
    assert recipe.lora.targets == ["q_proj", "v_proj"]
    assert (recipe.batch_size, recipe.learning_rate, recipe.weight_decay) == (128, 3e-4, 0.01)


def test_a_recipe_with_three_mistakes_names_all_three(tmp_path: Path) -> None:
    path = write(tmp_path, "base: mini\nlora: {rank: 0}\nprompt: {template: alpaca}\nepoch: 3\n")
    with pytest.raises(InputError) as told:
        read_recipe(path)
    message = str(told.value)
    assert message.startswith(f"{path}: ")
    assert "lora.rank: input should be greater than or equal to 1, got 0" in message
    assert "prompt.template: input should be 'paper', 'llama2-chat' or 'plain', got 'alpaca'" in message
    assert "epoch: no such setting, got 3" in message
    assert "\n" not in message


def test_settings_that_contradict_each_other_are_named_together(tmp_path: Path) -> None:
    path = write(tmp_path, "base: scratch\ntuning: lora\nkeep: rouge1\nvalid_drafts: 0\n")
    with pytest.raises(InputError) as told:
        read_recipe(path)
    for part in ("scratch: give its section", "tuning: a model from scratch", "keep: rouge1 needs valid_drafts"):
        assert part in str(told.value)


def test_mistakes_in_the_section_of_prior_reports_are_named_together(tmp_path: Path) -> None:
    path = write(tmp_path, "base: mini\nneighbours: {count: 0, nearest: middle, dropout: 1, k: 3}\n")
    with pytest.raises(InputError) as told:
        read_recipe(path)
    for part in ("neighbours.count: ", "neighbours.nearest: ", "neighbours.dropout: ", "neighbours.k: no such setting"):
        assert part in str(told.value)
    with pytest.raises(InputError, match=r"neighbours.budget_tokens: must leave the findings room"):
        read_recipe(write(tmp_path, "base: mini\ncontext_tokens: 256\nneighbours: {count: 3, budget_tokens: 256}\n"))


def test_a_library_is_one_switch_for_any_recipe(tmp_path: Path) -> None:
    recipe = read_recipe(RECIPES[0].parent / "paper-7b.yaml", ["neighbours.count=4"])
    assert recipe.neighbours
    assert (recipe.neighbours.count, recipe.neighbours.findings) == (4, False)
    assert read_recipe(RECIPES[0].parent / "paper-7b.yaml").neighbours is None


def test_overrides_reach_into_sections_and_keep_their_types(tmp_path: Path) -> None:
    path = write(tmp_path, "base: mini\n")
    recipe = read_recipe(path, ["lora.rank=16", "learning_rate=1e-4", "lora.targets=[q_proj]", "tracker=none"])
    assert (recipe.lora.rank, recipe.learning_rate, recipe.lora.targets) == (16, 1e-4, ["q_proj"])
    assert recipe.tracker == "none"


@pytest.mark.parametrize("override", ["rank", "=3", "base.name=x"])
def test_a_broken_override_is_told(tmp_path: Path, override: str) -> None:
    with pytest.raises(InputError, match="override"):
        read_recipe(write(tmp_path, "base: mini\n"), [override])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("base: [", "not YAML"),
        ("- base", "expected settings"),
        ("", "expected settings"),
        ("seed: 1", "base: field req"),
    ],
)
def test_what_is_no_recipe_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_recipe(write(tmp_path, text))


def test_a_missing_recipe_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such recipe"):
        read_recipe(tmp_path / "nothing.yaml")


def test_a_width_that_the_heads_do_not_divide_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "base: scratch\ntuning: full\nscratch: {hidden_size: 100, heads: 3}\n")
    with pytest.raises(InputError, match="hidden_size must be an even multiple of heads"):
        read_recipe(path)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_committed_recipe_is_valid_and_says_how_to_run_it(path: Path) -> None:
    assert isinstance(read_recipe(path), Recipe)
    assert f"radllama train recipes/{path.name} --data" in path.read_text()


def test_the_papers_recipe_says_what_the_paper_says() -> None:
    recipe = read_recipe(next(path for path in RECIPES if path.stem == "paper-7b"))
    assert recipe.base == "meta-llama/Llama-2-7b-hf"
    assert (recipe.tuning, recipe.prompt.template) == ("lora", "paper")
    assert (recipe.lora.rank, recipe.lora.alpha, recipe.lora.dropout) == (8, 16, 0.05)
    assert (recipe.batch_size, recipe.learning_rate, recipe.weight_decay) == (128, 3e-4, 0.01)
