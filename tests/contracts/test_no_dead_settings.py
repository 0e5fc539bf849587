"""No dead settings: whichever field of a recipe is changed, the run changes.

Each field has a probe: another value, and where the difference must show. Nothing here trains for
more than three steps; most of it looks at what a run would do.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest

from kerasft.data.example import NUMBER
from kerasft.data.sources import source as sources
from kerasft.data.sources.builtin import iterate_builtin_sample
from kerasft.data.sources.tfds import DownloadError
from kerasft.errors import UserError
from kerasft.models.presets import load_preset
from kerasft.recipe import describe_fields, load_recipe
from kerasft.run_dir import RunDir, create_run_dir
from kerasft.runs import export as exporting
from kerasft.runs import finish as finishing
from kerasft.runs import trained as run_trained
from kerasft.runs.callbacks import build_callbacks
from kerasft.runs.context import RunContext, load_context
from kerasft.runs.data import data as run_data
from kerasft.runs.data.augmentation import build_augmented_examples
from kerasft.runs.model import assembly, performance
from kerasft.runs.model.performance import choose_kernels
from kerasft.runs.projection import pooled_vectors
from kerasft.runs.recover import leave_out
from kerasft.runs.train import build_trained_model
from kerasft.runs.trained import Trained, flat_metrics, open_trained
from kerasft.training.callbacks.callback import Callback
from kerasft.training.checkpoints.checkpoint import save_best
from kerasft.training.distribution.strategy import describe_strategy
from kerasft.training.loop import loop
from kerasft.training.loop.divergence import DivergedError
from kerasft.training.loop.fit_state import FitState
from kerasft.training.step.averaging import counted_weights

BASE = """
[data]
dataset = "builtin-sample"
[model]
preset = "tiny_random"
sequence_length = 16
[training]
steps = 6
warmup_steps = 1
batch_size = 4
learning_rate = 0.01
dtype_policy = "float32"
strategy = "one_device"
global_clipnorm = 0.01
[evaluation]
batch_size = 16
bootstrap_resamples = 50
"""


# --- where a difference shows: each takes the context of a run


def examples(run: RunContext) -> dict[str, bytes]:
    """Which texts train, validate and test."""
    splits = ("train", "validation", *run.data.test_names)
    stores = {split: run.data.examples(split) for split in splits}
    return {split: store.text_hashes[rows].tobytes() for split, (store, rows) in stores.items()}


def _batches(run: RunContext, steps: int = 2):
    """The first training batches."""
    return run_data.train_batches(
        run.data,
        run.plan,
        total_steps=steps,
        replicas=1,
        weights=run.example_weights,
        augmented=build_augmented_examples(run.recipe, run.preprocessor, run.data),
    )(0)


def batches(run: RunContext) -> list[bytes]:
    """The token ids of the first two training batches."""
    dataset = _batches(run)
    return [inputs["token_ids"].numpy().tobytes() for inputs, _, _ in dataset]


def widths(run: RunContext) -> list[int]:
    """How wide the first three training batches are."""
    return [int(inputs["token_ids"].shape[1]) for inputs, _, _ in _batches(run)]


def test_tokens(run: RunContext) -> bytes:
    """What evaluation and serving read."""
    return run.data.stores["test"].token_ids.tobytes()


test_tokens.__test__ = False


def weights(run: RunContext, steps: int = 2) -> str:
    """The weights after two steps."""
    model = build_trained_model(run)
    for batch in _batches(run, steps):
        model.train_step(batch)
    return hashlib.sha256(
        b"".join(w.numpy().tobytes() for w in model.trainable_weights)
    ).hexdigest()


def later_weights(run: RunContext) -> str:
    """The weights when the rate has begun to fall, and there are gradients to remember."""
    return weights(run, steps=3)


def trained(run: RunContext) -> list[str]:
    """Which weights are trained from the start."""
    return [weight.path for weight in build_trained_model(run).trainable_weights]


def averaged(run: RunContext) -> bool:
    """Whether evaluation stands on other weights than training, after two steps."""
    model = build_trained_model(run)
    for batch in _batches(run):
        model.train_step(batch)
    before = model.head.logits.kernel.numpy()
    with counted_weights(model):
        return bool((before != model.head.logits.kernel.numpy()).any())


def parts(run: RunContext) -> int:
    """In how many parts a batch is computed; it changes no number."""
    return build_trained_model(run).accumulation_steps


def sent(run: RunContext) -> str:
    """As what gradients are sent; what it changes, `test_fine_tuner.py` shows over two replicas."""
    return build_trained_model(run).all_reduce_dtype


def kernels(run: RunContext) -> bool:
    """Whether the step computes with kernels of ours, where they can be had."""
    with mock.patch.object(performance, "load_kernels", return_value="kernels"):
        return choose_kernels(run.recipe, print) == "kernels"


def kept(run: RunContext) -> bool:
    """Whether a step keeps what is inside the layers; it changes no number."""
    return not build_trained_model(run).encoder.gradient_checkpointing


def labels(run: RunContext) -> tuple:
    """What is learnt."""
    return run.data.source.label_names, run.data.labels("train").tobytes()


def starting(run: RunContext) -> str:
    """The weights that training starts from, or why there are none."""
    try:
        model = build_trained_model(run)
    except UserError as error:
        return str(error)
    return hashlib.sha256(model.encoder.weights[0].numpy().tobytes()).hexdigest()


def _trained(run: RunContext) -> Trained:
    """The run's best checkpoint, as if the model had just been built."""
    run_dir = create_run_dir("trained", "trained")
    save_best(run_dir.checkpoints_folder, build_trained_model(run).weights, {"step": 0})
    return open_trained(run.recipe, run_dir, preprocessor=run.preprocessor)


