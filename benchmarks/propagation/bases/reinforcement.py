"""Q-learning with a replay memory and a target network."""

import argparse
import collections
import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim

Transition = collections.namedtuple("Transition", "state action reward following done")


class Memory:
    """The last transitions, from which batches are drawn."""

    def __init__(self, capacity):
        self.items = collections.deque(maxlen=capacity)

    def push(self, transition):
        self.items.append(transition)

    def sample(self, size):
        chosen = random.sample(self.items, size)
        states = torch.tensor(np.array([t.state for t in chosen]), dtype=torch.float32)
        actions = torch.tensor([[t.action] for t in chosen])
        rewards = torch.tensor([[t.reward] for t in chosen])
        following = torch.tensor(np.array([t.following for t in chosen]), dtype=torch.float32)
        masks = torch.tensor([[0.0 if t.done else 1.0] for t in chosen])
        return states, actions, rewards, following, masks


def explore(step, start, end, duration):
    slope = (end - start) / duration
    return max(slope * step + start, end)


def learn(network, target, memory, optimizer, args):
    states, actions, rewards, following, masks = memory.sample(args.batch_size)
    values = network(states).gather(1, actions)
    best = target(following).max(1)[0].unsqueeze(1)
    wanted = rewards + args.gamma * best * masks
    loss = F.smooth_l1_loss(values, wanted)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), values.mean().item()


def main(environment):
    parser = argparse.ArgumentParser()
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--gamma", type=float, default=0.98)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--warmup", type=int, default=500)
    parser.add_argument("--enabled", action="store_true")
    args = parser.parse_args()
    network = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))
    target = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))
    target.load_state_dict(network.state_dict())
    memory = Memory(50_000)
    optimizer = optim.Adam(network.parameters(), lr=5e-4)
    frames = 0
    scores = []
    for episode in range(args.episodes):
        epsilon = explore(episode, 0.1, 0.01, 200)
        state = environment.reset()
        done = False
        score = 0.0
        while not done:
            guess = network(torch.tensor(state).float())
            if random.random() < epsilon:
                action = random.randint(0, 1)
            else:
                action = guess.argmax().item()
            following, reward, done, _ = environment.step(action)
            memory.push(Transition(state, action, reward / 100.0, following, done))
            state = following
            score += reward
            frames += 1
            if done:
                break
        scores.append(score)
        if len(memory.items) > args.warmup:
            for _ in range(10):
                loss, mean_value = learn(network, target, memory, optimizer, args)
                print(loss, mean_value)
        if episode % 20 == 0 and episode > 0:
            recent = sum(scores[-20:]) / 20
            target.load_state_dict(network.state_dict())
            print(episode, recent, frames, epsilon)
