"""A tiny model that plays other people's games a little, for ReST to improve."""

import numpy as np
import torch

from agents.example import Example
from agents.pocket import build_model, build_tokenizer
from agents.render import Renderer
from clarify_env.games.base import Reply
from trainers.learning.options import UpdateOptions
from trainers.learning.update import update
from trainers.runs.store import save_model

HINTS = dict(
    zip(
        "apple boat candle drum engine fence guitar hammer".split(),
        "fruit sail wax beat motor gate strings nail".split(),
        strict=True,
    )
)
TREES = ("oak", "elm", "ash", "fir")
# Probability that a player says the right thing; else it says any.
RIGHT = 0.4


def say(setup, game, role, rng):
    """A message of somebody who plays by the rules, and well now and then."""
    if setup.game.name == "hints":
        names = [reading.label for reading in game.episode.interpretations]
        meant = names[game.hidden]
        words = [HINTS[name] for name in names] if role == "describer" else names
        right = HINTS[meant] if role == "describer" else meant
    else:
        right, words = game.episode.interpretations[0].answers[0], TREES
        if role != "asker" and rng.random() < 0.3:
            return "LOOKUP"
    return right if rng.random() < RIGHT else words[rng.integers(len(words))]


def games(setup, count, rng):
    """Played games: (role, view, text) of every move of a player."""
    prices, tools = setup.game.plane().train()[0], setup.game.tools(setup.task)
    for number in range(count):
        split = list(setup.task.sizes)[number % 3]
        episode = setup.task.episode(split, int(rng.integers(setup.task.sizes[split])))
        game = setup.deal(episode, int(rng.integers(len(setup.weights(episode)))), prices)
        while game.to_move:
            role, view = game.to_move, game.view(game.to_move)
            if role in tools:
                game.apply(tools[role].act([view], [0])[0])
                continue
            text = say(setup, game, role, rng)
            game.apply(Reply(text))
            yield role, view, text


def make(setup, folder, count=1200):
    """Trains a tiny model on such games and saves it."""
    moves = list(games(setup, count, np.random.default_rng(0)))
    texts = [message["content"] for _, view, _ in moves[:300] for message in setup.game.chat(view, "plain")]
    tokenizer = build_tokenizer([*texts, *(text for *_, text in moves)], 400)
    renderer = Renderer(tokenizer, setup.game.chat)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(tokenizer, width=32, layers=2, heads=2, kv_heads=1, feed_forward=64)
        examples = [Example(renderer.encode(view), renderer.tokenize_reply(text)) for _, view, text in moves]
        options = UpdateOptions(optimizer="muon", learning_rate=1e-2, epochs=3.0, batch=32, lora_rank=0)
        model = update(model, examples, options, seed=0, pad=tokenizer.pad_token_id)
    save_model(model, tokenizer, folder)
