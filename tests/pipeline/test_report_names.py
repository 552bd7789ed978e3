"""What slides and patients are called in a report that must not tell their ids."""

import re

import pytest

from patching.errors import ConfigError
from pipeline.report.names import Names, names_of


def test_ids_are_printed_as_they_are_unless_asked() -> None:
    names = names_of(hash_ids=False, salt="$(NOWHERE_SET:-)")
    assert (names.slide("007"), names.patient("p 1"), names.patch("a@b@30_4")) == ("007", "p 1", "a@b@30_4")


def test_a_hash_tells_slides_apart_and_keeps_places() -> None:
    names = Names("salt")
    assert re.fullmatch(r"slide-[0-9a-f]{12}", names.slide("007"))
    assert names.slide("007") == names.slide("007") != names.slide("07")
    assert names.patient("007").removeprefix("patient-") != names.slide("007").removeprefix("slide-")
    assert names.patch("007@30_4") == f"{names.slide('007')}@30_4"
    assert "007" not in names.patch("007")


def test_another_salt_gives_other_names() -> None:
    assert Names("one").slide("s") != Names("two").slide("s")


def test_a_hash_asks_for_a_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENPATCH_SALT", raising=False)
    with pytest.raises(ConfigError, match="without a salt"):
        names_of(hash_ids=True, salt="$(EVENPATCH_SALT:-)")
    monkeypatch.setenv("EVENPATCH_SALT", "mine")
    assert names_of(hash_ids=True, salt="$(EVENPATCH_SALT:-)") == Names("mine")
