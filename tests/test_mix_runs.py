"""`trainers.mix`: one policy of what ReST selects from the games of several runs, measured on each game."""

import json
import shutil

import pytest
from configs import stored_run

from agents.pocket import build_model, build_tokenizer
from agents.selfplay import Start, play
from clarify_env.games import find_game
from clarify_env.tasks import make_task
from trainers import mix
from trainers.runs.store import save_model

SMALL = ["eval.episodes=2", "eval.grid=2", "eval.transcripts=0", "eval.sets=[between]", "eval.modes=[greedy]"]
SMALL += ["rest.hindsight=3", "rest.iterations=1"]


def played(game, task, split="train"):
    """Games of scripted players that begin with each of their strategies, for every possibility of two episodes."""
    for index, role in ((index, game.learns[0]) for index in range(2)):
        episode = task.episode(split, index)
        for strategy in game.players[role]:
            players = {name: game.player(name, task, "scripted") for name in game.players if name != role}
            players[role] = game.player(role, task, strategy)
            starts = [Start(episode, hidden, prices, 0) for hidden in range(2) for prices in game.plane().train()[:1]]
            yield from play(starts, players, task=task, game=game)


def finished(folder):
    """A run that has ended."""
    (folder / "summary.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of ReST on two games, their model, which knows neither, and runs that cannot be mixed."""
    folder = tmp_path_factory.mktemp("runs")
    tokenizer = build_tokenizer(["each question costs 0.2: fuse or box A, box B, box C"], 300)
    model = build_model(tokenizer, width=16, layers=1, heads=2, kv_heads=1, feed_forward=16)
    save_model(model, tokenizer, folder / "model")
    made = {"model": folder / "model"}
    for name, game_name, task_name in (("ask", "interview", "workshop"), ("look", "pandora", "boxes")):
        game, task = find_game(game_name), make_task(task_name)
        words = [f"game={game_name}", f"assistant.model={folder / 'model'}", "assistant.max_new_tokens=4", *SMALL]
        made[name] = finished(stored_run(folder / name, "rest", words, played(game, task)))
    made["test"] = finished(stored_run(folder / "test", "rest", words, played(game, task, "test")))
    made["again"] = finished(stored_run(folder / "again", "rest", [*words, f"rollouts.games={made['look']}"], ()))
    made["evaluated"] = stored_run(folder / "evaluated", "evaluate", ["game=pandora"], played(game, task))
    save_model(model, tokenizer, made["look"] / "checkpoints" / "iteration-1")
    return made


def test_one_policy_learns_what_each_run_selects_and_is_measured_on_each(command, runs, tmp_path, monkeypatch, capsys):
    learned, improve = [], mix.improve

    def improved(experiment, update, run, base, examples, iteration):
        texts = [base.tokenizer.decode(example.prompt_ids + example.ids) for example in examples]
        learned.append(texts)
        return improve(experiment, update, run, base, examples, iteration)

    monkeypatch.setattr(mix, "improve", improved)
    line = [f"runs=[{runs['ask']},{runs['look']}]", "split=validation", f"run_dir={tmp_path / 'out'}"]
    warning = f"own: {runs['ask']} has no checkpoint any more, so its policy is not measured\n"
    assert command(mix, *line) == (0, warning)
    (texts,) = learned
    assert any("#ASK" in text and "Of 100 cases" in text for text in texts) and any("#LOOK" in text for text in texts)
    result = json.loads((tmp_path / "out" / "mix.json").read_text())
    assert {name: [*entry["policies"]] for name, entry in result["runs"].items()} == {
        "interview-workshop": ["mixed"],
        "pandora-boxes": ["mixed", "own"],
    }, "the first run has no checkpoint"
    entry = result["runs"]["pandora-boxes"]
    assert entry["split"] == "validation" and set(entry["policies"]["own"]["eval"]) == {"between"}
    page = (tmp_path / "out" / "mix.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| pandora-boxes")]
    assert [row.split(" | ")[1:4] for row in rows] == [["between", "greedy", "mixed"], ["between", "greedy", "own"]]
    card = (tmp_path / "out" / "checkpoints" / "iteration-1" / "README.md").read_text()
    assert all(f"- {tag}\n" in card for tag in ("interview", "pandora", "mix"))
    named = {"interview-workshop": "ask", "pandora-boxes": "look"}
    assert all(f"* {part}: validation split of the run `{runs[name]}`\n" in page for part, name in named.items())
    assert all(row in card for row in rows) and str(tmp_path) not in card, "a card says nothing of folders"
    # The same command goes on: nothing is learned or measured again.
    monkeypatch.setattr(mix, "evaluate", None)
    assert command(mix, *line) == (0, warning) and json.loads((tmp_path / "out" / "mix.json").read_text()) == result


