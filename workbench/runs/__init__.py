"""A training run is a folder: whoever has the folder has the result.

The doors are ``run`` (make, open, list, read), ``launch`` (start, queue, stop, resume, recover) and ``training``
(stages under Lightning). Everything above ``checkpoint`` starts without torch, so that a page lists runs quickly.

    folder        files that are written whole or not at all, and ids that cannot leave their folder
    process       which process trains a run, whether it lives, and the lock that keeps it alone
    status        status.json: where the run is, its heartbeat, and what may be concluded from both
    metrics_log   metrics.csv: one row a value, readable while it is written
    curves        which of Lightning's metrics are fresh, and when they are written
    stages        checkpoints/stages.json: which stages are complete, and by how much they were extended
    pace          how much is done and when it will be finished
    arrays        weights and arrays in formats that cannot run code
    records       run.json and notes.json: what the run is, and what its owner says about it
    contents      what a run holds: metrics, weights, arrays, scores, log and result
    run           the Run: made, opened, listed, stopped, finished, extended, deleted
    archive       runs side by side, and a run as one file to hand on
    launch        detached children, the queue, stop, resume, and runs whose process is gone
    job           a long operation that is no training, such as an import, in a process of its own
    results       results.csv: the scores of an experiment, one row a training
    experiment    variants trained on the same seeds: a folder of runs and one table of their scores
    checkpoint    checkpoints as plain types, compared with the network they go into
    training      the Training: stages under Lightning that can be stopped, killed, resumed and extended
"""
