"""Settings that cannot stand together: refused when the recipe is read, all of them at once."""

from __future__ import annotations

import dataclasses
import math

import pytest

from kerasft.errors import UserError
from kerasft.recipe import load_recipe

FILES = {"data.dataset": "files", "data.train_files": ("a.csv",)}
TWO = {**FILES, "data.label_columns": ("a", "b")}
WINDOWS = {"model.truncation": "windows"}
WINDOWS_OF_256 = {**WINDOWS, "model.sequence_length": 256}
CHANCES = ("deletion", "swap", "word_dropout", "typos", "casing")
FEATURES = {"training.mode": "features"}
LORA = {"adapter.method": "lora"}
UNFREEZE = {"training.unfreeze_every_steps": 5}

OF_DATA_AND_SPEED = [
    ({**FILES, "data.data_dir": "d"}, r"give data\.validation_files"),
    ({**FILES, "data.validation_split": "v"}, r"give data\.validation_files"),
    ({"data.train_files": ("a.csv",)}, r'data\.train_files needs data\.dataset="files"'),
    ({"data.group_column": "g"}, r'group_column needs .*that is "imdb_reviews"'),
    ({"data.label_columns": ("a", "b")}, r'label_columns needs .*that is "imdb_reviews"'),
    ({**TWO, "data.label_column": "c"}, r"label_column or .* set, too: keep one"),
    ({**TWO, "data.label_separator": "|"}, r"label_separator is set, too: keep one"),
    ({**TWO, "data.label_kind": "single"}, r'several labels to a text, not "single"'),
    ({**FILES, "data.label_columns": ("a",)}, r"names one column: name it in"),
    ({"data.label_kind": "number"}, r"TFDS knows the kind of imdb_reviews"),
    ({"model.window_stride": 8}, r'window_stride needs model\.truncation="windows"'),
    ({**WINDOWS_OF_256, "model.window_stride": 255}, r"would skip tokens: at most .* = 254"),
    ({**WINDOWS, "training.sequence_length": 64}, r"same windows as serving"),
    ({**WINDOWS, "training.jit_compile": True}, r"XLA cannot compile"),
    (
        {"data.oversample": True, "training.class_weights": "balanced"},
        r"they would do it twice\. Keep one",
    ),
    ({"augmentation.share": 0.5}, r"augmentation\.share=0\.5 alters nothing: .* are all 0"),
    (
        {"augmentation.swap": 0.1, "training.mode": "features"},
        r'\[augmentation\] with training\.mode="features": .*no epoch could alter it',
    ),
    (
        {"performance.gradient_checkpointing": True, "training.mode": "features"},
        r'gradient_checkpointing with training\.mode="features": no layer .* gradient',
    ),
    (
        {"performance.gradient_checkpointing": True, "freezing.encoder": True},
        r"gradient_checkpointing with freezing\.encoder=true: no layer",
    ),
    (
        {"performance.gradient_checkpointing": True, "training.jit_compile": True},
        r"gradient_checkpointing with training\.jit_compile: it was not shown that XLA",
    ),
    (
        {"performance.attention_chunk": 64, "training.jit_compile": True},
        r"attention_chunk with training\.jit_compile: XLA cannot compile chunks",
    ),
]
OF_LEARNING = [
    ({"training.momentum": 0.9}, r'training\.momentum: the optimizer "adamw" has no such setting'),
    ({"training.optimizer": "sgd", "training.beta_1": 0.8}, r'beta_1: the optimizer "sgd"'),
    (
        {"training.dtype_policy": "mixed_float16", "training.optimizer": "lion"},
        r'mixed_float16" needs training\.optimizer="adamw"',
    ),
    (
        {"training.schedule": "cosine", "training.decay_power": 2.0},
        r'decay_power needs training\.schedule="polynomial"',
    ),
    ({"training.schedule": "constant", "training.end_learning_rate": 0.1}, r"the rate never falls"),
    ({"training.focal_gamma": 1.0}, r'focal_gamma needs training\.loss="focal"'),
    ({"training.huber_delta": 2.0}, r'huber_delta needs training\.loss="huber"'),
    (
        {"training.loss": "focal", "training.label_smoothing": 0.1},
        r"label_smoothing with training\.loss.*Keep one",
    ),
    ({"training.max_divergences": 5}, r'max_divergences needs training\.on_divergence="skip"'),
    (
        {"training.all_reduce_dtype": "bfloat16", "training.strategy": "one_device"},
        "all_reduce_dtype with .*one_device.*: nothing is sent there",
    ),
    ({"training.average_from": "last"}, r"average_from needs training\.average_checkpoints"),
    (
        {"training.jit_compile": True, "training.gradient_accumulation_steps": 2},
        r"XLA cannot compile parts",
    ),
    ({"freezing.embeddings": True, "freezing.lowest_layers": 2}, r"freezes them already"),
    (
        {"freezing.encoder": True, "freezing.lowest_layers": 2},
        r"freezes all of the encoder already",
    ),
    (
        {"freezing.encoder": True, "training.layer_decay": 0.9},
        r"layer_decay with freezing\.encoder",
    ),
    ({**UNFREEZE, "freezing.embeddings": True}, r"freezing\.embeddings with gradual unfreezing"),
    ({**UNFREEZE, "training.optimizer": "sgd"}, r"unfreeze_every_\.\.\. needs training\.optimizer"),
    ({**UNFREEZE, "training.ema_decay": 0.9}, r"ema_decay with gradual unfreezing"),
    ({**FEATURES, **UNFREEZE}, r"unfreeze_every_\.\.\. with training\.mode"),
    ({**FEATURES, "regularization.l2_sp": 0.1}, r"l2_sp with training\.mode"),
    ({**FEATURES, "regularization.stochastic_depth": 0.1}, r"stochastic_depth with"),
    ({**FEATURES, "regularization.reinitialize_layers": 1}, r"reinitialize_layers with"),
    ({**FEATURES, "freezing.embeddings": True}, r"freezing\.embeddings: with .* Leave it out"),
    ({**FEATURES, **WINDOWS}, r"a text has one vector there"),
    ({**FEATURES, "regularization.adversarial_epsilon": 1.0}, r"no embeddings are computed"),
    (
        {"regularization.r_drop": 1.0, "model.dropout": 0.0, "model.head_dropout": 0.0},
        r"r_drop needs dropout",
    ),
    (
        {"regularization.r_drop": 1.0, "regularization.mixup_alpha": 0.4},
        r"mixup_alpha with regularization\.r_drop",
    ),
    ({**WINDOWS, "regularization.mixup_alpha": 0.4}, r"mixup_alpha with model\.truncation"),
    ({**WINDOWS, "regularization.adversarial_epsilon": 1.0}, r"adversarial_epsilon with model\.tr"),
    ({"adapter.rank": 4}, r'adapter\.rank needs adapter\.method="lora", and that is "none"'),
    ({**LORA, "adapter.bottleneck_dim": 8}, r'bottleneck_dim needs adapter\.method="houlsby"'),
    ({"adapter.init_from": "runs/a"}, r"adapter\.init_from needs adapter\.method"),
    ({**LORA, "freezing.embeddings": True}, r"the adapter settles what is frozen"),
    ({**LORA, **UNFREEZE}, r"it would thaw what the adapter freezes"),
    ({**LORA, **FEATURES}, r"no layer of the encoder is trained there"),
    ({**LORA, "regularization.l2_sp": 0.1}, r"the pretrained weights are frozen"),
    ({**LORA, "regularization.reinitialize_layers": 1}, r"they would stay random"),
    ({**LORA, "training.average_checkpoints": 2}, r"average of two factors"),
    (
        {
            "data.dataset": "files",
            "data.train_files": ("a.csv",),
            "data.label_kind": "multi",
            "regularization.mixup_alpha": 0.4,
        },
        r"whether half a label applies",
    ),
]


