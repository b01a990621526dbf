"""Real architectures, each with the chat template and the kind of tokenizer of its family, through every command.

Models are tiny, with random weights. Their messages are noise, so rewards say nothing here; what is checked is that the
commands run, and that what they learn from is what was played.
"""

import json
from itertools import groupby, islice

import numpy as np
import pytest
import torch
from architectures import Architecture, build
from chat_families import CHAT_FAMILIES
from chat_tokenizers import chat_tokenizer
from configs import arguments_of
from conftest import ALMANAC, SMALL

from agents.hf import load
from clarify_env.costs import CostPlane
from clarify_env.games.clarification.pretraining.demonstrations import demonstrations
from clarify_env.tasks.registry import make_task
from trainers import contrastive, grpo, probe, rest, rwsft, sft
from trainers.learning import dpo as dpo_module
from trainers.learning import update as update_module
from trainers.learning.loss import collate
from trainers.runs.experiment import Policy
from trainers.runs.store import ChunkLog, save_model

# Architecture and family.
MODELS = {
    "qwen2": (Architecture("qwen2"), "qwen2.5"),
    "qwen3": (Architecture("qwen3", {"head_dim": 8}), "qwen3"),
    "llama": (Architecture("llama"), "llama3"),
    "gemma2": (Architecture("gemma2", {"head_dim": 8}), "gemma2"),
    "gemma3": (Architecture("gemma3_text", {"head_dim": 8}), "gemma3"),
    "phi3": (Architecture("phi3"), "phi3"),
    "mistral": (Architecture("mistral"), "mistral"),
    "gpt_oss": (Architecture("gpt_oss", {"head_dim": 8}), "gpt_oss"),
    "smollm3": (Architecture("smollm3"), "smollm3"),
    "lfm2": (
        Architecture("lfm2", {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False}),
        "smollm2",
    ),
}
QUICK = [
    *SMALL,
    *("eval.episodes=1", "eval.validation=1", "eval.grid=2", "eval.transcripts=0", "eval.modes=[greedy]"),
    *("eval.sets=[between]", "assistant=hf", "assistant.style=pocket", "assistant.max_new_tokens=8"),
]
TWO = ["update.epochs=2", "update.least_steps=0", "update.batch=4096"]
FEW = ["rollouts.free=1", "rollouts.forced=1", "rollouts.follow_ups=1", "budget.games=60"]
COMMANDS = {
    sft: ["budget.games=4", *TWO],
    rest: [*FEW, "rest.hindsight=1", "update.runs=1", *TWO],
    rwsft: ["budget.games=9", "rwsft.weight=swift", *TWO],
    contrastive: [*FEW, "contrastive.rounds=1", "contrastive.references=0.8", *TWO],
    grpo: ["grpo.generations=2", "grpo.games_a_step=4", "budget.games=8", "update.epochs=1"],
}


@pytest.fixture(scope="module")
def texts():
    """Texts that tokenizers learn their merges from."""
    shown = demonstrations(make_task("almanac", **ALMANAC), "train", np.random.default_rng(0), CostPlane().train())
    return [text for one in islice(shown, 300) for _, text in one.messages]


@pytest.fixture(scope="module", params=MODELS)
def folder(request, texts, tmp_path_factory):
    """The folder of a model, of the name of its row."""
    architecture, name = MODELS[request.param]
    tokenizer = chat_tokenizer(CHAT_FAMILIES[name], texts, 500)
    architecture = architecture._replace(
        options=architecture.options | {"max_position_embeddings": 1024, "initializer_range": 0.05}
    )
    path = tmp_path_factory.mktemp("models") / request.param
    save_model(build(architecture, len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id), tokenizer, path)
    return path


class Learned(list):
    """What a command learned from: (prompt ids, ids after it, positions among these that carry loss)."""

    def example(self, example, pad):
        batch = collate([example], pad)
        (weights,), (sequence,) = batch["weights"].tolist(), batch["input_ids"].tolist()
        before = len(sequence) - len(weights)
        assert not before or tuple(sequence[:before]) == example.prompt_ids[:before]
        self.append((example.prompt_ids, example.ids, [weight != 0 for weight in weights[-len(example.ids) :]]))
        assert not any(weights[: -len(example.ids)]), "a prompt carries no loss"

    def spans(self):
        """Yields the ids of each run of tokens that carry loss."""
        for _, ids, own in self:
            for carries, run in groupby(zip(own, ids, strict=True), key=lambda pair: pair[0]):
                if carries:
                    yield tuple(token for _, token in run)


@pytest.fixture
def learned(monkeypatch):
    """Watches updates: of examples, of preferences, and of completions."""
    seen, update, dpo, completion = Learned(), update_module.update, dpo_module.dpo, grpo.completion

    def updated(model, examples, *args, pad, **options):
        for example in examples:
            seen.example(example, pad)
        return update(model, examples, *args, pad=pad, **options)

    def preferred(model, reference, pairs, *args, **options):
        seen.extend(tuple(side) for pair in pairs for side in pair)
        return dpo(model, reference, pairs, *args, **options)

    def completed(*args):
        one = completion(*args)
        seen.append((one.prompt_ids, one.ids, [bool(own) for own in one.own]))
        return one

    monkeypatch.setattr(update_module, "update", updated)
    monkeypatch.setattr(dpo_module, "dpo", preferred)
    monkeypatch.setattr(grpo, "completion", completed)
    return seen


