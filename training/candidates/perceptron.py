"""The baseline network: a multilayer perceptron on TF-IDF. It learns in seconds and is served without torch."""

from __future__ import annotations

import mlflow
import numpy as np
from rich.progress import TaskID
from scipy.sparse import csr_matrix
from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from classifier import Description
from classifier.classical import save_skops
from training.candidates.baselines import tfidf_vectorizer
from training.candidates.config import PerceptronConfig
from training.candidates.trained import History, Trained, Workplace
from training.data import Part, Splits

_Weights = tuple[list[np.ndarray], list[np.ndarray]]


def train_perceptron(config: PerceptronConfig, splits: Splits, workplace: Workplace) -> Trained:
    """TF-IDF and a multilayer perceptron trained by Adam (Kingma and Ba 2014, arXiv:1412.6980), as `pipeline.skops`.

    After each epoch it is judged on the validation part. It ends with the weights of its best epoch there, by
    macro-F1, and stops when `patience` epochs have brought nothing better. scikit-learn's own early stopping would
    hold back a random tenth of the training part instead, and go by accuracy.
    """
    task = workplace.progress.add_task(workplace.name, total=config.epochs)
    vectorizer = tfidf_vectorizer(config, dtype=np.float32)  # half the size of scikit-learn's default
    features = vectorizer.fit_transform(splits.train.texts)
    held_out = vectorizer.transform(splits.validation.texts)
    network = MLPClassifier(
        hidden_layer_sizes=config.hidden,
        alpha=config.l2,
        batch_size=min(config.batch_size, len(splits.train)),
        learning_rate_init=config.learning_rate,
        random_state=workplace.seed,
    )
    history = History()
    kept: _Weights = ([], [])
    best, since_best = -1.0, 0
    for epoch in range(1, config.epochs + 1):
        network.partial_fit(features, splits.train.labels, classes=list(splits.labels))
        figures = {"train_loss": float(network.loss_), **_figures(network, held_out, splits.validation)}
        _follow(history, epoch, figures, workplace, task)
        if figures["macro_f1"] > best:
            best, since_best = figures["macro_f1"], 0
            kept = (
                [layer.copy() for layer in network.coefs_],
                [layer.copy() for layer in network.intercepts_],
            )
        else:
            since_best += 1
        if since_best >= config.patience:
            break
    network.coefs_, network.intercepts_ = kept
    workplace.progress.update(task, completed=config.epochs)
    del network._optimizer  # training is over, and skops trusts no optimiser
    save_skops(make_pipeline(vectorizer, network), workplace.bundle / "pipeline.skops")
    description = Description(
        kind="sklearn", model_file="pipeline.skops", labels=splits.labels, candidate=workplace.name
    )
    parameters = sum(layer.size for layer in (*network.coefs_, *network.intercepts_))
    return Trained(
        description, history, {"features": float(features.shape[1]), "parameters": float(parameters)}
    )


def _figures(network: MLPClassifier, features: csr_matrix, part: Part) -> dict[str, float]:
    """What the network reaches on `part` as it now is."""
    probabilities = network.predict_proba(features)
    chosen = network.classes_[probabilities.argmax(axis=1)]
    precision, recall, f1, _ = precision_recall_fscore_support(
        part.labels, chosen, average="macro", zero_division=0
    )
    return {
        # In float64: float32 rounds a sure answer's row to a sum that is not quite 1.
        "validation_loss": float(
            log_loss(part.labels, _normalised(probabilities), labels=list(network.classes_))
        ),
        "accuracy": float(accuracy_score(part.labels, chosen)),
        "macro_f1": float(f1),
        "macro_precision": float(precision),
        "macro_recall": float(recall),
    }


def _normalised(probabilities: np.ndarray) -> np.ndarray:
    exact = probabilities.astype(np.float64)
    normalised: np.ndarray = exact / exact.sum(axis=1, keepdims=True)
    return normalised


def _follow(
    history: History, epoch: int, figures: dict[str, float], workplace: Workplace, task: TaskID
) -> None:
    """One epoch into the history, the active MLflow run, the progress bar, and to whoever watches."""
    history.epochs.append({"epoch": float(epoch), **figures})
    history.losses.append((float(epoch), figures["train_loss"]))
    workplace.progress.update(task, completed=epoch)
    if mlflow.active_run():  # logging without one would open one, and leave it open
        logged = {name if name == "train_loss" else f"epoch_{name}": value for name, value in figures.items()}
        mlflow.log_metrics(logged, step=epoch)
    workplace.watch(float(epoch), figures["macro_f1"])
