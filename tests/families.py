"""Chat templates in the manner of well-known families, and a small tokenizer that has a family's tokens."""

from typing import NamedTuple

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


class Family(NamedTuple):
    """A chat template, the special tokens, other added tokens, and the end of text."""

    template: str
    special: tuple[str, ...]
    added: tuple[str, ...] = ()
    eos: str | None = None


def _with_bars(template: str, special: tuple[str, ...], added: tuple[str, ...], eos: str) -> Family:
    """A family whose tokens hold full-width bars, which are written ``!``."""
    with_bars = str.maketrans("!", BAR)
    texts = (tuple(text.translate(with_bars) for text in some) for some in (special, added))
    return Family(template.translate(with_bars), *texts, eos.translate(with_bars))


BAR = "\uff5c"
_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# In the order of roles: what the template writes before and after each content.
FAMILIES = {
    "chatml": Family(_CHATML, ("<|im_start|>", "<|im_end|>"), eos="<|im_end|>"),
    # The last reply is written with an empty block of reasoning; `enable_thinking=false` puts it in the prompt.
    "qwen3": Family(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
        "{{ m.content.split('</think>')[-1].lstrip('\n') }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}",
        ("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
        ("<think>", "</think>", "<tool_call>"),
        eos="<|im_end|>",
    ),
    "gemma2": Family(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role here') }}{% endif %}"
        "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}"
        "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}"
        "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
        ("<bos>", "<eos>"),
        ("<start_of_turn>", "<end_of_turn>", "\n", "\n\n"),
        eos="<eos>",
    ),
    # The system text is written with the last user message; roles alternate; markers are text.
    "mistral": Family(
        "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set messages = messages[1:] %}"
        "{% endif %}<s>{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{% if m.role == 'user' %}[INST] "
        "{% if loop.last and system is defined %}{{ system + '\n\n' }}{% endif %}{{ m.content }} [/INST]"
        "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}",
        ("<s>", "</s>"),
        eos="</s>",
    ),
    "llama2": Family(
        "{% for m in messages %}{% if m.role == 'system' %}<s>[INST] <<SYS>>\n{{ m.content }}\n<</SYS>>\n\n"
        "{% elif m.role == 'user' %}{% if loop.index0 == 0 or messages[loop.index0 - 1].role != 'system' %}<s>[INST] "
        "{% endif %}{{ m.content }} [/INST]{% else %} {{ m.content }} </s>{% endif %}{% endfor %}",
        ("<s>", "</s>"),
        eos="</s>",
    ),
    "llama3": Family(
        "{{ bos_token }}{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{% endif %}"
        "<|start_header_id|>system<|end_header_id|>\n\nToday Date: {{ day }}\n\n"
        "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% set messages = messages[1:] %}{% endif %}"
        "<|eot_id|>{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}<|eot_id|>"
        "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>"),
        eos="<|eot_id|>",
    ),
    # Control tokens with full-width bars, which are not special; prompts open reasoning.
    "deepseek_r1": _with_bars(
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %}"
        "<!User!>{{ m.content }}{% else %}<!Assistant!>{{ m.content.split('</think>')[-1] }}<!end▁of▁sentence!>"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}<!Assistant!><think>\n{% endif %}",
        ("<!begin▁of▁sentence!>", "<!end▁of▁sentence!>"),
        ("<!User!>", "<!Assistant!>", "<think>", "</think>"),
        eos="<!end▁of▁sentence!>",
    ),
    "guillemets": _with_bars(
        "{% for m in messages %}\u2039!{{ m.role | title }}!>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}\u2039!Assistant!>{% endif %}",
        ("</s>",),
        ("\u2039!Assistant!>", "\u2039!User!>", "\u2039!System!>"),
        eos="</s>",
    ),
    # Replies are in a channel; earlier ones end otherwise than the last.
    "gpt_oss": Family(
        "<|start|>system<|message|>Today: {{ strftime_now('%Y-%m-%d') }}<|end|>{% for m in messages %}"
        "{% if m.role == 'system' %}<|start|>developer<|message|># Instructions\n\n{{ m.content }}<|end|>"
        "{% elif m.role == 'user' %}<|start|>user<|message|>{{ m.content }}<|end|>{% else %}"
        "<|start|>assistant<|channel|>final<|message|>{{ m.content }}"
        "{{ '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant{% endif %}",
        ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|endoftext|>"),
        eos="<|return|>",
    ),
    # Nothing ends a message but the next speaker's token.
    "glm4": Family(
        "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
        ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|endoftext|>"),
        eos="<|endoftext|>",
    ),
    "alpaca": Family(
        "{% for m in messages %}### {{ {'user': 'Instruction', 'assistant': 'Response', 'system': 'System'}[m.role] }}:"
        "\n{{ m.content }}{{ '</s>' if m.role == 'assistant' else '' }}\n\n{% endfor %}"
        "{% if add_generation_prompt %}### Response:\n{% endif %}",
        ("<s>", "</s>"),
        eos="</s>",
    ),
    # The template knows no prompt for a reply and leaves system messages out.
    "vicuna": Family(
        "{% for m in messages if m.role != 'system' %}{{ 'USER: ' if m.role == 'user' else 'ASSISTANT: ' }}"
        "{{ m.content }}{{ ' ' if m.role == 'user' else '</s>' }}{% endfor %}",
        ("<s>", "</s>"),
        eos="</s>",
    ),
    # Texts are lists of parts.
    "parts": Family(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for part in m.content %}{% if part.type == 'text' %}"
        "{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        ("<|im_start|>", "<|im_end|>"),
        eos="<|im_end|>",
    ),
}


def tokenizer(family: str | Family, **options) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer without merges, with a family's tokens and template."""
    family = FAMILIES[family] if isinstance(family, str) else family
    vocabulary = {char: index for index, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    plain = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    plain.decoder = decoders.ByteLevel()
    plain.add_special_tokens(list(family.special))
    plain.add_tokens([AddedToken(text, special=False, normalized=False) for text in family.added])
    return PreTrainedTokenizerFast(
        tokenizer_object=plain,
        eos_token=family.eos,
        bos_token=family.special[0],
        pad_token=family.special[-1],
        extra_special_tokens=list(family.special),
        clean_up_tokenization_spaces=False,
        chat_template=family.template,
        **options,
    )
