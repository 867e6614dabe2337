"""Passwords, tokens and keys do not reach a log, whoever writes it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler.cli.main import main
from osler.logs import MASK, mask_secrets, masked

SECRET = "hunter2-Zq9x"


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """Return a logger of no library of ours, and what its handler writes."""
    before = logging.getLogRecordFactory()
    mask_secrets()
    mask_secrets()
    stream = io.StringIO()
    handler, logger = logging.StreamHandler(stream), logging.getLogger("somebody.else")
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, stream
    logger.removeHandler(handler)
    logging.setLogRecordFactory(before)


@pytest.mark.parametrize(
    "text",
    [
        f"could not reach postgresql+psycopg://osler:{SECRET}@db:5432/osler",
        f"GET https://pacs.example/dicom-web?token={SECRET}&limit=3",
        f"Authorization: Bearer {SECRET}",
        f"headers={{'Authorization': 'Basic {SECRET}'}}",
        f"Login(user='eva', password='{SECRET}')",
        f'{{"client_secret": "{SECRET}"}}',
        f"OSLER_DATABASE_PASSWORD={SECRET}",
        f"api_key: {SECRET}",
        f"AWS_SECRET_ACCESS_KEY = {SECRET}",
    ],
)
def test_a_secret_is_masked_and_the_rest_stays(log: tuple[logging.Logger, io.StringIO], text: str) -> None:
    logger, stream = log
    logger.warning(text)
    logger.warning("%s", text)
    logger.warning("tried %(what)s", {"what": text})
    written = stream.getvalue()
    assert SECRET not in written
    assert written.count(MASK) == 3
    assert text.partition(SECRET)[0] in written


def test_a_secret_in_a_traceback_is_masked(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    try:
        raise ValueError(f"bad address http://eva:{SECRET}@host/")
    except ValueError:
        logger.exception("failed")
    assert SECRET not in stream.getvalue()
    assert "ValueError: bad address http://eva:***@host/" in stream.getvalue()


def test_a_secret_of_the_environment_is_masked_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_DICOMWEB_PASSWORD", SECRET)
    monkeypatch.setenv("OSLER_SHORT_TOKEN", "on")
    assert masked(f"sent {SECRET} on port 80") == f"sent {MASK} on port 80"


@pytest.mark.parametrize(
    "text",
    [
        "12 tokens of 49 places were pooled",
        "https://pacs.example:8080/dicom-web/studies?limit=3",
        "the password was wrong",
        "key 3f2a of the cache",
        "study 1.2.3: token grid 7 x 7",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert masked(text) == text


@given(st.text(max_size=60))
def test_masking_twice_is_masking_once(text: str) -> None:
    once = masked(f"password={text} http://a:{text}@b")
    assert masked(once) == once


def test_arguments_that_do_not_fit_are_not_written(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    logger.warning("%d and %d", SECRET)  # noqa: PLE1206 - as somebody's library may
    assert SECRET not in stream.getvalue()
    assert "does not fit" in stream.getvalue()


def test_the_command_line_masks(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)  # another test may have called the command line in this process
    try:
        for more in ([], ["--json"]):
            assert main(["model", "list", "--workspace", f"http://eva:{SECRET}@host", *more]) == 1
        assert logging.getLogRecordFactory() is not logging.LogRecord
    finally:
        logging.setLogRecordFactory(before)
    told = capsys.readouterr()
    assert SECRET not in told.out + told.err
    assert MASK in told.err
