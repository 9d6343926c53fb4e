"""What learns: features, classifier, training, evaluation, registry."""
