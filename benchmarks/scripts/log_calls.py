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


def main():
    value = 0.5
    cpu = wall = 0
    begun = time.thread_time_ns()
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
    iterations = time.thread_time_ns() - begun - cpu

    empty = clocks = 0
    begun = time.thread_time_ns()
    for i in range(ITERATIONS):  # noqa: B007
        w, c = time.perf_counter_ns(), time.thread_time_ns()
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
        empty += time.thread_time_ns() - c
        clocks += time.perf_counter_ns() - w
    clocks = time.thread_time_ns() - begun - empty

    calls = 10 * ITERATIONS
    with open(os.environ["BENCH_TIMES"], "w") as file:
        iteration = (iterations - clocks) / ITERATIONS
        file.write(f"{cpu / calls} {wall / calls} {empty / calls} {iteration}")


if __name__ == "__main__":
    main()
