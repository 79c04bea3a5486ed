"""Training of the beat tracker."""
