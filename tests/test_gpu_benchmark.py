"""The benchmark of play and learning on a device, in its form for a CPU."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from agents.pocket import SHIPPED

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # as where the script is run
BENCHMARK = runpy.run_path(str(BENCHMARKS / "gpu.py"))
MODELS = runpy.run_path(str(BENCHMARKS / "gpu_models.py"))
TINY = "--device cpu --size tiny --rows 2 --new 3 --copy 4096 --matrix 8 --seconds 0".split()
CPU = torch.device("cpu")


def test_a_run_on_a_cpu(tmp_path, capsys):
    file = tmp_path / "gpu.json"
    BENCHMARK["main"]([*TINY, "--json", str(file)])
    result = json.loads(file.read_text())
    decode, lora, full = result["rows"]
    assert [row["part"] for row in result["rows"]] == ["decode", "lora", "full"]
    assert not any("skipped" in row for row in result["rows"])
    ceilings = result["ceilings"]
    assert decode["bandwidth_share"] == pytest.approx(
        decode["bytes_per_step"] / decode["step_seconds"] / ceilings["bytes"]
    )
    table = 32 * 795
    layers = decode["parameters"] - table
    kv = 2 * 2 * 2 * 8 * 4 * (decode["prompt_tokens"] + 1.5)  # keys and values, layers, heads, width, bytes
    assert decode["bytes_per_step"] == pytest.approx(4 * decode["parameters"] + 2 * kv)
    for row, operations in ((lora, 4), (full, 6)):
        weights = layers + table * 2 * 3 / row["tokens_per_step"]
        assert row["mfu"] == pytest.approx(operations * weights * row["tokens_per_second"] / ceilings["flops"])
    assert capsys.readouterr().out.count("\n") == 4, "the ceilings and three rows"


@pytest.mark.parametrize(
    ("options", "rows", "reason"),
    [
        (["--limit", "-1"], 3, "of --limit"),
        (["--parts", "lora"], 1, "it learns from what was decoded"),
        (["--size", "smollm2", "--model", "nowhere.gguf", "--parts", "decode"], 1, "no file 'nowhere.gguf'"),
    ],
)
def test_what_is_left_out_says_why(tmp_path, options, rows, reason):
    file = tmp_path / "gpu.json"
    BENCHMARK["main"]([*TINY, *options, "--json", str(file)])
    result = json.loads(file.read_text())["rows"]
    assert len(result) == rows and all(reason in row["skipped"] for row in result)


@pytest.mark.parametrize(
    ("size", "weights"), [("0.6B", 596_049_920), ("4B", 4_022_468_096), ("8B", 8_190_735_360)], ids=str
)
def test_shapes_have_the_published_number_of_weights(size, weights):
    assert BENCHMARK["parameters_of"](size) == weights


def test_weights_of_an_embedding_that_is_no_head_are_not_read():
    tied, _ = BENCHMARK["make"]("tiny", None, CPU)
    assert BENCHMARK["weights_read"](tied) == 4 * tied.num_parameters()
    config = MODELS["shape"]("tiny", 795)
    config.tie_word_embeddings = False
    with torch.device("meta"):
        untied = type(tied)(config)
    assert BENCHMARK["weights_read"](untied) == 4 * (untied.num_parameters() - 32 * 795)


def test_a_folder_is_measured_as_the_real_model(tmp_path):
    file = tmp_path / "gpu.json"
    options = ["--size", "smollm2", "--model", str(SHIPPED["ledger"]), "--parts", "decode"]
    BENCHMARK["main"]([*TINY, *options, "--json", str(file)])
    (row,) = json.loads(file.read_text())["rows"]
    assert row["tokens_per_second"] > 0
