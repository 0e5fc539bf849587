"""What every pipeline does: recipe, data, training, final evaluation, export."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from kerasft.training.events import AllEvents, Events, HistoryEvents, read_history, rewind_history
from kerasft.training.tensorboard import TensorBoardEvents, rewind_tensorboard

from kerasft.data.sources import BUILTIN_SAMPLE
from kerasft.errors import UserError
from kerasft.models.presets import Preset
from kerasft.pipelines import assembly, outcome
from kerasft.recipe import Recipe, load_recipe
from kerasft.run_dir import RunDir, create_run_dir, describe_environment
from kerasft.tasks.classification import Classification
from kerasft.training.checkpoint import restore_latest
from kerasft.training.fit import Fit, FitSettings, FitState, TrainingData, checkpointed_variables
from kerasft.training.interrupt import Interrupted, InterruptRequested
from kerasft.training.precision import resolve_dtype_policy
from kerasft.training.strategy import build_strategy, describe_strategy


@dataclasses.dataclass(frozen=True)
class Run:
    """What a finished run left behind, as plain data.

    Args:
        path: The run directory.
        metrics: Flat metrics, `test/accuracy`, `validation/log_loss`, ...
        saved_model: The exported model's version folder; `None` if export is off.
        history: One mapping a step, as in `history.csv`.
        train: `examples_per_second`, `tokens_per_second`, `seconds`, `steps`, ...
        preset: The encoder's name.
        data: Name of the data source.
    """

    path: Path
    metrics: dict[str, float]
    saved_model: Path | None
    history: list[dict]
    train: dict[str, float]
    preset: str
    data: str

    def to_json(self) -> dict[str, object]:
        """Returns the object that `--json` prints."""
        return {
            "run_dir": str(self.path),
            "saved_model": None if self.saved_model is None else str(self.saved_model),
            "metrics": self.metrics,
            "train": self.train,
            "preset": self.preset,
            "data": self.data,
        }


def run(
    recipe: Recipe,
    *,
    resume: RunDir | None = None,
    events: Sequence[Events] = (),
    runs_folder: str | Path = "runs",
) -> Run:
    """Runs a recipe to its end.

    Args:
        recipe: What to run. When resuming, the run's own.
        resume: The run directory to go on in; a new one is made if `None`.
        events: Told what happens, beside TensorBoard and `history.csv`.
        runs_folder: Where a new run directory is made.

    Raises:
        UserError: For a mistake in recipe, data or surroundings.
        Interrupted: After Ctrl-C, when a checkpoint has been saved.
    """
    run_dir = resume or create_run_dir(recipe.name, runs_folder)
    with run_dir.lock():
        if resume is None:
            recipe = _settle(recipe)
            run_dir.write_text("recipe.toml", recipe.to_toml())
        elif run_dir.metrics_path.exists():
            raise UserError(
                f"The run {run_dir.path} is finished: there is nothing to resume.",
                fix="start a new run, without --resume.",
            )
        run_dir.write_json("environment.json", describe_environment())
        return _Session(recipe, run_dir, events).run()


def build(recipe: Recipe):
    """Builds the compiled model of a recipe, to be trained with `fit`.

    The data is read, since the schedule's length and the label names depend on it.
    """
    recipe = _settle(recipe)
    session = _Session(recipe, None, ())
    session.load()
    return session.build_model()


def _settle(recipe: Recipe) -> Recipe:
    """Replaces what depends on the machine by what it means here, so that a resume keeps it."""
    policy = resolve_dtype_policy(recipe.training.dtype_policy)
    training = dataclasses.replace(recipe.training, dtype_policy=policy)
    return dataclasses.replace(recipe, training=training)


class _Session:
    """One run, from its recipe to its results."""

    def __init__(self, recipe: Recipe, run_dir: RunDir | None, events: Sequence[Events]):
        self.recipe = recipe
        self.run_dir = run_dir
        self.events = AllEvents(list(events))

    def run(self) -> Run:
        """Trains, evaluates and exports."""
        assembly.seed_everything(self.recipe.training.seed)
        self.load()
        model = self.build_model()
        state = self._restore(model)
        self._listen(state)
        try:
            self._fit(model, state)
        except InterruptRequested as error:
            raise Interrupted(self.run_dir.path, state.step) from error
        finally:
            self.events.close()
        return self._finish(state)

    def load(self) -> None:
        """Finds the devices, the preset and the data."""
        recipe = self.recipe
        self.strategy = build_strategy(recipe.training.strategy)
        self._check_devices()
        with self.strategy.scope():
            self.preset: Preset = assembly.load_recipe_preset(
                recipe, dtype=recipe.training.dtype_policy
            )
        self.preprocessor = assembly.build_preprocessor(recipe, self.preset)
        self.data = assembly.load_data(recipe, self.preprocessor, announce=self.events.on_message)
        self.task = Classification(self.data.source.label_names)
        self.plan = assembly.build_plan(recipe, self.data)
        self.total_steps = assembly.steps_of(recipe, self.plan, "run")

    def build_model(self):
        """Builds and compiles the model under the strategy."""
        warmup_steps = assembly.steps_of(self.recipe, self.plan, "warmup", self.total_steps)
        with self.strategy.scope():
            model = assembly.build_model(self.recipe, self.preset, self.task)
            assembly.compile_model(
                model,
                self.recipe,
                self.task,
                total_steps=self.total_steps,
                warmup_steps=warmup_steps,
            )
        return model

    def _check_devices(self) -> None:
        """Refuses what cannot work on these devices."""
        on_cpu = not tf.config.list_logical_devices("GPU")
        if self.recipe.training.jit_compile and on_cpu and self.strategy.num_replicas_in_sync > 1:
            raise UserError(
                "XLA does not compile a step for several CPU replicas.",
                received="training.jit_compile=true with training.strategy=mirrored on CPUs",
                fix="set training.jit_compile=false or training.strategy=one_device.",
            )

    def _restore(self, model) -> FitState:
        """Goes back to the run's latest checkpoint, if there is one."""
        saved = restore_latest(
            self.run_dir.checkpoints_folder,
            checkpointed_variables(model),
            warn=self.events.on_message,
        )
        if saved is None:
            return FitState()
        state = FitState.from_checkpoint(saved)
        self.events.on_message(f"Resuming {self.run_dir.path} after step {state.step}.")
        return state

    def _listen(self, state: FitState) -> None:
        """Adds TensorBoard and the history, rewound to the step that training goes on from."""
        run_dir = self.run_dir
        rewind_tensorboard(run_dir.tensorboard_folder, state.step)
        rewind_history(run_dir.history_path, state.step)
        self.events.listeners += [
            TensorBoardEvents(run_dir.tensorboard_folder, self.recipe.to_toml()),
            HistoryEvents(run_dir.history_path),
        ]

    def _fit(self, model, state: FitState) -> None:
        recipe, plan = self.recipe, self.plan
        settings = FitSettings(
            total_steps=self.total_steps,
            evaluate_every=assembly.steps_of(recipe, plan, "evaluate_every", self.total_steps),
            checkpoint_every=assembly.steps_of(recipe, plan, "checkpoint_every", self.total_steps),
            monitor=recipe.training.monitor,
            patience=recipe.training.early_stopping_patience,
        )
        data = TrainingData(
            plan=plan,
            batches=assembly.train_batches(
                self.data,
                plan,
                total_steps=self.total_steps,
                replicas=self.strategy.num_replicas_in_sync,
            ),
            evaluate=lambda on_batch: self._validate(model, on_batch),
        )
        Fit(
            model,
            self.strategy,
            data=data,
            settings=settings,
            folder=self.run_dir.checkpoints_folder,
            state=state,
            events=self.events,
        ).run()

    def _validate(self, model, on_batch) -> dict[str, float]:
        labels = self.data.labels("validation")
        self.events.on_evaluation_start("validation", len(labels))
        logits = assembly.split_logits(
            model,
            self.data,
            "validation",
            batch_size=self.recipe.evaluation.batch_size,
            on_batch=on_batch,
        )
        return self.task.evaluate(labels, logits)

    def _finish(self, state: FitState) -> Run:
        """Evaluates the best weights in float32, writes the results, exports."""
        result = self._outcome()
        model = result.best_model()
        facts = result.evaluate(model, self.data, "test", self.events)
        metrics = self._validation_metrics(result, model, state) | outcome.flat_metrics(facts)
        self.events.on_evaluation("test", state.step, facts.metrics, best=False)
        outcome.write_report(
            result, self.data, state, facts, device=describe_strategy(self.strategy)
        )
        finished = Run(
            path=self.run_dir.path,
            metrics=metrics,
            saved_model=None,
            history=read_history(self.run_dir.history_path),
            train=outcome.training_figures(state),
            preset=self.recipe.model.preset,
            data=self.data.source.name,
        )
        if self.recipe.export.enabled:
            saved_model = result.export(model, metrics=metrics, on_sample=self.on_sample, name=None)
            finished = dataclasses.replace(finished, saved_model=saved_model)
        # Written last: it marks the run as finished.
        details = {"label_names": self.task.label_names, "confusion": facts.confusion}
        self.run_dir.write_json("metrics.json", finished.to_json() | details)
        return finished

    @property
    def on_sample(self) -> bool:
        """Whether the run trains on the built-in sample."""
        return self.data.source.name == BUILTIN_SAMPLE

    def _outcome(self) -> outcome.Outcome:
        preset = assembly.load_recipe_preset(self.recipe, dtype="float32")
        return outcome.Outcome(self.recipe, self.run_dir, preset, self.preprocessor, self.task)

    def _validation_metrics(self, result, model, state: FitState) -> dict[str, float]:
        """Returns the best step's validation metrics; measured anew if training was not float32."""
        if self.recipe.training.dtype_policy != "float32":
            facts = result.evaluate(model, self.data, "validation", self.events)
            return outcome.flat_metrics(facts)
        best = next(e for e in state.evaluations if e["step"] == state.best_step)
        return {f"validation/{name}": value for name, value in best.items() if name != "step"}


