"""Model folders that are not plain models: adapters, and models with code of their own."""

import json
import logging
import shutil

import pytest
import torch
from custom_code import with_code
from peft import LoraConfig, PeftModel, PromptTuningConfig, TaskType, get_peft_model
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from agents.example import Example
from agents.hf import load
from agents.options import HF, Scripted
from clarify_env.costs import CostPlane
from clarify_env.games import find_game
from clarify_env.games.setup import Setup
from trainers.learning import policy_gradient
from trainers.learning.improve import improve
from trainers.learning.options import UpdateOptions
from trainers.runs.experiment import Experiment
from trainers.runs.store import save_model

IDS = torch.arange(5, 30)[None]
LORA = {"r": 4, "lora_alpha": 8, "init_lora_weights": False}
EXAMPLES = [Example((2, 9, 10, 1, 4), (20, 21, 1)), Example((2, 9), (30,))]


def adapter(base, folder, *, config=None, named=None, tokenizer=False):
    """Saves an adapter with random weights; returns its folder and the logits of the adapted model."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_pretrained(base)
        adapted = get_peft_model(model, config or LoraConfig(**LORA, target_modules=["q_proj", "v_proj"])).eval()
    if named is not None:
        adapted.peft_config["default"].base_model_name_or_path = named
    adapted.save_pretrained(folder)
    if tokenizer:
        load(base, device="cpu")[1].save_pretrained(folder)
    with torch.no_grad():
        return adapted(IDS).logits


def everything(base, folder):
    """An adapter in the folder of its base model."""
    logits = adapter(base, folder)
    for file in base.iterdir():
        shutil.copy(file, folder)
    return logits


ADAPTERS = [
    ("of two projections", adapter),
    ("with a tokenizer of its own", lambda base, folder: adapter(base, folder, tokenizer=True)),
    (
        "of every layer, the head trained whole",
        lambda base, folder: adapter(
            base, folder, config=LoraConfig(**LORA, target_modules="all-linear", modules_to_save=["norm"])
        ),
    ),
    ("beside its base model", everything),
    ("its base model named relative to it", lambda base, folder: adapter(base, folder, named=f"../{base.name}")),
]


@pytest.mark.parametrize(("kind", "make"), ADAPTERS, ids=[kind for kind, _ in ADAPTERS])
def test_an_adapter_is_merged_into_its_base_model(tiny_folder, tmp_path, caplog, monkeypatch, kind, make):
    monkeypatch.chdir(tmp_path)  # a relative name is looked up in the working folder as well
    base = shutil.copytree(tiny_folder, tmp_path / "base")
    folder = tmp_path / "adapter"
    expected = make(base, folder)
    with caplog.at_level(logging.INFO, "clarify_env.run"):
        model, tokenizer = load(folder, device="cpu")
    assert "was merged into its base model" in caplog.text and str(folder) in caplog.text
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, expected, atol=1e-4, rtol=1e-4)
    assert not isinstance(model, PeftModel) and not any("lora" in name for name, _ in model.named_parameters())
    save_model(model, tokenizer, tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("adapter*")), "checkpoints are whole models"
    with torch.no_grad():
        torch.testing.assert_close(load(tmp_path / "saved", device="cpu")[0](IDS).logits, model(IDS).logits)


def test_an_adapter_with_more_tokens_than_its_base_model(tiny_folder, tmp_path):
    model, tokenizer = load(tiny_folder, device="cpu")
    rows = model.get_input_embeddings().weight.shape[0]
    tokenizer.add_tokens(["<one more>"])
    model.resize_token_embeddings(len(tokenizer))
    adapted = get_peft_model(model, LoraConfig(**LORA, target_modules=["q_proj"], modules_to_save=["embed_tokens"]))
    adapted.peft_config["default"].base_model_name_or_path = str(tiny_folder)
    adapted.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load(tmp_path, device="cpu")[0].get_input_embeddings().weight.shape[0] == rows + 1


def prompt_tuning(base, folder):
    config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=2)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)


def of_another_model(base, folder):
    other = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=50, bos_token_id=1, eos_token_id=1))
    adapted = get_peft_model(other, LoraConfig(**LORA, target_modules=["c_attn"], fan_in_fan_out=True))
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(folder)


def of_other_shapes(base, folder):
    adapter(base, folder)
    (folder / "adapter_config.json").write_text(
        (folder / "adapter_config.json").read_text().replace('"r": 4', '"r": 3')
    )


def without_base(base, folder):
    adapter(base, folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": None}))


FAULTS = [
    (lambda base, folder: adapter(base, folder, named="/no/folder"), r"an adapter of '/no/folder', which cannot be"),
    (without_base, r"its adapter_config\.json does not name a base model"),
    (prompt_tuning, r"it is an adapter that cannot be merged into its base model"),
    (of_another_model, r"it is an adapter that cannot be merged into its base model"),
    (of_other_shapes, r"it is an adapter that cannot be merged into its base model"),
]


@pytest.mark.parametrize(("make", "message"), FAULTS, ids=range(len(FAULTS)))
def test_an_adapter_that_cannot_be_merged_is_said_in_one_sentence(tiny_folder, tmp_path, monkeypatch, make, message):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    make(tiny_folder, tmp_path / "adapter")
    with pytest.raises(ValueError, match=rf"^user\.model: cannot load '.*adapter': .*{message}") as caught:
        load(tmp_path / "adapter", device="cpu", option="user.model")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def changed(name, **values):
    """Changes fields of a JSON file of a model folder."""

    def change(folder):
        file = folder / name
        known = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(known | values))

    return change


def pickled(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"no pickle")


def quantised(**values):
    return changed("config.json", quantization_config=values)


BROKEN = [
    ("GPTQ", quantised(quant_method="gptq", bits=4), "requires optimum"),
    ("4 bits", quantised(quant_method="bitsandbytes", load_in_4bit=True), "requires bitsandbytes"),
    ("compressed tensors", quantised(quant_method="compressed-tensors"), "compressed-tensors.* is required"),
    ("no quantisation", changed("config.json", quantization_config="int8"), "AttributeError: 'str' object"),
    ("attention not installed", changed("config.json", _attn_implementation="flash_attention_2"), "FlashAttention2"),
    (
        "more layers than weights",
        changed("config.json", num_hidden_layers=5),
        r"its files lack 27 of the .* weights",
    ),
    (
        "another architecture",
        changed("config.json", model_type="gpt2"),
        r"its files lack \d+ of .* weights of GPT2",
    ),
    (
        "another width",
        changed("config.json", intermediate_size=64),
        r"do not fit its config\.json, such as .*mlp",
    ),
    (
        "another vocabulary",
        changed("config.json", vocab_size=7),
        r"do not fit its config\.json, such as .*embed_tokens",
    ),
    ("heads that do not divide", changed("config.json", num_attention_heads=3), "not a multiple of the number of"),
    ("a number in quotes", changed("config.json", num_hidden_layers="2"), "expected int, got str"),
    ("a pickle that is none", pickled, "Weights only load failed"),
    ("an empty tokenizer", lambda folder: (folder / "tokenizer.json").write_text("{}"), "KeyError: 'added_tokens'"),
    ("settings in a list", lambda folder: (folder / "generation_config.json").write_text("[]"), "must hold an object"),
    ("torn settings", lambda folder: (folder / "generation_config.json").write_text('{"eos'), "cannot be read: Unterm"),
    ("an end in words", changed("generation_config.json", eos_token_id="</s>"), "eos_token_id of its .* must be an id"),
    ("ends in words", changed("generation_config.json", eos_token_id=[1, "</s>"]), "eos_token_id of its .* must be an"),
]


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_folder_that_cannot_be_loaded_is_said_in_one_sentence(tiny_folder, tmp_path, monkeypatch, change, message):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = shutil.copytree(tiny_folder, tmp_path / "a model [1] \u00fc")
    change(folder)
    with pytest.raises(ValueError, match=rf"^user\.model: cannot load '.*a model \[1\] \u00fc': .*{message}") as caught:
        load(folder, device="cpu", option="user.model")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("special", [False, True], ids=["a word", "a control token that is never written"])
def test_a_token_beyond_the_embedding_is_refused(tiny_folder, tmp_path, special):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken("Zanzibar", special=special)], special_tokens=special)
    tokenizer.save_pretrained(folder)
    if special:
        load(folder, device="cpu")
        return
    with pytest.raises(ValueError, match=r"^user\.model: cannot load .*: ids .* of 'Zanzibar', lie beyond the"):
        load(folder, device="cpu", option="user.model")


NORMALIZERS = [
    ({"type": "Lowercase"}, "'#clarify' for '#CLARIFY'"),
    ({"type": "Replace", "pattern": {"String": "#"}, "content": ""}, "'CLARIFY' for '#CLARIFY'"),
]


@pytest.mark.parametrize(("normalizer", "sentence"), NORMALIZERS)
def test_a_tokenizer_that_cannot_write_the_tags_of_the_game_is_refused(
    almanac, tiny_folder, tmp_path, normalizer, sentence
):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["content"][0] != "#"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"normalizer": normalizer}))
    made = experiment(almanac, folder)
    with pytest.raises(ValueError, match=rf"^assistant\.model: its tokenizer writes {sentence}"):
        made.players(made.load_policy(), 1.0)


@pytest.fixture(scope="module")
def own_folder(tiny_folder, tmp_path_factory):
    """A model with code of its own."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(folder / "modules"))
        yield with_code(tiny_folder, folder / "model")


