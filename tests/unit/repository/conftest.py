"""A GnuPG home, which gpg finds as that of who publishes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.package.published import Publisher


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """Who has a GnuPG home without keys."""
    publisher = Publisher(tmp_path / "publisher")
    monkeypatch.setenv("GNUPGHOME", str(publisher.home))
    yield publisher
    publisher.close()
