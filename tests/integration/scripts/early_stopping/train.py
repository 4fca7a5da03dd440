# Early stopping on a held-out split, all at module level.
import copy
import json

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(7)
np.random.seed(7)

# two noisy spirals
n = 300
theta = np.sqrt(np.random.rand(n)) * 3 * np.pi
spiral = np.stack([np.cos(theta) * theta, np.sin(theta) * theta], 1) + np.random.randn(n, 2) * 0.3
points = np.concatenate([spiral, -spiral]) / 10
X = torch.tensor(points, dtype=torch.float32)
y = torch.cat([torch.zeros(n), torch.ones(n)]).long()
order = torch.randperm(2 * n)
X, y = X[order], y[order]
X_train, y_train = X[:400], y[:400]
X_val, y_val = X[400:], y[400:]

model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Dropout(0.1), nn.Linear(32, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
criterion = nn.CrossEntropyLoss()

best_acc = 0.0
best_state = None
best_epoch = -1
patience, bad_epochs = 4, 0
history = {"loss": [], "val_acc": []}
batch_size = 40

for epoch in range(60):
    model.train()
    perm = torch.randperm(len(X_train))
    total = 0.0
    for i in range(0, len(X_train), batch_size):
        idx = perm[i:i + batch_size]
        noise = torch.from_numpy(np.random.normal(0, 0.02, size=(len(idx), 2))).float()
        loss = criterion(model(X_train[idx] + noise), y_train[idx])
        if not torch.isfinite(loss):
            continue
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(idx)

    model.eval()
    with torch.no_grad():
        val_acc = (model(X_val).argmax(1) == y_val).float().mean().item()
    history["loss"].append(total / len(X_train))
    history["val_acc"].append(val_acc)
    print(f"epoch {epoch:2d} loss {total / len(X_train):.5f} val_acc {val_acc:.4f}")

    if val_acc > best_acc:
        best_acc = val_acc
        best_epoch = epoch
        best_state = copy.deepcopy(model.state_dict())
        bad_epochs = 0
    else:
        bad_epochs += 1
        if bad_epochs >= patience:
            print("stopping early at", epoch)
            break

model.load_state_dict(best_state)
model.eval()
with torch.no_grad():
    final = criterion(model(X_val), y_val).item()
print(f"best epoch {best_epoch} acc {best_acc:.4f} loss {final:.6f}")
with open("history.json", "w") as f:
    json.dump({**history, "best_epoch": best_epoch}, f, indent=2)
torch.save(best_state, "best.pt")
