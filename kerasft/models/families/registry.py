"""All families. A new one is a file of its own, and a row here."""

from __future__ import annotations

from kerasft.errors import UserError
from kerasft.models.families.bert import BERT
from kerasft.models.families.distil_bert import DISTIL_BERT
from kerasft.models.families.electra import ELECTRA
from kerasft.models.families.family import Family

FAMILIES = [BERT, DISTIL_BERT, ELECTRA]


def family_of(backbone: object) -> Family:
    """Returns the family of a backbone.

    Raises:
        UserError: It is of none.
    """
    for family in FAMILIES:
        if isinstance(backbone, family.backbone):
            return family
    raise UserError(
        f"{type(backbone).__name__} is not supported: its layers are unknown.",
        expected=f"an encoder of one of the families {', '.join(f.name for f in FAMILIES)}",
        fix="set another model.preset.",
    )
