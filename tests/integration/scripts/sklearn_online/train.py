import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.utils import shuffle

np.random.seed(0)

X, y = load_digits(return_X_y=True)
X, y = X[:900], y[:900]
X_train, X_test, y_train, y_test = X[:700], X[700:], y[:700], y[700:]


def batches(X, y, size):
    for start in range(0, len(X), size):
        yield X[start:start + size], y[start:start + size]


def main(n_epochs=6):
    scaler = StandardScaler()
    clf = SGDClassifier(loss="log_loss", alpha=1e-3, learning_rate="optimal", average=True)
    clusters = MiniBatchKMeans(n_clusters=5, random_state=0, n_init=1)
    best = {"loss": np.inf, "epoch": None, "coef": None}
    for epoch in range(n_epochs):
        Xs, ys = shuffle(X_train, y_train)
        for xb, yb in batches(Xs, ys, 100):
            scaler.partial_fit(xb)
            xb = scaler.transform(xb)
            clf.partial_fit(xb, yb, classes=np.arange(10))
            clusters.partial_fit(xb)
        proba = clf.predict_proba(scaler.transform(X_test))
        loss = log_loss(y_test, proba, labels=np.arange(10))
        acc = clf.score(scaler.transform(X_test), y_test)
        print(f"epoch {epoch} test log-loss {loss:.6f} accuracy {acc:.4f}")
        if loss < best["loss"]:
            best.update(loss=loss, epoch=epoch, coef=clf.coef_.copy())
    return best


if __name__ == "__main__":
    best = main()
    print("best epoch", best["epoch"], "norm", np.linalg.norm(best["coef"]))
    np.save("coef.npy", best["coef"])
