"""What both trainers take from a recipe for the update of one parameter."""


def options_of(recipe, name):
    """The keywords of sgd_step for the parameter `name`: biases, "<layer>/b", have multipliers of their own.

    >>> from frcnn.repro.recipe import read_recipe
    >>> options_of(read_recipe("full"), "fc6/b")
    {'momentum': 0.9, 'weight_decay': 0.0005, 'lr_mult': 2.0, 'decay_mult': 0.0}
    """
    bias = name.endswith("/b")
    return {
        "momentum": recipe.momentum,
        "weight_decay": recipe.weight_decay,
        "lr_mult": recipe.bias_lr_mult if bias else 1.0,
        "decay_mult": recipe.bias_decay_mult if bias else 1.0,
    }


def learning(network, recipe, arrays):
    """The names of the parameters that are updated: all that are given but the frozen layers'."""
    frozen = network.parameters_of(recipe.frozen)
    return [name for name in arrays if not name.startswith("velocity/") and name not in frozen]
