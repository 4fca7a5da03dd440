"""A language model trained by functions that `main` calls."""

import argparse
import math
import os

import torch
from torch import nn


class Model(nn.Module):
    """An embedding, a recurrent layer, and a decoder."""

    def __init__(self, vocabulary, size, dropout):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, size)
        self.rnn = nn.LSTM(size, size, 2)
        self.drop = nn.Dropout(dropout)
        self.decoder = nn.Linear(size, vocabulary)

    def forward(self, tokens, state):
        embedded = self.drop(self.embedding(tokens))
        output, state = self.rnn(embedded, state)
        decoded = self.decoder(self.drop(output))
        return decoded, state


def batches(text, length, batch_size):
    usable = len(text) // batch_size * batch_size
    rows = text[:usable].view(batch_size, -1).t()
    for start in range(0, len(rows) - 1, length):
        stop = min(start + length, len(rows) - 1)
        yield rows[start:stop], rows[start + 1 : stop + 1]


def detach(state):
    return tuple(part.detach() for part in state)


def train_epoch(model, text, criterion, lr, args):
    model.train()
    total = 0.0
    count = 0
    state = None
    for step, (tokens, wanted) in enumerate(batches(text, args.bptt, args.batch_size)):
        if state is not None:
            state = detach(state)
        model.zero_grad()
        decoded, state = model(tokens, state)
        loss = criterion(decoded.flatten(0, 1), wanted.flatten())
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        for parameter in model.parameters():
            parameter.data.add_(parameter.grad, alpha=-lr)
        total += loss.item()
        count += 1
        if step % args.interval == 0 and step > 0:
            average = total / count
            print(step, average, math.exp(average), float(norm))
            total = 0.0
            count = 0
    return total / max(count, 1)


def evaluate(model, text, criterion, args):
    model.eval()
    total = 0.0
    words = 0
    state = None
    with torch.no_grad():
        for tokens, wanted in batches(text, args.bptt, 10):
            decoded, state = model(tokens, state)
            loss = criterion(decoded.flatten(0, 1), wanted.flatten())
            total += loss.item() * len(wanted)
            words += len(wanted)
    return total / words


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--bptt", type=int, default=35)
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--clip", type=float, default=0.25)
    parser.add_argument("--interval", type=int, default=100)
    parser.add_argument("--enabled", action="store_true")
    args = parser.parse_args()
    text = torch.randint(0, 50, (20000,))
    train_text = text[:16000]
    valid_text = text[16000:]
    model = Model(50, 32, 0.2)
    criterion = nn.CrossEntropyLoss()
    lr = 20.0
    best = None
    for epoch in range(1, args.epochs + 1):
        train_loss = train_epoch(model, train_text, criterion, lr, args)
        valid_loss = evaluate(model, valid_text, criterion, args)
        perplexity = math.exp(valid_loss)
        print(epoch, train_loss, valid_loss, perplexity)
        if best is None or valid_loss < best:
            path = os.path.join("out", f"model-{epoch}.pt")
            torch.save(model.state_dict(), path)
            best = valid_loss
        else:
            lr = lr / 4.0
    return best


if __name__ == "__main__":
    main()
