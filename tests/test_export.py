"""Data out and in by the commands: export, import, reverify, learning from stored games, and TRL's SFT on an export."""

import importlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from configs import stored_run
from datasets import load_dataset
from peers import environment

from agents.hf import HFAgent
from agents.pocket import SHIPPED
from agents.selfplay import Start, play
from clarify_env import make_task
from clarify_env.data.rows import export as rows_of
from clarify_env.games import find_game
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from trainers import export as export_command
from trainers import rest, reverify, rwsft, stargate
from trainers.data.export import TO, export
from trainers.data.stored import open_run

import_command = importlib.import_module("trainers.import")
POCKET = SHIPPED["almanac"]
# What makes a command that learns small enough for a test.
SMALL = ["eval.episodes=2", "eval.validation=2", "eval.grid=2", "eval.transcripts=1", "eval.sets=[between]"]


@pytest.fixture(scope="module")
def setup():
    return Setup(find_game("clarification"), make_task("almanac"))


@pytest.fixture(scope="module")
def agents():
    """The embedded model plays both sides."""
    from agents.hf import load

    one = HFAgent(*load(POCKET, device="cpu"), style="pocket", max_new_tokens=24, name="pocket")
    return {"assistant": one, "user": one}


@pytest.fixture(scope="module")
def games(setup, agents):
    """Games that begin with each action, for every reading."""
    prices, starts = setup.game.plane().train(), []
    for index in range(4):
        episode = setup.task.episode("train", index)
        for opening in ("#CLARIFY", "#ANSWER", "#MULTI_ANS"):
            for hidden in range(len(setup.weights(episode))):
                starts.append(Start(episode, hidden, prices[index], index, prefixes={"assistant": opening}))
    return list(play(starts, agents, task=setup.task))


@pytest.fixture(scope="module")
def run(tmp_path_factory, games):
    return stored_run(tmp_path_factory.mktemp("runs") / "played", "evaluate", ["user=self"], games)


@pytest.mark.parametrize("to", TO)
@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_the_command_writes_what_the_call_returns(command, run, tmp_path, capsys, to, format):
    out, line = tmp_path / "out", [f"run={run}", f"to={to}", f"format={format}", f"run_dir={tmp_path / 'out'}"]
    code, error = command(export_command, *line)
    if to in ("traces", "games") and format == "parquet":
        assert (code, error) == (1, f"error: format must be jsonl: to={to} is one file of JSON lines, not a data set\n")
        return assert_nothing(out)
    assert code == 0, error
    rows = list(export(run, to))
    if to in ("traces", "games"):
        assert [json.loads(text) for text in (out / f"{to}.jsonl").read_text().splitlines()] == json_of(rows)
        return None
    stored = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert list(stored) == ["train"] and json_of(list(stored["train"])) == json_of(rows)
    assert not list(out.rglob("*.part"))


def json_of(rows):
    return json.loads(json.dumps(rows))


def assert_nothing(folder):
    assert not folder.exists(), "a refused config leaves nothing behind"


def test_the_prompts_are_those_that_the_models_were_shown(run, games, agents):
    renderer = agents["assistant"].renderer
    for row in export(run, "completions", roles=["assistant", "user"]):
        turn = games[row["game_id"]].turns[row["turn"]]
        assert row["prompt"] == renderer.chat(turn.view) and row["prompt_ids"] == list(turn.reply.prompt_ids)
        assert row["completion_ids"] == list(turn.reply.ids)
        assert sum(row["sampled_mask"]) == len(turn.reply.ids) - turn.reply.forced


