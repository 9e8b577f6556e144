"""From a setting to a loaded model: where it lies, on which device, with which tokenizer."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers.decoders import DecodeStream
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from llmtrace_inference import attention
from llmtrace_inference.engine import ModelInfo
from llmtrace_inference.settings import InferenceSettings
from llmtrace_inference.sources import parse_source
from llmtrace_inference.tiny import ensure_tiny

logger = logging.getLogger(__name__)

ENGINE = "transformers-continuous-batching"


class ChatTokenizer:
    """The model's own fast tokenizer and chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer

    def encode_chat(self, messages: list[dict[str, str]]) -> list[int]:
        """Token ids of the rendered conversation, ready for an answer. ValueError where it cannot be."""
        try:
            ids: Any = self._tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        except Exception as error:  # jinja and template code raise what they like
            raise ValueError(f"the model's chat template refused these messages: {error}") from error
        return [int(i) for i in ids]

    def decoder(self) -> StreamingDecoder:
        return StreamingDecoder(self._tokenizer)


class StreamingDecoder:
    """Text of one answer, token by token; special tokens are left out."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def feed(self, token_ids: tuple[int, ...]) -> str:
        return "".join(self._stream.step(self._backend, i) or "" for i in token_ids)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory with everything an engine needs to know about it."""

    model: Any
    """A transformers model; its own types do not describe it."""
    tokenizer: ChatTokenizer
    eos_ids: tuple[int, ...]
    suppressed_ids: tuple[int, ...]
    info: ModelInfo


def _device(setting: str) -> torch.device:
    if setting == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device is 'cuda', but torch sees no CUDA device: set device to 'cpu' or 'auto'")
    use_cuda = setting == "cuda" or (setting == "auto" and torch.cuda.is_available())
    return torch.device("cuda", 0) if use_cuda else torch.device("cpu")


def _dtype(setting: str, device: torch.device) -> torch.dtype:
    if setting == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    dtype = getattr(torch, setting)
    assert isinstance(dtype, torch.dtype)  # noqa: S101 - the setting is one of four names
    return dtype


def load_model(name: str, source: str, settings: InferenceSettings) -> LoadedModel:
    """Load one model. Takes seconds; call it off the event loop. Raises RuntimeError with what to mend."""
    started = time.monotonic()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # Continuous batching logs each start at WARNING; what kills its loop is an ERROR and stays.
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)
    torch.set_num_threads(settings.threads)
    device = _device(settings.device)
    dtype = _dtype(settings.dtype, device)
    origin = parse_source(source)
    offline = origin.kind != "hub"
    where = origin.where
    if origin.kind == "builtin":
        where = str(ensure_tiny(where, settings.data_dir, settings.seed))
    logger.info("loading %s from %s on %s as %s", name, where, device, dtype)

    tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=offline, trust_remote_code=False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise RuntimeError(  # noqa: TRY004 - about the model's files, not about a Python type
            f"model {name!r} has no fast tokenizer (tokenizer.json), which streaming needs"
        )
    if tokenizer.chat_template is None:
        raise RuntimeError(
            f"model {name!r} has no chat template: serve a chat model, or add chat_template.jinja"
        )
    if device.type == "cpu":
        attention.install()
    model: Any = AutoModelForCausalLM.from_pretrained(
        where, local_files_only=offline, trust_remote_code=False, dtype=dtype, attn_implementation="sdpa"
    )
    model = model.to(device).eval()
    config = model.config.get_text_config()
    context = min(int(config.max_position_embeddings), settings.page_size * settings.num_blocks)
    info = ModelInfo(
        name=name,
        engine=ENGINE,
        dtype=str(dtype).removeprefix("torch."),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        attention="sdpa-per-sequence" if device.type == "cpu" else "sdpa",
        parameters=sum(p.numel() for p in model.parameters()),
        vocab_size=int(config.vocab_size),
        context_length=context,
    )
    logger.info(
        "loaded %s: %.1f M parameters, context %d tokens, %.1f s",
        name,
        info.parameters / 1e6,
        context,
        time.monotonic() - started,
    )
    eos = model.generation_config.eos_token_id
    if eos is None:
        eos = tokenizer.eos_token_id
    return LoadedModel(
        model=model,
        tokenizer=ChatTokenizer(tokenizer),
        eos_ids=tuple(eos) if isinstance(eos, list) else () if eos is None else (int(eos),),
        suppressed_ids=tuple(model.generation_config.suppress_tokens or ()),
        info=info,
    )
