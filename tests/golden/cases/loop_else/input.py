# golden: add-after "low, high = (low, x) if f(x) > 0 else (x, high)" flor.log("probe", [attempt, k, low, high])
# golden: query SELECT attempt, k, probe FROM logs WHERE attempt = 2 AND k > 3
"""Loops with else clauses, left by break or not."""
import flor

tolerance = 0.5
history = []


def f(x):
    return x**3 - 2


for attempt in range(3):
    low, high = 0.0, 4.0 + attempt
    for k in range(3 + 2 * attempt):
        x = (low + high) / 2
        if abs(f(x)) < tolerance:
            history.append((attempt, k))
            break
        low, high = (low, x) if f(x) > 0 else (x, high)
    else:
        history.append((attempt, None))
        tolerance *= 1.5
    tolerance /= 8
    flor.log("width", high - low)
else:
    print("all attempts made")
n = 0
while n < 3:
    n += 1
    flor.log("tries", n)
else:
    tolerance = -tolerance
print(history, tolerance)
