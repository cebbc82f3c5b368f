"""An event loop in virtual time, in which single routers can be stopped and continued like processes."""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from contextvars import Context, ContextVar, copy_context
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["PROCESS", "Killed", "Process", "VirtualLoop"]


class Killed(BaseException):
    """The process ends here, whatever it was about to do."""


class Process:
    """To the loop, all that was scheduled from within it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.is_stopped = False
        self.parked: list[tuple[Callable[..., object], tuple[Any, ...], Context]] = []


_TURNS_MAX = 50_000


PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)


class _Selector(selectors.SelectSelector):
    """Nothing ever arrives from outside: instead of waiting, time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.idle_turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("the simulation waits for something that never comes")
        self.idle_turns = 0 if timeout > 0 else self.idle_turns + 1
        if self.idle_turns > _TURNS_MAX:
            raise AssertionError("the simulation turns in circles: time does not pass")
        if timeout > 0:
            self.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)
        self._clock_resolution = 1e-6
        self._process_of: WeakKeyDictionary[asyncio.Task[Any], Process | None] = WeakKeyDictionary()
        self.set_task_factory(self._make_task)
        self.failures: list[BaseException] = []
        """What nobody was there to catch."""

    def _make_task(self, loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
        self._process_of[task] = PROCESS.get()
        return task

    def time(self) -> float:
        return self._virtual.now_s

    def now_ms(self) -> int:
        return round(self._virtual.now_s * 1000)

    def call_soon(  # type: ignore[override]  # typeshed ties the arguments to the callback
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        own: list[asyncio.Handle] = []
        own.append(super().call_soon(self._run, process, callback, args, own, context=context))
        return own[0]

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        own: list[asyncio.Handle] = []
        handle = super().call_at(when, self._run, process, callback, args, own, context=context)
        own.append(handle)
        return handle

    def call_later(  # type: ignore[override]  # as above
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]  # as above
        self, _executor: Any, function: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        done = self.create_future()
        try:
            done.set_result(function(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def stop_process(self, process: Process) -> None:
        """What SIGSTOP does."""
        process.is_stopped = True

    def continue_process(self, process: Process) -> None:
        """What SIGCONT does: all that came meanwhile is there at once, in its order."""
        process.is_stopped = False
        parked, process.parked = process.parked, []
        for callback, args, context in parked:
            super().call_soon(callback, *args, context=context)

    def _run(
        self, process: Process, callback: Callable[..., object], args: tuple[Any, ...], own: list[asyncio.Handle]
    ) -> None:
        if own[0].cancelled():
            return  # While it was parked.
        if process.is_stopped and not process.is_dead:
            process.parked.append((self._run, (process, callback, args, own), copy_context()))
        else:
            callback(*args)

    def call_exception_handler(self, context: Mapping[str, Any]) -> None:
        """Tasks of a killed process end in any way they like; all others must not."""
        task = context.get("task") or context.get("future")
        owner = self._process_of.get(task) if isinstance(task, asyncio.Task) else PROCESS.get()
        if (owner is None or not owner.is_dead) and not isinstance(context.get("exception"), Killed):
            error = context.get("exception")
            self.failures.append(error if error is not None else AssertionError(context.get("message")))
