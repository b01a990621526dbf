"""The report: self-contained, safe whatever a model wrote, and there even when a run was killed."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from clarify_env.costs import SETS, CostPlane
from trainers.reporting import figures
from trainers.reporting.columns import fixed, percent
from trainers.reporting.report import TEMPLATES, print_table, write_report
from trainers.runs.store import append_lines, write_json

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<!--<script>",
    '"><img src=x onerror="alert(3)">',
    'it\'s "quoted" & {{ 7 * 7 }} {% raw %} \u2028 \u202e \ud800 \x00',
)


def _entry(reward: float) -> dict:
    return {
        "reward": reward,
        "reward_ci": [reward - 0.012, reward + 0.010],
        "oracle": 0.62,
        "regret": 0.62 - reward,
        "regret_action": 0.4 * (0.62 - reward),
        "gap_closed": (reward - 0.5) / 0.12,
        "accuracy": 0.83,
        "f1": 0.85,
        "questions": 0.41,
        "words": 3.4,
        "share": {"clarify": 0.4, "answer": 0.27, "multi_answer": 0.328, "invalid": 0.002},
        "ungrounded": 0.0,
        "leak": 0.004,
        "fixed": {"guess": 0.41, "list": 0.49, "ask": 0.47, "threshold": 0.5},
        "dominance": 0.95,
        "optimal_match": 0.942,
        "optimal_match_ci": [0.913, 0.9651],
    }


def summary() -> dict:
    return {
        "method": "rest",
        "game": "clarification",
        "task": "almanac",
        "split": "test",
        "seed": 0,
        "players": {"assistant": "pocket", "user": "scripted"},
        "eval": {
            name: {"temperature": _entry(0.6 - 0.02 * i), "greedy": _entry(0.61 - 0.02 * i)}
            for i, name in enumerate(SETS)
        },
        "steering": {
            "ask_alpha": {"policy": -0.93, "oracle": -0.97, "range_ratio": 0.94},
            "words_beta": {"policy": -0.88, "oracle": -0.95, "range_ratio": 1.05},
        },
        "budget": {
            "games": 32000,
            "generated_tokens": 410233,
            "update_tokens": 2100455,
            "gold_labels": 600,
            "seconds": 402.1,
        },
    }


def evaluation(n: int = 3) -> dict:
    alphas, betas = CostPlane().grid(n)
    a, b = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n), indexing="ij")
    rng = np.random.default_rng(0)

    def shares(noise: float) -> dict:
        ask, many = 1.4 * (1 - a) * (0.4 + 0.6 * b), (1 - b) * (0.3 + 0.7 * a)
        weights = np.stack([ask, 0.2 + a * b, many]) * np.exp(noise * rng.normal(size=(3, n, n)))
        clarify, answer, multi = weights / weights.sum(0)
        reward = 0.75 - 0.25 * a - 0.15 * b - abs(noise * rng.normal(size=(n, n))) / 5
        named = {"clarify": clarify, "answer": answer, "multi_answer": multi, "words": 2 + 5 * multi, "reward": reward}
        return {name: values.tolist() for name, values in named.items()}

    return {"grid": {"alphas": alphas, "betas": betas, "policy": shares(0.15), "oracle": shares(0.0)}, "sets": {}}


def metrics() -> list[dict]:
    lines = []
    for k in range(1, 4):
        head = {"iteration": k, "seconds": 30.0 * k}
        lines.append({"phase": "grow", "step": k, **head, "grow/games": 8000})
        for step in range(20, 400, 20):
            lines.append({"phase": "update", "step": step, **head, "update/loss": 1.2 / (k + step / 60)})
        numbers = {
            "reward": 0.63 - 0.3 / k**2,
            "oracle": 0.65,
            "clarify": 0.3 + 0.03 * k,
            "answer": 0.4 - 0.05 * k,
            "multi_answer": 0.3 + 0.02 * k,
        }
        named = {f"validation/{name}": value for name, value in numbers.items()}
        lines.append({"phase": "validation", "step": k, **head, **named})
    return lines


def transcripts(texts: tuple[str, ...] = ("Ada Brandt",)) -> list[dict]:
    games = []
    for i, text in enumerate(texts):
        for action, accuracy in (("clarify", 1.0), ("answer", 0.0), ("multi_answer", 0.5)):
            asks = [["assistant", f"#CLARIFY {text}?"], ["user", f"The {text} one."]] if action == "clarify" else []
            games.append(
                {
                    "set": SETS[i % len(SETS)],
                    "mode": "temperature",
                    "episode_id": f"test/{i}",
                    "query": f"Who designed {text}?",
                    "intent": f"Who designed the film {text}?",
                    "gold": [text, "A. Brandt"],
                    "readings": [["film", text, 0.7], [text, "Jon Vale", 0.3]],
                    "costs": [0.25, 0.031],
                    "turns": [*asks, ["assistant", f"#ANSWER {text}"], ["user", text]],
                    "reward": 0.6,
                    "oracle": 0.7,
                    "accuracy": accuracy,
                    "action": action,
                    "invalid": False,
                }
            )
    return games


def fill(folder: Path, texts: tuple[str, ...] = ("Ada Brandt",), maps: bool = False, curves: bool = False) -> Path:
    """Makes a run directory; what maps and curves are drawn from, which takes long, only where a test looks at them."""
    write_json(folder / "config.json", {"command": "rest", "seed": 0, "assistant": {"model": texts[0]}})
    write_json(folder / "summary.json", summary())
    if maps:
        write_json(folder / "evaluation.json", evaluation())
    if curves:
        append_lines(folder / "metrics.jsonl", metrics())
    append_lines(folder / "transcripts.jsonl", transcripts(texts))
    return folder


class Page(HTMLParser):
    """Scripts, attributes and text of a page, as a browser would part them."""

    def __init__(self, html: str):
        super().__init__()
        self.scripts, self.attributes, self.text, self.tags, self._inside = [], [], [], [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._inside = tag
        if tag == "script":
            self.scripts.append([dict(attrs), ""])

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1][1] += data
        else:
            self.text.append(data)


def report(folder: Path) -> tuple[str, Page]:
    write_report(folder)
    html = (folder / "report.html").read_text(encoding="utf-8")
    return html, Page(html)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = fill(tmp_path_factory.mktemp("run"), HOSTILE, maps=True, curves=True)
    return folder, *report(folder)


def test_no_text_of_a_model_becomes_structure(whole):
    _, html, page = whole
    assert [attributes.get("type") for attributes, _ in page.scripts] == ["application/json", None]
    assert "alert" not in page.scripts[1][1]
    assert "img" not in page.tags and not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "49" not in "".join(re.findall(r"quoted.{0,40}", html)), "a message was read as a template"


def test_transcripts_arrive_as_they_were_played(whole):
    _, _, page = whole
    shown = json.loads(page.scripts[0][1])
    assert shown == json.loads(json.dumps(transcripts(HOSTILE)))
    assert not re.search("[<>&]", page.scripts[0][1]), "a character that HTML reads stands unescaped in a script"


def test_the_file_needs_nothing_from_elsewhere(whole):
    _, html, page = whole
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\((?!#)", html)
    outward = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href", "action")]
    assert all(value.startswith(("#", "data:")) for value in outward)
    assert "link" not in page.tags


def test_ids_are_unique(whole):
    ids = [value for _, name, value in whole[2].attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_every_figure_is_a_png_and_stands_in_the_page(whole):
    folder, html, page = whole
    names = {path.stem for path in (folder / "figures").iterdir()}
    assert names == {"steering", "regret", "learning"}
    for name in names:
        image = (folder / "figures" / f"{name}.png").read_bytes()
        assert image.startswith(b"\x89PNG\r\n\x1a\n") and len(image) > 10_000
        width, height = (int.from_bytes(image[at : at + 4]) for at in (16, 20))
        assert width >= 600 and height >= 400
    assert page.tags.count("svg") == 3 and html.count('role="img"') == 3


def test_the_table_stands_in_the_page(whole):
    text = " ".join(whole[2].text)
    for expected in (
        "beyond both",
        "0.588 to 0.610",
        "96.8",
        "−0.93",
        "threshold",
        "410,233",
        "starting point",
        "leak %",
        "94.2 (91.3 to 96.5)",
    ):
        assert expected in text, expected


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("config.json", "No config was written"),
        ("summary.json", "Unfinished run"),
        ("evaluation.json", "No maps"),
        ("transcripts.jsonl", "No games were sampled"),
    ],
)
def test_a_missing_file_is_said_in_one_sentence(tmp_path, name, says):
    (fill(tmp_path) / name).unlink(missing_ok=True)
    text = " ".join(report(tmp_path)[1].text)
    assert f"({name})" in text and says in text


def test_a_run_that_learned_nothing_misses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "save_png", lambda *_: None)  # nobody looks at them
    text = " ".join(report(fill(tmp_path, maps=True))[1].text)
    assert "No learning in this run" in text and "does not hold" not in text


def test_an_empty_directory_has_a_report(tmp_path):
    assert "Unfinished run" in report(tmp_path)[0]


def test_a_torn_last_line_is_left_out(tmp_path):
    with (fill(tmp_path) / "transcripts.jsonl").open("a") as file:
        file.write('{"set": "betw')
    assert len(json.loads(report(tmp_path)[1].scripts[0][1])) == len(transcripts())


@pytest.mark.parametrize("recorded", ["update/loss", "validation/reward", "validation/clarify", "grow/games"])
def test_learning_curves_are_drawn_from_what_there_is(tmp_path, recorded):
    fill(tmp_path)
    lines = [{key: value for key, value in line.items() if "/" not in key or key == recorded} for line in metrics()]
    append_lines(tmp_path / "metrics.jsonl", lines)
    assert ("No learning in this run" in report(tmp_path)[0]) == (recorded == "grow/games")


def test_table_prints(capsys):
    print_table(summary())
    printed = capsys.readouterr().out
    for expected in ("beyond_both", "± 0.011", "96.8", "threshold 0.500", "greedy", "−0.93", "1.05"):
        assert expected in printed, expected
    assert "…" not in printed, "the table does not fit a terminal of 80 columns"


def test_table_prints_without_a_greedy_evaluation(capsys):
    only = summary() | {"eval": {"between": {"temperature": _entry(0.6)}}}
    print_table(only)
    assert "greedy" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rule", "says"),
    [("free", "reasoning before the tag: free"), ("charged", "reasoning before the tag: charged at beta")],
)
def test_the_rule_on_reasoning_is_stated(tmp_path, capsys, rule, says):
    fill(tmp_path)
    before = report(tmp_path)[0]
    print_table(summary())
    assert "before the tag" not in before + capsys.readouterr().out, "where there is none nothing is said"
    write_json(tmp_path / "summary.json", summary() | {"reasoning": rule})
    print_table(summary() | {"reasoning": rule})
    assert f"In these games, {says}." in " ".join(report(tmp_path)[1].text) and says in capsys.readouterr().out


@pytest.mark.parametrize("names", [("[red]", "user"), ("pocket", "[/b] [link=x]"), (":smile:", "a [bold]b[/bold]")])
def test_names_are_printed_as_they_are(capsys, names):
    print_table(summary() | {"players": dict(zip(("assistant", "user"), names, strict=True)), "task": "[i]t[/i]"})
    assert f"rest on [i]t[/i]/test: assistant {names[0]}, user {names[1]}, seed 0\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "style",
    [
        {"text.usetex": True},
        pytest.param({"font.family": "no such font", "savefig.bbox": "tight"}, marks=pytest.mark.slow),
        pytest.param({"axes.labelsize": 40.0}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_users_matplotlibrc_has_no_part_in_our_figures(tmp_path, monkeypatch, style):
    """With `text.usetex` each figure would need LaTeX; and equal runs give equal reports, and leave the style alone."""
    import matplotlib

    pages = []
    for name, own in (("plain", {}), ("theirs", style)):
        (tmp_path / name).mkdir()
        with matplotlib.rc_context(own):
            before = dict(matplotlib.rcParams)
            monkeypatch.setenv("PATH", "")
            pages.append(report(fill(tmp_path / name, curves=True))[0])
            assert dict(matplotlib.rcParams) == before
    assert pages[0] == pages[1]


def test_the_main_table_fits_its_page(whole):
    """By the widths of a wide font: each column is as wide as its widest cell, or the longest word of a title."""
    from matplotlib.font_manager import FontProperties, get_font
    from matplotlib.font_manager import findfont as find_font

    css, html = (TEMPLATES / "report.css").read_text(), whole[1]
    font = get_font(find_font(FontProperties(family="DejaVu Sans", weight="bold")))

    def width(text, size):
        font.set_size(size, 72)
        font.set_text(text)
        return font.get_width_height()[0] / 64

    rem, pixels = 16, re.search(r"max-width: (\d+)rem; padding: 2rem ([\d.]+)rem", css)
    page = rem * (float(pixels[1]) - 2 * float(pixels[2]))
    padding = 2 * rem * float(re.search(r"th, td \{ padding: \S+ ([\d.]+)rem", css)[1])
    size = rem * float(re.search(r"\ntable \{[^}]*font-size: ([\d.]+)rem", css)[1])
    wraps = re.search(r"\nthead th \{[^}]*white-space: normal", css)
    for caption in ("Reward a game", "What the policy does"):
        table = re.search(rf"<caption>{caption}.*?</table>", html, re.DOTALL)[0]
        rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("<tr>")[2:]]
        titles, *cells = rows
        columns = zip(titles, *cells, strict=True)
        parts = [[*(title.split() if wraps else [title]), *column] for title, *column in columns]
        widths = [max(width(part, size) for part in column) for column in parts]
        assert sum(widths) + padding * len(widths) < page, f"{caption}: {sum(widths) + padding * len(widths)} of {page}"


def test_a_gap_that_there_is_not_is_a_dash_with_its_reason(tmp_path, capsys):
    fill(tmp_path)
    print_table(summary())
    assert "no gap to close" not in report(tmp_path)[0] + capsys.readouterr().out
    closed = summary() | {"eval": {"between": {"temperature": _entry(0.6) | {"gap_closed": None}}}}
    write_json(tmp_path / "summary.json", closed)
    print_table(closed)
    printed = capsys.readouterr().out
    assert "gap closed –: the best fixed strategy earns as much as the oracle" in printed and " – " in printed
    assert "there is no gap to close" in " ".join(report(tmp_path)[1].text)


def test_zero_has_no_sign(capsys):
    print_table(summary() | {"eval": {"between": {"temperature": _entry(0.6) | {"gap_closed": -0.001}}}})
    printed = capsys.readouterr().out
    assert " 0.00 " in printed and "−0.00" not in printed and "-0.00" not in printed
    assert fixed(-0.004, 2) == "0.00" and fixed(-0.006, 2) == "−0.01" and percent(-0.001) == "0"


def conduct(texts: tuple[str, ...] = ("The opera.",)) -> dict:
    row = {"means": "tells more than it was asked", "of": 40, "count": 2, "rate": 0.05, "ci": [0.0138, 0.1650]}
    none = {"means": "closes with another answer", "of": 0, "count": 0, "rate": None, "ci": None}
    games = [
        {"episode_id": "test/3", "query": text, "intent": text, "turns": [["assistant", "#CLARIFY"], ["user", text]]}
        for text in texts
    ]
    report = {"deals": 7, "messages": 40, "kinds": {"leak": row, "ungrounded": none}, "examples": {"leak": games}}
    settings = {"kind": "self", "model": texts[0], "prompt": {"style": "natural", "version": 2}, "device": None}
    return {"faults": {"temperature": {"user": report}}, "partners": {"user": settings}}


def test_the_conduct_of_a_model_as_user_is_reported(tmp_path, capsys):
    folder = fill(tmp_path, HOSTILE)
    write_json(folder / "summary.json", summary() | conduct(HOSTILE))
    html, page = report(folder)
    assert 'href="#conduct"' in html and "img" not in page.tags and len(page.scripts) == 2, "text stays text"
    text = " ".join(" ".join(page.text).split())
    assert (
        "Faults in 40 messages of the user, to 7 deals" in text and "1.4 to 16.5" in text and "user: settings" in text
    )
    assert text.count("prompt style natural, version 2") == 1 and "device" not in text.partition("budget")[0]
    print_table(summary() | conduct())
    shown = capsys.readouterr().out
    assert "Faults of the user, 40 messages" in shown and re.search(r"leak +40 +2 +5.0 +1.4 to 16.5", shown)
    assert re.search(r"ungrounded +0 +0 +– +–", shown)
    (tmp_path / "other").mkdir()
    without, _ = report(fill(tmp_path / "other"))
    assert "conduct" not in without, "of a scripted user there is nothing to say"
