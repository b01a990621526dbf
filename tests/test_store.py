import json

import pytest
from toys import ASHFORD, Toy

from agents.selfplay import Start, play
from clarify_env.costs import Costs
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from trainers.runs import store
from trainers.runs.store import (
    ChunkLog,
    ChunkWriter,
    append_lines,
    read_json,
    read_lines,
    replay,
    save_model,
    write_json,
)

SETUP = Setup(find_game("clarification"), Toy())


class Teller:
    name = "teller"

    def act(self, views, seeds, openings=None):
        texts = ("#CLARIFY Which kind?", None, "#MULTI_ANS film: Ada Brandt; opera: Jon Vale")
        return [Reply(texts[view.turn], (1, 2), (3, 4, 5), (-0.1, -1e-7, -33.3), 2) for view in views]


@pytest.fixture
def games():
    starts = [Start(ASHFORD, i % 3, Costs(0.25, 0.03), i) for i in range(6)]
    return list(play(starts, {"assistant": Teller(), "user": ScriptedUser(Toy())}, task=Toy()))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "games.jsonl"


def written(path, *chunks):
    log = ChunkWriter(path)
    for chunk in chunks:
        log.append(chunk)
    return log


def test_chunks_come_back_as_they_were(path, games):
    written(path, games[:2], games[2:])
    log = ChunkLog(path)
    assert (log.chunks, log.dropped) == (2, 0)
    assert list(log.read(SETUP)) == [games[:2], games[2:]], "replayed by the rules, views and result included"
    assert all(isinstance(json.loads(line), dict) for line in path.read_text().splitlines()), "JSON lines"


def test_a_game_is_replayed_from_json(games):
    for game in games:
        assert replay(json.loads(json.dumps(game.to_json())), SETUP) == game


@pytest.mark.parametrize("rule", ["free", "charged"])
def test_reasoning_comes_back_as_it_was_generated(rule):
    setup = SETUP._replace(options={"reasoning": rule})

    class Thinker(Teller):
        def act(self, views, seeds, openings=None):
            return [reply._replace(text=f"Hm, #ANSWER?\n{reply.text}") for reply in super().act(views, seeds)]

    starts = [Start(ASHFORD, i, Costs(0.25, 0.03), i) for i in range(3)]
    agents = {"assistant": Thinker(), "user": ScriptedUser(Toy())}
    for game in play(starts, agents, task=Toy(), options=setup.options):
        back = replay(json.loads(json.dumps(game.to_json())), setup)
        assert back == game and not game.result.flags["invalid"]
        assert back.turns[2].reply.text.startswith("Hm, #ANSWER?\n#MULTI")
        assert game.result.usage["words"] == (6 if rule == "free" else 10)


# A line of a file of trajectories as version 0.1 wrote it: no prices, hidden, agents and result, but costs, intent,
# user and outcome.
OLD = json.loads(
    '{"id":4,"game":"clarification","task":"toy","split":"train","episode_id":"train/0","intent":1,"costs":[0.25,0.03],'
    '"seed":4,"user":"scripted","turns":[{"role":"assistant","text":"#CLARIFY Which kind?","prompt_ids":[1,2],'
    '"ids":[3,4,5],"logprobs":[-0.1,-1e-07,-33.3],"forced":2},{"role":"user","text":"The opera one.","prompt_ids":null,'
    '"ids":null,"logprobs":null,"forced":0},{"role":"assistant","text":"#MULTI_ANS film: Ada Brandt; opera: Jon Vale",'
    '"prompt_ids":[1,2],"ids":[3,4,5],"logprobs":[-0.1,-1e-07,-33.3],"forced":2},{"role":"user","text":"Jon Vale",'
    '"prompt_ids":null,"ids":null,"logprobs":null,"forced":0}],"outcome":{"accuracy":1.0,"f1":1.0,"questions":1,'
    '"words":6,"invalid":false,"ungrounded":false,"leak":false}}'
)


