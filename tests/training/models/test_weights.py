"""Weights, tokenizers and lengths that do not fit: each is refused before training, or accepted and reported."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

from tests import golden_messages as messages
from tests.support.networks import minilm_folder
from training.config.distillation import DistilledConfig
from training.config.finetuning import ScheduleConfig, SelfTrainingConfig
from training.config.network import HeadConfig, NetworkConfig
from training.config.tfidf import LogregConfig
from training.data import Part, Splits
from training.errors import NoCandidateLeft, TrainingError, WeightsMissing, WeightsUnsuitable
from training.experiment.schema import Experiment
from training.finetuning import trainer as precision
from training.finetuning.loop import finetune
from training.kinds.candidate import Candidate
from training.models import weight_checks
from training.models.result import TrainingContext
from training.models.weights import load_network, load_weights
from training.pipeline.observers import ConsoleObserver
from training.runs.preflight import Preflight, check_networks

WORDS = [
    "the", "a", "of", "and", "to", "in", "for", "on", "is", "was", "will", "market", "shares", "bank", "goal", "match",
    "team", "film", "song", "actor", "vote", "party", "law", "phone", "chip", "code", "cat", "dog", "house", "new",
    "old", "said", "year",
]  # fmt: skip
LABELS = ("money", "sport")
TEXTS = (
    "The market shares of the bank",
    "A goal for the team in the match",
    "The new law was on the phone",
) * 4
SIZE: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
}  # fmt: skip
SPECIAL = {"bos_token_id": None, "eos_token_id": None}


def bert_config(**changes: Any) -> BertConfig:
    return BertConfig(vocab_size=len(WORDS) + 5, max_position_embeddings=32, **SIZE | changes)


def write_tokenizer(folder: Path, *, words: list[str] = WORDS, **options: Any) -> None:
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n"
    )
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 32, **options}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def saved(folder: Path, network: PreTrainedModel, **tokenizer: Any) -> Path:
    network.save_pretrained(folder)
    write_tokenizer(folder, **tokenizer)
    return folder


def change(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def splits(texts: tuple[str, ...] = TEXTS) -> Splits:
    part = Part(list(texts), [LABELS[index % 2] for index in range(len(texts))])
    return Splits(part, part, part, Part([], []), None)  # type: ignore[arg-type]


def checked(folder: Path, texts: tuple[str, ...] = TEXTS, **options: Any) -> Preflight:
    config = NetworkConfig(weights=str(folder), **{"max_length": 16, **options})
    return check_networks({"it": config}, splits(texts))


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return saved(tmp_path / "bert", BertModel(bert_config()))


def test_what_fits_passes_without_a_note(bert: Path) -> None:
    assert checked(bert) == Preflight()
    network, tokenizer = load_network(str(bert), LABELS, 1)
    assert network.config.num_hidden_layers == 1
    assert tokenizer.convert_ids_to_tokens(tokenizer("The cat")["input_ids"]) == [
        "[CLS]",
        "the",
        "cat",
        "[SEP]",
    ]


# -- refused ----------------------------------------------------------------------------------------------------------


def no_tokenizer(folder: Path) -> None:
    saved(folder, BertModel(bert_config()))
    for name in ("vocab.txt", "tokenizer_config.json"):
        (folder / name).unlink()


def tokenizer_of_a_larger_network(folder: Path) -> None:
    saved(folder, BertModel(bert_config()), words=[*WORDS, "extra"])


def no_padding_token(folder: Path) -> None:
    saved(folder, BertModel(bert_config()))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, unk_token="[UNK]").save_pretrained(
        folder
    )


def layers_not_in_the_checkpoint(folder: Path) -> None:
    saved(folder, BertModel(bert_config()))
    change(folder, num_hidden_layers=3)


def layers_not_in_the_configuration(folder: Path) -> None:
    saved(folder, BertModel(bert_config()))
    change(folder, num_hidden_layers=1)


def another_width(folder: Path) -> None:
    saved(folder, BertModel(bert_config()))
    change(folder, intermediate_size=24)


def weights_of_another_architecture(folder: Path) -> None:
    saved(folder, BertModel(bert_config()))
    change(folder, model_type="distilbert", dim=16, n_layers=2, n_heads=2, hidden_dim=32)


def one_tensor_missing(folder: Path) -> None:
    saved(folder, BertModel(bert_config()))
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def decoder(folder: Path) -> None:
    config = GPT2Config(vocab_size=len(WORDS) + 5, n_embd=16, n_layer=1, n_head=2, n_positions=32, **SPECIAL)
    saved(folder, GPT2LMHeadModel(config))


def encoder_decoder(folder: Path) -> None:
    config = T5Config(vocab_size=len(WORDS) + 5, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    saved(folder, T5ForConditionalGeneration(config))


def bert_as_a_decoder(folder: Path) -> None:
    saved(folder, BertModel(bert_config()))
    change(folder, is_decoder=True)


def padding_of_another_network(folder: Path) -> None:
    config = RobertaConfig(
        vocab_size=len(WORDS) + 5, max_position_embeddings=32, pad_token_id=1, **SIZE, **SPECIAL
    )
    saved(folder, RobertaForMaskedLM(config))


def damaged_weights(folder: Path) -> None:
    network = BertModel(bert_config())
    with torch.no_grad():
        network.encoder.layer[0].output.dense.weight[0, 0] = float("nan")
    saved(folder, network)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (no_tokenizer, "the tokenizer has 5 tokens and the network embeddings for 38"),
        (tokenizer_of_a_larger_network, "numbers 'extra' 38, and the network has embeddings for 38"),
        (no_padding_token, "has no padding token"),
        (layers_not_in_the_checkpoint, "16 of the 55 tensors of the bert encoder are not in the checkpoint"),
        (layers_not_in_the_configuration, "layers that config.json does not name"),
        (another_width, "tensors have another size in the checkpoint"),
        (weights_of_another_architecture, "of the distilbert encoder are not in the checkpoint"),
        (
            one_tensor_missing,
            r"1 of the 39 .* \(bert\.encoder\.layer\.1\.output\.dense\.weight\) and would be random",
        ),
        (decoder, "'gpt2' network, which is no text encoder"),
        (encoder_decoder, "'t5' network, which is no text encoder"),
        (bert_as_a_decoder, "'bert' network, which is no text encoder"),
        (
            padding_of_another_network,
            "pads with token 0, the network counts positions from its padding token 1",
        ),
        (damaged_weights, "gives NaN or infinity before any training"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_does_not_fit_is_refused(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    make(tmp_path / "weights")
    found = checked(tmp_path / "weights")
    assert isinstance(found.refused["it"], WeightsUnsuitable)
    with pytest.raises(WeightsUnsuitable, match=why):
        raise found.refused["it"]


def test_a_network_of_an_unknown_kind_cannot_be_loaded(bert: Path) -> None:
    change(bert, model_type="fancyformer")
    assert isinstance(checked(bert).refused["it"], WeightsMissing)


def test_code_that_comes_with_a_checkpoint_is_not_run(bert: Path) -> None:
    change(bert, model_type="fancyformer", auto_map={"AutoConfig": "code.FancyConfig"})
    (bert / "code.py").write_text("raise SystemExit('the code of the checkpoint was run')")
    assert isinstance(checked(bert).refused["it"], WeightsMissing)


@pytest.mark.parametrize("longest", [32, 33])
def test_max_length_ends_with_the_position_table(bert: Path, longest: int) -> None:
    found = checked(bert, max_length=longest)
    assert bool(found.refused) == (longest > 32)
    network, tokenizer = load_network(str(bert), LABELS, None)
    assert weight_checks.longest_text(network) == 32
    if longest > 32:
        with pytest.raises(WeightsUnsuitable, match=messages.MAX_LENGTH_TOO_LARGE):
            finetune(network, tokenizer, NetworkConfig(max_length=longest), splits(), _unused())


def _unused() -> TrainingContext:
    """A context that nothing may be written to: the network is refused before."""
    nowhere = Path("no/such/folder")
    return TrainingContext("it", nowhere, nowhere, 1, None)  # type: ignore[arg-type]


def test_roberta_has_fewer_positions_than_rows(tmp_path: Path) -> None:
    config = RobertaConfig(
        vocab_size=len(WORDS) + 5, max_position_embeddings=34, pad_token_id=1, **SIZE, **SPECIAL
    )
    folder = saved(tmp_path / "roberta", RobertaForMaskedLM(config))
    (folder / "vocab.txt").write_text(
        "\n".join(["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n"
    )
    assert not checked(folder, max_length=32).refused
    assert "at most 32" in str(checked(folder, max_length=33).refused["it"])


def test_layers_beyond_the_last_one_are_refused(bert: Path) -> None:
    assert isinstance(checked(bert, layers=3).refused["it"], WeightsMissing)
    assert not checked(bert, layers=[1]).refused


def test_texts_that_the_tokenizer_does_not_know_are_refused(bert: Path) -> None:
    foreign = ("Der Markt und die Bank", "Ein Tor für die Mannschaft", "the bank")
    with pytest.raises(WeightsUnsuitable, match=messages.TOKENS_UNKNOWN):
        raise checked(bert, foreign).refused["it"]
    assert not checked(bert, foreign, max_unknown=0.9).refused
    partly = ("the market will zzz",) * 3
    (note,) = checked(bert, partly).notes["it"]
    assert note.startswith("25.0% of the tokens in 3 training texts are '[UNK]'")


def test_a_vocabulary_of_the_other_case_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "cased", BertModel(bert_config()), do_lower_case=False)
    shouted = tuple(text.upper() for text in TEXTS)
    assert messages.TOKENS_ALL_UNKNOWN in str(checked(folder, shouted).refused["it"])


# -- done knowingly, and said -----------------------------------------------------------------------------------------


def test_half_precision_is_trained_in_float32_and_said(tmp_path: Path) -> None:
    folder = saved(tmp_path / "half", BertModel(bert_config()).half())
    loaded = load_weights(str(folder), LABELS)
    assert {parameter.dtype for parameter in loaded.network.parameters()} == {torch.float32}
    assert checked(folder).notes["it"] == ("the weights are stored in float16 and are trained in float32",)


@pytest.mark.parametrize(
    ("known", "kept"),
    [
        (("money", "sport"), True),
        (("sport", "money"), False),
        (("no", "yes"), False),
        (("a", "b", "c"), False),
    ],
)
def test_a_head_is_kept_only_for_the_same_labels(tmp_path: Path, known: tuple[str, ...], kept: bool) -> None:
    network = BertForSequenceClassification(bert_config(id2label=dict(enumerate(known))))
    folder = saved(tmp_path / "head", network)
    found = load_weights(str(folder), LABELS)
    head = found.network.get_parameter("classifier.weight")
    assert head.shape == (2, 16)
    assert (len(known) == 2 and torch.equal(head, network.classifier.weight)) == kept
    assert bool(found.head_notes) == (len(known) == 2)
    assert torch.equal(
        found.network.get_parameter("bert.encoder.layer.1.output.dense.weight"),
        network.bert.encoder.layer[1].output.dense.weight,
    )


def test_a_missing_pooler_is_new_and_reported(tmp_path: Path) -> None:
    folder = saved(tmp_path / "mlm", BertForMaskedLM(bert_config()))
    assert checked(folder).notes["it"] == ("the pooler is new: the checkpoint has none",)


def test_the_tokenizer_cuts_and_pads_as_serving_does(tmp_path: Path) -> None:
    folder = saved(tmp_path / "left", BertModel(bert_config()), padding_side="left", truncation_side="left")
    loaded = load_weights(str(folder), LABELS)
    assert loaded.tokenizer.padding_side == loaded.tokenizer.truncation_side == "right"
    assert len(loaded.notes) == 2


def test_a_tokenizer_made_for_shorter_texts_is_noted(tmp_path: Path) -> None:
    folder = saved(tmp_path / "short", BertModel(bert_config()), model_max_length=8)
    (note,) = checked(folder).notes["it"]
    assert "names 8" in note


def test_emulated_bfloat16_is_said(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for fast, notes in ((True, 0), (False, 1)):
        monkeypatch.setattr(precision, "_fast_bfloat16", lambda fast=fast: fast)
        found = checked(bert, schedule=ScheduleConfig(precision="bfloat16"))
        assert len(found.notes.get("it", ())) == notes
        assert not checked(bert, schedule=ScheduleConfig(precision="auto")).notes


# -- a whole run ------------------------------------------------------------------------------------------------------


def _experiment(candidates: dict[str, Candidate], **options: Any) -> Experiment:
    return Experiment(name="tests", candidates=candidates, **options)


def _said(experiment: Experiment) -> str:
    stream = io.StringIO()
    found = check_networks(experiment.candidates, splits())
    ConsoleObserver(Console(file=stream, width=200)).candidates_checked(found)
    found.stop_if_none_left(experiment)
    return stream.getvalue()


def test_a_refused_candidate_is_named_before_training(bert: Path) -> None:
    good, bad = (
        NetworkConfig(weights=str(bert), max_length=16),
        NetworkConfig(weights=str(bert), max_length=99),
    )
    said = _said(_experiment({"good": good, "bad": bad, "linear": LogregConfig()}))
    assert said.startswith("bad cannot be trained: max_length is 99")
    assert "good" not in said


def test_a_run_in_which_none_may_win_ends_before_training(bert: Path) -> None:
    bad = NetworkConfig(weights=str(bert), max_length=99)
    with pytest.raises(NoCandidateLeft, match=messages.NO_CANDIDATE_LEFT):
        _said(_experiment({"bad": bad, "linear": LogregConfig()}, baselines_may_win=False))
    assert messages.CANDIDATE_UNTRAINABLE in _said(_experiment({"bad": bad, "linear": LogregConfig()}))


def test_a_student_starts_from_its_teacher_not_from_weights() -> None:
    student = DistilledConfig(weights="no/such/folder/at/all", teacher="1")
    assert check_networks({"student": student}, splits()) == Preflight()


@pytest.mark.parametrize("options", [{"max_length": 99}, {"layers": 9}, {"weights": "no/such/folder/at/all"}])
def test_a_head_on_a_frozen_encoder_is_checked_alike(bert: Path, options: dict[str, Any]) -> None:
    fits = {"weights": str(bert), "max_length": 16}
    heads = {"good": HeadConfig(**fits), "bad": HeadConfig(**fits | options)}
    assert list(check_networks(heads, splits()).refused) == ["bad"]


def test_a_mean_pooled_network_has_no_pooler_to_note(tmp_path: Path) -> None:
    folder = saved(tmp_path / "mlm", BertForMaskedLM(bert_config()))
    assert not checked(folder, pooling="mean").notes


def test_the_weights_of_teachers_are_checked_too(bert: Path) -> None:
    found = checked(bert, self_training=SelfTrainingConfig(teacher_weights="no/such/folder/at/all"))
    assert isinstance(found.refused["it"], WeightsMissing)


def test_the_packaged_weights_fit() -> None:
    texts = tuple(text * 40 for text in TEXTS)
    config = {"minilm": NetworkConfig(max_length=512), "small": NetworkConfig(weights="random-distilbert")}
    assert check_networks(config, splits(texts)) == Preflight()
    assert issubclass(WeightsUnsuitable, TrainingError)
    assert (minilm_folder() / "tokenizer.json").is_file()
