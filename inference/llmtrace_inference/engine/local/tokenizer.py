"""Text to tokens and back: the chat template, streaming decoding, one token's bytes, grammars over tokens."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from tokenizers.decoders import ByteLevel, DecodeStream
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from llmtrace_inference.engine.interface import Matcher
from llmtrace_inference.engine.panics import panics_as_errors
from llmtrace_inference.protocol.tool_calls import OPEN

from .grammar_check import GrammarCheck, first_reason


class ChatTokenizer:
    """The model's own fast tokenizer and chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, vocab_size: int, eos_ids: tuple[int, ...]) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._eos_ids = eos_ids
        template = tokenizer.chat_template
        self.speaks_tools = "tools" in str(template) and OPEN in str(template)
        # In UTF-8, and so at least as long as the bytes that a token stands for.
        self.longest_token = max(len(token.encode()) for token in tokenizer.get_vocab())
        self._grammar_check = GrammarCheck()
        self._bytes_by_id: dict[int, bytes] = {}  # as many as the vocabulary has

    def encode_chat(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None
    ) -> list[int]:
        """Token ids of the rendered conversation, ready for an answer. ValueError where it cannot be."""
        offered: Any = tools
        try:
            with panics_as_errors():
                ids: Any = self._tokenizer.apply_chat_template(
                    messages, tools=offered, add_generation_prompt=True, tokenize=True, return_dict=False
                )
        except Exception as error:  # jinja and template code raise what they like
            raise ValueError(f"the model's chat template refused these messages: {error}") from error
        return [int(i) for i in ids]

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text, with the special tokens that the tokenizer itself adds."""
        with panics_as_errors():
            return [int(i) for i in self._tokenizer.encode(text)]

    def decoder(self) -> StreamingDecoder:
        return StreamingDecoder(self._tokenizer)

    @cached_property
    def _byte_of(self) -> dict[str, int] | None:
        backend = self._tokenizer.backend_tokenizer
        if not isinstance(backend.decoder, ByteLevel):
            return None
        return {c: byte for byte, c in bytes_to_unicode().items()}  # type: ignore[no-untyped-call]

    def token_bytes(self, token_id: int) -> bytes:
        """What one token stands for; for other than byte-level tokenizers, the UTF-8 of its text."""
        known = self._bytes_by_id.get(token_id)
        if known is None:
            known = self._bytes_by_id[token_id] = self._bytes_of(token_id)
        return known

    def _bytes_of(self, token_id: int) -> bytes:
        token = self._tokenizer.backend_tokenizer.id_to_token(token_id) or ""
        byte_of = self._byte_of
        if byte_of is not None and all(character in byte_of for character in token):
            return bytes(byte_of[character] for character in token)
        return str(self._tokenizer.decode([token_id])).encode()

    @cached_property
    def _grammar_tokenizer(self) -> Any:
        try:
            from llguidance.hf import from_tokenizer
        except ImportError:
            raise RuntimeError(
                "constrained answers need llguidance: pip install 'llmtrace[inference]'"
            ) from None
        return from_tokenizer(
            self._tokenizer, n_vocab=self._vocab_size, eos_token=list(self._eos_ids) or None
        )

    def knows_grammar(self, grammar: str) -> bool:
        return self._grammar_check.knows(grammar)

    def matcher(self, grammar: str) -> Matcher:
        """Compile a grammar; see `engine.interface.Tokenizer`."""
        tokenizer = self._grammar_tokenizer  # a missing package is reported here
        from llguidance import LLMatcher
        from llguidance._lib import LLParserLimits

        self._grammar_check.check(grammar)
        with panics_as_errors():
            limits = LLParserLimits(verbose_errors=False)
            matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=limits)
            problem = matcher.get_error()
        if problem:
            raise ValueError(first_reason(problem))
        return matcher


class StreamingDecoder:
    """Text of one answer, token by token; special tokens are left out."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def feed(self, token_ids: tuple[int, ...]) -> str:
        with panics_as_errors():
            return "".join(self._stream.step(self._backend, i) or "" for i in token_ids)
