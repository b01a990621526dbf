"""`trainers.mix`: one policy of what ReST selects from the games of several runs, measured on each game."""

import json

import pytest
from configs import stored_run

from agents.pocket import build_model, build_tokenizer
from agents.selfplay import Start, play
from clarify_env.games import find_game
from clarify_env.tasks import make_task
from trainers import mix
from trainers.runs.store import save_model

SMALL = ["eval.episodes=2", "eval.grid=2", "eval.transcripts=0", "eval.sets=[between]", "eval.modes=[greedy]"]
SMALL += ["rest.hindsight=3"]


def played(game, task, split="train"):
    """Games of scripted players that begin with each of their strategies, for every possibility of two episodes."""
    for index, role in ((index, game.learns[0]) for index in range(2)):
        episode = task.episode(split, index)
        for strategy in game.players[role]:
            players = {name: game.player(name, task, "scripted") for name in game.players if name != role}
            players[role] = game.player(role, task, strategy)
            starts = [Start(episode, hidden, prices, 0) for hidden in range(2) for prices in game.plane().train()[:1]]
            yield from play(starts, players, task=task, game=game)


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
        made[name] = stored_run(folder / name, "rest", words, played(game, task))
    made["test"] = stored_run(folder / "test", "rest", words, played(game, task, "test"))
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
    assert command(mix, *line) == (0, "")
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
    assert all(f"- {tag}\n" in card for tag in ("interview", "pandora", "mix")) and page in card
    # The same command goes on: nothing is learned or measured again.
    monkeypatch.setattr(mix, "evaluate", None)
    assert command(mix, *line) == (0, "") and json.loads((tmp_path / "out" / "mix.json").read_text()) == result


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