@pytest.mark.parametrize(("overrides", "message"), [*OF_DATA_AND_SPEED, *OF_LEARNING])
def test_a_conflict_is_refused_with_its_reason(overrides, message):
    with pytest.raises(UserError, match=f"(?s)1 fault.*{message}"):
        load_recipe("imdb_base", overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        {**FILES, "data.label_kind": "number", "data.group_column": "g"},
        {**WINDOWS_OF_256, "model.window_stride": 254, "training.sequence_length": 256},
        {"data.oversample": True},
        {"training.class_weights": {"neg": 1, "pos": 0.5}},
        *({"augmentation.share": 0.5, f"augmentation.{chance}": 0.1} for chance in CHANCES),
        {"training.mode": "features"},
        {"performance.gradient_checkpointing": True, "freezing.lowest_layers": 1},
        {"performance.attention_chunk": 0, "training.jit_compile": True},
        {"training.optimizer": "sgd", "training.momentum": 0.9},
        {"training.schedule": "cosine", "training.end_learning_rate": 1e-6},
        {"training.loss": "focal", "training.focal_gamma": 1.0},
        {"training.average_checkpoints": 3, "training.average_from": "last"},
        {**UNFREEZE, "training.layer_decay": 0.9},
        {**FEATURES, "regularization.mixup_alpha": 0.4},
        {"freezing.lowest_layers": 2, "training.layer_decay": 0.9, "regularization.l2_sp": 0.1},
        {"regularization.r_drop": 1.0, "regularization.adversarial_epsilon": 1.0},
        {**LORA, "adapter.rank": 4, "training.ema_decay": 0.9},
        {"adapter.method": "houlsby", "adapter.bottleneck_dim": 8},
    ],
)
def test_control_what_fits_is_taken(overrides):
    load_recipe("imdb_base", overrides)