def test_games_of_version_01_are_read_as_the_same_games(path, games):
    game = replay(OLD, SETUP)
    assert game._replace(agents=games[4].agents) == games[4], "views, actions and result included"
    assert game.agents == {"user": "scripted"}, "who played the assistant is not on file"
    result, old = game.result, OLD["outcome"]
    assert (result.score, result.usage["questions"], result.usage["words"]) == (
        old["accuracy"],
        old["questions"],
        old["words"],
    )
    assert SETUP.measures(game)["f1"] == old["f1"] and not any(result.flags.values())
    assert game.reward() == pytest.approx(old["accuracy"] - 0.25 * old["questions"] - 0.03 * old["words"])
    append_lines(path, [OLD, {"chunk": 0, "games": 1}])
    log = ChunkWriter(path)
    assert (log.chunks, log.dropped) == (1, 0) and list(log.read(SETUP)) == [[game]], "as whole files are"
    log.append([games[4]])
    assert list(ChunkLog(path).read(SETUP)) == [[game], [games[4]]], "and may be written on"


def test_an_invalid_message_of_version_01_costs_what_it_did():
    """There `invalid` was added to the questions at the price of one; here it is one of them."""
    turn = OLD["turns"][2] | {"text": "Brandt"}
    game = replay(OLD | {"turns": [*OLD["turns"][:2], turn]}, SETUP)
    assert game.result.flags["invalid"] and game.reward() == pytest.approx(0 - 0.25 * (1 + 1) - 0.03 * 1)


def test_records_that_are_no_games_of_this_setup_are_refused():
    with pytest.raises(ValueError, match="game 4 is one of desk, not of clarification"):
        replay(OLD | {"game": "desk"}, SETUP)
    with pytest.raises(ValueError, match="game 4: its messages do not end the game"):
        replay(OLD | {"turns": OLD["turns"][:3]}, SETUP)


def changed(record, *keys, value="nothing"):
    """A copy of a record in which one value is another or, without a value, missing."""
    copy = json.loads(json.dumps(record))
    place = copy
    for key in keys[:-1]:
        place = place[key]
    if value == "nothing":
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return copy


BROKEN = [None, -1, 1.5, True, "x", [], {}, ["x"], [2**70], 2**70]
FIELDS = [("id",), ("episode_id",), ("hidden",), ("prices",), ("seed",), ("turns",), ("agents",)]
FIELDS += [("turns", 0, key) for key in ("role", "text", "prompt_ids", "ids", "logprobs", "forced")]
# Those of them that fit.
FITS = {"id": ["-1", str(2**70)], "agents": ["{}"], "logprobs": ["None"], "prompt_ids": ["[]"]}


@pytest.mark.parametrize("keys", FIELDS, ids=lambda keys: ".".join(map(str, keys)))
def test_a_stored_game_of_other_values_is_refused_in_one_sentence(path, games, keys):
    record = {"chunk": 0, "chunk_games": 1} | games[0].to_json()
    values = [value for value in BROKEN if str(value) not in FITS.get(keys[-1], ())]
    for value in values + ["nothing"] * (keys[-1] not in ("logprobs", "forced")):
        append_lines(path, [changed(record, *keys, value=value)])
        with pytest.raises(ValueError, match=r"games\.jsonl, line 1: ") as error:
            list(ChunkLog(path).read(SETUP))
        assert "\n" not in str(error.value), value
        path.unlink()


def test_chunks_after_one_that_is_not_whole_are_never_dropped(path, games):
    """No crash leaves a file so; a reader would lose games, and a writer would cut them off."""
    written(path, games[:2], games[2:4], games[4:])
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[1][:10] + "\n", *lines[2:]]))
    before = path.read_bytes()
    for kind in (ChunkLog, ChunkWriter):
        with pytest.raises(ValueError, match=r"line 3: chunk 1 begins, but chunk 0 before it is not"):
            kind(path)
    assert path.read_bytes() == before


