"""ACT's pairs in each of its cases, their tokens, and DPO's loss over them, by hand."""

import json
import logging
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from configs import arguments_of
from test_rwsft import COSTS, LIST, SETUP, game
from toys import ASHFORD

from agents.example import Example
from agents.hf import HFAgent, load
from clarify_env.costs import Costs
from clarify_env.games.base import Message
from trainers.contrastive import check, prepare
from trainers.learning import dpo as dpo_module
from trainers.learning.dpo import Preference, dpo
from trainers.learning.options import UpdateOptions
from trainers.selection.pairs import References, off_policy, own_turns, pair, tokens

ASK, GUESS = "#CLARIFY Which kind?", "#ANSWER Brandt"
RIGHT = ("#ANSWER Brandt", "#ANSWER Jon Vale", "#ANSWER The Bank of Lund")


@pytest.fixture(scope="module")
def references():
    games = [
        g
        for i in range(3)
        for g in (
            game(i, GUESS),
            game(i, "#ANSWER Jon Vale"),
            game(i, LIST),
            game(i, ASK, RIGHT[i]),
            game(i, ASK, "#ANSWER wrong"),
        )
    ]
    return References(SETUP, ASHFORD, games, "assistant")


def said(game, messages=None):
    return [turn.reply.text for turn in own_turns(game, "assistant", messages)]


def texts(messages):
    return [message.text for message in messages if message.sender == "assistant"]


def made(references, sampled, costs=COSTS, labels="estimated", **options):
    options = {"threshold": 0.9, "simulate": True} | options
    best, better = references.games(costs, sampled.hidden), references.better(costs, labels)
    return pair(SETUP, sampled, best, better, rng=np.random.default_rng(0), **options)


@pytest.mark.parametrize(
    ("costs", "better"),
    [
        (Costs(0.05, 0.02), "clarify"),  # asking earns 1 less 0.05 and about two words
        (Costs(0.6, 0.01), "multi_answer"),  # the list earns 0.8 less four words or so
        (Costs(0.6, 0.2), "answer"),  # a guess earns 0.5 less one word
    ],
)
def test_the_better_action_follows_the_costs(references, costs, better):
    assert references.better(costs, "estimated") == better
    assert references.better(costs, "gold") == "clarify", "which knows no costs"


def test_a_reference_is_the_best_game_of_the_best_first_message_for_the_reading(references):
    for intent in range(3):
        best = references.games(COSTS, intent)
        assert said(best["answer"]) == [GUESS], "the guess of the highest expected reward, right or not"
        assert said(best["clarify"]) == [ASK, RIGHT[intent]] and said(best["clarify"], 1) == [ASK]
        assert {g.hidden for g in best.values()} == {intent}


def test_another_action_than_the_better_loses_to_it(references):
    one = made(references, game(0, LIST), Costs(0.05, 0.02))
    assert (one.case, texts(one.chosen), texts(one.rejected)) == ("other_action", [ASK], [LIST])
    one = made(references, game(0, "nothing the rules know"), Costs(0.05, 0.02))
    assert (one.case, texts(one.rejected)) == ("other_action", ["nothing the rules know"])


def test_a_good_game_of_the_better_action_wins_over_another_action(references):
    one = made(references, game(1, ASK, RIGHT[1]), Costs(0.05, 0.02))
    assert (one.case, texts(one.chosen)) == ("good", [ASK, RIGHT[1]])
    assert one.chosen[1] == Message("user", "The opera one."), "with the user's reply in between"
    assert texts(one.rejected)[0] in (GUESS, LIST) and len(one.rejected) == 1


def test_a_bad_game_of_the_better_action_loses_to_its_reference(references):
    one = made(references, game(1, ASK, "#ANSWER wrong"), Costs(0.05, 0.02))
    assert (one.case, texts(one.chosen), texts(one.rejected)) == ("bad", [ASK, RIGHT[1]], [ASK, "#ANSWER wrong"])
    one = made(references, game(2, "#ANSWER Jon Vale"), Costs(0.6, 0.2))
    assert (one.case, texts(one.chosen)) == ("bad", [GUESS]), "the best guess, though it is wrong for this reading"
    best = made(references, game(2, GUESS), Costs(0.6, 0.2))
    assert best.chosen == best.rejected, "which makes identical sides of the best guess itself"