def experiment(almanac, folder, **options):
    block = HF(str(folder), device="cpu", style="pocket", **options)
    blocks = {"assistant": block, "user": Scripted()}
    return Experiment(Setup(find_game("clarification"), almanac), CostPlane(), blocks)


def test_code_of_a_model_runs_only_where_it_is_trusted(own_folder):
    with pytest.raises(ValueError, match=r"user\.model: .*runs only with user\.trust_remote_code=true$"):
        load(own_folder, device="cpu", option="user.model")


@pytest.mark.parametrize("learned", ["update", "grpo"])
def test_trust_travels_to_the_checkpoints_of_a_run(own_folder, almanac, tmp_path, learned):
    trusting = experiment(almanac, own_folder, trust_remote_code=True)
    policy = trusting.load_policy()
    assert type(policy.model).__name__ == "OwnForCausalLM"
    if learned == "update":
        run = type("Run", (), {"dir": tmp_path, "identity": {"command": "sft"}, "steps": lambda *_: lambda *_: None})()
        again = improve(trusting, UpdateOptions(epochs=1, lora_rank=2), run, policy, EXAMPLES, 1)
        assert (tmp_path / "checkpoints/iteration-1/adapter/adapter_model.safetensors").exists(), "kept beside it"
    else:
        model = policy_gradient.learn(type("Trainer", (), {"train": lambda self: None, "model": policy.model})())
        save_model(model, policy.tokenizer, tmp_path / "checkpoint")
        again = trusting.load(tmp_path / "checkpoint")
    assert type(again.model).__name__ == "OwnForCausalLM"


def test_a_users_model_may_have_code_of_its_own(own_folder, almanac, tiny_folder):
    made = experiment(almanac, tiny_folder)
    blocks = made.blocks | {"user": HF(str(own_folder), trust_remote_code=True, device="cpu", style="pocket")}
    user = made.at(blocks=blocks).players(made.load_policy(), 1.0)["user"]
    assert type(user.sampler.model).__name__ == "OwnForCausalLM"