def test_each_token_that_a_role_wrote_is_its_own_in_one_row(run, games):
    rows = list(export(run, "tokens", roles=["assistant", "user"]))
    for role in ("assistant", "user"):
        own = [
            token
            for row in rows
            if row["role"] == role
            for token, mask in zip(row["input_ids"], row["assistant_masks"], strict=True)
            if mask
        ]
        written = [token for game in games for turn in game.moves((role,)) for token in turn.reply.ids]
        assert sorted(own) == sorted(written)
    assert any(len(row["turns"]) > 1 for row in rows) and all(row["player"] in ("pocket",) for row in rows)
    for row in rows:
        assert not any(a and b for a, b in zip(row["masks"]["assistant"], row["masks"]["user"], strict=True))


def test_pairs_prefer_the_better_first_message(run, setup, games):
    pairs = list(export(run, "preferences"))
    assert pairs and {row["case"] for row in pairs} <= {"other_action", "good", "bad"}
    for row in pairs:
        assert row["chosen"] != row["rejected"] and len(row["chosen"]) == len(row["rejected"]) == 1
        assert row["prompt_ids"] and row["chosen_ids"] and row["rejected_ids"]
    with pytest.raises(ValueError, match="to=preferences: user knows what is hidden in game clarification"):
        export(run, "preferences", roles=["user"])


REFUSED = [
    ([], "run must be given: it has no default"),
    (["run=/nowhere"], "run: /nowhere is no run directory: it has no config.json"),
    (["run={run}", "to=csv"], "to must be one of completions, preferences, unpaired, tokens, traces, games, not 'csv'"),
    (["run={run}", "roles=[judge]"], "roles: game clarification has the roles assistant, user, not judge"),
    (["run={run}", "roles=[]"], "roles: game clarification has the roles assistant, user, not none"),
    (["run={bare}"], "run: {bare} holds no games: there is no whole chunk in {bare}/trajectories"),
    (["run={compared}"], "run: {compared} is a run of trainers.compare, which stores no games"),
]


@pytest.fixture
def folders(run, tmp_path):
    bare, compared = tmp_path / "bare", tmp_path / "compared"
    for folder, config in ((bare, json.loads((run / "config.json").read_text())), (compared, {"command": "compare"})):
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
    return {"run": run, "bare": bare, "compared": compared}


@pytest.mark.parametrize(("line", "sentence"), REFUSED, ids=[sentence[:30] for _, sentence in REFUSED])
def test_what_cannot_be_exported_is_refused_before_anything_is_written(command, folders, tmp_path, line, sentence):
    words = [word.format(**folders) for word in line]
    code, error = command(export_command, *words, f"run_dir={tmp_path / 'out'}")
    assert (code, error) == (1, f"error: {sentence.format(**folders)}\n")
    assert_nothing(tmp_path / "out")


def test_an_export_of_scripted_players_has_no_tokens(command, setup, tmp_path):
    user, oracle = ScriptedUser(setup.task), setup.game.player("assistant", setup.task, "oracle")
    starts = [Start(setup.task.episode("train", 0), 0, setup.game.plane().train()[0], 0)]
    played = play(starts, {"assistant": oracle, "user": user}, task=setup.task)
    run = stored_run(tmp_path / "run", "evaluate", ["assistant=scripted"], played)
    code, error = command(export_command, f"run={run}", "to=tokens", f"run_dir={tmp_path / 'out'}")
    assert code == 1 and error.endswith(
        "error: to=tokens: the run's games give no rows: no language model played these roles, or no game has a pair\n"
    )
    assert {row["prompt_ids"] for row in export(run)} == {None}


READS_TRACES = """
import sys
from pathlib import Path
from verifiers.types import AssistantMessage, RolloutTiming, SystemMessage, UserMessage
from verifiers.utils.save_utils import load_outputs

kinds = {"user": UserMessage, "assistant": AssistantMessage, "system": SystemMessage}
outputs = load_outputs(Path(sys.argv[1]))
for output in outputs:
    assert [kinds[message["role"]](**message) for message in (*output["prompt"], *output["completion"])]
    assert RolloutTiming(**output["timing"]) and all(type(value) is float for value in output["metrics"].values())
print(sum(output["reward"] for output in outputs))
"""


