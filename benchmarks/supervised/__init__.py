"""Published methods with the class labels of CIFAR-10 as pairs, beside the figures of their papers."""
