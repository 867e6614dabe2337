"""One line at the processor: what is asked twice is worked out once, and who stops waiting harms nobody."""

from __future__ import annotations

import asyncio
import threading

import pytest

from osler.api.turns import Turns
from osler_contracts.codes import Code
from osler_contracts.errors import OslerError


def test_one_question_is_worked_out_once_for_all_who_ask() -> None:
    async def ask() -> tuple[list[int], int]:
        turns, made = Turns(10, 60.0), []

        def work() -> int:
            made.append(1)
            return len(made)

        free = threading.Event()
        turns.begin(free.wait)
        waiting = [asyncio.create_task(turns.run("a", work)) for _ in range(20)]
        await asyncio.sleep(0)
        assert turns.waiting == 1
        free.set()
        found = await asyncio.gather(*waiting)
        turns.close()
        return found, len(made)

    assert asyncio.run(ask()) == ([1] * 20, 1)


def test_answers_come_in_the_order_of_the_questions() -> None:
    async def ask() -> list[int]:
        turns, done = Turns(100, 60.0), []
        await asyncio.gather(*(turns.run(number, lambda number=number: done.append(number)) for number in range(50)))
        turns.close()
        return done

    assert asyncio.run(ask()) == list(range(50))


def test_who_gives_up_leaves_the_answer_to_others() -> None:
    async def ask() -> str:
        turns, free = Turns(10, 0.05), threading.Event()

        def work() -> str:
            free.wait()
            return "answer"

        with pytest.raises(OslerError) as caught:
            await turns.run("a", work)
        assert caught.value.code is Code.OVERLOADED
        second = asyncio.create_task(turns.run("a", work))
        await asyncio.sleep(0)
        free.set()
        found = await second
        turns.close()
        return found

    assert asyncio.run(ask()) == "answer"


def test_what_goes_wrong_is_told_to_who_asked_and_to_nobody_later() -> None:
    async def ask() -> int:
        turns = Turns(10, 60.0)

        def fail() -> int:
            raise OslerError(Code.NOTHING_ELIGIBLE, "a", "b")

        with pytest.raises(OslerError):
            await turns.run("a", fail)
        found = await turns.run("a", lambda: 7)
        turns.close()
        return found

    assert asyncio.run(ask()) == 7


def test_after_closing_it_can_be_opened_again() -> None:
    async def ask() -> int:
        turns = Turns(10, 60.0)
        turns.close()
        turns.open()
        found = await turns.run("a", lambda: 7)
        turns.close()
        return found

    assert asyncio.run(ask()) == 7