@pytest.mark.peers
def test_verifiers_reads_the_traces(command, run, games, tmp_path):
    python = environment("verifiers-results", "verifiers==0.1.14")
    assert command(export_command, f"run={run}", "to=traces", f"run_dir={tmp_path / 'out'}")[0] == 0
    (tmp_path / "results.jsonl").write_bytes((tmp_path / "out" / "traces.jsonl").read_bytes())
    done = subprocess.run([python, "-c", READS_TRACES, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(sum(game.reward() for game in games))


# Import.


@pytest.fixture
def exported(command, run, tmp_path):
    assert command(export_command, f"run={run}", "to=games", f"run_dir={tmp_path / 'games'}")[0] == 0
    return tmp_path / "games" / "games.jsonl"


@pytest.mark.slow
def test_games_go_out_and_in_and_are_learned_from(command, run, games, exported, tmp_path, capsys):
    imported, learned = tmp_path / "imported", tmp_path / "learned"
    code, error = command(import_command, f"import.path={exported}", f"run_dir={imported}")
    assert code == 0, error
    stored = open_run(imported)
    assert [game for _, game in stored.games()] == games, "views, tokens and results included"
    result = json.loads((imported / "import.json").read_text())
    assert (result["games"], result["reward_differs"]) == (len(games), [])
    assert result["rows"][0]["reward"] == pytest.approx(sum(game.reward() for game in games) / len(games))
    before = (imported / "trajectories" / "iteration-1.jsonl").read_bytes()
    first, *others = exported.read_text().splitlines(keepends=True)
    exported.write_text("".join(others))
    code, error = command(import_command, f"import.path={exported}", f"run_dir={imported}")
    assert code == 1 and f"run_dir: {imported} holds games of {exported} as it was before" in error
    assert (imported / "trajectories" / "iteration-1.jsonl").read_bytes() == before
    exported.write_text("".join([first, *others]))
    assert command(import_command, f"import.path={exported}", f"run_dir={imported}")[0] == 0
    learn = ["rwsft.weight=refit", "rollouts=plain", f"rollouts.games={imported}", "update.epochs=1", "update.runs=1"]
    code, error = command(rwsft, *SMALL, *learn, "eval.modes=[greedy]", f"run_dir={learned}")
    assert code == 0, error
    assert not (learned / "trajectories" / "iteration-1.jsonl").exists(), "nothing was played"
    summary = json.loads((learned / "summary.json").read_text())
    assert summary["budget"]["games"] == len(games)
    assert summary["budget"]["update_tokens"] > 0 < summary["budget"]["generated_tokens"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "words"),
    [
        (rest, ["rest.rule=best", "rollouts=plain", "rest.hindsight=0", "update.least_steps=0"]),
        (rest, ["rest.hindsight=2", "update.least_steps=0"]),
        (stargate, []),
    ],
    ids=["rest.rule=best", "rest.rule=action", "stargate"],
)
def test_methods_learn_from_stored_games_to_the_end(command, run, games, tmp_path, module, words):
    learn = [*words, f"rollouts.games={run}", "update.epochs=1", "update.runs=1", "eval.modes=[greedy]"]
    code, error = command(module, *SMALL, *learn, f"run_dir={tmp_path / 'learned'}")
    assert code == 0, error
    assert not (tmp_path / "learned" / "trajectories" / "iteration-1.jsonl").exists(), "nothing was played"
    assert (tmp_path / "learned" / "checkpoints" / "iteration-1" / "model.safetensors").exists()
    budget = json.loads((tmp_path / "learned" / "summary.json").read_text())["budget"]
    assert budget["games"] == len(games) and budget["update_tokens"] > 0 < budget["gold_labels"]


def test_messages_without_tokens_are_tokenized_by_the_model_that_learns(run, games, agents, tmp_path):
    from configs import arguments_of

    from trainers.rollouts.stored import stored_groups

    bare = [
        game._replace(
            turns=tuple(
                turn._replace(reply=turn.reply._replace(prompt_ids=None, ids=None, logprobs=None, forced=0))
                for turn in game.turns
            )
        )
        for game in games
    ]
    folder = stored_run(tmp_path / "bare", "evaluate", (), bare)
    experiment = arguments_of("rwsft", f"rollouts.games={folder}")["experiment"]
    groups = list(stored_groups(experiment, agents, str(folder), 1, len(games)))
    renderer = agents["assistant"].renderer
    for _, group in groups:
        for turn in (turn for game in group for turn in game.moves(("assistant",))):
            assert turn.reply.ids == renderer.tokenize_reply(turn.reply.text) and turn.reply.logprobs is None
            assert turn.reply.prompt_ids == renderer.encode(turn.view) and turn.reply.forced == len(turn.reply.ids)
    groups = list(stored_groups(experiment, agents, str(run), 1, len(games)))
    assert [game for _, group in groups for game in group] == games, "ids that are the message stay"


def test_openings_that_were_given_are_still_known_in_the_tokens_of_another_model(games, agents, tmp_path):
    from configs import arguments_of

    from trainers.rollouts.grow import generated_tokens
    from trainers.rollouts.stored import stored_groups

    foreign = [
        game._replace(
            turns=tuple(
                turn._replace(reply=turn.reply._replace(prompt_ids=(0, *turn.reply.prompt_ids)))
                if turn.reply.prompt_ids
                else turn
                for turn in game.turns
            )
        )
        for game in games
    ]
    folder = stored_run(tmp_path / "foreign", "evaluate", (), foreign)
    experiment = arguments_of("rwsft", f"rollouts.games={folder}")["experiment"]
    read = [game for _, group in stored_groups(experiment, agents, str(folder), 1, len(games)) for game in group]
    given = {
        (before.reply.forced > 0, 0 < after.reply.forced < len(after.reply.ids))
        for one, other in zip(games, read, strict=True)
        for before, after in zip(one.moves(("assistant",)), other.moves(("assistant",)), strict=True)
    }
    assert given == {(True, True), (False, False)}
    own = [game._replace(turns=game.moves(("assistant",))) for game in read]
    assert generated_tokens(own) == 0, "none was sampled in these tokens"


def test_iterations_share_the_stored_games(run, games, agents):
    from configs import arguments_of

    from trainers.rollouts.stored import stored_groups

    experiment = arguments_of("rwsft", f"rollouts.games={run}")["experiment"]
    size = max(len(group) for _, group in stored_groups(experiment, agents, str(run), 1, len(games)))
    shares, iteration = [], 1
    with pytest.raises(
        ValueError,
        match=f"rollouts.games: .* has no games left for iteration {len(set(g.episode_id for g in games)) + 1}",
    ):
        while True:
            shares.append(
                [game for _, group in stored_groups(experiment, agents, str(run), iteration, size) for game in group]
            )
            iteration += 1
    assert [game for share in shares for game in share] == games and len(shares) > 1
    with pytest.raises(ValueError, match=r"budget\.games: 1 games an iteration do not hold the"):
        list(stored_groups(experiment, agents, str(run), 1, 1))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["rollouts.games=/nowhere"], "rollouts.games: /nowhere is no run directory: it has no config.json"),
        (
            ["task=ledger", "costs=ledger", "rollouts.games={run}"],
            "rollouts.games: {run} holds games of task almanac, not of ledger",
        ),
        (
            ["task.world_seed=5", "rollouts.games={run}"],
            "rollouts.games: train/0 in {run} is another episode: it has other options of task.*",
        ),
        (
            ["game.max_questions=1", "rollouts.games={run}"],
            "rollouts.games: the games of {run} were played with other options of game.*",
        ),
    ],
)
def test_games_that_cannot_be_learned_are_refused_at_once(command, run, tmp_path, line, sentence):
    code, error = command(rwsft, *(word.format(run=run) for word in line), f"run_dir={tmp_path / 'out'}")
    assert (code, error) == (1, f"error: {sentence.format(run=run)}\n")
    assert_nothing(tmp_path / "out")