def _finish(run: RunContext, **patches: object):
    """Finishes a run whose model has just been built."""
    folder, state = _trained(run).run_dir, FitState(best_value=0.0, evaluations=[{"step": 0}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finishing, "read_history", lambda path: [])
        patch.setattr(exporting, "build_probe", lambda *_: None)
        for name, value in {"export": lambda *_, **__: Path("1"), **patches}.items():
            patch.setattr(Trained, name, value)
        return finishing.finish(run, folder, state)


def thresholds(run: RunContext) -> dict:
    """How validation changes what the task decides."""

    def predict(self, model, data, split, callbacks):
        return run.task.perfect_logits(data.labels(split)) / 10 - 3

    _finish(run, predict=predict)
    run_dir = max(Path("trained").iterdir())
    return RunDir(run_dir).read_json("metrics.json")["task"]


def durations(run: RunContext) -> object:
    """How long the run is, when it evaluates and saves, when it stops."""
    return run.settings, run.warmup_steps


def given_up(run: RunContext) -> bool:
    """Whether a run with one batch left out gives up at the next that diverges."""
    run_dir = create_run_dir("given_up", "given_up")
    run_dir.write_json("divergences.json", [{"step": 1, "loss": 1.0, "examples": []}])
    try:
        leave_out(run, run_dir, DivergedError(2, 1.0, "", received="", expected=""))
    except UserError:
        return True
    return False


def strategy(run: RunContext) -> str:
    """The devices."""
    return describe_strategy(run.strategy)


def compiled(run: RunContext) -> bool:
    """Whether the function of a step is made for XLA (compiling it takes too long here)."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "build_distributed", lambda *_, jit_compile: seen.append(jit_compile))
        dataset = run_data.train_batches(run.data, run.plan, total_steps=0, replicas=1)(0)
        list(loop.train_steps(build_trained_model(run), run.strategy, dataset, start_step=0))
    return seen[0]


def evaluation(run: RunContext) -> tuple:
    """The sizes of the evaluation's batches, its metrics and the ends of its interval."""

    class Sizes(list, Callback):
        on_evaluation_batch = list.append

    sizes, model = Sizes(), build_trained_model(run)
    kernel = model.head.logits.kernel
    # Confident, or all predictions would lie in one bin; numbers stay near the labels.
    kernel.assign((5 if run.task.kind == NUMBER else 50) * kernel)
    trained = Trained(run.recipe, create_run_dir("evaluated", "evaluated"), None, None)
    facts = trained.describe(
        run.task, run.data, "test", trained.predict(model, run.data, "test", sizes)
    )
    return sizes, flat_metrics(facts)


def export_folder(run: RunContext) -> str:
    """Where the model goes."""
    recorded = {"metrics": {}, "data": run.data.source.name, "has_pairs": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_trained, "export_saved_model", lambda model, *, folder, **_: folder)
        trained = Trained(run.recipe, RunDir(Path("runs/r")), None, None)
        return str(trained.export(None, recorded, run.task))


def exported(run: RunContext) -> bool:
    """Whether a finished run exports its model."""
    return _finish(run).saved_model is not None


def finished(run: RunContext) -> list[str]:
    """The splits that a finished run has metrics of."""
    return sorted({name.partition("/")[0] for name in _finish(run).metrics})


def verified(run: RunContext) -> bool:
    """Whether a finished run's export is verified."""
    seen = []
    _finish(run, export=lambda *_, options, **__: seen.append(options.verify) or Path("1"))
    return seen[0]


def watched(run: RunContext | UserError) -> object:
    """Who listens to the run, and whether evaluations are drawn; or why there is no run."""
    if isinstance(run, UserError):
        return str(run)
    callbacks = build_callbacks(run, create_run_dir("watched", "watched"))
    return [type(one).__name__ for one in callbacks], [
        vars(one).get("_pictures") is not None for one in callbacks
    ]


def projected(run: RunContext) -> int:
    """How many texts the embedding projector gets."""
    vectors = pooled_vectors(run, build_trained_model(run), None)
    return 0 if vectors is None else len(vectors)


def loading(run: RunContext | UserError) -> str:
    """What was found, or the error that says why nothing was."""
    return str(run) if isinstance(run, UserError) else run.data.source.name


# They look at data and plan alone: one encoder, which nobody changes, serves all of them.
NEED_NO_MODEL = (examples, batches, test_tokens, labels, durations, strategy, loading)


# --- the table


class Probe(NamedTuple):
    value: Any  # unlike the base's
    observe: Callable[[RunContext], object]  # where it must show
    given: Mapping[str, Any] = {}  # what the setting needs to matter, in the base as well


# Only a shipped recipe whose data the user did not choose falls back on the sample.
SHIPPED = {
    "recipe": "imdb_quick",
    "model.preset": "tiny_random",
    "training.dtype_policy": "float32",
    "data.train_examples": 20,
    "data.test_examples": 20,
}
FILES = {"data.dataset": "files", "data.train_files": ("a.csv",), "model.preset": "tiny_random"}
NUMBERS = {**FILES, "data.label_column": "stars", "data.label_kind": "number"}
SEVERAL = {**FILES, "data.label_column": "tags", "data.label_kind": "multi"}
WINDOWS = {"model.truncation": "windows"}
LORA = {"adapter.method": "lora"}
BOTH = {"data.keep_train_test_duplicates": True}
PROBES = {
    "data.train_split": Probe("test", examples, BOTH),
    "data.validation_split": Probe("test", examples),
    "data.test_splits": Probe(("train",), examples, BOTH),
    "data.train_files": Probe(("a.csv", "b.csv"), examples, FILES),
    "data.validation_files": Probe(("b.csv",), examples, FILES),
    "data.test_files": Probe(("b.csv",), examples, FILES),
    "data.format": Probe("jsonl", loading, FILES),
    "data.delimiter": Probe("|", loading, FILES),
    "data.text_column": Probe("body", batches, FILES),
    "data.text_pair_column": Probe("body", batches, FILES),
    "data.label_column": Probe("stars", labels, FILES),
    "data.label_columns": Probe(("warm", "cold"), labels, FILES),
    "data.group_column": Probe("author", examples, FILES),
    "data.label_kind": Probe("number", labels, {**FILES, "data.label_column": "stars"}),
    "data.label_separator": Probe("+", labels, SEVERAL),
    "data.oversample": Probe(True, examples),
    "data.dataset": Probe("imdb_reviews", loading),
    "data.data_dir": Probe("no/such/folder", loading, {"data.dataset": "imdb_reviews"}),
    "data.train_examples": Probe(20, examples),
    "data.test_examples": Probe(20, examples),
    "data.validation_fraction": Probe(0.2, examples),
    "data.break_tags": Probe("keep", batches),
    "data.keep_train_test_duplicates": Probe(True, examples),
    "data.allow_builtin_sample": Probe(False, loading, SHIPPED),
    "model.preset": Probe("./no_such_preset", loading),
    "model.sequence_length": Probe(12, test_tokens),
    "model.truncation": Probe("tail", batches),
    "model.head_fraction": Probe(0.9, batches),
    "model.window_stride": Probe(4, batches, WINDOWS),
    "model.max_windows": Probe(1, batches, WINDOWS),
    "model.minimum_value": Probe(4.5, evaluation, {**NUMBERS, "data.test_files": ("b.csv",)}),
    "model.maximum_value": Probe(1.5, evaluation, {**NUMBERS, "data.test_files": ("b.csv",)}),
    "model.init_from": Probe("no/such/run", starting),
    "model.pooling": Probe("cls", weights),
    "model.dropout": Probe(0.3, weights),
    "model.attention_dropout": Probe(0.5, weights),
    "model.head_dropout": Probe(0.3, weights),
    "training.epochs": Probe(2.0, durations),
    "training.steps": Probe(9, durations),
    "training.examples": Probe(90, durations),
    "training.stop_after_epochs": Probe(0.1, durations),
    "training.warmup_steps": Probe(3, weights),
    "training.warmup_epochs": Probe(0.1, weights),
    "training.warmup_examples": Probe(20, weights),
    "training.warmup_fraction": Probe(0.5, weights),
    "training.evaluate_every_steps": Probe(2, durations),
    "training.evaluate_every_epochs": Probe(0.1, durations),
    "training.evaluate_every_examples": Probe(20, durations),
    "training.checkpoint_every_steps": Probe(2, durations),
    "training.checkpoint_every_epochs": Probe(0.1, durations),
    "training.checkpoint_every_examples": Probe(20, durations),
    "training.checkpoint_every_minutes": Probe(2.5, durations),
    "training.keep_checkpoints": Probe(3, durations),
    "training.mode": Probe("features", trained),
    "training.unfreeze_every_steps": Probe(2, durations),
    "training.unfreeze_every_epochs": Probe(0.1, durations),
    "training.unfreeze_every_examples": Probe(20, durations),
    "training.sequence_length": Probe(12, batches),
    "training.batch_size": Probe(8, batches),
    "training.gradient_accumulation_steps": Probe(2, parts),
    "training.optimizer": Probe("lion", weights),
    "training.schedule": Probe("cosine", later_weights),
    "training.learning_rate": Probe(0.02, weights),
    "training.head_learning_rate": Probe(0.1, weights),
    "training.layer_decay": Probe(0.5, weights),
    "training.end_learning_rate": Probe(0.005, later_weights),
    "training.decay_power": Probe(2.0, later_weights),
    "training.weight_decay": Probe(0.5, weights),
    "training.beta_1": Probe(0.5, weights),
    "training.beta_2": Probe(0.9, weights),
    "training.epsilon": Probe(1e-3, weights),
    "training.momentum": Probe(0.9, later_weights, {"training.optimizer": "sgd"}),
    "training.global_clipnorm": Probe(0.0, weights),
    "training.seed": Probe(2, weights),
    "training.dtype_policy": Probe("mixed_bfloat16", weights),
    "training.jit_compile": Probe(True, compiled),
    "training.strategy": Probe("mirrored", strategy),
    "training.all_reduce_dtype": Probe("bfloat16", sent, {"training.strategy": "mirrored"}),
    "training.loss": Probe("focal", weights),
    "training.focal_gamma": Probe(0.5, weights, {"training.loss": "focal"}),
    "training.huber_delta": Probe(0.1, weights, {**NUMBERS, "training.loss": "huber"}),
    "training.label_smoothing": Probe(0.5, weights),
    "training.class_weights": Probe("neg=5", weights),
    "training.monitor": Probe("validation/log_loss", durations),
    "training.early_stopping_patience": Probe(1, durations),
    "training.on_divergence": Probe("skip", durations),
    "training.divergence_factor": Probe(4.0, durations),
    "training.max_divergences": Probe(1, given_up, {"training.on_divergence": "skip"}),
    "training.ema_decay": Probe(0.9, averaged),
    "training.average_checkpoints": Probe(2, durations),
    "training.average_from": Probe("last", durations, {"training.average_checkpoints": 2}),
    "training.length_group_batches": Probe(1, batches),
    "training.profile_steps": Probe("1-2", watched),
    "freezing.embeddings": Probe(True, trained),
    "freezing.lowest_layers": Probe(1, trained),
    "freezing.encoder": Probe(True, trained),
    "regularization.l1": Probe(0.1, weights),
    "regularization.l2": Probe(0.1, weights),
    "regularization.l2_sp": Probe(0.9, weights),
    "regularization.stochastic_depth": Probe(0.9, weights),
    "regularization.r_drop": Probe(5.0, weights),
    "regularization.adversarial_epsilon": Probe(1.0, weights),
    "regularization.mixup_alpha": Probe(0.5, weights),
    "regularization.reinitialize_layers": Probe(1, weights),
    "augmentation.share": Probe(0.5, batches, {"augmentation.swap": 0.5}),
    "augmentation.deletion": Probe(0.3, batches),
    "augmentation.swap": Probe(0.3, batches),
    "augmentation.word_dropout": Probe(0.3, batches),
    "augmentation.typos": Probe(0.3, batches),
    "augmentation.casing": Probe(0.3, loading),  # refused: tiny_random reads in lower case
    "adapter.method": Probe("bitfit", weights),
    "adapter.matrices": Probe(("key",), weights, LORA),
    "adapter.rank": Probe(4, weights, LORA),
    "adapter.alpha": Probe(8.0, weights, LORA),
    "adapter.dropout": Probe(0.5, weights, LORA),
    "adapter.bottleneck_dim": Probe(32, weights, {"adapter.method": "houlsby"}),
    "adapter.init_from": Probe("no/such/adapter", starting, LORA),
    "performance.gradient_checkpointing": Probe(True, kept),
    "performance.attention_chunk": Probe(4, weights),  # other numbers are drawn for the dropout
    "performance.lazy_embeddings": Probe(False, weights),  # equal up to rounding
    "performance.kernels": Probe(False, kernels),  # `test_kernels.py`: what they are in a step
    "performance.pad_length_to": Probe(16, widths, {"model.sequence_length": 14}),
    "evaluation.batch_size": Probe(32, evaluation),
    "evaluation.headline": Probe("f1_macro", durations),
    "evaluation.test": Probe(False, finished),
    "evaluation.tune_thresholds": Probe(False, thresholds, SEVERAL),
    "evaluation.bootstrap_resamples": Probe(1, evaluation),
    "evaluation.calibration_bins": Probe(2, evaluation),
    "export.enabled": Probe(False, exported),
    "export.name": Probe("mine", export_folder),
    "export.directory": Probe("elsewhere", export_folder),
    "export.verify": Probe(False, verified),
    "logging.norms_every_steps": Probe(0, durations),
    "logging.plots": Probe(False, watched),
    "logging.projector_texts": Probe(3, projected),
    "logging.wandb": Probe("films", watched),
}


# --- the tests


def small_sample(split: str):
    """A part of the built-in sample, with tags in some texts and some of test in train."""
    texts = list(iterate_builtin_sample(split))[:: 10 if split == "train" else 8]
    if split == "train":
        texts += list(small_sample("test"))[:8]
    for index, (text, label) in enumerate(texts):
        yield ("<br /><br />" + text if index % 2 and split == "train" else text), label


def _table(numbers: range) -> str:
    """A CSV file of the user's, with several columns to choose from."""
    rows = [
        f"a long text number {n},other words {n * 7},{'yes' if n % 3 else 'no'},{n % 5 + 1},"
        f"red;gr+een{';blue' if n % 2 else ''},author {n % 7},{n % 2},{n % 3 % 2}"
        for n in numbers
    ]
    return "\n".join(["text,body,label,stars,tags,author,warm,cold", *rows]) + "\n"


def no_download(dataset, folder):
    raise DownloadError("no network in this test")


@pytest.fixture(scope="module")
def observe(tmp_path_factory):
    """Observes a run of the base recipe with some settings changed; remembers what it saw."""
    folder = tmp_path_factory.mktemp("no_dead_settings")
    load_once = functools.cache(load_preset)
    base = folder / "base.toml"
    base.write_text(BASE)
    for name, start in (("a.csv", 0), ("b.csv", 60)):
        (folder / name).write_text(_table(range(start, start + 60)), encoding="utf-8")

    def look(function, changes: Mapping[str, Any]):
        changes = dict(changes)
        recipe = load_recipe(changes.pop("recipe", base), changes)
        load = load_once if function in NEED_NO_MODEL else load_preset
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(assembly, "load_preset", load)
            try:
                run = load_context(recipe)
            except UserError as error:
                return function(error)
            return function(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("KERASFT_CACHE", str(folder / "cache"))
        patch.setattr(sources, "iterate_builtin_sample", small_sample)
        patch.setattr(sources, "search_folders", lambda: [folder / "tfds"])
        patch.setattr(sources, "download", no_download)
        cached = functools.cache(lambda function, items: look(function, dict(items)))

        def remembered(function, changes, *, anew=False):
            return look(function, changes) if anew else cached(function, tuple(changes.items()))

        yield remembered


def test_every_field_has_a_probe():
    """A new one: say in PROBES where it shows when it is changed."""
    assert set(PROBES) == {field.name for field in describe_fields()}


@pytest.mark.parametrize("name", [field.name for field in describe_fields()])
def test_a_changed_setting_changes_the_run(name, observe):
    probe = PROBES[name]
    changed = observe(probe.observe, {**probe.given, name: probe.value})
    assert changed != observe(probe.observe, probe.given)


@pytest.mark.parametrize(
    "function",
    dict.fromkeys(probe.observe for probe in PROBES.values()),
    ids=lambda function: function.__name__,
)
def test_control_an_unchanged_run_is_seen_unchanged(function, observe):
    """What is random or depends on the time would differ for any setting."""
    assert observe(function, {}, anew=True) == observe(function, {})


def test_control_a_dead_setting_would_be_seen(observe):
    """The name of the export has no bearing on training."""
    assert observe(weights, {"export.name": "mine"}) == observe(weights, {})
