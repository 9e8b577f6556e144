"""Trains the demo's models from nothing, on text of our own, in minutes on two CPU cores.

    python -m llmtrace_inference.demo_model.train --help

The same seed, thread count and torch version give the same weights; training.json, beside the models, holds
what the shipped ones were trained with, their first losses, and the hash of their weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import click
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llmtrace_inference.demo_model import VERSION
from llmtrace_inference.demo_model.corpus import conversation, conversations
from llmtrace_inference.demo_model.tokens import END, IGNORED, PAD, encode, train_tokenizer

_VOCAB = 1280
_TOKENIZER_TEXTS = 6000
_WARM_UP_STEPS = 40
_FIRST = 5
"""Losses that are recorded, so that a test can train as far and compare."""
_POOL = 8
"""Batches drawn at once and sorted by length, so that little of a batch is padding."""


@dataclass(frozen=True, slots=True)
class Spec:
    """Shape of one model and its training. Steps are optimiser steps of `batch` conversations each."""

    hidden: int
    layers: int
    heads: int
    steps: int
    seed: int
    batch: int = 48
    learning_rate: float = 4e-3
    context: int = 4096


SPECS = {
    "tiny-chat-s": Spec(hidden=128, layers=2, heads=4, steps=600, seed=1),
    "tiny-chat-m": Spec(hidden=160, layers=3, heads=4, steps=600, seed=2),
}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of both models."""
    talks = conversations(_TOKENIZER_TEXTS, seed=0)
    return train_tokenizer((f"{m['role']}\n{m['content']}" for talk in talks for m in talk), _VOCAB)


def make_model(spec: Spec, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An untrained model; its weights follow from the seed."""
    vocab = tokenizer.get_vocab()
    config = LlamaConfig(
        vocab_size=len(vocab),
        hidden_size=spec.hidden,
        intermediate_size=spec.hidden * 3,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.heads // 2,
        max_position_embeddings=spec.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=vocab[END],
        pad_token_id=vocab[PAD],
    )
    torch.manual_seed(spec.seed)
    return LlamaForCausalLM(config)


def train(
    spec: Spec,
    tokenizer: PreTrainedTokenizerFast,
    *,
    stop_after: int | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[LlamaForCausalLM, list[float]]:
    """A model and the loss of each step (nats per learnt token). `progress` is called with each loss.

    `stop_after` ends the training after so many steps, with the same losses as the whole one until there.
    """
    with torch.random.fork_rng(devices=[]):
        model = make_model(spec, tokenizer).train()
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=spec.learning_rate, betas=(0.9, 0.98), weight_decay=0.1
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, spec.steps))
    losses: list[float] = []
    for ids, labels in _batches(spec, tokenizer, stop_after or spec.steps):
        loss = model(input_ids=ids, labels=labels).loss
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        progress(losses[-1])
    return model.eval(), losses


def _rate(step: int, steps: int) -> float:
    """Share of the learning rate at a step: a short rise, then a half cosine down to a fiftieth."""
    if step < _WARM_UP_STEPS:
        return (step + 1) / _WARM_UP_STEPS
    done = (step - _WARM_UP_STEPS) / max(1, steps - _WARM_UP_STEPS)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _batches(
    spec: Spec, tokenizer: PreTrainedTokenizerFast, count: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """`count` batches of ids and labels, both `[batch, longest]`, padded at the end."""
    random = Random(spec.seed)  # noqa: S311 - reproducible, not secret
    yielded = 0
    pad = int(tokenizer.pad_token_id or 0)
    while yielded < count:
        examples = [encode(tokenizer, conversation(random)) for _ in range(spec.batch * _POOL)]
        examples.sort(key=lambda example: len(example[0]))
        groups = [examples[i : i + spec.batch] for i in range(0, len(examples), spec.batch)]
        random.shuffle(groups)
        for group in groups[: count - yielded]:
            longest = max(len(ids) for ids, _ in group)
            yield (
                torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in group]),
                torch.tensor([labels + [IGNORED] * (longest - len(labels)) for _, labels in group]),
            )
            yielded += 1


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, target: Path) -> str:
    """Write model (bfloat16) and tokenizer; returns the SHA-256 of the weights file."""
    talks = conversations(_TOKENIZER_TEXTS, seed=0)
    answer_ids = {label for talk in talks for label in encode(tokenizer, talk)[1]}
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
        # What occurs in no answer (bytes, special tokens, odd pieces) is never generated.
        suppress_tokens=sorted(set(range(model.config.vocab_size)) - answer_ids),
    )
    model.bfloat16().save_pretrained(target)
    tokenizer.save_pretrained(target)
    return sha256(target / "model.safetensors")


def sha256(file: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _train_and_save(name: str, spec: Spec, directory: Path) -> dict[str, Any]:
    tokenizer = make_tokenizer()
    started = time.monotonic()
    with click.progressbar(length=spec.steps, label=name, show_pos=True, item_show_func=_loss_text) as bar:
        model, losses = train(spec, tokenizer, progress=lambda loss: bar.update(1, loss))
    seconds = time.monotonic() - started
    return {
        "spec": asdict(spec),
        "parameters": sum(p.numel() for p in model.parameters()),
        "first_losses": losses[:_FIRST],
        "last_loss": sum(losses[-50:]) / len(losses[-50:]),
        "weights_sha256": save(model, tokenizer, directory / f"{name}-v{VERSION}"),
        "seconds": round(seconds),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }


def _loss_text(loss: float | None) -> str:
    return "" if loss is None else f"loss {loss:.3f}"


@click.command(context_settings={"show_default": True})
@click.option(
    "--model", "names", type=click.Choice(list(SPECS)), multiple=True, help="Only this one; repeatable."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-models"),
    help="Where the models' directories and training.json go.",
)
@click.option("--threads", type=click.IntRange(1), default=1, help="torch threads; others round differently.")
def main(names: tuple[str, ...], out: Path, threads: int) -> None:
    """Train the demo's models: some minutes each on a CPU, the same weights for the same seed."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    out.mkdir(parents=True, exist_ok=True)
    record = out / "training.json"
    trained = json.loads(record.read_text()) if record.exists() else {}
    for name in names or tuple(SPECS):
        trained[name] = _train_and_save(name, SPECS[name], out)
        record.write_text(json.dumps(trained, indent=2) + "\n")
        click.echo(f"{name}: loss {trained[name]['last_loss']:.3f}, {trained[name]['seconds']} s")


if __name__ == "__main__":
    main()