def test_games_on_test_episodes_are_not_learned(command, setup, tmp_path):
    players = {role: setup.game.player(role, setup.task, names[0]) for role, names in setup.game.players.items()}
    starts = [Start(setup.task.episode("test", 3), 0, setup.game.plane().train()[0], 0)]
    run = stored_run(tmp_path / "run", "evaluate", [], play(starts, players, task=setup.task))
    code, error = command(rwsft, f"rollouts.games={run}", f"run_dir={tmp_path / 'out'}")
    sentence = f"rollouts.games: {run} holds games on test/3, which is no training episode"
    assert (code, error) == (1, f"error: {sentence}\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "import.path: {path} holds no games"),
        ("{{}}", "{path}, line 1: episode_id must be SPLIT/NUMBER, as train/0, not null"),
    ],
)
def test_a_file_that_does_not_fit_leaves_nothing_behind(command, tmp_path, text, sentence):
    path = tmp_path / "games.jsonl"
    path.write_text(text.replace("{{}}", "{}"))
    code, error = command(import_command, f"import.path={path}", f"run_dir={tmp_path / 'out'}")
    assert (code, error) == (1, f"error: {sentence.format(path=path)}\n")
    assert_nothing(tmp_path / "out")
    code, error = command(import_command, "import.path=/nowhere", f"run_dir={tmp_path / 'out'}")
    assert (code, error) == (1, "error: import.path: /nowhere is no file\n")


