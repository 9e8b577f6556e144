"""`llmtrace.observe_model`: models inside the process, and that they stay what they are."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import pickle
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, TextIteratorStreamer, pipeline

import llmtrace
from llmtrace import semconv
from llmtrace.capture.local_models import observed
from llmtrace.testing import Captured
from llmtrace_inference import demo_model
from tests.in_process_models import LLM, Llama, small_model, vllm_stand_in

IDS = torch.tensor([[5, 6, 7, 8]])
ASKED = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def model() -> Any:
    return small_model()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(demo_model.directory("tiny-chat-s"))


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    observed._observed.clear()
    observed._unwrap()


def only(traces: Captured, count: int = 1) -> dict[str, Any]:
    """The last of so many spans."""
    llmtrace.flush()
    assert len(traces.spans()) == count
    return dict(traces.spans()[-1].attributes or {})


def tokens(attributes: dict[str, Any]) -> tuple[Any, Any]:
    return attributes.get(semconv.USAGE_INPUT_TOKENS), attributes.get(semconv.USAGE_OUTPUT_TOKENS)


def test_a_model_of_transformers(model: Any, traces: Captured) -> None:
    kind, before = type(model), model.generate(IDS, max_new_tokens=3, min_new_tokens=3)
    assert llmtrace.observe_model(model, name="small") is model
    assert type(model) is kind
    after = model.generate(IDS, max_new_tokens=3, min_new_tokens=3)
    assert torch.equal(before, after)
    attributes = only(traces)
    assert tokens(attributes) == (4, 3)
    assert attributes[semconv.OPERATION_NAME] == "text_completion"
    assert attributes[semconv.PROVIDER_NAME] == "transformers"
    assert attributes[semconv.REQUEST_MODEL] == "small"
    assert attributes[semconv.REQUEST_MAX_TOKENS] == 3
    assert attributes[semconv.RESPONSE_FINISH_REASONS] == ["length"]
    assert semconv.INPUT_MESSAGES not in attributes
    assert semconv.SERVER_ADDRESS not in attributes


@pytest.mark.parametrize("as_dict", [False, True])
def test_padding_and_what_follows_an_end_are_not_counted(traces: Captured, as_dict: bool) -> None:
    class Ends(torch.nn.Module):
        """As a model that ends the first sequence after one token, and the second not at all."""

        config = None
        generation_config = None

        def generate(self, inputs: Any, **options: Any) -> Any:
            sequences = torch.cat([inputs, torch.tensor([[2, 0, 0], [9, 9, 9]])], dim=1)
            return type("Output", (), {"sequences": sequences}) if as_dict else sequences

    model = llmtrace.observe_model(Ends(), name="ends")
    mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
    model.generate(torch.ones(2, 3, dtype=torch.long), attention_mask=mask, eos_token_id=[2], pad_token_id=0)
    attributes = only(traces)
    assert tokens(attributes) == (5, 4)
    assert attributes[semconv.RESPONSE_FINISH_REASONS] == ["stop", "length"]


def test_an_encoder_and_vectors(model: Any, traces: Captured) -> None:
    vectors = model.get_input_embeddings()(IDS)
    llmtrace.observe_model(model)
    model.generate(inputs_embeds=vectors, attention_mask=torch.ones(1, 4), max_new_tokens=2, min_new_tokens=2)
    assert tokens(only(traces)) == (4, 2)


def test_several_answers_to_one_prompt(model: Any, traces: Captured) -> None:
    llmtrace.observe_model(model)
    model.generate(IDS, num_return_sequences=3, do_sample=True, max_new_tokens=2, min_new_tokens=2)
    attributes = only(traces)
    assert tokens(attributes) == (4, 6)
    assert attributes[semconv.REQUEST_CHOICE_COUNT] == 3


def test_a_tokenizer_gives_words(model: Any, tokenizer: Any, traces: Captured) -> None:
    llmtrace.observe_model(model)
    llmtrace.observe_model(model, tokenizer=tokenizer)
    output = model.generate(IDS, max_new_tokens=3, min_new_tokens=3)
    attributes = only(traces)
    assert (
        tokenizer.decode(IDS[0]) in json.loads(attributes[semconv.INPUT_MESSAGES])[0]["parts"][0]["content"]
    )
    answer = json.loads(attributes[semconv.OUTPUT_MESSAGES])[0]["parts"][0]["content"]
    assert answer == tokenizer.decode(output[0, 4:], skip_special_tokens=True)


def test_no_words_where_none_are_captured(model: Any, tokenizer: Any) -> None:
    with llmtrace.testing.capture(capture="none") as traces:
        llmtrace.observe_model(model, tokenizer=tokenizer)
        model.generate(IDS, max_new_tokens=3)
        attributes = only(traces)
        assert semconv.INPUT_MESSAGES not in attributes
        assert semconv.OUTPUT_MESSAGES not in attributes


def test_a_streamer_tells_of_the_first_token(model: Any, tokenizer: Any, traces: Captured) -> None:
    llmtrace.observe_model(model)
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "streamer": streamer}
    with llmtrace.span("outside"):
        thread = threading.Thread(target=partial(model.generate, IDS, **options))
        thread.start()
        text = "".join(streamer)
        thread.join()
    only(traces, 2)
    call = next(span for span in traces.spans() if span.name != "outside")
    assert text
    attributes = dict[str, Any](call.attributes or {})
    assert attributes[semconv.REQUEST_STREAM] is True
    assert attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] > 0
    assert call.parent is not None


def test_errors_are_the_callers(model: Any, traces: Captured) -> None:
    llmtrace.observe_model(model)
    with pytest.raises(ValueError, match="max_new_tokens"):
        model.generate(IDS, max_new_tokens=-1)
    assert only(traces)[semconv.ERROR_TYPE] == "ValueError"


def test_undone(model: Any, traces: Captured) -> None:
    original = type(model).generate
    llmtrace.observe_model(model)
    assert type(model).generate is not original
    assert llmtrace.unobserve_model(model) is model
    assert type(model).generate is original
    model.generate(IDS, max_new_tokens=1)
    assert traces.spans() == []


def test_others_of_its_class_are_left_alone(model: Any, traces: Captured) -> None:
    llmtrace.observe_model(model)
    other = small_model()
    other.generate(IDS, max_new_tokens=1)
    assert traces.spans() == []
    key = id(llmtrace.observe_model(other))
    del other
    gc.collect()
    assert key not in observed._observed


def test_pickled_and_copied(model: Any, traces: Captured) -> None:
    llmtrace.observe_model(model)
    copied = pickle.loads(pickle.dumps(model))
    copied.generate(IDS, max_new_tokens=1)
    assert traces.spans() == []


def test_nothing_is_recorded_without_init(model: Any) -> None:
    llmtrace.observe_model(model)
    assert model.generate(IDS, max_new_tokens=1).shape == (1, 5)


@pytest.fixture(scope="module")
def generating(tokenizer: Any) -> Any:
    model = small_model(vocab_size=len(tokenizer))
    return pipeline("text-generation", model=model, tokenizer=tokenizer)


def test_a_pipeline_is_one_call(generating: Any, traces: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")  # which pipelines set
    assert llmtrace.observe_model(generating, name="small-pipe") is generating
    options = {"max_new_tokens": 3, "min_new_tokens": 3}
    (result,) = generating("Hello there", **options)
    attributes = only(traces)
    assert attributes[semconv.REQUEST_MODEL] == "small-pipe"
    assert tokens(attributes) == (2, 3)
    assert attributes[semconv.RESPONSE_FINISH_REASONS] == ["length"]
    answer = json.loads(attributes[semconv.OUTPUT_MESSAGES])[0]["parts"][0]["content"]
    assert result["generated_text"] == "Hello there" + answer
    generating(["Hello there", "Hi"], **options)
    assert tokens(only(traces, 2)) == (3, 6)
    generating(ASKED, **options)
    chat = only(traces, 3)
    assert chat[semconv.OPERATION_NAME] == "chat"
    assert json.loads(chat[semconv.INPUT_MESSAGES])[0]["parts"] == [{"type": "text", "content": "Hello"}]
    list(generating((text for text in ["Hello", "Hi"]), **options))
    assert tokens(only(traces, 5)) == (1, 3)


LLAMA = {
    "create_chat_completion": ("chat", [*ASKED]),
    "create_completion": ("text_completion", "Hello"),
    "__call__": ("text_completion", "Hello"),
}


@pytest.mark.parametrize("method", LLAMA)
@pytest.mark.parametrize("streamed", [False, True])
def test_llama_cpp(traces: Captured, method: str, streamed: bool) -> None:
    operation, asked = LLAMA[method]
    asked = [*asked] if isinstance(asked, list) else asked
    model = llmtrace.observe_model(Llama("/models/small-q4.gguf"))
    answer = getattr(model, method)(asked, stream=streamed)
    pieces = list(answer) if streamed else [answer]
    if isinstance(asked, list):
        asked.clear()
    assert pieces[-1]["choices"][0]["finish_reason"] == "stop"
    attributes = only(traces)
    assert attributes[semconv.OPERATION_NAME] == operation
    assert attributes[semconv.PROVIDER_NAME] == "llama.cpp"
    assert attributes[semconv.REQUEST_MODEL] == "small-q4"
    assert attributes[semconv.RESPONSE_FINISH_REASONS] == ["stop"]
    assert "Hello" in attributes[semconv.INPUT_MESSAGES]
    assert "Hi" in attributes[semconv.OUTPUT_MESSAGES]
    if streamed:
        assert attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] > 0
        assert semconv.USAGE_ESTIMATED in attributes
    else:
        assert tokens(attributes) == (12, 5)


def test_llama_cpp_fails_and_is_left(traces: Captured) -> None:
    model = llmtrace.observe_model(Llama("small.gguf"))
    with pytest.raises(ValueError, match="no such"):
        model.create_chat_completion([{"role": "user", "content": "fail"}])
    assert only(traces)[semconv.ERROR_TYPE] == "ValueError"
    answer = model.create_completion("Hello", stream=True)
    next(answer)
    answer.close()
    assert only(traces, 2)[semconv.STREAM_ABANDONED] is True
    answer = model.create_completion("Hello", stream=True)
    next(answer)
    del answer
    gc.collect()
    assert only(traces, 3)[semconv.STREAM_ABANDONED] is True


def test_vllm(traces: Captured) -> None:
    model = llmtrace.observe_model(vllm_stand_in())
    assert isinstance(model, LLM)
    assert len(model.generate(["Hello", "Hi"])) == 2
    attributes = only(traces)
    assert tokens(attributes) == (3, 4)
    assert attributes[semconv.PROVIDER_NAME] == "vllm"
    assert attributes[semconv.REQUEST_MODEL] == "org/small-llm"
    model.chat(ASKED)
    chat = only(traces, 2)
    assert (chat[semconv.OPERATION_NAME], tokens(chat)) == ("chat", (2, 2))
    assert "Hi" in chat[semconv.OUTPUT_MESSAGES]


def test_functions(traces: Captured) -> None:
    def answer(prompt: str) -> Any:
        return {"choices": [{"text": "Hi", "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}

    run = llmtrace.observe_model(answer, provider="own", name="mine")
    assert run("Hello") == answer("Hello")
    attributes = only(traces)
    assert (attributes[semconv.REQUEST_MODEL], attributes[semconv.PROVIDER_NAME]) == ("mine", "own")
    assert tokens(attributes)[0] == 3
    assert llmtrace.observe_model(run) is run
    assert llmtrace.unobserve_model(run) is answer


def test_functions_of_asyncio_and_streams(traces: Captured) -> None:
    async def answer(messages: Any) -> str:
        return "Hi"

    def pieces(prompt: str) -> Iterator[str]:
        yield from ("H", "i")

    async def later(prompt: str) -> AsyncIterator[str]:
        yield "Hi"

    async def calls() -> None:
        assert await llmtrace.observe_model(answer)(ASKED) == "Hi"
        assert list(llmtrace.observe_model(pieces)("Hello")) == ["H", "i"]
        assert [piece async for piece in llmtrace.observe_model(later)("Hello")] == ["Hi"]

    asyncio.run(calls())
    only(traces, 3)
    for span in traces.spans():
        assert "Hi" in (span.attributes or {})[semconv.OUTPUT_MESSAGES]  # type: ignore[operator]  # a text


def test_an_observed_model_within_one_counts_once(model: Any, traces: Captured) -> None:
    llmtrace.observe_model(model)

    @llmtrace.observe
    def step() -> None:
        run(IDS)

    def answer(ids: Any) -> Any:
        return model.generate(ids, max_new_tokens=2, min_new_tokens=2)

    run = llmtrace.observe_model(answer, name="outer")
    step()
    only(traces, 2)
    calls = [span for span in traces.spans() if semconv.OPERATION_NAME in (span.attributes or {})]
    assert [tokens(dict(span.attributes or {})) for span in calls] == [(4, 2)]


def test_what_is_not_known_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    strange: Any = object()
    with caplog.at_level(logging.WARNING, logger="llmtrace"):
        assert llmtrace.observe_model(strange) is strange
        assert llmtrace.unobserve_model(strange) is strange
    assert "cannot observe" in caplog.text