def test_the_threshold_is_that_of_the_score(references):
    one = made(references, game(1, ASK, "#ANSWER wrong"), Costs(0.05, 0.02), threshold=0.0)
    assert one.case == "good"


def test_without_simulation_sides_are_first_messages(references):
    for sampled in (game(1, ASK, "#ANSWER wrong"), game(1, ASK, RIGHT[1])):
        one = made(references, sampled, Costs(0.05, 0.02), simulate=False)
        assert (one.case, texts(one.chosen)) == ("good", [ASK])
        assert len(one.rejected) == 1


def test_gold_labels_ask_at_any_costs(references):
    one = made(references, game(0, GUESS), Costs(0.6, 0.2), labels="gold")
    assert (one.case, texts(one.chosen), texts(one.rejected)) == ("other_action", [ASK], [GUESS])


def test_off_policy_pairs_hold_two_references(references):
    best, view = references.games(COSTS, 1), game(1, GUESS).turns[0].view

    def drawn(games, better="clarify", simulate=True):
        return off_policy(games, better, ASHFORD.id, view, COSTS, simulate, np.random.default_rng(0))

    one = drawn(best)
    assert (one.case, texts(one.chosen)) == ("off_policy", [ASK, RIGHT[1]])
    assert texts(one.rejected)[0] in (GUESS, LIST)
    assert (one.episode_id, one.view, one.prices) == (ASHFORD.id, view, COSTS)
    asked = {name: best[name] for name in ("clarify", "answer")}
    one = drawn(asked, "answer")
    assert (texts(one.chosen), texts(one.rejected)) == ([GUESS], [ASK]), "the answer after it is not to be unlearned"
    one = drawn(asked, simulate=False)
    assert (texts(one.chosen), texts(one.rejected)) == ([ASK], [GUESS]), "first messages alone"
    assert drawn({"answer": best["answer"]}) is None and drawn({"clarify": best["clarify"]}) is None


def test_no_pair_without_the_reference_it_needs(references):
    lone = {"answer": references.games(COSTS, 1)["answer"]}

    def paired(sampled, games):
        return pair(SETUP, sampled, games, "answer", 0.9, True, np.random.default_rng(0))

    assert paired(game(1, ASK, RIGHT[1]), lone).case == "other_action"
    assert paired(game(1, RIGHT[1]), lone) is None, "no other action is its rejected side"
    assert paired(game(1, LIST), {}) is None


def test_a_line_of_the_pair_file_holds_all_of_a_pair(references):
    one = made(references, game(1, ASK, RIGHT[1]), Costs(0.05, 0.02))
    line = json.loads(json.dumps(one.to_json()))
    episode = SETUP.task.lookup(line["episode_id"])
    view = SETUP.learning_view(episode, "assistant", (), SETUP.game.check_prices(line["prices"]))
    sides = [tuple(Message(m[0], m[1], tuple(m[2])) for m in line[name]) for name in ("chosen", "rejected")]
    assert one[:6] == (episode.id, tuple(line["prices"]), view, *sides, line["case"])
    assert one.chosen_ids == tuple(tuple(text.encode()) for text in texts(one.chosen)), "beside what was sampled"


@pytest.fixture
def toy_pairs(references, tiny):
    model, tokenizer = tiny
    agent = HFAgent(model, tokenizer, style="pocket")
    pairs = [made(references, game(i, ASK, RIGHT[i]), Costs(0.05, 0.02)) for i in range(3)]
    pairs.append(made(references, game(1, ASK, "#ANSWER wrong"), Costs(0.05, 0.02)))
    pairs = [sampled(agent.renderer, p) for p in pairs]
    return agent, pairs, [Preference(*sides_of(agent.renderer, p)) for p in pairs]


def sampled(renderer, one):
    """The pair with the ids that a model of this renderer samples for its messages."""
    ids = [tuple(renderer.tokenize_reply(text) for text in texts(side)) for side in (one.chosen, one.rejected)]
    return one._replace(chosen_ids=ids[0], rejected_ids=ids[1])


def sides_of(renderer, one):
    sides = (one.chosen, one.chosen_ids), (one.rejected, one.rejected_ids)
    return [tokens(renderer, one.view, *side) for side in sides]


