# golden: add-after "bump(tree["left"], k)" flor.log("probe", [k, tree["left"].child.count, leaf.count])
# golden: query SELECT k, probe FROM logs WHERE k IN (3, 6)
"""An object that a name and a graph share at first, until the graph gets another one."""
import flor


class Node:
    def __init__(self):
        self.count = 0
        self.child = None


def bump(node, amount):
    node.child.count += amount


tree = {"left": Node()}
tree["left"].child = leaf = Node()
for k in range(8):
    bump(tree["left"], k)
    if k == 4:
        tree["left"].child = Node()
    flor.log("leaf", leaf.count)
print(tree["left"].child.count, leaf.count)
