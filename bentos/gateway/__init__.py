"""The hospital's side in DICOM: takes images in, has them scored, sends reports out.

    receiver      C-STORE, for who may call (`peers`)
    inbox         bytes to disk, then a row in the book, then the sender is told
    book          what came, what became of it: read by the API, the CLI and the viewer
    ledger        the same tables, written
    scoring       a study that is quiet goes to the service; its reports to the outbox
    outbox        reports on their way to the PACS

Everything lies in ``<MAMMO_HOME>/gateway``, for its owner alone: ``gateway.sqlite``
and ``inbox/``. The tables hold pseudonyms, the files of the inbox the patients.
"""