# Reverify.


def test_games_are_scored_at_other_prices_and_by_another_metric(command, run, games, setup, tmp_path, capsys):
    out = tmp_path / "out"
    line = [f"run={run}", "prices=[[0.1,0.01],[1,0]]", "metric=f1", f"run_dir={out}"]
    code, error = command(reverify, *line)
    assert code == 0, error
    result = json.loads((out / "reverify.json").read_text())
    assert [row["costs"] for row in result["rows"]] == [[0.1, 0.01], [1.0, 0.0]]
    scores = [setup.measures(game)["f1"] for game in games]
    assert [one["score"] for one in result["games"]] == pytest.approx(scores) and any(0 < score < 1 for score in scores)
    for k, (alpha, beta) in enumerate(((0.1, 0.01), (1, 0))):
        rewards = [
            score - alpha * game.result.usage["questions"] - beta * game.result.usage["words"]
            for score, game in zip(scores, games, strict=True)
        ]
        assert [one["rewards"][k] for one in result["games"]] == pytest.approx(rewards)
        assert result["rows"][k]["reward"] == pytest.approx(sum(rewards) / len(rewards))
    assert "| 0.1, 0.01 | all |" in (out / "reverify.md").read_text()


def test_todays_rules_give_the_rewards_on_file(command, run, games, tmp_path):
    assert command(reverify, f"run={run}", f"run_dir={tmp_path / 'out'}")[0] == 0
    result = json.loads((tmp_path / "out" / "reverify.json").read_text())
    assert result["reward_differs"] == 0 and [one["reward_on_file"] for one in result["games"]] == [
        game.reward() for game in games
    ]
    path = tmp_path / "changed"
    changed = stored_run(path, "evaluate", (), games)
    log = changed / "trajectories" / "iteration-1.jsonl"
    first, rest = log.read_text().split("\n", 1)
    log.write_text(json.dumps(json.loads(first) | {"reward": 7.0}, separators=(",", ":")) + "\n" + rest)
    assert command(reverify, f"run={changed}", f"run_dir={tmp_path / 'again'}")[0] == 0
    assert json.loads((tmp_path / "again" / "reverify.json").read_text())["reward_differs"] == 1


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("prices=[[0.1]]", "prices: costs must be a pair (alpha, beta)"),
        ("prices=[]", "prices must hold at least one vector of prices"),
        ("metric=bleu", "metric must be one of em, f1, drop, em_symbols, f1_symbols, drop_symbols"),
    ],
)
def test_scores_that_cannot_be_are_refused(command, run, tmp_path, option, sentence):
    code, error = command(reverify, f"run={run}", option, f"run_dir={tmp_path / 'out'}")
    assert code == 1 and error.startswith(f"error: {sentence}") and error.count("\n") == 1
    assert_nothing(tmp_path / "out")


