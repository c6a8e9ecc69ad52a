"""What keeps a network from learning its texts by heart, as an experiment file asks for it: `candidates.x.awp`, …"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Weight = Annotated[float, Field(gt=0)]


class AwpConfig(BaseModel):
    """Adversarial Weight Perturbation (Wu, Xia, Wang 2020, arXiv:2004.05884). Every batch it joins costs twice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epsilon: float = Field(default=0.005, gt=0)
    """How far each weight matrix is moved against the loss, as a share of its own norm."""

    share: float = Field(default=0.5, gt=0, le=1)
    """Weight of the gradient at the moved weights; that at the weights themselves has the rest. The paper takes 1."""

    start_epoch: float = Field(default=1.0, ge=0)
    """Passes over the training part before it begins: at first the weights are far from any minimum."""


class MixoutConfig(BaseModel):
    """Mixout (Lee, Cho, Kang 2020, arXiv:1909.11299) of the pretrained body; the new head has nothing to mix with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    p: float = Field(default=0.7, ge=0, lt=1)
    """Probability of each weight to be the pretrained one for a batch. The paper fine-tunes with 0.7 to 0.9."""

    replaces_dropout: bool = True
    """Whether the body's dropout is off meanwhile, as in the paper."""


class LossConfig(BaseModel):
    """For skewed labels. Without options it is cross-entropy; `label_smoothing` of the candidate joins either."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    class_weights: Literal["balanced"] | dict[str, Weight] | None = None
    """`balanced`: inverse to the frequency in the training part; or label → weight, where a label that is not listed
    weighs 1; unset: every text weighs the same. They are scaled so that the mean over the training texts is 1."""

    balance: float = Field(default=1.0, gt=0, le=1)
    """How far `balanced` goes: 1 gives every label the same say, 0.5 weighs by the inverse square root of frequency."""

    focal_gamma: float = Field(default=0.0, ge=0)
    """Focal loss (Lin et al. 2017, arXiv:1708.02002): a text's loss counts (1 − p)^gamma, p being the probability of
    its true label. The paper takes 2; 0 is off."""


class FreezeConfig(BaseModel):
    """What keeps its pretrained weights. Frozen layers cost no backward pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    embeddings: bool = False
    """Whether the embeddings are frozen."""

    layers: int = Field(default=0, ge=0)
    """How many layers, counted from the lowest, are frozen."""
