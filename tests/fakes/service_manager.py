"""A service manager within the process: remembers what it was told."""

import asyncio


class FakeServiceManager:
    """Implements interfaces.ServiceManager."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._news = asyncio.Event()

    def notify(self, *lines: str) -> bool:
        self.told += lines
        self._news.set()
        return True

    async def until(self, line: str, within: float = 10.0) -> None:
        async with asyncio.timeout(within):
            while line not in self.told:
                self._news.clear()
                await self._news.wait()
