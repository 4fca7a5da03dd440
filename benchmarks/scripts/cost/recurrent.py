"""A recurrent network on a random text; every third epoch is evaluated at length."""

import random
import sys

import torch
import torch.nn as nn

torch.set_num_threads(1)
torch.manual_seed(int(sys.argv[1]))
random.seed(int(sys.argv[1]))
text = [0]
for _ in range(399_999):
    text.append((3 * text[-1] + random.choice((1, 1, 2, 7))) % 50)
data = torch.tensor(text).view(100, -1)


class Model(nn.Module):  # noqa: D101
    def __init__(self):
        super().__init__()
        self.encoder = nn.Embedding(50, 64)
        self.rnn = nn.GRU(64, 128, batch_first=True)
        self.decoder = nn.Linear(128, 50)

    def forward(self, tokens):
        return self.decoder(self.rnn(self.encoder(tokens))[0])


model = Model()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
criterion = nn.CrossEntropyLoss()
for epoch in range(9):
    total = 0.0
    for step in range(24):
        at = 20 * ((24 * epoch + step) % 150)
        batch = data[:, at : at + 21]
        loss = criterion(model(batch[:, :-1]).reshape(-1, 50), batch[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        # inner
        optimizer.step()
        total += loss.item()
    # outer
    print(epoch, total / 24)
    if epoch % 3 == 2:
        with torch.no_grad():
            losses = []
            for part in range(30):
                batch = data[:, 20 * part : 20 * part + 21]
                logits = model(batch[:, :-1]).reshape(-1, 50)
                losses.append(criterion(logits, batch[:, 1:].reshape(-1)).item())
            print("whole", sum(losses) / 30)
# end