def test_tokens_mark_the_assistants_own_and_keep_its_prompts(toy_pairs):
    agent, pairs, preferences = toy_pairs
    for one, preference in zip(pairs, preferences, strict=True):
        for messages, row in ((one.chosen, preference.chosen), (one.rejected, preference.rejected)):
            replies = [agent.renderer.tokenize_reply(text) for text in texts(messages)]
            own = tuple(token for token, is_own in zip(row.ids, row.own, strict=True) if is_own)
            assert own == sum(replies, ()), "every message of the assistant with its end of turn, nothing else"
            last = one.view._replace(heard=messages[:-1], turn=len(messages) - 1)
            assert row.prompt + row.ids == agent.renderer.encode(last) + replies[-1], "as the game's prompts have it"
            assert row.prompt == agent.renderer.encode(one.view)


def test_a_template_that_rewrites_what_was_said_makes_no_tokens(toy_pairs):
    agent, (one, *_), _ = toy_pairs
    before = agent.renderer.encode
    agent.renderer.encode = lambda view: before(view)[1:] if view.heard else before(view)
    chosen, rejected = sides_of(agent.renderer, one)
    assert chosen is None
    assert rejected is not None, "a first message has nothing before it"


def test_replies_are_learned_as_they_were_sampled(toy_pairs):
    """Another split of a text is kept, and a reply that was cut gets no end but the template's before the next one."""
    agent, (one, *_), (usual, *_) = toy_pairs
    renderer, end = agent.renderer, agent.renderer.end_id
    letters = tuple(i for c in ASK for i in renderer.tokenizer(c, add_special_tokens=False)["input_ids"])
    other = (*letters, end)
    assert renderer.decode(other) == ASK and other != one.chosen_ids[0]
    chosen, _ = sides_of(renderer, one._replace(chosen_ids=(other, one.chosen_ids[1])))
    assert chosen.ids == (*other, *usual.chosen.ids[len(one.chosen_ids[0]) :])
    assert chosen.own == ((True,) * len(other) + usual.chosen.own[len(one.chosen_ids[0]) :])
    first, second = one.chosen_ids
    cut, _ = sides_of(renderer, one._replace(chosen_ids=(first[:-1], second[:-1])))
    assert cut.ids == usual.chosen.ids[:-1] and first[-1] == end
    assert cut.own == (*usual.chosen.own[: len(first) - 1], False, *usual.chosen.own[len(first) : -1])


def loglikelihood(agent, row):
    """Of the assistant's tokens in a side of a pair, message by message through the agent's own scoring."""
    total, ids = 0.0, row.prompt
    start = 0
    while start < len(row.ids):
        end = start
        while end < len(row.ids) and row.own[end] == row.own[start]:
            end += 1
        if row.own[start]:
            total += sum(agent.sampler.logprobs([Example(ids, row.ids[start:end])])[0])
        ids += row.ids[start:end]
        start = end
    return total


