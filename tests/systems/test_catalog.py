"""The catalogue finds files by being there and reads cards without importing."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import SettingsError
from workbench.systems import catalog


def test_a_new_file_is_found_without_any_registration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = "\n\n".join(f"{name.capitalize()}: something about Section 3.4, Figure 1" for name in catalog.FIELDS)
    (tmp_path / "detection").mkdir()
    (tmp_path / "detection" / "new2030.py").write_text(
        f'"""A new system.\n\n{fields}\n"""\nraise SystemExit("imported!")\n'
    )
    monkeypatch.setattr(catalog, "FOLDER", tmp_path)
    (card,) = catalog.cards()
    assert (card.name, card.kind, card.section, card.title) == ("new2030", "detection", "3.4", "A new system")


def test_an_incomplete_card_names_what_it_lacks(tmp_path: Path) -> None:
    (file := tmp_path / "bad.py").write_text('"""A title.\n\nReview: Section 2\n"""\n')
    with pytest.raises(ValueError, match="lacks citation, input, network, training, output, reported, departs"):
        catalog.read_card(file)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="wu2016"):
        catalog.card("wu2061")
