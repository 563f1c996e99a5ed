"""A workbench for deep learning in medical image analysis, after the review of Shen, Wu and Suk (2017).

Research use only; not for diagnosis.

    errors, paths, progress    what everything stands on
    imaging                    what an image is, where it lies in space, and how it is read and written
    models                     Section 2 of the review as plain networks
    classical                  the hand-designed partners and rivals of learnt features
    metrics                    what is measured
    runs                       a training run is a folder
    patches                    from volumes to batches and back
    phantoms                   subjects whose truth is known
    registration               one image brought onto another
    figures                    arrays to figures
    tasks                      networks in training, as Lightning modules
    inference                  a trained network on a whole volume
    systems                    Section 3 of the review, one file a system
    doors                      what the workflow can do, by subject
    workflow                   the one door for the command line, the pages and the notebooks
    cli, app                   those who knock on it
"""

__version__ = "0.1.0"
