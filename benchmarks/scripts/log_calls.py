"""What 200,000 `flor.log` calls cost, ten in each iteration of a loop; ns to BENCH_TIMES.

Written: processor time of the calling thread a call, wall time a call (the writer's thread
competes for the interpreter), processor time a call of an empty function, and processor time an
iteration of the instrumented loop costs besides.
"""

import os
import time

import flor

ITERATIONS = 20_000


def nothing(name, value):
    return value


def logging(value):
    """(processor time, wall time) of 10 * ITERATIONS calls."""
    cpu = wall = 0
    for i in range(ITERATIONS):  # noqa: B007
        w, c = time.perf_counter_ns(), time.thread_time_ns()
        flor.log("a", value)
        flor.log("b", value)
        flor.log("c", value)
        flor.log("d", value)
        flor.log("e", value)
        flor.log("f", value)
        flor.log("g", value)
        flor.log("h", value)
        flor.log("i", value)
        flor.log("j", value)
        cpu += time.thread_time_ns() - c
        wall += time.perf_counter_ns() - w
    return cpu, wall


def calling(value):
    """Processor time of as many calls of an empty function."""
    cpu = 0
    for i in range(ITERATIONS):  # noqa: B007
        c = time.thread_time_ns()
        nothing("a", value)
        nothing("b", value)
        nothing("c", value)
        nothing("d", value)
        nothing("e", value)
        nothing("f", value)
        nothing("g", value)
        nothing("h", value)
        nothing("i", value)
        nothing("j", value)
        cpu += time.thread_time_ns() - c
    return cpu


def instrumented():
    """Processor time of ITERATIONS iterations of a loop with coordinates."""
    begun = time.thread_time_ns()
    for i in range(ITERATIONS):
        if i < 0:
            flor.log("z", i)
    return time.thread_time_ns() - begun


def plain():
    """The same without a log statement, so without coordinates."""
    begun = time.thread_time_ns()
    for i in range(ITERATIONS):
        if i < 0:
            nothing("z", i)
    return time.thread_time_ns() - begun


def main():
    cpu, wall = logging(0.5)
    empty = calling(0.5)
    calls = 10 * ITERATIONS
    iteration = (instrumented() - plain()) / ITERATIONS
    with open(os.environ["BENCH_TIMES"], "w") as file:
        file.write(f"{cpu / calls} {wall / calls} {empty / calls} {iteration}")


if __name__ == "__main__":
    main()
