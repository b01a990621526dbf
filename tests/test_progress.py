"""What a run says of how far it is, where its output is no terminal."""

import threading
import time

import pytest

from trainers.runs import progress
from trainers.runs.progress import Phases


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [1000.0]
    monkeypatch.setattr(progress, "LOOK", 3600.0)  # the thread beside does not look at it
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.delenv("NO_PROGRESS", raising=False)
    return now


def test_a_line_a_phase_one_soon_and_one_a_minute(clock, capsys):
    phases = Phases()
    phases.start()
    advance = phases.phase("growing", 16_000, "games")
    for seconds, games in ((20, 2_000), (30, 2_000), (15, 4_000), (40, 2_000), (30, 2_000), (45, 4_000)):
        clock[0] += seconds
        advance(games)
    phases.stop()
    assert capsys.readouterr().err.splitlines() == [
        "growing: 16,000 games",
        "growing: 2,000 of 16,000 games, 100 games/s, 2 min left",
        "growing: 10,000 of 16,000 games, 95 games/s, 63 s left",
        "growing: 16,000 games in 3 min",
    ]


def test_slow_phases_say_less_than_one_a_second(clock, capsys):
    advance = Phases().phase("playing and improving", 100, "steps")
    clock[0] += 61
    advance(10)
    assert capsys.readouterr().err.splitlines()[1:] == [
        "playing and improving: 10 of 100 steps, 0.16 steps/s, 9 min left"
    ]


def test_a_long_step_says_each_minute_that_it_goes_on(capsys, monkeypatch):
    """Though nothing advances; and only of the phase that is at work."""
    monkeypatch.delenv("NO_PROGRESS", raising=False)
    monkeypatch.setattr(progress, "FIRST", 0.1)
    monkeypatch.setattr(progress, "INTERVAL", 0.1)
    monkeypatch.setattr(progress, "LOOK", 0.01)
    phases = Phases()
    phases.start()
    phases.phase("growing", 10, "games")(6)  # ends before its total
    advance = phases.phase("improving", 100, "steps")
    lines = []
    for done in (0, 20):
        advance(done)
        before, deadline = len(lines), time.monotonic() + 20
        while len(lines) < before + 5 and time.monotonic() < deadline:
            time.sleep(0.02)
            lines += capsys.readouterr().err.splitlines()
    phases.stop()
    lines += capsys.readouterr().err.splitlines()
    assert lines[:2] == ["growing: 10 games", "improving: 100 steps"]
    texts = [line for line in lines[2:] if line.startswith("improving: 0 of 100 steps after ")]
    assert len(texts) >= 2
    later = lines[2 + len(texts) :]
    assert len(later) >= 2
    assert all(line.startswith("improving: 20 of 100 steps, ") and line.endswith(" left") for line in later)
    phases.stop()
    time.sleep(0.15)
    assert capsys.readouterr().err == "" and "progress" not in {thread.name for thread in threading.enumerate()}


def test_a_step_without_an_end_is_no_rate(clock, capsys):
    advance = Phases().phase("evaluating", 100, "pairs")
    clock[0] += 150
    advance(0)
    assert capsys.readouterr().err.splitlines()[1:] == ["evaluating: 0 of 100 pairs after 2 min"]


def test_a_phase_that_was_exceeded_ends_once(clock, capsys):
    advance = Phases().phase("growing", 10, "games")
    for games in (9, 4, 3):
        advance(games)
    assert [line for line in capsys.readouterr().err.splitlines() if " in " in line] == ["growing: 13 games in 0 s"]


def test_what_has_no_phase_of_its_own_says_each_minute_that_it_goes_on(clock, capsys):
    phases = Phases()
    phases.phase("growing", 10, "games")(10)
    for seconds in (30, 31, 50, 11):
        clock[0] += seconds
        phases._print_due(clock[0])
    phases.phase("improving", 5, "steps")
    clock[0] += 9
    phases._print_due(clock[0])
    assert capsys.readouterr().err.splitlines()[2:] == [
        "at work for 61 s since growing",
        "at work for 2 min since growing",
        "improving: 5 steps",
    ]


def test_silence(clock, capsys, monkeypatch):
    monkeypatch.setenv("NO_PROGRESS", "1")
    phases = Phases()
    phases.start()
    phases.phase("growing", 10, "games")(10)
    phases.stop()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar_and_no_lines(clock, capsys, monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    phases = Phases()
    phases.phase("growing", 10, "games")(10)
    assert capsys.readouterr().err == "" and not phases._plain
