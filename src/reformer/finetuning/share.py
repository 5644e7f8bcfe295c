"""Weight sharing between the layers of a trained model."""

import torch
from transformers import PreTrainedModel

from reformer.finetuning.errors import FinetuningError
from reformer.finetuning.layers import layers, rebuilt


def share(model: PreTrainedModel, distinct: int) -> PreTrainedModel:
    """A model with `num_distinct_layers=distinct`: layer `i` uses the weights of layer `i mod distinct`.

    A shared weight starts from the mean of those it replaces; what each layer keeps for itself (biases, norms, hash
    rotations) stays. The function is not the trained one's, so go on training. Source: Lan et al. 2020, section 3.1,
    from trained layers.

    Args:
        model: the trained model, which is left as it is.
        distinct: how many layers have weights of their own.

    Raises:
        FinetuningError: there are not so many layers, the kinds of layers that would share differ, or they share
            already.
    """
    every = layers(model)
    if model.config.num_distinct_layers is not None:
        raise FinetuningError(f"num_distinct_layers={model.config.num_distinct_layers}: these layers share already")
    with torch.no_grad():
        fewer = rebuilt(model, num_distinct_layers=distinct)
        weights = model.state_dict()
        for name, weight in fewer.state_dict().items():
            weight.copy_(weights[name])
        for number, sublayers in enumerate(layers(fewer)[:distinct]):
            for place, sublayer in enumerate(sublayers):
                users = [dict(layer[place].named_parameters()) for layer in every[number::distinct]]
                for name, weight in sublayer.named_parameters():
                    if weight.dim() > 1:
                        weight.copy_(torch.stack([user[name] for user in users]).mean(0))
    return fewer
