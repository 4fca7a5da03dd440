"""A perceptron-like tagger and a bandit, without any library but the standard one.

State is kept wherever Python lets one keep it: closures, globals, a generator, deque, set, Counter.
"""
import csv
import random
from collections import Counter, defaultdict, deque
from itertools import count

random.seed(2024)

TAGS = ("N", "V", "A")
weights = defaultdict(float)
errors = Counter()
known_words = set()
recent = deque(maxlen=20)
temperature = 1.0
updates = 0


def sentences(n, rng):
    """Endless-looking stream of tagged sentences; the tags depend on the word's ending."""
    vowels = "aeiou"
    for _ in range(n):
        words = []
        for _ in range(rng.randint(3, 6)):
            word = "".join(rng.choice("bdklmrt" + vowels) for _ in range(rng.randint(2, 5)))
            tag = "V" if word[-1] in vowels else "N" if len(word) > 3 else "A"
            words.append((word, tag))
        yield words


def make_scheduler(start, decay):
    lr = start
    calls = 0

    def step(loss):
        nonlocal lr, calls
        calls += 1
        if calls % 7 == 0:
            lr = max(0.01, lr * decay)
        return lr

    def current():
        return lr

    return step, current


def features(word, previous):
    yield "last=" + word[-1]
    yield f"len={min(len(word), 4)}"
    yield "prev=" + previous


def score(word, previous, tag):
    return sum(weights[f, tag] for f in features(word, previous))


def predict(word, previous):
    if random.random() < 0.05 * temperature:
        return random.choice(TAGS)
    return max(TAGS, key=lambda tag: (score(word, previous, tag), tag))


def learn(sentence, lr):
    global updates
    wrong = 0
    previous = "^"
    for word, tag in sentence:
        known_words.add(word)
        guess = predict(word, previous)
        if guess != tag:
            wrong += 1
            errors[tag, guess] += 1
            for f in features(word, previous):
                weights[f, tag] += lr
                weights[f, guess] -= lr
            updates += 1
        previous = tag
    return wrong / len(sentence)


step_lr, current_lr = make_scheduler(1.0, 0.9)
stream = sentences(10_000, random.Random(5))
curve = []

for step in count(1):
    sentence = next(stream)
    loss = learn(sentence, current_lr())
    step_lr(loss)
    recent.append(loss)
    temperature *= 0.995
    mean = sum(recent) / len(recent)
    curve.append((step, loss, mean))
    if step % 50 == 0:
        print(f"{step} loss {mean:.5f} lr {current_lr():.4f} words {len(known_words)}")
    if step < 200:
        continue
    if mean < 0.08 or step >= 400:
        print("stopped at", step, "after", updates, "updates")
        break

with open("curve.csv", "w", newline="") as out:
    writer = csv.writer(out)
    writer.writerow(["step", "loss", "mean"])
    writer.writerows(curve)
print("hardest:", errors.most_common(3))
print("next sentence:", next(stream)[0])
