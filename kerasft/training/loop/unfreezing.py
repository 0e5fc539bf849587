"""Gradual unfreezing: head and top layer first, then one more layer every n steps."""

from __future__ import annotations

import dataclasses

from kerasft.models.depth import encoder_groups, thaw_from_top
from kerasft.training.step.optimizer import AdamW
from kerasft.training.step.private import built_variables


@dataclasses.dataclass(frozen=True)
class GradualUnfreezing:
    """Decides which layers are trained, as a pure function of the step, so a resume agrees.

    Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification".

    Args:
        every: Steps after which one more layer is trained; 0 trains all from the start.
    """

    every: int = 0

    def groups_at(self, step: int) -> int:
        """Returns how many groups of layers, from the top, are trained after `step` steps."""
        return 1 + step // self.every

    def changes_at(self, model, step: int) -> bool:
        """Returns whether another layer unfreezes once `step` steps are done."""
        if not self.every or step == 0 or step % self.every:
            return False
        return self.groups_at(step) <= len(encoder_groups(model.encoder))

    def set_stage(self, model, step: int) -> None:
        """Sets which variables are trained after `step` steps; the optimizer keeps its moments.

        The model is not compiled yet or has an `AdamW`. A checkpoint of `step` is saved before the
        layer of that step unfreezes: to restore it, set the stage of `step - 1`.
        """
        if not self.every:
            return
        thaw_from_top(model.encoder, self.groups_at(step))
        old = getattr(model, "optimizer", None)
        if old is None or len(built_variables(old)) == len(model.trainable_variables):
            return
        optimizer = AdamW.from_config(old.get_config())
        optimizer.loss_scale = old.loss_scale
        optimizer.build(model.trainable_variables)
        kept = {variable.path: variable for variable in old.variables}
        for variable in optimizer.variables:
            if variable.path in kept:
                variable.assign(kept[variable.path])
        model.optimizer = optimizer