NEXT = '{"chunk":2,"chunk_games":3,"id":9}\n'
TORN = [
    (lambda text: text + '{"chunk":2,"ga', 1, "a torn line"),
    (lambda text: text + NEXT * 2, 2, "two games of a chunk of three"),
    (lambda text: text + NEXT * 2 + NEXT[:-1], 3, "three games but for the last line's end"),
    (lambda text: text + NEXT + "\0\n" + NEXT * 2, 4, "zeros among them"),
    (lambda text: text + NEXT + NEXT.replace(":3,", ":1,"), 2, "games of a chunk that contradict each other"),
    (lambda text: text[:-1], 4, "the last chunk lost its last byte"),
    (lambda text: text[: text.index('{"chunk":1') + 200], 1, "most of the last chunk is gone"),
    (lambda text: text + "\0" * 100, 1, "zeros, as a crash may leave them"),
    (lambda text: text + "ä".encode()[:1].decode("latin1"), 1, "half a letter"),
]
OLD_TORN = [
    ('{"id":9,"ga', 1, "a torn line"),
    ('{"id":9}\n{"id":10}\n', 2, "two games of a chunk that has no end"),
    ('{"id":9}\n{"chunk":1,"gam', 2, "an end that was not written out"),
    ('{"id":9}\n{"chunk":1,"games":1}', 2, "an end but for its line's"),
]


@pytest.mark.parametrize(("tear", "dropped", "why"), TORN)
def test_only_whole_chunks_count(path, games, tear, dropped, why):
    written(path, games[:2], games[2:])
    whole = path.read_bytes()
    path.write_bytes(tear(whole.decode()).encode("latin1"))
    torn = path.read_bytes()
    whole_chunks = 2 if len(torn) > len(whole) else 1
    log = ChunkLog(path)
    assert log.chunks == whole_chunks, why
    assert log.dropped == dropped, f"{why}: dropped lines are counted"
    assert list(log.read(SETUP)) == [games[:2], games[2:]][:whole_chunks] and path.read_bytes() == torn, (
        "a reader cuts nothing"
    )
    log = ChunkWriter(path)
    assert (log.chunks, log.dropped) == (whole_chunks, dropped)
    assert path.read_bytes() == whole[: len(path.read_bytes())] and path.read_bytes().endswith(b"}\n"), "a writer does"
    log.append(games[4:])
    assert list(ChunkLog(path).read(SETUP)) == [*[games[:2], games[2:]][:whole_chunks], games[4:]], "and written on"


@pytest.mark.parametrize(("tail", "dropped", "why"), OLD_TORN)
def test_only_whole_chunks_of_version_01_count(path, games, tail, dropped, why):
    append_lines(path, [OLD, {"chunk": 0, "games": 1}])
    whole = path.read_bytes()
    path.write_bytes(whole + tail.encode())
    for kind, left in ((ChunkLog, whole + tail.encode()), (ChunkWriter, whole)):
        log = kind(path)
        assert (log.chunks, log.dropped, path.read_bytes()) == (1, dropped, left), why
        assert [game.id for chunk in log.read(SETUP) for game in chunk] == [4]


@pytest.mark.parametrize("content", ['{"id":0}\n{"id":1}\n', NEXT * 2, "\0\n\n"])
def test_a_file_of_nothing_whole_is_emptied_by_a_writer(path, content):
    path.write_text(content)
    for kind, left in ((ChunkLog, content), (ChunkWriter, "")):
        log = kind(path)
        assert (log.chunks, log.dropped, path.read_text(), list(log.read(SETUP))) == (0, 2, left, [])
    for kind in (ChunkLog, ChunkWriter):
        assert kind(path.with_name("none.jsonl")).chunks == 0 and not path.with_name("none.jsonl").exists()


@pytest.mark.parametrize("cut", [1, 31, 49, 400])
def test_reading_a_log_that_is_being_written_leaves_it_alone(path, games, cut):
    """As `less` would: the writer goes on, whatever part of a chunk was on disk when it was read."""
    writer = written(path, games[:2])
    before = path.read_bytes()
    writer.append(games[2:])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(before) + cut])
    assert list(ChunkLog(path).read(SETUP)) == [games[:2]]
    assert path.read_bytes() == whole[: len(before) + cut]
    path.write_bytes(whole)
    early = ChunkLog(path)
    writer.append(games[:1])
    assert list(early.read(SETUP)) == [games[:2], games[2:]], "as it was when it was opened"
    assert list(writer.read(SETUP)) == [games[:2], games[2:], games[:1]], "a writer reads what it wrote"


