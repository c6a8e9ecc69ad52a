"""A typed client of the service, for synchronous and asynchronous programs. It needs httpx and pydantic only.

Usage::

    from service.client import Client

    with Client("http://127.0.0.1:3000", key="…") as client:
        answer = client.classify("Shares in London fell sharply.")
        print(answer.predictions[0].label, answer.predictions[0].score)
        client.feedback({answer.predictions[0].id: "business"})

    async with AsyncClient("http://127.0.0.1:3000") as client:
        answer = await client.classify(ten_thousand_texts)     # cut into requests, a few at a time
"""

from service.answers import FeedbackAnswer, ModelCard, ModelName, Prediction, Score
from service.client.asynchronous import AsyncClient
from service.client.calls import Answers, Patience
from service.client.errors import ClientError, Refused, Unreachable
from service.client.synchronous import Client

__all__ = [
    "Answers",
    "AsyncClient",
    "Client",
    "ClientError",
    "FeedbackAnswer",
    "ModelCard",
    "ModelName",
    "Patience",
    "Prediction",
    "Refused",
    "Score",
    "Unreachable",
]
