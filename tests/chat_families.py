"""Chat model families: their control tokens, and templates in short form with the structure of the published ones.

Roles, markers, trimming, BOS, defaults, dates, and the dropping of earlier reasoning are those of the family; tools are
left out. `chat_tokenizers.py` makes tokenizers of each family's kind; `families.py` has single features of templates.
"""

from typing import NamedTuple


class ChatFamily(NamedTuple):
    """A family of chat models.

    Attributes:
        template: The chat template.
        special: Special tokens; the first is the beginning of text.
        added: Added tokens that are not special.
        eos: End of text of the tokenizer.
        turn: Pattern of the beginning of a turn, where control tokens stand in ⟦⟧; its group is the name of the role.
        turns: Names of the roles of a prompt of a system, a user's, an assistant's and a user's message.
        rewrites: Whether later prompts write earlier turns anew.
        kind: Kind of tokenizer: ``bytes`` (byte-level BPE), ``nfc`` (the same after NFC), ``pieces`` (SentencePiece BPE
            with byte fallback), ``prefixed`` (the same with a space before each text).
    """

    template: str
    special: tuple[str, ...]
    added: tuple[str, ...]
    eos: str
    turn: str
    turns: str
    rewrites: bool = False
    kind: str = "bytes"


BAR = "\uff5c"
_CHATML_TURN = r"⟦<\|im_start\|>⟧(system|user|assistant)\s"
# A system text where the chat has none.
_CHATML_DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nDEFAULT<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_QWEN = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|box_start|>", "<|vision_start|>"),
    *("<|vision_pad|>", "<|image_pad|>"),
)
_QWEN_ADDED = ("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>")
_GEMMA = ("<bos>", "<eos>", "<pad>", "<unk>", "<start_of_turn>", "<end_of_turn>")
_GEMMA_ADDED = ("<mask>", "<2mass>", "[@BOS@]", "<unused0>", "<unused99>", "\n", "\n\n", "▁▁", "<table>", "<h1>", "<b>")
_GEMMA_TURN = r"⟦<start_of_turn>⟧(user|model)\s"
_SMOL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<reponame>", "<file_sep>", "<gh_stars>")