def test_a_chunk_without_games_counts(path, games):
    for log in (written(path, [], games[:2], [], []), ChunkLog(path)):
        assert (log.chunks, log.dropped, list(log.read(SETUP))) == (4, 0, [[], games[:2], [], []])
    with path.open("a") as file:
        file.write(NEXT + "\n\n")
    assert (ChunkLog(path).chunks, ChunkLog(path).dropped) == (4, 3), "no empty chunk begins inside another"


def test_trajectories_are_a_data_set_of_games_with_their_rewards(path, games, tmp_path):
    from datasets import load_dataset

    written(path, games[:2], games[2:], [])
    rows = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["id"] == [game.id for game in games], "a row a game, and nothing else"
    assert rows["reward"] == pytest.approx([game.reward() for game in games])
    assert set(rows["chunk"]) == {0, 1} and "rewards" not in rows.column_names, "one reward for all roles"


def test_a_marker_in_a_message_ends_no_chunk(path):
    reply = Reply('{"chunk":0,"games":1}\n{"chunk":')
    start = Start(ASHFORD, 0, Costs(0.25, 0.03), 0, reply)
    game = list(play([start], {"assistant": Teller(), "user": ScriptedUser(Toy())}, task=Toy()))
    written(path, game)
    assert ChunkLog(path).chunks == 1 and list(ChunkLog(path).read(SETUP)) == [game]


def test_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert list(read_lines(path)) == [], "none yet"
    append_lines(path, [{"a": 1}, {"b": "x\ny"}])
    append_lines(path, [{"c": None}])
    assert list(read_lines(path)) == [{"a": 1}, {"b": "x\ny"}, {"c": None}]
    with path.open("a") as file:
        file.write('{"d": 4')
    assert list(read_lines(path)) == [{"a": 1}, {"b": "x\ny"}, {"c": None}], "a torn last line is left out"
    append_lines(path, [{"e": 5}])
    assert list(read_lines(path)) == [{"a": 1}, {"b": "x\ny"}, {"c": None}, {"e": 5}], "and written over"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_json_is_not_written(tmp_path, value):
    for write in (lambda path: write_json(path, {"x": value}), lambda path: append_lines(path, [{"x": value}])):
        with pytest.raises(ValueError, match="JSON"):
            write(tmp_path / "x.json")
        assert not (tmp_path / "x.json").exists()


def test_errors_name_file_and_line(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n{"b": \n{"c": 3}\n')
    with pytest.raises(ValueError, match=r"x\.jsonl, line 2: not JSON"):
        list(read_lines(path))
    path = tmp_path / "x.json"
    path.write_text('{"a": 1,\n"b": }')
    with pytest.raises(ValueError, match=r"x\.json, line 2: not JSON"):
        read_json(path)


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    write_json(path, {"old": True})

    def crash(descriptor):
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(store.os, "fsync", crash)
        with pytest.raises(OSError, match="no space"):
            write_json(path, {"new": True})
    assert read_json(path) == {"old": True}
    path.with_name("summary.json.part").write_text('{"ne')
    assert read_json(path) == {"old": True}, "what lies aside is never read"
    write_json(path, {"new": True})
    assert read_json(path) == {"new": True} and [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_a_model_folder_is_written_aside(tiny, tmp_path, monkeypatch):
    target = tmp_path / "iteration-1"
    (tmp_path / "iteration-1.part").mkdir()
    (tmp_path / "iteration-1.part" / "left over").write_text("from a crash")
    with monkeypatch.context() as patched:
        patched.setattr(type(tiny[1]), "save_pretrained", lambda *_, **__: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            save_model(*tiny, target)
        assert not target.exists(), "weights without a tokenizer are no model"
    save_model(*tiny, target)
    assert [p.name for p in tmp_path.iterdir()] == ["iteration-1"] and not (target / "left over").exists()
    assert not {p.suffix for p in target.iterdir()} & {".bin", ".pt", ".pkl"}, "no pickles"
