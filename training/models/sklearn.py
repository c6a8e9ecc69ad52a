"""TF-IDF candidates: logistic regression, gradient-boosted trees (CatBoost), and a multilayer perceptron."""

from __future__ import annotations

from typing import Any

import mlflow
import numpy as np
from rich.progress import TaskID
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from classifier import Description
from classifier.runtimes.catboost import VECTORIZER_FILE
from classifier.runtimes.sklearn import save_skops
from training.config.tfidf import CatBoostConfig, LogregConfig, PerceptronConfig, TfidfConfig
from training.data import Part, Splits
from training.models.result import History, Trained, TrainingContext

_WORDLESS_NOTED = 0.01


def train_logreg(config: LogregConfig, splits: Splits, context: TrainingContext) -> Trained:
    """TF-IDF and logistic regression, as `pipeline.skops`."""
    task = context.progress.add_task(context.name, total=1)
    pipeline = make_pipeline(
        tfidf_vectorizer(config),
        LogisticRegression(
            C=config.C,
            class_weight=config.class_weights,
            max_iter=2000,
            random_state=context.seed,
        ),
    )
    pipeline.fit(splits.train.texts, splits.train.labels)
    wordless = report_wordless(pipeline[0], splits, context)
    save_skops(pipeline, context.bundle / "pipeline.skops")
    context.progress.update(task, completed=1)
    description = Description(
        kind="sklearn",
        model_file="pipeline.skops",
        labels=tuple(str(label) for label in pipeline.classes_),
        candidate=context.name,
    )
    return Trained(description, figures={"features": float(len(pipeline[0].vocabulary_)), **wordless})


def train_catboost(config: CatBoostConfig, splits: Splits, context: TrainingContext) -> Trained:
    """TF-IDF and CatBoost, as `vectorizer.skops` and `model.cbm`."""
    from catboost import CatBoostClassifier

    task = context.progress.add_task(context.name, total=config.iterations)

    class Advance:
        """CatBoost's callback interface."""

        def after_iteration(self, info: object) -> bool:  # noqa: ARG002
            context.progress.advance(task)
            return True

    vectorizer = tfidf_vectorizer(config)
    features = vectorizer.fit_transform(splits.train.texts)
    labels = splits.labels
    positions = {label: position for position, label in enumerate(labels)}
    model = CatBoostClassifier(
        iterations=config.iterations,
        learning_rate=config.learning_rate,
        depth=config.depth,
        l2_leaf_reg=config.l2,
        # Also for two classes: one probability a label, in the order of the labels.
        loss_function="MultiClass",
        random_seed=context.seed,
        verbose=False,
        allow_writing_files=False,
    )
    model.fit(features, [positions[label] for label in splits.train.labels], callbacks=[Advance()])
    wordless = report_wordless(vectorizer, splits, context)
    save_skops(vectorizer, context.bundle / VECTORIZER_FILE)
    model.save_model(str(context.bundle / "model.cbm"))
    description = Description(kind="catboost", model_file="model.cbm", labels=labels, candidate=context.name)
    return Trained(
        description,
        figures={"features": float(features.shape[1]), "trees": float(model.tree_count_), **wordless},
    )


def tfidf_vectorizer(config: TfidfConfig, *, dtype: type[np.floating[Any]] = np.float64) -> TfidfVectorizer:
    """What turns texts into features of `dtype` as `config` says; not fitted yet."""
    words = config.analyzer == "word"
    return TfidfVectorizer(
        dtype=dtype,
        max_features=config.max_features,
        analyzer=config.analyzer,
        ngram_range=(config.ngram_min, config.ngram_max),
        min_df=config.min_df,
        lowercase=config.lowercase,
        # scikit-learn warns of both where terms are characters.
        stop_words=config.stop_words if words else None,
        token_pattern=config.token_pattern if words else None,
        sublinear_tf=config.sublinear_tf,
    )


def report_wordless(
    vectorizer: TfidfVectorizer, splits: Splits, context: TrainingContext
) -> dict[str, float]:
    """Share of the validation texts in which a fitted `vectorizer` knows no term, as a figure; printed above 1 %.

    Such a text has no features: it gets the same probabilities, about those of the classes, whatever it says.
    """
    share = float((np.diff(vectorizer.transform(splits.validation.texts).indptr) == 0).mean())
    if share > _WORDLESS_NOTED:
        context.progress.console.print(
            f"{context.name}: {share:.1%} of the validation texts have none of the terms that TF-IDF kept, and all "
            "get the same answer. `token_pattern`, `stop_words` and `min_df` say what a term is",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )
    return {"texts_without_terms": share}


_Weights = tuple[list[np.ndarray], list[np.ndarray]]


def train_perceptron(config: PerceptronConfig, splits: Splits, context: TrainingContext) -> Trained:
    """TF-IDF and a multilayer perceptron trained by Adam (Kingma and Ba 2014, arXiv:1412.6980), as `pipeline.skops`.

    After each epoch it is evaluated on the validation part. It ends with the weights of its best epoch there, by
    macro-F1, and stops when `patience` epochs have brought nothing better. scikit-learn's own early stopping would
    hold back a random tenth of the training part instead, and go by accuracy.
    """
    task = context.progress.add_task(context.name, total=config.epochs)
    vectorizer = tfidf_vectorizer(config, dtype=np.float32)  # half the size of scikit-learn's default
    features = vectorizer.fit_transform(splits.train.texts)
    held_out = vectorizer.transform(splits.validation.texts)
    wordless = report_wordless(vectorizer, splits, context)
    network = MLPClassifier(
        hidden_layer_sizes=config.hidden,
        alpha=config.l2,
        batch_size=min(config.batch_size, len(splits.train)),
        learning_rate_init=config.learning_rate,
        random_state=context.seed,
    )
    history = History()
    kept: _Weights = ([], [])
    best, since_best = -1.0, 0
    for epoch in range(1, config.epochs + 1):
        network.partial_fit(features, splits.train.labels, classes=list(splits.labels))
        figures = {"train_loss": float(network.loss_), **_figures(network, held_out, splits.validation)}
        _follow(history, epoch, figures, context, task)
        if context.fixed_epochs or figures["macro_f1"] > best:
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
    context.progress.update(task, completed=config.epochs)
    del network._optimizer  # training is over, and skops trusts no optimiser
    save_skops(make_pipeline(vectorizer, network), context.bundle / "pipeline.skops")
    description = Description(
        kind="sklearn", model_file="pipeline.skops", labels=splits.labels, candidate=context.name
    )
    parameters = sum(layer.size for layer in (*network.coefs_, *network.intercepts_))
    return Trained(
        description,
        history,
        {"features": float(features.shape[1]), "parameters": float(parameters), **wordless},
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
    history: History, epoch: int, figures: dict[str, float], context: TrainingContext, task: TaskID
) -> None:
    """Add one epoch to the history, the active MLflow run, the progress bar and the epoch callback."""
    history.epochs.append({"epoch": float(epoch), **figures})
    history.losses.append((float(epoch), figures["train_loss"]))
    context.progress.update(task, completed=epoch)
    if mlflow.active_run():  # logging without one would open one, and leave it open
        logged = {name if name == "train_loss" else f"epoch_{name}": value for name, value in figures.items()}
        mlflow.log_metrics(logged, step=epoch)
    context.watch(float(epoch), figures["macro_f1"])