CHAT_FAMILIES = {
    "qwen2.5": ChatFamily(
        _CHATML_DEFAULT.replace("DEFAULT", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
        _QWEN,
        _QWEN_ADDED,
        "<|im_end|>",
        _CHATML_TURN,
        "system user assistant user assistant",
        kind="nfc",
    ),
    # Reasoning is dropped from turns before the last query; a final reply has a block of it, empty if need be.
    "qwen3": ChatFamily(
        "{% if messages[0].role == 'system' %}<|im_start|>system\n{{ messages[0].content }}<|im_end|>\n{% endif %}"
        "{% set ns = namespace(searching=true, last=messages|length - 1) %}{% for m in messages[::-1] %}"
        "{% set index = messages|length - 1 - loop.index0 %}{% if ns.searching and m.role == 'user' and not "
        "(m.content.startswith('<tool_response>') and m.content.endswith('</tool_response>')) %}"
        "{% set ns.searching = false %}{% set ns.last = index %}{% endif %}{% endfor %}"
        "{% for m in messages %}{% set content = m.content %}"
        "{% if m.role == 'user' or (m.role == 'system' and not loop.first) %}"
        "<|im_start|>{{ m.role }}\n{{ content }}<|im_end|>\n"
        "{% elif m.role == 'assistant' %}{% set thought = '' %}{% if '</think>' in content %}"
        "{% set thought = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
        "{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
        "{% if loop.index0 > ns.last and (loop.last or thought) %}"
        "<|im_start|>assistant\n<think>\n{{ thought.strip('\n') }}\n</think>\n\n{{ content.lstrip('\n') }}"
        "{% else %}<|im_start|>assistant\n{{ content }}{% endif %}<|im_end|>\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}",
        _QWEN,
        (*_QWEN_ADDED, "<think>", "</think>", "<tool_response>", "</tool_response>"),
        "<|im_end|>",
        _CHATML_TURN,
        "system user assistant user assistant",
        rewrites=True,
        kind="nfc",
    ),
    "llama3": ChatFamily(
        "{{ bos_token }}{% if strftime_now is defined %}{% set date = strftime_now('%d %b %Y') %}"
        "{% else %}{% set date = '26 Jul 2024' %}{% endif %}"
        "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] | trim %}"
        "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
        "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
        "Today Date: {{ date }}\n\n{{ system }}<|eot_id|>"
        "{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] | trim }}"
        "<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
        (
            *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
            *("<|eom_id|>", "<|python_tag|>", "<|finetune_right_pad_id|>", "<|reserved_special_token_0|>"),
        ),
        (),
        "<|eot_id|>",
        r"⟦<\|start_header_id\|>⟧(system|user|assistant)⟦<\|end_header_id\|>⟧",
        "system user assistant user assistant",
    ),
    "gemma2": ChatFamily(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
        "{% endif %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "{% if m['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = m['role'] %}{% endif %}"
        "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        _GEMMA,
        _GEMMA_ADDED,
        "<eos>",
        _GEMMA_TURN,
        "user model user model",
        kind="pieces",
    ),
    # The system text is a prefix of the first user message.
    "gemma3": ChatFamily(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% if messages[0]['content'] is string %}"
        "{% set prefix = messages[0]['content'] + '\n\n' %}{% else %}"
        "{% set prefix = messages[0]['content'][0]['text'] + '\n\n' %}{% endif %}{% set chat = messages[1:] %}"
        "{% else %}{% set prefix = '' %}{% set chat = messages %}{% endif %}{% for m in chat %}"
        "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
        "{{ '<start_of_turn>' + role + '\n' + (prefix if loop.first else '') }}"
        "{% if m['content'] is string %}{{ m['content'] | trim }}{% else %}{% for item in m['content'] %}"
        "{% if item['type'] == 'image' %}<start_of_image>{% else %}{{ item['text'] | trim }}{% endif %}{% endfor %}"
        "{% endif %}{{ '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        (*_GEMMA, "<start_of_image>", "<end_of_image>", "<image_soft_token>"),
        _GEMMA_ADDED,
        "<eos>",
        _GEMMA_TURN,
        "user model user model",
        kind="pieces",
    ),
    "phi3": ChatFamily(
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ '<|system|>\n' + m['content'] + '<|end|>\n' }}"
        "{% elif m['role'] == 'user' %}{{ '<|user|>\n' + m['content'] + '<|end|>\n' }}{% elif m['role'] == 'assistant' "
        "%}{{ '<|assistant|>\n' + m['content'] + '<|end|>\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
        (
            *("<s>", "</s>", "<unk>", "<|endoftext|>", "<|assistant|>", "<|placeholder1|>", "<|system|>", "<|end|>"),
            *("<|user|>", "<|placeholder6|>"),
        ),
        (),
        "<|endoftext|>",
        r"⟦<\|(system|user|assistant)\|>⟧",
        "system user assistant user assistant",
        kind="prefixed",
    ),
    "phi4": ChatFamily(
        "{% for m in messages %}{% if m['role'] == 'system' %}"
        "{{ '<|im_start|>system<|im_sep|>' + m['content'] + '<|im_end|>' }}{% elif m['role'] == 'user' %}"
        "{{ '<|im_start|>user<|im_sep|>' + m['content'] + '<|im_end|>' }}{% elif m['role'] == 'assistant' %}"
        "{{ '<|im_start|>assistant<|im_sep|>' + m['content'] + '<|im_end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}",
        ("<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|im_start|>", "<|im_end|>", "<|im_sep|>"),
        (),
        "<|im_end|>",
        r"⟦<\|im_start\|>⟧(system|user|assistant)⟦<\|im_sep\|>⟧",
        "system user assistant user assistant",
    ),
    # The system text goes with the last user message.
    "mistral": ChatFamily(
        "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
        "{% set chat = messages[1:] %}{% else %}{% set chat = messages %}{% endif %}{{ bos_token }}"
        "{% for m in chat %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('After the optional system message, conversation roles must alternate') }}{% endif %}"
        "{% if m['role'] == 'user' %}{% if loop.last and system is defined %}"
        "{{ '[INST] ' + system + '\n\n' + m['content'] + '[/INST]' }}{% else %}"
        "{{ '[INST] ' + m['content'] + '[/INST]' }}{% endif %}{% else %}"
        "{{ ' ' + m['content'] | trim + eos_token }}{% endif %}{% endfor %}",
        (
            *("<s>", "</s>", "<unk>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
            *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[control_8]"),
        ),
        (),
        "</s>",
        r"⟦\[(/?INST)\]⟧",
        "INST /INST INST /INST",
        rewrites=True,
        kind="prefixed",
    ),
    "mistral_small": ChatFamily(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set chat = messages[1:] %}"
        "{% set system = messages[0]['content'] %}{% else %}{% set chat = messages %}{% set system = 'You are Mistral "
        "Small 3. The current date is ' + strftime_now('%Y-%m-%d') + '.' %}{% endif %}"
        "{{ '[SYSTEM_PROMPT]' + system + '[/SYSTEM_PROMPT]' }}{% for m in chat %}{% if m['role'] == 'user' %}"
        "{{ '[INST]' + m['content'] + '[/INST]' }}{% elif m['role'] == 'system' %}"
        "{{ '[SYSTEM_PROMPT]' + m['content'] + '[/SYSTEM_PROMPT]' }}{% else %}{{ m['content'] + eos_token }}{% endif %}"
        "{% endfor %}",
        (
            *("<s>", "</s>", "<unk>", "<pad>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
            *("[TOOL_CALLS]", "[IMG]", "[MIDDLE]", "<SPECIAL_20>"),
        ),
        (),
        "</s>",
        r"⟦\[(SYSTEM_PROMPT|/?INST)\]⟧",
        "SYSTEM_PROMPT INST /INST INST /INST",
    ),
    # Harmony: channels, a developer message for the system text, another end for the last reply.
    "gpt_oss": ChatFamily(
        "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
        "Knowledge cutoff: 2024-06\nCurrent date: {{ strftime_now('%Y-%m-%d') }}\n\n"
        "Reasoning: {{ reasoning_effort | default('medium') }}\n\n# Valid channels: analysis, commentary, final. "
        "Channel must be included for every message.<|end|>"
        "{% if messages[0].role in ['developer', 'system'] %}<|start|>developer<|message|># Instructions\n\n"
        "{{ messages[0].content }}\n\n<|end|>{% set chat = messages[1:] %}{% else %}{% set chat = messages %}"
        "{% endif %}{% for m in chat %}{% if m.role == 'assistant' %}"
        "{% if '<|channel|>analysis<|message|>' in m.content or '<|channel|>final<|message|>' in m.content %}"
        "{{ raise_exception('You have passed a message containing <|channel|> tags in the content.') }}{% endif %}"
        "{% if loop.last and not add_generation_prompt %}"
        "<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|return|>{% else %}"
        "<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|end|>{% endif %}"
        "{% elif m.role == 'user' %}<|start|>user<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant{% endif %}",
        (
            *("<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>", "<|start|>", "<|end|>"),
            *("<|message|>", "<|call|>", "<|endofprompt|>", "<|reserved_200000|>"),
        ),
        (),
        "<|return|>",
        r"⟦<\|start\|>⟧(system|developer|user|assistant)⟦<\|(?:channel|message)\|>⟧",
        "system developer user assistant user assistant",
    ),
    "smollm2": ChatFamily(
        _CHATML_DEFAULT.replace("DEFAULT", "You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
        (*_SMOL, "<issue_start>", "<jupyter_code>", "<empty_output>"),
        (),
        "<|im_end|>",
        _CHATML_TURN,
        "system user assistant user assistant",
    ),
    # What the system text says turns reasoning on or off.
    "smollm3": ChatFamily(
        "{% if enable_thinking is not defined %}{% set enable_thinking = true %}{% endif %}"
        "{% set ns = namespace(mode='/think' if enable_thinking else '/no_think', instructions='') %}"
        "{% if messages[0].role == 'system' %}{% set ns.instructions = messages[0].content %}"
        "{% if '/no_think' in messages[0].content %}{% set ns.mode = '/no_think' %}"
        "{% elif '/think' in messages[0].content %}{% set ns.mode = '/think' %}{% endif %}"
        "{% set ns.instructions = ns.instructions.replace('/no_think', '').replace('/think', '').rstrip() %}{% endif %}"
        "<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\n"
        "Today Date: {{ strftime_now('%d %B %Y') }}\nReasoning Mode: {{ ns.mode }}\n\n## Custom Instructions\n\n"
        "{{ ns.instructions or 'You are a helpful AI assistant named SmolLM, trained by Hugging Face.' }}\n\n"
        "<|im_end|>\n{% for m in messages %}{% if m.role == 'user' %}<|im_start|>user\n{{ m.content }}<|im_end|>\n"
        "{% elif m.role == 'assistant' %}<|im_start|>assistant\n{% if ns.mode == '/think' %}"
        "{{ m.content.lstrip('\n') }}{% else %}<think>\n\n</think>\n"
        "{{ m.content.lstrip('\n') }}{% endif %}<|im_end|>\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% if ns.mode == '/no_think' %}<think>\n\n</think>\n"
        "{% endif %}{% endif %}",
        ("<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|eot_id|>"),
        ("<think>", "</think>", "<tool_call>", "<tool_response>", "<code>", "</code>"),
        "<|im_end|>",
        _CHATML_TURN,
        "system user assistant user assistant",
    ),
    # Control tokens with full-width bars, which are not special; replies lose their reasoning; prompts open it.
    "deepseek": ChatFamily(
        "{% set ns = namespace(system='') %}{% for m in messages %}{% if m['role'] == 'system' %}"
        "{% set ns.system = m['content'] %}{% endif %}{% endfor %}{{ bos_token }}{{ ns.system }}{% for m in messages %}"
        "{% if m['role'] == 'user' %}{{ '<!User!>' + m['content'] }}{% elif m['role'] == 'assistant' %}"
        "{% set content = m['content'] %}{% if '</think>' in content %}"
        "{% set content = content.split('</think>')[-1] %}{% endif %}"
        "{{ '<!Assistant!>' + content + '<!end▁of▁sentence!>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<!Assistant!><think>\n' }}{% endif %}".replace("!>", f"{BAR}>").replace(
            "<!", f"<{BAR}"
        ),
        tuple(f"<{BAR}{name}{BAR}>" for name in ("begin▁of▁sentence", "end▁of▁sentence", "▁pad▁")),
        (
            *(f"<{BAR}{name}{BAR}>" for name in ("User", "Assistant", "tool▁calls▁begin", "fim▁hole")),
            *("<|EOT|>", "<think>", "</think>"),
        ),
        f"<{BAR}end▁of▁sentence{BAR}>",
        f"⟦<{BAR}(User|Assistant){BAR}>⟧",
        "User Assistant User Assistant",
        rewrites=True,
    ),
}