def test_a_game_that_scores_no_answers_has_no_metric(command, tmp_path):
    task, game = make_task("boxes"), find_game("pandora")
    players = {"searcher": game.player("searcher", task, "threshold")}
    starts = [Start(task.episode("test", 3), 0, (0.2,), 0)]
    run = stored_run(tmp_path / "run", "evaluate", ["game=pandora"], play(starts, players, task=task, game=game))
    code, error = command(reverify, f"run={run}", "metric=f1", f"run_dir={tmp_path / 'out'}")
    sentence = "metric: game pandora scores games by a rule of its own, and answers by no metric"
    assert (code, error) == (1, f"error: {sentence}\n")
    assert_nothing(tmp_path / "out")


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("config.json", "[]", "run: .*config.json holds no config"),
        ("config.json", "", "config.json, line 1: not JSON"),
        ("config.json", "[" * 100_000, "config.json: not JSON: maximum recursion"),
        ("config.json", '{"a": ' + "9" * 5000 + "}", "config.json: not JSON: Exceeds the limit"),
        ("config.json", '{"task": {"name": "${"}}', "run: .*config.json: "),
        ("config.json", "{}", r"run of trainers\.\?, which stores no games"),
        ("trajectories/iteration-1.jsonl", "", "holds no games"),
        ("trajectories/iteration-1.jsonl", '{"chunk":0,"chunk_games":1,"a":[[\n', "line 1: not JSON"),
        (
            "trajectories/iteration-1.jsonl",
            '{"chunk":0,"chunk_games":1,"reward":"x"}\n',
            "game None is no number",
        ),
    ],
)
def test_a_run_that_was_changed_is_refused_in_one_sentence(run, tmp_path, file, content, sentence):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / file).write_text(content)
    with pytest.raises(ValueError, match=sentence) as error:
        list(open_run(folder).rewards())
    assert "\n" not in str(error.value)


def test_files_that_are_no_trajectories_are_left_alone(run, games, tmp_path):
    folder = tmp_path / "moved" / "run"
    shutil.copytree(run, folder)
    (folder / "trajectories" / "iteration-old.jsonl").write_text("{}\n")
    assert [game for _, game in open_run(folder).games()] == games, "in whatever folder it lies"


def test_a_task_with_a_rule_of_its_own_has_no_metric():
    from clarify_env import make_task
    from trainers.data.score import by_metric

    with pytest.raises(ValueError, match="metric: task sql scores answers by a rule of its own, and by no metric"):
        by_metric(make_task("sql"), "f1")
    mix = make_task("mix", tasks={"almanac": {}, "preferences": {}})
    again = by_metric(mix, "em")
    assert [part.metric for part in again.parts.values()] == ["em", "em"] and mix.parts["preferences"].metric == "f1"


PAGE = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^\.venv/bin/python -m trainers\.(export|import|reverify) (.*)$", PAGE, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "line"), SHOWN, ids=[" ".join(one) for one in SHOWN])
def test_the_commands_of_the_docs_run(command, run, exported, tmp_path, name, line):
    words = line.replace("RUN_DIR", str(run)).replace("GAMES_JSONL", str(exported)).split()
    words = [word for word in words if not word.startswith("run_dir=")]
    module = importlib.import_module(f"trainers.{name}")
    code, error = command(module, *words, f"run_dir={tmp_path / 'out'}")
    assert code == 0, error


