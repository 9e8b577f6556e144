"""The shipped models: what they answer, that their weights are the recorded ones, and their training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from llmtrace_cli.demo.traffic import INJECTIONS, LONG_QUESTION, QUESTIONS, SYSTEM
from llmtrace_inference import demo_model
from llmtrace_inference.demo_model import train as training
from llmtrace_inference.demo_model.corpus import answers_about, conversation, conversations, split, words
from llmtrace_inference.demo_model.tokens import IGNORED, encode
from llmtrace_inference.engine.local.model_source import BUILTIN_MODELS
from tests.examples import examples
from tests.inference.running import Running

HOME = Path(demo_model.__file__).parent
RECORD = json.loads((HOME / "training.json").read_text())
#: A word of these must be in the answer to each question of the demo.
ABOUT = {
    QUESTIONS[0]: {"password", "link", "sign-in"},
    QUESTIONS[1]: {"release", "version", "search"},
    QUESTIONS[2]: {"refund", "refunded", "plan", "plans"},
    QUESTIONS[3]: {"parcel", "sorry"},
    QUESTIONS[4]: {"ship", "deliver", "europe"},
    QUESTIONS[5]: {"plan", "plans"},
    **{injection: {"instructions", "rules", "order", "orders"} for injection in INJECTIONS},
}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return training.make_tokenizer()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many threads as the shipped models were trained with: others round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _ask(service: Running, model: str, question: str, temperature: float, seed: int, most: int = 32) -> str:
    answer = service.client.chat.completions.create(
        model=model,
        messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}],
        max_tokens=most,
        temperature=temperature,
        seed=seed,
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "stop", "it ends by itself"
    return choice.message.content or ""


def _is_sentence(text: str) -> bool:
    return text[:1].isupper() and text[-1:] in ".!?" and "  " not in text


@pytest.mark.parametrize("model", BUILTIN_MODELS)
def test_the_demos_questions_get_sentences_about_what_was_asked(service: Running, model: str) -> None:
    texts = {
        (question, temperature): _ask(service, model, question, temperature, seed)
        for question in ABOUT
        for seed, temperature in enumerate((0.0, 0.2, 0.7, 1.0))
    }
    known = words()
    assert [text for text in texts.values() if not _is_sentence(text)] == []
    assert [text for text in texts.values() if not known.issuperset(split(text))] == []
    missed = {key: text for key, text in texts.items() if not ABOUT[key[0]] & set(split(text))}
    # Drawn at 1.0, one answer in a while is about something else.
    assert [key for key in missed if key[1] < 1.0] == [], missed
    assert len(missed) <= 1, missed
    assert len(set(texts.values())) > 2 * len(ABOUT), "drawn answers differ"


@pytest.mark.parametrize("model", BUILTIN_MODELS)
def test_who_asks_for_much_gets_several_sentences(service: Running, model: str) -> None:
    text = _ask(service, model, LONG_QUESTION, 0.7, 1, most=400)
    assert _is_sentence(text)
    assert len(text.split(". ")) >= 4
    assert words().issuperset(split(text))


@pytest.mark.parametrize("model", BUILTIN_MODELS)
def test_the_shipped_weights_are_those_of_the_recorded_training(model: str) -> None:
    directory, recorded = demo_model.directory(model), RECORD[model]
    weights = directory / "model.safetensors"
    assert training.sha256(weights) == recorded["weights_sha256"]
    assert recorded["spec"] == asdict(training.SPECS[model])
    assert 400_000 < recorded["parameters"] < 2_000_000
    assert recorded["last_loss"] < 0.3
    loaded = AutoModelForCausalLM.from_pretrained(directory, local_files_only=True)
    assert loaded.num_parameters() == recorded["parameters"]
    assert loaded.dtype == torch.bfloat16


def test_they_are_small_and_their_licence_is_said() -> None:
    assert tuple(training.SPECS) == tuple(RECORD) == BUILTIN_MODELS
    assert max(RECORD[model]["parameters"] for model in RECORD) > 1_000_000
    assert sum(file.stat().st_size for file in HOME.rglob("*") if file.is_file()) < 6_000_000
    assert "Apache-2.0" in (HOME / "README.md").read_text()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("model", BUILTIN_MODELS)
def test_training_again_goes_the_same_way(tokenizer: PreTrainedTokenizerFast, model: str) -> None:
    _, losses = training.train(training.SPECS[model], tokenizer, stop_after=3)
    # To the last digit on the machine of the recorded one; another processor adds up in another order.
    assert losses == pytest.approx(RECORD[model]["first_losses"][:3], rel=1e-3)
    _, again = training.train(training.SPECS[model], tokenizer, stop_after=2)
    assert again == losses[:2]


def test_the_tokenizer_trained_again_is_the_shipped_one(tokenizer: PreTrainedTokenizerFast) -> None:
    for model in BUILTIN_MODELS:
        shipped = AutoTokenizer.from_pretrained(demo_model.directory(model), local_files_only=True)
        assert shipped.get_vocab() == tokenizer.get_vocab()
        assert shipped.chat_template == tokenizer.chat_template


@pytest.mark.usefixtures("one_thread")
def test_the_script_trains_saves_and_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(training.SPECS["tiny-chat-s"], hidden=16, layers=1, heads=2, steps=3, batch=2)
    monkeypatch.setattr(training, "SPECS", {"tiny-chat-s": small})
    done = CliRunner().invoke(training.main, ["--out", str(tmp_path)])
    torch.use_deterministic_algorithms(False)
    assert done.exit_code == 0, done.output
    recorded = json.loads((tmp_path / "training.json").read_text())["tiny-chat-s"]
    model_directory = tmp_path / demo_model.directory("tiny-chat-s").name
    assert training.sha256(model_directory / "model.safetensors") == recorded["weights_sha256"]
    loaded = AutoModelForCausalLM.from_pretrained(model_directory, local_files_only=True)
    generated_ids = set(range(loaded.config.vocab_size)) - set(loaded.generation_config.suppress_tokens)
    assert loaded.config.eos_token_id in generated_ids
    assert loaded.config.pad_token_id not in generated_ids
    help_page = CliRunner().invoke(training.main, ["--help"])
    assert "--threads" in help_page.output


@given(seed=st.integers(0, 10_000))
@settings(max_examples=examples(40))
def test_a_conversation_is_encoded_as_the_chat_template_renders_it(seed: int) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(demo_model.directory("tiny-chat-s"))
    messages = conversation(Random(seed))
    ids, labels = encode(tokenizer, messages)
    assert ids == tokenizer.apply_chat_template(messages, return_dict=False)
    learnt = [i for i, label in zip(ids, labels, strict=True) if label != IGNORED]
    answers = [m["content"] for m in messages if m["role"] == "assistant"]
    assert tokenizer.decode(learnt) == "".join(f"{answer}<|im_end|>" for answer in answers)


def test_the_text_is_sentences_and_the_same_for_a_seed() -> None:
    drawn = conversations(300, seed=3)
    assert drawn == conversations(300, seed=3)
    assert drawn != conversations(300, seed=4)
    for messages in drawn:
        assert messages[-1]["role"] == "assistant"
        assert all("{" not in m["content"] and "|" not in m["content"] for m in messages)
        assert _is_sentence(messages[-1]["content"])
        assert words().issuperset(split(messages[-1]["content"]))
    assert "You can reset your password with the link that we send by email." in answers_about("password")
