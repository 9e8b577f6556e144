"""From a setting to a loaded model: where it lies, on which device, with which tokenizer."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from llmtrace_inference import demo_model
from llmtrace_inference.engine.interface import ModelInfo
from llmtrace_inference.settings import InferenceSettings

from . import attention
from .kv_cache import KvShape, blocks_within
from .model_source import parse_source
from .tokenizer import ChatTokenizer

logger = logging.getLogger(__name__)

ENGINE = "transformers-continuous-batching"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory with everything an engine needs to know about it."""

    model: Any
    """A transformers model; its own types do not describe it."""
    tokenizer: ChatTokenizer
    eos_ids: tuple[int, ...]
    suppressed_ids: tuple[int, ...]
    info: ModelInfo
    num_blocks: int
    """Blocks of its KV cache."""


def _num_blocks(config: Any, dtype: torch.dtype, settings: InferenceSettings) -> int:
    if settings.max_kv_gb is None:
        return settings.num_blocks
    heads = int(config.num_attention_heads)
    shape = KvShape(
        layers=int(config.num_hidden_layers),
        kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
        head_size=int(getattr(config, "head_dim", None) or config.hidden_size // heads),
        value_bytes=dtype.itemsize,
    )
    return blocks_within(settings.max_kv_gb, settings.page_size, shape)


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


def _to_int8(model: Any) -> None:
    """Keep the weights of linear layers in 8 bits; computing stays in the model's dtype."""
    # It warns of CUDA libraries that a CPU build of torch does not have.
    logging.getLogger("torchao").setLevel(logging.ERROR)
    try:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    except ImportError:
        raise RuntimeError(
            "quantisation int8 needs torchao: pip install 'llmtrace[quantisation]', or set it to 'none'"
        ) from None
    quantize_(model, Int8WeightOnlyConfig())


def _head_dim(config: Any) -> int:
    """Numbers per head; older configurations do not say it themselves."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _quantised(config: Any) -> str:
    """By what method the weights of this directory are quantised, as its config.json says; "" where not."""
    scheme = getattr(config, "quantization_config", None) or {}
    method = scheme.get("quant_method", "") if isinstance(scheme, dict) else scheme.quant_method
    return str(getattr(method, "value", method))


def _weights(name: str, where: str, offline: bool, dtype: torch.dtype) -> Any:
    """The model in memory, on the CPU, or where its quantisation puts it."""
    try:
        return AutoModelForCausalLM.from_pretrained(
            where, local_files_only=offline, trust_remote_code=False, dtype=dtype, attn_implementation="sdpa"
        )
    except ImportError as error:  # a quantised one, whose package is not here; the library says which
        raise RuntimeError(f"model {name!r} needs a package that is not installed: {error}") from error


def weights_hash(directory: Path) -> str:
    """`sha256:` and 16 digits over the weight files; "" where there are none. About a second per gigabyte."""
    files = sorted(directory.glob("*.safetensors")) if directory.is_dir() else []
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as data:
            digest.update(hashlib.file_digest(data, "sha256").digest())
    return f"sha256:{digest.hexdigest()[:16]}" if files else ""


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
        where = str(demo_model.directory(where))
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
    attention.install()
    model = _weights(name, where, offline, dtype).to(device).eval()
    parameters = sum(p.numel() for p in model.parameters())
    quantised = _quantised(model.config)
    if settings.quantisation == "int8":
        if quantised:
            raise RuntimeError(
                f"model {name!r} is quantised by {quantised} already: set quantisation to 'none'"
            )
        _to_int8(model)
    config = model.config.get_text_config()
    num_blocks = _num_blocks(config, dtype, settings)
    context = min(int(config.max_position_embeddings), settings.page_size * num_blocks)
    info = ModelInfo(
        name=name,
        engine=ENGINE,
        dtype=str(dtype).removeprefix("torch."),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        attention=attention.name_of(device, dtype, _head_dim(config)),
        parameters=parameters,
        vocab_size=int(config.vocab_size),
        context_length=context,
        version=str(getattr(model.config, "_commit_hash", None) or Path(where).name),
        weights_hash=weights_hash(Path(where)),
        quantisation=quantised or settings.quantisation,
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
    eos_ids = tuple(eos) if isinstance(eos, list) else () if eos is None else (int(eos),)
    return LoadedModel(
        model=model,
        tokenizer=ChatTokenizer(tokenizer, info.vocab_size, eos_ids),
        eos_ids=eos_ids,
        suppressed_ids=tuple(model.generation_config.suppress_tokens or ()),
        info=info,
        num_blocks=num_blocks,
    )
