import torch
import torch.nn as nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

torch.set_num_threads(1)


class RunningStats(nn.Module):
    """Normalises by running moments that are plain attributes, not buffers."""

    def __init__(self, dim, momentum=0.1):
        super().__init__()
        self.momentum = momentum
        self.mean = torch.zeros(dim)
        self.var = torch.ones(dim)
        self.calls = 0
        self.seen = {"rows": 0}

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.mean = self.mean + self.momentum * (x.mean(0) - self.mean)
                self.var.mul_(1 - self.momentum).add_(x.var(0), alpha=self.momentum)
            self.calls += 1
            self.seen["rows"] += len(x)
        return (x - self.mean) / (self.var + 1e-5).sqrt()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stats = RunningStats(6)
        self.body = weight_norm(nn.Linear(6, 20))
        self.head = spectral_norm(nn.Linear(20, 20))
        self.out = nn.Linear(20, 1)
        self.activations = []
        self.temperature = 1.0

    def forward(self, x):
        h = torch.tanh(self.body(self.stats(x)) / self.temperature)
        if self.training:
            self.activations.append(h.detach().abs().mean().item())
            self.temperature = max(0.5, self.temperature * 0.999)
        h = nn.functional.dropout(torch.tanh(self.head(h)), 0.1, self.training)
        return self.out(h).squeeze(-1)


def loss_of(net, x, y):
    return nn.functional.huber_loss(net(x), y)


def run_epoch(net, opt, data, batch=25):
    x, y = data
    for start in torch.randperm(len(x) // batch).tolist():
        sl = slice(start * batch, (start + 1) * batch)
        opt.zero_grad()
        loss = loss_of(net, x[sl], y[sl])
        loss.backward()
        opt.step()
    return loss.item()


def main():
    torch.manual_seed(99)
    x = torch.randn(200, 6) * torch.arange(1.0, 7.0) + 3
    y = torch.sin(x[:, 0]) + 0.1 * x[:, 1] - 0.05 * x[:, 5]
    net = Net()
    hook_calls = []
    net.out.register_forward_hook(lambda module, args, output: hook_calls.append(len(output)))
    opt = torch.optim.NAdam(net.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(opt, patience=1, factor=0.5)
    epoch, max_epochs = 0, 9
    while epoch < max_epochs:
        net.train()
        last = run_epoch(net, opt, (x[:150], y[:150]))
        net.eval()
        with torch.no_grad():
            val = loss_of(net, x[150:], y[150:]).item()
        scheduler.step(val)
        epoch += 1
        print(f"epoch {epoch} last {last:.6f} val {val:.6f} lr {opt.param_groups[0]['lr']:.5f} "
              f"calls {net.stats.calls} hook {len(hook_calls)}")
    print("rows", net.stats.seen["rows"], "act", sum(net.activations[-6:]) / 6)


if __name__ == "__main__":
    main()
