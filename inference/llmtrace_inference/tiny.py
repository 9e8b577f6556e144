"""Built-in models: about a million weights, made from a seed on this machine in seconds, no download.

They make the whole path real (tokeniser, chat template, prefill, KV cache, sampling, stop tokens) while what
they say means nothing. The layers are random; embeddings and head are computed, not trained, so that the next
word follows from the last one as it does in a small text of ours. Answers are thus made of words, have
different lengths and end by themselves.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llmtrace_inference.corpus import answers, sentences

logger = logging.getLogger(__name__)

FORMAT = 3
"""Raise it when what is built changes: older directories are then made anew."""

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% if tools %}<|im_start|>system\nYou may call tools: {{ tools | tojson }} Call one like this: "
    '<tool_call>{"name": ..., "arguments": ...}</tool_call><|im_end|>\n{% endif %}'
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "{% for call in message['tool_calls'] or [] %}<tool_call>{{ call['function'] | tojson }}</tool_call>"
    "{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_ANSWERS = 1500
"""Texts whose word pairs are counted."""


@dataclass(frozen=True, slots=True)
class TinySpec:
    """Shape of one built-in model."""

    hidden: int
    layers: int
    heads: int
    seed: int
    vocab: int = 2048
    context: int = 4096


SPECS = {
    "tiny-chat-s": TinySpec(hidden=128, layers=3, heads=4, seed=1),
    "tiny-chat-m": TinySpec(hidden=192, layers=4, heads=6, seed=2),
}


def ensure_tiny(name: str, data_dir: Path, seed: int = 0) -> Path:
    """Directory of the built-in model `name`, made if it is not there. Two processes may call it at once."""
    spec = SPECS[name]
    target = data_dir / f"{name}-v{FORMAT}-{seed}"
    if (target / "done.json").exists():
        return target
    data_dir.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=data_dir))
    try:
        logger.info("making built-in model %s in %s", name, target)
        _build(spec, seed, building)
        (building / "done.json").write_text(json.dumps({"format": FORMAT, "seed": seed}))
        # Another process may have finished first: then its directory stays, and it is the same model.
        with contextlib.suppress(OSError):
            building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def _build(spec: TinySpec, seed: int, directory: Path) -> None:
    tokenizer = _train_tokenizer(spec.vocab)
    vocab = tokenizer.get_vocab()
    end_id, pad_id = vocab[END], vocab[PAD]
    config = LlamaConfig(
        vocab_size=len(vocab),
        hidden_size=spec.hidden,
        intermediate_size=spec.hidden * 3,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.heads // 2,
        max_position_embeddings=spec.context,
        tie_word_embeddings=False,
        initializer_range=0.03,
        bos_token_id=None,
        eos_token_id=end_id,
        pad_token_id=pad_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed * 1000 + spec.seed)
        model = LlamaForCausalLM(config)
    pairs = _count_pairs(tokenizer, end_id, seed * 1000 + spec.seed)
    embeddings, head = _bigram_weights(pairs, spec.hidden)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(embeddings)
        model.lm_head.weight.copy_(head)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=end_id,
        pad_token_id=pad_id,
        # What never occurs in the text (bytes, special tokens, odd pieces) is never said.
        suppress_tokens=(pairs.sum(dim=0) == 0).nonzero().flatten().tolist(),
    )
    model.save_pretrained(directory)
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(directory)


def _train_tokenizer(vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(), trainer)
    return tokenizer


def _count_pairs(tokenizer: Tokenizer, end_id: int, seed: int) -> torch.Tensor:
    """How often each token follows each other one in an answer; shape `[vocabulary, vocabulary]`."""
    size = tokenizer.get_vocab_size()
    before = tokenizer.encode("\n").ids[-1]  # what the chat template puts before an answer
    ids: list[list[int]] = [[before, *e.ids, end_id] for e in tokenizer.encode_batch(answers(_ANSWERS, seed))]
    flat = torch.tensor([a * size + b for one in ids for a, b in pairwise(one)])
    return torch.bincount(flat, minlength=size * size).reshape(size, size).float()


def _bigram_weights(pairs: torch.Tensor, hidden: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings and head, both `[vocabulary, hidden]`, whose product is the log-probability of each pair.

    A truncated SVD gives the factors. The model normalises its last hidden state, which would scale each row
    differently; one dimension that the head does not read makes all rows equally long.
    """
    overall = pairs.sum(dim=0) / pairs.sum()
    chances = (pairs + 0.3 * overall) / (pairs.sum(dim=1, keepdim=True) + 0.3)
    left, values, right = torch.linalg.svd(torch.log(chances + 1e-5), full_matrices=False)
    kept = values[: hidden - 1].sqrt()
    rows, columns = left[:, : hidden - 1] * kept, right[: hidden - 1].T * kept
    length = rows.norm(dim=1).max()
    filler = (length**2 - rows.pow(2).sum(dim=1, keepdim=True)).clamp(min=0).sqrt()
    scale = hidden**0.5 / length
    embeddings = torch.cat([rows, filler], dim=1) * scale
    head = torch.cat([columns, torch.zeros(len(columns), 1)], dim=1) / scale
    return embeddings, head