def evaluate_run(
    run_dir: RunDir, events: Sequence[Events] = (), split: str = "test"
) -> dict[str, float]:
    """Evaluates a run's best checkpoint again, in float32; returns flat metrics.

    Raises:
        UserError: If the run has no best checkpoint yet.
    """
    session = _open_session(run_dir, events)
    session.load()
    result = session._outcome()
    facts = result.evaluate(result.best_model(), session.data, split, session.events)
    return outcome.flat_metrics(facts)


def export_run(run_dir: RunDir, events: Sequence[Events] = (), name: str | None = None) -> Path:
    """Exports a run's best checkpoint again; returns the version folder.

    Raises:
        UserError: If the run has no best checkpoint yet, or was never finished.
    """
    session = _open_session(run_dir, events)
    recorded = run_dir.read_json("metrics.json")
    recipe = session.recipe
    preset = assembly.load_recipe_preset(recipe, dtype="float32")
    result = outcome.Outcome(
        recipe,
        run_dir,
        preset,
        assembly.build_preprocessor(recipe, preset),
        Classification(recorded["label_names"]),
    )
    return result.export(
        result.best_model(),
        metrics=recorded["metrics"],
        on_sample=recorded["data"] == BUILTIN_SAMPLE,
        name=name,
    )


def _open_session(run_dir: RunDir, events: Sequence[Events]) -> _Session:
    outcome.require_best(run_dir)
    return _Session(load_run_recipe(run_dir), run_dir, events)


def load_run_recipe(run_dir: RunDir) -> Recipe:
    """Reads the recipe that a run was made with."""
    return load_recipe(run_dir.recipe_path)