def test_a_run_that_learned_stored_games_selects_from_them_again(command, runs, tmp_path, monkeypatch):
    learned = []

    def improved(experiment, update, run, base, examples, iteration):
        learned.append(examples)
        raise ValueError("enough")

    monkeypatch.setattr(mix, "improve", improved)
    for name in ("look", "again"):
        code, error = command(mix, f"runs=[{runs['ask']},{runs[name]}]", "own=false", f"run_dir={tmp_path / name}")
        assert (code, error) == (1, "error: enough\n")
    assert learned[0] == learned[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["runs=[{ask}]"], "runs must be at least two run directories, each named once, as runs=[RUN_A,RUN_B]"),
        (["runs=[{ask},{ask}/.]"], "runs must be at least two run directories, each named once, as runs=[RUN_A,RUN_B]"),
        (["runs=[{ask},/nowhere]"], "runs: /nowhere is no run directory: it has no config.json"),
        (
            ["runs=[{ask},{evaluated}]"],
            "runs: {evaluated} is a run of trainers.evaluate, and only those of rest are mixed",
        ),
        (["runs=[{ask},{test}]"], "runs: {test} holds games on test/0, which is no training episode"),
        (
            ["runs=[{ask},{look}]", "split=dev"],
            "split: task workshop of {ask} has no split 'dev', only train, validation, test",
        ),
    ],
)
def test_runs_that_cannot_be_mixed_are_refused(command, runs, tmp_path, words, sentence):
    code, error = command(mix, *(word.format(**runs) for word in words), f"run_dir={tmp_path / 'out'}")
    assert (code, error) == (1, f"error: {sentence.format(**runs)}\n") and not (tmp_path / "out").exists()


def gone(config):
    config["assistant"]["model"] = "/a/model"


def partner_gone(config):
    config["players"] = {"user": {"kind": "hf", "model": "/a/model"}}


def made_anew(config):
    config["weights"] = {"model.safetensors": "of another day"}


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("ask", "summary", "{0} is unfinished: the command that began it goes on with it"),
        ("look", lambda config: config.pop("rest"), "{0}/config.json: it has no section rest"),
        ("look", lambda config: config.update(rollouts=3), "{0}/config.json: it has no section rollouts"),
        ("look", lambda config: config["rest"].update(new=1), "{0}/config.json: there is no option rest.new; known: "),
        ("look", lambda config: config["rest"].update(k="x"), "{0}/config.json: rest.k must be a whole number"),
        (
            "look",
            lambda config: config["rest"].update(iterations=2),
            "{0} has no trajectories/iteration-2.jsonl any",
        ),
        ("look", lambda config: config["rollouts"].update(games="/a"), "{0}: rollouts.games: /a is no run directory"),
        ("look", lambda config: config["rest"].update(least_value=9.0), "{0} has no examples to learn from: "),
        ("first", gone, "{0}: assistant.model: cannot load '/a/model': "),
        ("ask", partner_gone, "{0}: players.user.model: cannot load '/a/model': "),
        ("first", made_anew, "assistant.model={model} is no longer what {0} started from: it was made anew; "),
    ],
)
def test_runs_that_have_changed_are_refused_before_anything_is_learned(
    command, runs, tmp_path, monkeypatch, name, change, sentence
):
    first, second = "ask", "look"
    other, changed = (second, first) if name in ("ask", "first") else (first, second)
    folder, out = tmp_path / "changed", tmp_path / "out"
    shutil.copytree(runs[changed], folder)
    if change == "summary":
        (folder / "summary.json").unlink()
    else:
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(mix, "improve", None)
    code, error = command(mix, f"runs=[{folder},{runs[other]}]", f"run_dir={out}", "own=false")
    assert code == 1 and error.startswith(f"error: runs: {sentence.format(folder, model=runs['model'])}"), error
    assert error.count("\n") == 1
    assert "no examples" in sentence or not out.exists(), "a refused config leaves nothing behind"


def test_the_card_names_the_model_that_learned(runs, tmp_path):
    from trainers.reporting.mix import card

    experiment = mix.open_part(runs["ask"]).experiment
    assert "base_model: them/theirs\n" in card([experiment], "them/theirs", {})
