"""ACT's pairs in each of its cases, their tokens, and DPO's loss over them, by hand."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_rwsft import COSTS, LIST, game
from toys import ASHFORD, Toy

from agents.hf import HFAgent, Row, load
from clarify_env.costs import Costs
from trainers.contrastive import prepare
from trainers.learning import dpo as dpo_module
from trainers.learning.dpo import Preference, collate, dpo
from trainers.learning.update import UpdateConfig
from trainers.selection.pairs import Pair, References, off_policy, pair, said, tokens

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
    return References(Toy(), ASHFORD, games)


def texts(messages):
    return [text for role, text in messages if role == "assistant"]


def made(references, sampled, costs=COSTS, labels="estimated", **options):
    options = {"threshold": 0.9, "simulate": True} | options
    its = references.games(costs, sampled.intent)
    return pair(sampled, its, references.better(costs, labels), rng=np.random.default_rng(0), **options)


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
        its = references.games(COSTS, intent)
        assert texts(said(its["answer"])) == [GUESS], "the guess of the highest expected reward, right or not"
        assert texts(said(its["clarify"])) == [ASK, RIGHT[intent]]
        assert {g.intent for g in its.values()} == {intent}


def test_another_action_than_the_better_loses_to_it(references):
    found = made(references, game(0, LIST), Costs(0.05, 0.02))
    assert (found.case, texts(found.chosen), texts(found.rejected)) == ("other_action", [ASK], [LIST])
    found = made(references, game(0, "nothing the rules know"), Costs(0.05, 0.02))
    assert (found.case, texts(found.rejected)) == ("other_action", ["nothing the rules know"])


def test_a_good_game_of_the_better_action_wins_over_another_action(references):
    found = made(references, game(1, ASK, RIGHT[1]), Costs(0.05, 0.02))
    assert (found.case, texts(found.chosen)) == ("good", [ASK, RIGHT[1]])
    assert found.chosen[1] == ("user", "The opera one."), "with what the user said in between"
    assert texts(found.rejected)[0] in (GUESS, LIST) and len(found.rejected) == 1


def test_a_bad_game_of_the_better_action_loses_to_its_reference(references):
    found = made(references, game(1, ASK, "#ANSWER wrong"), Costs(0.05, 0.02))
    assert (found.case, texts(found.chosen), texts(found.rejected)) == ("bad", [ASK, RIGHT[1]], [ASK, "#ANSWER wrong"])
    found = made(references, game(2, "#ANSWER Jon Vale"), Costs(0.6, 0.2))
    assert (found.case, texts(found.chosen)) == ("bad", [GUESS]), "the best guess, though it is wrong for this reading"
    best = made(references, game(2, GUESS), Costs(0.6, 0.2))
    assert best.chosen == best.rejected, "which makes identical sides of the best guess itself"


def test_the_threshold_is_that_of_the_score(references):
    found = made(references, game(1, ASK, "#ANSWER wrong"), Costs(0.05, 0.02), threshold=0.0)
    assert found.case == "good"


def test_without_simulation_sides_are_first_messages(references):
    for sampled in (game(1, ASK, "#ANSWER wrong"), game(1, ASK, RIGHT[1])):
        found = made(references, sampled, Costs(0.05, 0.02), simulate=False)
        assert (found.case, texts(found.chosen)) == ("good", [ASK])
        assert len(found.rejected) == 1


def test_gold_labels_ask_at_any_costs(references):
    found = made(references, game(0, GUESS), Costs(0.6, 0.2), labels="gold")
    assert (found.case, texts(found.chosen), texts(found.rejected)) == ("other_action", [ASK], [GUESS])


def test_off_policy_pairs_hold_two_references(references):
    its, view = references.games(COSTS, 1), game(1, GUESS).turns[0].view
    found = off_policy(its, "clarify", view, np.random.default_rng(0))
    assert (found.case, texts(found.chosen)) == ("off_policy", [ASK, RIGHT[1]])
    assert texts(found.rejected)[0] in (GUESS, LIST)
    assert off_policy({"answer": its["answer"]}, "clarify", view, np.random.default_rng(0)) is None


def test_no_pair_without_the_reference_it_needs(references):
    its = references.games(COSTS, 1)
    lone = {"answer": its["answer"]}
    rng = np.random.default_rng(0)
    assert pair(game(1, ASK, RIGHT[1]), lone, "answer", 0.9, True, rng).case == "other_action"
    assert pair(game(1, RIGHT[1]), lone, "answer", 0.9, True, rng) is None, "no other action to hold it against"
    assert pair(game(1, LIST), {}, "answer", 0.9, True, rng) is None


def test_a_pair_survives_its_file(references):
    found = made(references, game(1, ASK, RIGHT[1]), Costs(0.05, 0.02))
    assert Pair.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.fixture
def toy_pairs(references, tiny):
    model, tokenizer = tiny
    agent = HFAgent(model, tokenizer, style="pocket")
    found = [made(references, game(i, ASK, RIGHT[i]), Costs(0.05, 0.02)) for i in range(3)]
    found.append(made(references, game(1, ASK, "#ANSWER wrong"), Costs(0.05, 0.02)))
    return agent, found, [Preference(*(tokens(agent, p.view, side) for side in (p.chosen, p.rejected))) for p in found]


def test_tokens_mark_what_the_assistant_said_and_keep_what_it_read(toy_pairs):
    agent, found, rows = toy_pairs
    for one, row in zip(found, rows, strict=True):
        for messages, side in ((one.chosen, row.chosen), (one.rejected, row.rejected)):
            heard = [agent.tokenize_reply(text) for role, text in messages if role == "assistant"]
            spoken = tuple(token for token, is_its in zip(side.ids, side.spoken, strict=True) if is_its)
            assert spoken == sum(heard, ()), "every message of the assistant's with its end of turn, nothing else"
            last = one.view._replace(history=messages[:-1], turn=len(messages) - 1)
            assert side.prompt + side.ids == agent.encode(last) + heard[-1], "as the game's prompts have it"
            assert side.prompt == agent.encode(one.view)


def test_a_template_that_rewrites_what_was_said_makes_no_tokens(toy_pairs):
    agent, found, _ = toy_pairs
    before = agent.encode
    agent.encode = lambda view: before(view)[1:] if view.history else before(view)
    assert tokens(agent, found[0].view, found[0].chosen) is None
    assert tokens(agent, found[0].view, found[0].rejected) is not None, "a first message has nothing before it"


def loglikelihood(agent, side):
    """Of the assistant's tokens in a side, message by message through the agent's own scoring."""
    total, ids = 0.0, side.prompt
    start = 0
    while start < len(side.ids):
        end = start
        while end < len(side.ids) and side.spoken[end] == side.spoken[start]:
            end += 1
        if side.spoken[start]:
            total += sum(agent.logprobs([Row(ids, side.ids[start:end])])[0])
        ids += side.ids[start:end]
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
    before = {name: value.clone() for name, value in agent.model.state_dict().items()}
    config = UpdateConfig(learning_rate=1e-3, batch=4, epochs=3)
    trained = dpo(agent.model, reference, rows, config, beta=0.3, seed=0, tokenizer=tokenizer)
    assert losses[0] == pytest.approx(expected, rel=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in agent.model.state_dict().items()), "left as it is"
    assert any(not torch.equal(value.cpu(), before[name]) for name, value in trained.state_dict().items())


def test_a_loss_that_is_no_number(toy_pairs, tiny_folder):
    agent, _, rows = toy_pairs
    reference, tokenizer = load(tiny_folder, device="cpu")
    with torch.no_grad():
        reference.model.norm.weight[0] = math.nan
    with pytest.raises(FloatingPointError, match="the loss became nan"):
        dpo(agent.model, reference, rows, UpdateConfig(batch=4), beta=0.3, seed=0, tokenizer=tokenizer)


def test_padding_and_the_users_words_carry_no_loss(toy_pairs):
    _, _, rows = toy_pairs
    batch = collate([row.to_dict() for row in rows], pad=0)
    sides = [row.chosen for row in rows] + [row.rejected for row in rows]
    for index, side in enumerate(sides):
        length = len(side.prompt) + len(side.ids)
        assert batch["attention_mask"][index].tolist() == [1] * length + [0] * (batch["input_ids"].shape[1] - length)
        marked = batch["completion_mask"][index].bool()
        assert tuple(batch["input_ids"][index][marked].tolist()) == tuple(
            token for token, spoken in zip(side.ids, side.spoken, strict=True) if spoken
        )


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 2])
def test_dpo_comes_to_prefer_the_chosen_sides(toy_pairs, tiny_folder, rank):
    agent, _, rows = toy_pairs
    reference, tokenizer = load(tiny_folder, device="cpu")
    config = UpdateConfig(optimizer="muon", learning_rate=2e-2, batch=2, epochs=40, lora_rank=rank)
    trained = HFAgent(dpo(agent.model, reference, rows, config, beta=0.1, seed=0, tokenizer=tokenizer), tokenizer)
    for row in rows:
        before = loglikelihood(agent, row.chosen) - loglikelihood(agent, row.rejected)
        assert loglikelihood(trained, row.chosen) - loglikelihood(trained, row.rejected) > before + 0.1


def test_prepare_counts_what_it_drops(toy_pairs, references, tmp_path):
    agent, found, _ = toy_pairs
    recorded = {}
    run = SimpleNamespace(
        dir=tmp_path, recorded=lambda *a: False, record=lambda phase, i, s, **values: recorded.update(values)
    )
    same = found[0]._replace(rejected=found[0].chosen)
    longest = len(agent.encode(found[0].view)) + 4
    rows = prepare(run, agent, iter([*found, same, None]), 1024, 1)
    assert len(rows) == 4 and recorded["good"] == 3 and recorded["bad"] == 1
    assert (recorded["identical"], recorded["no_reference"], recorded["too_long"]) == (1, 1, 0)
    assert len((tmp_path / "pairs" / "round-1.jsonl").read_text().splitlines()) == 4
    with pytest.raises(ValueError, match=r"round 1 has no pairs to learn from \(.*too_long 4\)"):
        prepare(run, agent, iter(found), longest, 1)
