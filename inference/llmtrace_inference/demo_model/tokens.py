"""The demo's tokenizer and chat template; conversations as token ids, and what is to be learnt of them."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from llmtrace_inference.demo_model.corpus import Message

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% if tools %}<|im_start|>system\nYou may call tools: {{ tools | tojson }} Call one like this: "
    '<tool_call>{"name": ..., "arguments": ...}</tool_call><|im_end|>\n{% endif %}'
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "{% for call in message['tool_calls'] or [] %}<tool_call>{{ call['function'] | tojson }}</tool_call>"
    "{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
IGNORED = -100
"""The label of a token that is not learnt: what others say, and padding."""


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of at most `vocab_size` tokens over these texts, with the chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def encode(tokenizer: PreTrainedTokenizerFast, messages: list[Message]) -> tuple[list[int], list[int]]:
    """Token ids as the chat template renders them, and labels, equally long: only answers are learnt."""
    ids: list[int] = []
    labels: list[int] = []
    for message in messages:
        head = _ids(tokenizer, f"{START}{message['role']}\n")
        body = _ids(tokenizer, f"{message['content']}{END}")
        tail = _ids(tokenizer, "\n")
        learnt = body if message["role"] == "assistant" else [IGNORED] * len(body)
        ids += head + body + tail
        labels += [IGNORED] * len(head) + learnt + [IGNORED] * len(tail)
    return ids, labels


def _ids(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return [int(i) for i in tokenizer.encode(text)]