def line(folder, module, *options):
    """The overrides of a command."""
    rewrites = CHAT_FAMILIES[MODELS[folder.name][1]].rewrites
    once = ["game.max_questions=0"] if rewrites and module is grpo else []  # a game as one text needs one turn
    return [*QUICK, *COMMANDS[module], *once, f"assistant.model={folder}", *options]


def messages_of(module, run, made):
    """Texts of the assistant in what a command learns from, and its replies in stored games."""
    setup = made["experiment"].setup
    if module is sft:
        turns = [turn for _, game in sft.demonstrations(made["experiment"], made["options"].lessons) for turn in game]
        return {turn.reply.text for turn in turns if turn.role == "assistant"}, []
    logs = map(ChunkLog, sorted((run / "trajectories").glob("iteration-*.jsonl")))
    games = (game for log in logs for chunk in log.read(setup) for game in chunk)
    replies = [turn.reply for game in games for turn in game.moves(("assistant",))]
    if module is contrastive:
        pairs = [json.loads(text) for text in (run / "pairs" / "round-1.jsonl").read_text().splitlines()]
        sides = [side for pair in pairs for side in (pair["chosen"], pair["rejected"])]
        return {text for side in sides for sender, text, *_ in side if sender == "assistant"}, replies
    return {reply.text for reply in replies}, replies


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "rank"),
    # rest and rwsft learn by the same update as sft, adapters included.
    [*((module, 0) for module in COMMANDS), *((module, 2) for module in (sft, contrastive, grpo))],
    ids=lambda value: value if isinstance(value, int) else value.__name__.rpartition(".")[2],
)
def test_a_command_learns_from_the_assistants_messages_alone(command, folder, learned, module, rank, tmp_path):
    overrides = line(folder, module, f"update.lora_rank={rank}")
    code, error = command(module, *overrides, f"run_dir={tmp_path / 'run'}")
    assert code == 0, error
    metrics = [json.loads(text) for text in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    phase = "grpo" if module is grpo else "update"
    assert [entry["step"] for entry in metrics if entry["phase"] == phase][-1] == 2, "two updates"
    made = arguments_of(module.__name__.rpartition(".")[2], *overrides)
    texts, replies = messages_of(module, tmp_path / "run", made)
    model, tokenizer = load(folder, device="cpu")
    renderer = made["experiment"].renderer(Policy(model, tokenizer))
    spans = list(learned.spans())
    assert spans and {renderer.decode(span) for span in spans} <= texts
    for span in spans:
        assert not set(span[:-1]) & set(renderer.end_ids)
        assert span[-1] in renderer.end_ids or len(span) == 8, "it ends, or was cut at the longest reply"
    if module is sft:
        assert {renderer.decode(span) for span in spans} == texts
    if module is sft:
        assert {span[-1] for span in spans} == {renderer.end_id}
    if module is not sft:
        assert set(spans) <= {reply.ids for reply in replies}, "as they were sampled, token for token"
    # Stored log-probabilities are those of a plain forward pass; games of GRPO's second step are the new policy's.
    distinct = list({(reply.prompt_ids, reply.ids): reply for reply in replies[: 4 if module is grpo else 12]}.values())
    for reply in distinct:
        np.testing.assert_allclose(reply.logprobs, plain(model, reply.prompt_ids, reply.ids), atol=1e-4)


def plain(model, prompt, ids):
    """Log-probabilities of a reply by one forward pass over nothing else."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(1).gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()


@pytest.mark.slow
def test_it_is_probed(command, folder, tmp_path):
    overrides = [*QUICK, f"assistant.model={folder}", "probe.episodes=2", f"run_dir={tmp_path / 'run'}"]
    code, error = command(probe, *overrides)
    assert code == 0, error
    rows = json.loads((tmp_path / "run" / "probe.json").read_text())["rows"]
    assert [row["games"] for row in rows] == [2] * 5


@pytest.mark.slow
def test_greedy_text_of_a_batch_is_that_of_each_alone(folder):
    experiment = arguments_of("sft", *QUICK, f"assistant.model={folder}")["experiment"]
    agent = experiment.players(Policy(*load(folder, device="cpu")), 0.0)["assistant"]
    setup = experiment.setup
    views = [
        setup.deal(setup.task.episode("train", index), 0, prices).view("assistant")
        for index, prices in enumerate(experiment.plane.train()[:8])
    ]
    openings = ["", "#ANSWER", "#MULTI_ANS", "#CLARIFY"] * 2
    together = agent.act(views, [0] * 8, openings)
    for view, opening, reply in zip(views, openings, together, strict=True):
        (alone,) = agent.act([view], [1], [opening])
        assert (reply.text, reply.ids) == (alone.text, alone.ids)
        np.testing.assert_allclose(reply.logprobs, alone.logprobs, atol=1e-4)