def test_the_loss_is_that_of_the_paper_over_the_assistants_tokens(toy_pairs, tiny_folder, monkeypatch):
    """Equation 7 of 2305.18290, with log-probabilities summed message by message, the user's left out."""
    agent, _, rows = toy_pairs
    reference, tokenizer = load(tiny_folder, device="cpu")
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    other = HFAgent(reference, tokenizer, style="pocket")
    margins = [
        loglikelihood(agent, r.chosen)
        - loglikelihood(other, r.chosen)
        - (loglikelihood(agent, r.rejected) - loglikelihood(other, r.rejected))
        for r in rows
    ]
    expected = np.mean([math.log(1 + math.exp(-0.3 * margin)) for margin in margins])
    losses = []
    original = dpo_module.MaskedDPOTrainer.compute_loss

    def spied(self, *args, **kwargs):
        loss = original(self, *args, **kwargs)
        losses.append((loss[0] if isinstance(loss, tuple) else loss).item())
        return loss

    monkeypatch.setattr(dpo_module.MaskedDPOTrainer, "compute_loss", spied)
    before = {name: value.clone() for name, value in agent.sampler.model.state_dict().items()}
    config = UpdateOptions(learning_rate=1e-3, batch=4, epochs=3)
    trained = dpo(agent.sampler.model, reference, rows, config, beta=0.3, seed=0, tokenizer=tokenizer)
    assert losses[0] == pytest.approx(expected, rel=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in agent.sampler.model.state_dict().items()), (
        "the policy is not changed"
    )
    assert any(not torch.equal(value.cpu(), before[name]) for name, value in trained.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
def test_dpo_comes_to_prefer_the_chosen_sides(toy_pairs, tiny_folder, rank):
    agent, _, rows = toy_pairs
    reference, tokenizer = load(tiny_folder, device="cpu")
    config = UpdateOptions(optimizer="muon", learning_rate=2e-2, batch=2, epochs=40, lora_rank=rank)
    trained = HFAgent(
        dpo(agent.sampler.model, reference, rows, config, beta=0.1, seed=0, tokenizer=tokenizer), tokenizer
    )
    for row in rows:
        before = loglikelihood(agent, row.chosen) - loglikelihood(agent, row.rejected)
        assert loglikelihood(trained, row.chosen) - loglikelihood(trained, row.rejected) > before + 0.1


def run_of(folder, recorded):
    """What `prepare` needs of a run; what it records goes into a dictionary."""
    return SimpleNamespace(
        dir=folder,
        log=logging.getLogger("clarify_env.run"),
        recorded=lambda *a: False,
        record=lambda phase, i, s, **values: recorded.update(values),
    )


@pytest.mark.parametrize(
    ("most", "rewrites", "dropped", "sentence"),
    [
        (1024, True, 4, "several messages is no single text (contrastive.simulate=false"),  # as Qwen3's template does
        (100, False, 1, "a side is longer than contrastive.max_tokens"),
        (1024, False, 0, None),
    ],
)
def test_prepare_says_how_many_pairs_it_leaves_out(toy_pairs, tmp_path, caplog, most, rewrites, dropped, sentence):
    agent, pairs, _ = toy_pairs
    first = pairs[0]._replace(chosen=(Message("assistant", GUESS),), rejected=(Message("assistant", LIST),))
    long = first._replace(chosen=(Message("assistant", f"{GUESS} {'x ' * 400}"),))
    first, long = (sampled(agent.renderer, one) for one in (first, long))
    if rewrites:
        encode = agent.renderer.encode
        agent.renderer.encode = lambda view: encode(view)[1:] if view.heard else encode(view)
    rows = prepare(run_of(tmp_path, {}), agent.renderer, iter([first, *(pairs if rewrites else [long])]), most, 2)
    left_out = [message for message in caplog.messages if "leaves out" in message]
    assert len(rows) + dropped == (5 if rewrites else 2)
    if sentence is None:
        assert left_out == []
    else:
        (message,) = left_out
        assert message.startswith(f"contrastive: round 2 leaves out {dropped} of {len(rows) + dropped} pairs: ")
        assert sentence in message


def test_prepare_counts_what_it_drops(toy_pairs, references, tmp_path):
    agent, pairs, _ = toy_pairs
    recorded = {}
    run = run_of(tmp_path, recorded)
    same = pairs[0]._replace(rejected=pairs[0].chosen)
    longest = len(agent.renderer.encode(pairs[0].view)) + 4
    rows = prepare(run, agent.renderer, iter([*pairs, same, None]), 1024, 1)
    assert len(rows) == 4 and recorded["good"] == 3 and recorded["bad"] == 1
    assert (recorded["identical"], recorded["no_reference"], recorded["too_long"]) == (1, 1, 0)
    assert len((tmp_path / "pairs" / "round-1.jsonl").read_text().splitlines()) == 4
    with pytest.raises(ValueError, match=r"round 1 has no pairs to learn from \(.*too_long 4\)"):
        prepare(run, agent.renderer, iter(pairs), longest, 1)


def test_the_learning_role_must_move_first():
    made = arguments_of("contrastive")
    check(made["experiment"], made["options"], made["rollouts"], made["update"])
    with pytest.raises(ValueError, match="user learns, but assistant moves first in game clarification"):
        check(made["experiment"].at(learns=("user",)), made["options"], made["rollouts"], made["update"])
    with pytest.raises(ValueError, match="contrastive trains one role, and in game clarification assistant and user"):
        check(made["experiment"].at(learns=("assistant", "user")), made["options"], made["rollouts"], made["update"])
