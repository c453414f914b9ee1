"""Names that do not resolve, or only after half a minute: what waits for them, and what does not."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from appliance.name_lookup import AT_ONCE, look_up


@dataclass
class Resolver:
    """In the place of the system's. What is asked hangs while `hangs`, and then fails with `fault` or succeeds."""

    asked: list[str] = field(default_factory=list)
    fault: Exception | None = None
    free: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)

    def __call__(self, host: str, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host)
        free = self.free
        self.begun.set()
        free.wait(5.0)
        if self.fault is not None:
            raise self.fault
        return []

    def hang(self) -> None:
        self.free = threading.Event()

    def answer(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.free.set()


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    for name in ("all_proxy", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    resolver = Resolver()
    resolver.free.set()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.free.set()


async def test_a_name_that_has_an_address_is_found(resolver: Resolver) -> None:
    await look_up("api.example.com")
    assert resolver.asked == ["api.example.com"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]"])
async def test_an_address_is_not_looked_up(resolver: Resolver, host: str) -> None:
    await look_up(host)
    assert resolver.asked == []


@pytest.mark.parametrize("fault", [socket.gaierror(-2, "unknown"), UnicodeError("label too long")])
async def test_a_name_that_has_none_is_told_as_such(resolver: Resolver, fault: Exception) -> None:
    resolver.answer(fault)
    with pytest.raises(socket.gaierror):
        await look_up("nowhere.example.com")


async def test_dials_that_give_up_leave_the_threads_to_others(resolver: Resolver) -> None:
    resolver.hang()
    for _ in range(3 * AT_ONCE):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await look_up("slow.example.com")
    async with asyncio.timeout(1.0):
        assert await asyncio.to_thread(lambda: "at once") == "at once"
    assert len(resolver.asked) == AT_ONCE


async def test_one_that_hangs_does_not_keep_a_later_one_waiting(resolver: Resolver) -> None:
    resolver.hang()
    first = asyncio.create_task(look_up("back.example.com"))
    await asyncio.to_thread(resolver.begun.wait, 5.0)
    hung = resolver.free
    resolver.free = threading.Event()
    resolver.free.set()
    async with asyncio.timeout(1.0):
        await look_up("back.example.com")
        await first
    hung.set()


async def test_behind_a_proxy_the_proxy_looks_names_up(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    await look_up("api.example.com")
    assert resolver.asked == []
    monkeypatch.setenv("no_proxy", "api.example.com")
    await look_up("api.example.com")
    assert resolver.asked == ["api.example.com"]
