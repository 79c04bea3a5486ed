"""The paper's experiments on a model: conditions, runs, analysis, findings, report."""
