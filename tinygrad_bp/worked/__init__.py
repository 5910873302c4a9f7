"""The worked examples of five documents on back-propagation, as data and on the public names alone."""