def test_the_game_of_the_docs_is_imported(command, tmp_path):
    shown = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1]
    (tmp_path / "games.jsonl").write_text(shown)
    line = [f"import.path={tmp_path / 'games.jsonl'}", f"run_dir={tmp_path / 'out'}"]
    assert command(import_command, *line)[0] == 0
    ((_, game),) = open_run(tmp_path / "out").games()
    assert game.result.usage == {"questions": 1, "words": 3} and game.agents["assistant"] == "elsewhere"


# TRL's SFT on an export.


def sft_gradients(rows, tmp_path):
    """Loss and gradients of one step of TRL's SFTTrainer on all rows, and the labels that it learns."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    model = AutoModelForCausalLM.from_pretrained(POCKET, dtype=torch.float32)
    config = SFTConfig(
        output_dir=str(tmp_path),
        report_to=[],
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=len(rows),
        activation_checkpointing=False,
        max_length=None,
        disable_tqdm=True,
    )
    tokenizer = AutoTokenizer.from_pretrained(POCKET)
    trainer = SFTTrainer(model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    batch = next(iter(trainer.get_train_dataloader()))
    model.train()
    loss = trainer.compute_loss(model, dict(batch))
    loss.backward()
    return loss.item(), {name: weight.grad for name, weight in model.named_parameters()}, batch


def test_masked_tokens_carry_no_loss_in_sft(run, tmp_path):
    """The loss is that of the assistant's tokens alone, though the rows hold the user's and the context's."""
    import torch

    rows = [row for row in export(run, "tokens") if len(row["turns"]) > 1][:4]
    loss, gradients, batch = sft_gradients(rows, tmp_path)
    labels = [[token for token in line.tolist() if token != -100] for line in batch["labels"]]
    own = [
        [token for token, mask in zip(row["input_ids"], row["assistant_masks"], strict=True) if mask] for row in rows
    ]
    assert sorted(labels) == sorted(own) and sum(map(len, own)) < sum(len(row["input_ids"]) for row in rows)
    # By hand: cross entropy of the assistant's tokens, given all before them.
    from transformers import AutoModelForCausalLM

    model, total, count = (
        AutoModelForCausalLM.from_pretrained(POCKET, dtype=torch.float32).train(),
        0.0,
        sum(map(len, own)),
    )
    for row in rows:
        ids = torch.tensor([row["input_ids"]])
        logprobs = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        total = total - (logprobs * torch.tensor(row["assistant_masks"][1:])).sum()
    (total / count).backward()
    assert loss == pytest.approx((total / count).item(), rel=1e-5)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(gradients[name], weight.grad, atol=1e-6, rtol=1e-4)
    # Whatever stood as a label under the mask: all of it learned, the loss is another.
    unmasked, *_ = sft_gradients([{"input_ids": row["input_ids"]} for row in rows], tmp_path)
    assert abs(unmasked - loss) > 1e-3


def test_completions_carry_no_loss_of_others_in_sft(run, agents, tmp_path):
    """TRL tokenizes the messages anew; what it learns is the completion, one message of the row's role."""
    rows = [{name: row[name] for name in ("prompt", "completion")} for row in export(run) if row["turn"] > 0][:4]
    assert any(message["role"] == "assistant" for row in rows for message in row["prompt"]), "an earlier question"
    *_, batch = sft_gradients(rows, tmp_path)
    tokenizer = agents["assistant"].renderer.tokenizer
    learned = [tokenizer.decode([token for token in line.tolist() if token != -100]) for line in batch["labels"]]
    messages = [row["completion"][0]["content"] for row in rows]
    assert sorted(text.replace(tokenizer.eos_token or "", "").strip() for text in learned) == sorted(
        map(str.strip, messages)
    )


def test_the_call_without_a_run_takes_games(setup, games):
    assert len(list(rows_of(setup, games, "completions"))) == sum(len(game.moves(("assistant",))) for game in games)
