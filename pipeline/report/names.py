"""What slides, patients and patches are called in the report: by their ids, or by a salted hash of them."""

import hashlib
from dataclasses import dataclass

from patching.errors import ConfigError
from pipeline.config import expanded

_DIGITS = 12
"""Of the hash: among ten million ids, two share one with a chance of one in five."""


@dataclass(frozen=True)
class Names:
    """Names to print, and to name files by.

    A hash keeps an id from being read, and from being guessed by those who lack the salt. It is the same in
    every report of the same salt, so that reports can be set side by side.

    Attributes:
        salt: what is hashed with every id; None where ids are printed as they are.
    """

    salt: str | None = None

    @property
    def hidden(self) -> bool:
        """Whether ids are hashed: texts and pictures of others that may hold one are then left out."""
        return self.salt is not None

    def slide(self, slide_id: object) -> str:
        """Name of a slide; letters, digits, `_`, `.` and `-`, as a slide's id is."""
        return self._named("slide", str(slide_id))

    def patient(self, patient_id: object) -> str:
        """Name of a patient."""
        return self._named("patient", str(patient_id))

    def patch(self, patch_id: object) -> str:
        """Name of a patch: its slide's with the place, `<slide>@<x>_<y>`."""
        slide_id, at, place = str(patch_id).rpartition("@")
        return f"{self.slide(slide_id)}{at}{place}" if at else self._named("patch", place)

    def _named(self, kind: str, name: str) -> str:
        if self.salt is None:
            return name
        # The kind too, or a slide that is called as its patient would say so.
        digest = hashlib.sha256(f"{self.salt}\0{kind}\0{name}".encode()).hexdigest()
        return f"{kind}-{digest[:_DIGITS]}"


def names_of(*, hash_ids: bool, salt: str) -> Names:
    """Names as configs/report.yaml asks for them.

    Args:
        hash_ids: whether to hash.
        salt: as in the settings; `$(NAME)` reads the environment.

    Raises:
        ConfigError: a hash without a salt, which whoever knows the ids could undo.
    """
    if not hash_ids:
        return Names()
    found = expanded(salt)
    if not found:
        raise ConfigError(
            has="`hash_ids: true` without a salt",
            needs="a secret of your own: without one, whoever has a list of ids finds out which is which",
            do="export EVENPATCH_SALT=..., or set `hash_salt` in the cohort's section `report`",
        )
    return Names(found)
