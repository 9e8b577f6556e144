"""Built-in models: about a million random weights, made from a seed on this machine in seconds, no download.

They make the whole path real (tokeniser, chat template, prefill, KV cache, sampling, stop tokens) while what
they say means nothing. Output is always printable: only whole words and punctuation may be generated.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llmtrace_inference.corpus import sentences

logger = logging.getLogger(__name__)

FORMAT = 1
"""Raise it when what is built changes: older directories are then made anew."""

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SAYABLE = re.compile(r" [A-Za-z]{2,}| [aI]|[.,;:?!]")
"""Whole words with their space, and punctuation."""


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
    """Directory of the built-in model `name`, made if it is not there yet. Two processes may call it at once.

    Raises ValueError for an unknown name.
    """
    spec = SPECS.get(name)
    if spec is None:
        raise ValueError(f"there is no built-in model {name!r}; the built-in models are {', '.join(SPECS)}")
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
        initializer_range=0.08,
        bos_token_id=None,
        eos_token_id=end_id,
        pad_token_id=pad_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed * 1000 + spec.seed)
        model = LlamaForCausalLM(config)
    sayable = {i for i in range(len(vocab)) if _SAYABLE.fullmatch(tokenizer.decode([i]))} | {end_id}
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=end_id,
        pad_token_id=pad_id,
        suppress_tokens=[i for i in range(len(vocab)) if i not in sayable],
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