def test_all_conflicts_are_told_at_once():
    with pytest.raises(UserError, match=r"2 faults(?s:.*)text_column(?s:.*)label_kind") as raised:
        load_recipe("imdb", {"data.text_column": "t", "data.label_kind": "multi"})
    assert str(raised.value).count("\n") == 2


@pytest.mark.parametrize(
    ("override", "weights"),
    [
        ("balanced", "balanced"),
        ("{neg = 0, pos = 2.5}", {"neg": 0.0, "pos": 2.5}),
        ('{pos=2, "New York, NY"=3}', {"pos": 2.0, "New York, NY": 3.0}),
    ],
)
def test_class_weights(override, weights, tmp_path):
    recipe = load_recipe("imdb", [f"training.class_weights={override}"])
    assert recipe.training.class_weights == weights
    path = tmp_path / "saved.toml"
    path.write_text(recipe.to_toml())
    assert load_recipe(path) == dataclasses.replace(recipe, shipped=False, overridden=frozenset())


def test_class_weights_in_a_table_of_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[training]\nepochs = 1\n[training.class_weights]\n"New York, NY" = 2\n')
    assert load_recipe(path).training.class_weights == {"New York, NY": 2.0}


def test_class_weights_as_earlier_versions_saved_them(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('[training]\nclass_weights = "neg=1, a b=.5"\n')
    with pytest.warns(FutureWarning, match=r'as a table: \{neg = 1\.0, "a b" = 0\.5\}'):
        assert load_recipe(path).training.class_weights == {"neg": 1.0, "a b": 0.5}


@pytest.mark.parametrize(
    "weights",
    [
        *(
            "pos",
            "pos=",
            "pos=-1",
            "pos=1,",
            "=1",
            "pos=1, pos=2",
            "New York, NY=2",
            "{a b=2}",
        ),
        *({}, {"pos": -1}, {"pos": "2"}, {"pos": True}, {"pos": math.nan}, {"pos": math.inf}),
    ],
)
def test_class_weights_that_cannot_be_read(weights):
    with pytest.raises(UserError, match=r'class_weights: not a possible.*"New York, NY" = 2\.5'):
        load_recipe("imdb", {"training.class_weights": weights})


@pytest.mark.parametrize(
    ("override", "files"),
    [
        ('data.train_files=["a.csv", "b.csv"]', ("a.csv", "b.csv")),
        ("data.train_files=a.csv", ("a.csv",)),
        ('data.train_files="a b.csv"', ("a b.csv",)),
    ],
)
def test_a_list_of_one_needs_no_brackets(override, files):
    recipe = load_recipe("imdb", ["data.dataset=files", override])
    assert recipe.data.train_files == files


@pytest.mark.parametrize("value", ["3", "[1]", '[" "]'])
def test_a_list_of_other_things_is_refused(value, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(f"[data]\ntest_splits = {value}\n")
    with pytest.raises(UserError, match=r"\[data\] test_splits: .*Expected: a list of texts"):
        load_recipe(path)


def test_a_split_named_twice_is_refused():
    with pytest.raises(UserError, match="a list of texts without repetition"):
        load_recipe("imdb", {"data.test_splits": ("test", "test")})


def test_a_space_may_separate_labels():
    recipe = load_recipe("imdb", {**FILES, "data.label_separator": " "})
    assert recipe.data.label_separator == " "
    with pytest.raises(UserError, match=r"label_separator: .*Expected: text of one sign or more"):
        load_recipe("imdb", {**FILES, "data.label_separator": ""})
