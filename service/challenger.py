"""Following the challenger: there may be none, and nothing that goes wrong with it touches the champion."""

from __future__ import annotations

import logging
from collections.abc import Callable

from service.champion import ChampionFollower
from service.jobs import ServedModel
from service.settings import ServiceSettings
from stores.errors import ModelNotRegistered, StoreError
from stores.settings import SigningSettings, TrackingSettings

logger = logging.getLogger(__name__)

CHALLENGER = "challenger"


class ChallengerFollower(ChampionFollower):
    """Keeps `served` at the registry's challenger; None while there is none."""

    _what = CHALLENGER

    def _not_told(self, error: StoreError) -> None:
        if isinstance(error, ModelNotRegistered):  # the usual state: it was promoted, or never there
            if self.served is not None:
                logger.info("challenger_gone", extra={"fields": {"version": self.served.version}})
            self.served = None
            self._note_no_problem()
            return
        # The one that is loaded stays: it is asked for its opinion, or answers its share, as before.
        self._note_problem(str(error))


def challenger_follower(
    settings: ServiceSettings,
    tracking: TrackingSettings,
    signing: SigningSettings,
    on_swap: Callable[[ServedModel], None],
) -> ChallengerFollower | None:
    """The follower of the challenger, where the settings have use for one.

    A pinned model has no challenger: who pins a version wants that one and no other.
    """
    if tracking.model_uri is not None or not (settings.shadow_rate or settings.canary_share):
        return None
    return ChallengerFollower(
        tracking.model_copy(update={"model_alias": CHALLENGER}),
        signing,
        poll_seconds=settings.poll_seconds,
        threads=settings.cores,
        precision=settings.precision,
        device=settings.device,
        batch_tokens=settings.batch_tokens,
        on_swap=on_swap,
    )
